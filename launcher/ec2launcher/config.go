package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

// Config describes a fleet. Fields without a default are required.
type Config struct {
	// Fleet names the fleet: it tags every instance and begins the name of
	// every record. Two launchers with one name and store are one fleet. 1 to
	// 20 lower-case letters, digits and hyphens, beginning with a letter.
	// Required.
	Fleet string
	// Store holds what must survive the process. Required.
	//
	// But for a [store.Memory], the records of all hosts and workloads are listed
	// again and again: every two seconds by each process in which Run is active, and
	// beside by the one that works for the fleet, each second while something is
	// under way, up to some 20 times when much happens at once, and each five seconds
	// while all is calm. Package dynamostore says what that costs in DynamoDB.
	Store store.Store
	// Subnets are where hosts may be, tried in this order; spot hosts where they
	// are cheapest first. One that has no free address, or whose zone had none of a
	// type within the hour, comes after the others. Required.
	Subnets []string
	// SecurityGroups are the groups of the hosts. Required. Once
	// [Launcher.Setup] has made the one that opens the hosts to Access, new
	// hosts are in that too.
	SecurityGroups []string
	// Access is who reaches the hosts' engines and the ports of their
	// containers: ids of security groups and ranges of addresses, IPv4 or IPv6
	// ("10.0.0.0/16"), such as those of the programs that run a launcher.
	// [Launcher.Setup] opens the hosts to exactly these. Empty opens them to
	// nobody.
	//
	// Groups reach the ports from 1024 on, so that a workload may name its port on
	// the host ([launcher.Port]). They reach the engine in any case, and nothing
	// else of a host answers there but what workloads publish. Ranges reach, beside
	// the engine, the ports from 30000 to 32767 alone, of which the engine takes one
	// where none is named: a range that holds the hosts lets what runs on one at
	// the ports of what runs on another, but for the hosts' own firewall, which
	// keeps it from these and knows the ranges that the VPC had when a host booted.
	// Groups are the better choice.
	Access []string
	// DialContext reaches the hosts' private addresses: their engines, and the
	// ports of their containers for [Launcher.Dial]. A program outside the VPC
	// goes through a tunnel of its own here. Nil is a [net.Dialer].
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Credentials returns name and password for a registry that images are
	// pulled from, each time one is pulled; empty ones are none. Hosts do not
	// keep them. [github.com/atelier-go/atelier/image.ECRCredentials] makes one
	// for Amazon ECR. Nil pulls without.
	Credentials func(ctx context.Context, registry string) (username, password string, err error)
	// Connect opens the way to the container engine of a booted host, for
	// hosts that boot otherwise than this package has them: a fake's, or those
	// of an AMI of one's own. It is called until it succeeds and again when the
	// connection was lost. A HostLauncher that is an [io.Closer] is closed when
	// it is not used any more, which must not end what runs on the host.
	//
	// Nil is Docker Engine over TLS with the keys of [Launcher.Setup], which
	// has to have been called; hosts then boot with user data of this package,
	// the instance profile that Setup made unless InstanceProfile names
	// another, and a data disk.
	Connect func(ctx context.Context, h Host) (HostLauncher, error)

	// AMI is the image hosts boot from. Empty is the current ECS-optimised
	// Amazon Linux 2023 image for the type's architecture and GPU, by its
	// public SSM parameter: it ships a container engine and the EFS helper.
	// Another has to have these too, unless there is a Connect.
	AMI string
	// InstanceProfile is the name of the hosts' IAM instance profile. Empty is
	// the one that Setup makes; with a Connect it is none.
	InstanceProfile string
	// DiskGiB is the size of a host's disk for images and containers, in
	// gibibytes of gp3. Zero is 100, which is about a cent an hour. A host with
	// a Connect has the disks of its AMI alone.
	DiskGiB int32
	// HostPaths are directories of the hosts that workloads may mount, each as
	// it is named and nothing below it, beside the access points of EFS. The AMI
	// has to have prepared them: what is not there when a workload wants it is
	// [launcher.ErrMount]. Whoever names one vouches for it: what every workload
	// of the fleet that mounts it may see there, and that no user can turn it, or
	// a directory above it, into a link that leads elsewhere. Directories of the
	// system are refused, such as /etc, /proc, /run and /var with the engine's
	// socket and data, and so is one within another. They are for hosts that this
	// package boots: with a Connect, the host decides. Empty is none.
	HostPaths []string
	// Tags are added to every instance.
	Tags map[string]string
	// Catalog knows the instance types. Nil is [instancetype.Embedded].
	Catalog *instancetype.Catalog

	// Overcommit is how many times over hosts' CPUs and memory are given away.
	// Zero is once.
	Overcommit Overcommit
	// Warm is room to keep free for the next workloads. None is kept by itself.
	Warm []Warm
	// Linger is how long a host without work is kept. Zero is 5 minutes;
	// negative releases it at once.
	Linger time.Duration
	// BootDeadline is how long a host may take from its purchase until its
	// engine answers, before it is replaced. Zero is 10 minutes.
	BootDeadline time.Duration
	// FenceAfter is how long a host's engine may be silent before the host is
	// terminated and its workloads are given up. Zero is 5 minutes.
	FenceAfter time.Duration

	// Logger is told what the fleet does. Nil discards.
	Logger *slog.Logger
	// MeterProvider makes the instruments of the package documentation's list, as
	// of "github.com/atelier-go/atelier/launcher/ec2launcher". Nil measures nothing,
	// which costs nothing: OpenTelemetry's global provider is used only if it is
	// given here (otel.GetMeterProvider()).
	MeterProvider metric.MeterProvider
}

// Overcommit says how many times over what hosts have is given away. No workload
// gets more than one host has. Factors of zero are 1; none may be less than that or
// more than 10. GPUs are never overcommitted.
type Overcommit struct {
	// CPU is for virtual CPUs. What wants more than there is runs slower.
	CPU float64
	// Memory is for memory. What wants more than there is is killed by the
	// kernel, sometimes in the place of another: above 1 it is only for
	// workloads that use far less than they ask for.
	Memory float64
}

// of is what is given away of a host's room.
func (o Overcommit) of(room launcher.Resources) launcher.Resources {
	room.MilliCPU = int64(float64(room.MilliCPU) * max(o.CPU, 1))
	room.MemoryMiB = int64(float64(room.MemoryMiB) * max(o.Memory, 1))
	return room
}

const (
	defaultLinger       = 5 * time.Minute
	defaultBootDeadline = 10 * time.Minute
	defaultFenceAfter   = 5 * time.Minute
	defaultDiskGiB      = 100
	// maxDiskGiB is EBS's for gp3: "General Purpose SSD volumes", Amazon EBS
	// user guide.
	maxDiskGiB = 65536
)

var fleetPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)

// validate reports everything wrong with c, and with what it comes with, at once.
func (c Config) validate(s Services, region string) error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if s.EC2 == nil || s.SSM == nil {
		bad("the EC2 or the SSM client is nil: use NewFromConfig, or give both")
	}
	if c.Connect == nil && s.Secrets == nil {
		bad("the Secrets client is nil, and with it there is no key to any host: use NewFromConfig, give it, or a Connect")
	}
	if c.Connect != nil && (c.DialContext != nil || c.Credentials != nil || c.DiskGiB != 0 || c.HostPaths != nil) {
		bad("dial context, credentials, disk and host paths are for hosts that this package boots, and there is a Connect: leave out either")
	}
	problems = append(problems, hostPathProblems(c.HostPaths)...)
	if c.DiskGiB < 0 || c.DiskGiB > maxDiskGiB {
		bad("disk of %d GiB: want 1 to %d, or 0 for %d", c.DiskGiB, maxDiskGiB, defaultDiskGiB)
	}
	if region == "" {
		bad("region is empty: set it in the AWS configuration")
	}
	if !fleetPattern.MatchString(c.Fleet) {
		bad("fleet %q: want 1 to 20 of a-z 0-9 - beginning with a letter", c.Fleet)
	}
	if c.Store == nil {
		bad("store is nil: use store.NewMemory or one that survives a restart")
	}
	problems = append(problems, idProblems("subnet", "subnet-", c.Subnets)...)
	problems = append(problems, idProblems("security group", "sg-", c.SecurityGroups)...)
	problems = append(problems, accessProblems(c.Access)...)
	if c.AMI != "" && !strings.HasPrefix(c.AMI, "ami-") {
		bad("AMI %q: want an id such as ami-0123456789abcdef0, or none for Amazon's own", c.AMI)
	}
	for _, k := range slices.Sorted(maps.Keys(c.Tags)) {
		// Limits: "Tag restrictions", Amazon EC2 user guide.
		if k == "" || len(k) > 128 || len(c.Tags[k]) > 256 || strings.HasPrefix(k, "aws:") || strings.HasPrefix(k, tagPrefix) || k == "Name" {
			bad("tag %q: want a key of 1 to 128 characters, neither Name nor beginning with aws: or %s, and a value of at most 256", k, tagPrefix)
		}
	}
	for what, factor := range map[string]float64{"CPU": c.Overcommit.CPU, "memory": c.Overcommit.Memory} {
		if factor != 0 && !(factor >= 1 && factor <= 10) {
			bad("overcommit of %s by %v: want a factor from 1 to 10, or 0 for 1", what, factor)
		}
	}
	if c.BootDeadline < 0 || c.FenceAfter < 0 {
		bad("boot deadline %v and fence after %v must not be negative", c.BootDeadline, c.FenceAfter)
	}
	if problems == nil {
		return nil
	}
	return fail("new", "", launcher.ErrInvalid, errors.Join(problems...))
}

// idProblems reports what is wrong with a list of ids of one sort.
func idProblems(what, prefix string, ids []string) (problems []error) {
	if len(ids) == 0 {
		return []error{fmt.Errorf("no %ss: want at least one", what)}
	}
	seen := map[string]bool{}
	for i, id := range ids {
		switch {
		case !strings.HasPrefix(id, prefix):
			problems = append(problems, fmt.Errorf("%s %d is %q: want an id that begins with %s", what, i, id, prefix))
		case seen[id]:
			problems = append(problems, fmt.Errorf("%s %q is listed twice", what, id))
		}
		seen[id] = true
	}
	return problems
}

// accessProblems reports what is wrong with who is to reach the hosts.
func accessProblems(access []string) (problems []error) {
	seen := map[string]bool{}
	for i, a := range access {
		prefix, err := netip.ParsePrefix(a)
		switch {
		case strings.HasPrefix(a, "sg-"):
		case err != nil:
			problems = append(problems, fmt.Errorf("access %d is %q: want the id of a security group or a range such as 10.0.0.0/16", i, a))
		case prefix != prefix.Masked():
			problems = append(problems, fmt.Errorf("access %d is %q: write the range as %s", i, a, prefix.Masked()))
		case prefix.String() != a:
			problems = append(problems, fmt.Errorf("access %d is %q: write it as %s, as EC2 does", i, a, prefix))
		}
		if seen[a] {
			problems = append(problems, fmt.Errorf("access %q is listed twice", a))
		}
		seen[a] = true
	}
	return problems
}

// systemDirs are the top directories of a host that are its system's: programs,
// configuration, devices, the engine's data and sockets, what others mount.
var systemDirs = []string{
	"bin", "boot", "dev", "efs", "etc", "lib", "lib32", "lib64", "libx32", "lost+found", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var",
}

// hostPathProblems reports what is wrong with directories of hosts.
func hostPathProblems(paths []string) (problems []error) {
	for i, p := range paths {
		top, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
		switch {
		case !path.IsAbs(p) || p == "/" || path.Clean(p) != p:
			problems = append(problems, fmt.Errorf("host path %q: want an absolute path below the root, without . or .. or a slash too many", p))
		case slices.Contains(systemDirs, top):
			problems = append(problems, fmt.Errorf("host path %q: /%s is the system's; want a directory elsewhere, such as below /srv", p, top))
		}
		for j, q := range paths {
			switch {
			case p == q && i < j:
				problems = append(problems, fmt.Errorf("host path %q is listed twice", p))
			case p != q && strings.HasPrefix(p, q+"/"): // who writes to the outer one can replace the inner by a link
				problems = append(problems, fmt.Errorf("host path %q is within %q: want one of them", p, q))
			}
		}
	}
	return problems
}

func (c Config) withDefaults() Config {
	if c.Catalog == nil {
		c.Catalog = instancetype.Embedded()
	}
	if c.Linger == 0 {
		c.Linger = defaultLinger
	}
	if c.BootDeadline == 0 {
		c.BootDeadline = defaultBootDeadline
	}
	if c.FenceAfter == 0 {
		c.FenceAfter = defaultFenceAfter
	}
	if c.DiskGiB == 0 {
		c.DiskGiB = defaultDiskGiB
	}
	if c.DialContext == nil {
		c.DialContext = (&net.Dialer{Timeout: dialLimit, KeepAliveConfig: keepAlive}).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
