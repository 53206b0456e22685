package ec2launcher_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslogs "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher/internal/hosttest"
)

// An instance is the one host of a fleet: it boots with the user data that was
// bought, and answers at the address that EC2 gave it.
type instance struct {
	*testing.T
	cloud *fakeaws.Cloud
	aws   *hosttest.AWS

	mu      sync.Mutex
	host    *hosttest.Machine // nil before it is made
	address string
}

func (i *instance) boot(id, userData string) {
	i.Helper()
	i.aws = &hosttest.AWS{Instance: id, Region: "us-east-1", SecretName: "atelier/test/host", Secret: hostKeys(i.T, i.cloud)}
	m := hosttest.New(i.T, hosttest.Config{UserData: userData, AWS: i.aws, KeysWithin: 20})
	if out, err := m.Boot(); err != nil {
		i.Fatalf("%v\n%s", err, out)
	}
	m.Load()
	i.mu.Lock()
	i.host = m
	i.mu.Unlock()
}

// dial is the way from outside the VPC.
func (i *instance) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.host == nil {
		return nil, errors.New("the host is not there yet")
	}
	if i.address == "" {
		i.host.Take(host)
		i.address = host
	}
	if host != i.address {
		return nil, fmt.Errorf("%s is not the host, which is %s", host, i.address)
	}
	return i.host.DialContext(ctx, network, address)
}

// become gives the host's engine other keys, as if another machine were there.
func (i *instance) become(secret string) {
	i.Helper()
	i.aws.SetSecret(secret)
	i.rerun("keys")
}

// renamed makes the host another one of its fleet, as the next at its address is.
func (i *instance) renamed(id string) {
	i.Helper()
	i.aws.SetInstance(id)
	i.rerun("place")
}

// rerun runs a part of the boot again, and the engine with what it has found.
func (i *instance) rerun(script string) {
	i.Helper()
	if out, err := i.host.Run("/usr/local/libexec/atelier/" + script); err != nil {
		i.Fatal(err, out)
	}
	i.host.RestartEngine("TERM")
}

// instanceOf is the id of the one instance there is.
func instanceOf(t *testing.T, ec2 *buyer) string {
	t.Helper()
	out, err := ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{})
	if err != nil || len(out.Reservations) != 1 || len(out.Reservations[0].Instances) != 1 {
		t.Fatalf("instances: %+v, %v", out, err)
	}
	return *out.Reservations[0].Instances[0].InstanceId
}

// hostKeys is what a host of a fleet in a cloud reads.
func hostKeys(t *testing.T, cloud *fakeaws.Cloud) string {
	t.Helper()
	out, err := awssecrets.NewFromConfig(cloud.RoleConfig("atelier-test-us-east-1-host")).GetSecretValue(t.Context(),
		&awssecrets.GetSecretValueInput{SecretId: aws.String("atelier/test/host")})
	if err != nil {
		t.Fatal(err)
	}
	return *out.SecretString
}

// buyer notes what is bought.
type buyer struct {
	*awsec2.Client
	mu     sync.Mutex
	bought []*awsec2.RunInstancesInput
}

func (b *buyer) RunInstances(ctx context.Context, in *awsec2.RunInstancesInput, o ...func(*awsec2.Options)) (*awsec2.RunInstancesOutput, error) {
	b.mu.Lock()
	b.bought = append(b.bought, in)
	b.mu.Unlock()
	return b.Client.RunInstances(ctx, in, o...)
}

// first is the first purchase, or nil.
func (b *buyer) first() *awsec2.RunInstancesInput {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.bought) == 0 {
		return nil
	}
	return b.bought[0]
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// eventually waits for something real, which takes the time it takes.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// TestRealHost: without a Connect, a fleet buys hosts that Setup has prepared.
// One of them boots here, with the user data that it was bought with; the fleet
// speaks to its engine over TLS, through keys that are renewed and connections
// that break.
func TestRealHost(t *testing.T) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	host := &instance{T: t, cloud: cloud}
	cfg := cloud.Config()
	ec2 := &buyer{Client: awsec2.NewFromConfig(cfg)}
	group, err := ec2.CreateSecurityGroup(t.Context(), &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("hosts"), Description: aws.String("hosts"), VpcId: aws.String(cloud.DefaultVPC()),
	})
	if err != nil {
		t.Fatal(err)
	}
	var told syncBuffer
	asked := make(chan string, 100)
	fleet, err := ec2launcher.New(ec2launcher.Services{
		EC2: ec2, SSM: awsssm.NewFromConfig(cfg), IAM: awsiam.NewFromConfig(cfg),
		Secrets: awssecrets.NewFromConfig(cfg), Logs: awslogs.NewFromConfig(cfg),
	}, cfg.Region, ec2launcher.Config{
		Fleet: "test", Store: store.NewMemory(), Subnets: []string{cloud.Subnets()[0].ID}, SecurityGroups: []string{*group.GroupId},
		Access: []string{"10.0.0.0/16"}, DialContext: host.dial, Linger: -1, HostPaths: []string{"/srv/data"},
		Credentials: func(_ context.Context, registry string) (string, string, error) {
			asked <- registry
			return "someone", "something", nil
		},
		Logger: slog.New(slog.NewTextHandler(&told, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- fleet.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	defer func() {
		stop()
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	}()
	prefix := "real-" + time.Now().Format("150405.000") + "-"
	launch := func(w launcher.Workload) launcher.ID {
		t.Helper()
		w.ID, w.Owner, w.Resources = launcher.ID(prefix)+w.ID, "alice", launcher.Resources{MilliCPU: 100, MemoryMiB: 128}
		if w.Image == "" {
			w.Image = dockertest.Image
		}
		if _, err := fleet.Launch(ctx, w); err != nil {
			t.Fatal(err)
		}
		return w.ID
	}
	until := func(id launcher.ID, phase launcher.Phase) launcher.Status {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		s, err := launcher.Wait(ctx, fleet, id, func(s launcher.Status) bool { return s.Phase == phase && !s.Unknown })
		if err != nil {
			t.Fatalf("%s is not %s: %v\n%s", id, phase, err, told.String())
		}
		return s
	}

	// Before Setup nothing is bought, and it is said what to do.
	early := until(launch(launcher.Workload{ID: "early", InstanceType: "t3.medium", Command: []string{"wait"}}), launcher.Exited)
	if early.Reason != launcher.ErrInvalid || !strings.Contains(early.Message, "call Setup") || ec2.first() != nil {
		t.Errorf("before Setup: %+v, purchase %+v", early, ec2.first())
	}
	if err := fleet.Setup(ctx); err != nil {
		t.Fatal(err)
	}

	serves := launch(launcher.Workload{
		ID: "serves", InstanceType: "m5.large", Command: []string{"serve", "8787"}, Ports: []launcher.Port{{Name: "http", Number: 8787}},
	})
	eventually(t, "a host is bought", func() bool { return ec2.first() != nil })
	in := ec2.first()
	data, err := base64.StdEncoding.DecodeString(aws.ToString(in.UserData))
	if err != nil {
		t.Fatal(err)
	}
	host.boot(instanceOf(t, ec2), string(data))
	s := until(serves, launcher.Running)
	if p := in.IamInstanceProfile; p == nil || *p.Name != "atelier-test-us-east-1-host" {
		t.Errorf("instance profile %+v", p)
	}
	if len(in.SecurityGroupIds) != 2 {
		t.Errorf("security groups %v, want the one given and the one of Setup", in.SecurityGroupIds)
	}
	if d := in.BlockDeviceMappings; len(d) != 1 || *d[0].Ebs.VolumeSize != 100 || !*d[0].Ebs.Encrypted || !*d[0].Ebs.DeleteOnTermination {
		t.Errorf("disks %+v", d)
	}
	if !strings.HasPrefix(s.Endpoints["http"], "172.31.") {
		t.Errorf("endpoints %v, want the host's address", s.Endpoints)
	}
	var conn net.Conn
	eventually(t, "the program answers at its port", func() bool {
		if conn, err = fleet.Dial(ctx, serves, "http"); err != nil {
			return false
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("x")); err != nil {
			return false
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second)) // a real socket
		_, err := conn.Read(make([]byte, 1))
		return err == nil
	})
	if u, err := fleet.Usage(ctx, serves); err != nil || u.CPU == 0 || u.MemoryBytes == 0 || !u.StartedAt.Equal(s.StartedAt) {
		t.Errorf("a program that started at %v uses %+v, %v", s.StartedAt, u, err)
	}
	echo := launch(launcher.Workload{ID: "echo", InstanceType: "m5.large", Command: []string{"echo"}, Stdin: []byte("through TLS\n")})
	if s := until(echo, launcher.Exited); s.ExitCode != 0 {
		t.Errorf("echo: %+v", s)
	}
	r, err := fleet.Logs(ctx, echo, launcher.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "through TLS\n" {
		t.Errorf("echo's logs are %q, %v", text, err)
	}
	r.Close()

	// A home is mounted by the host when a session has it, and nothing else is.
	home := launch(launcher.Workload{
		ID: "home", InstanceType: "m5.large", Command: []string{"read", "/home/alice/name"},
		Mounts: []launcher.Mount{{Source: "/efs/fs-0123456789abcdef0.fsap-0123456789abcdef0", Target: "/home/alice"}},
	})
	if s := until(home, launcher.Exited); s.ExitCode != 0 {
		t.Errorf("a session with a home: %+v", s)
	}
	if want := "fs-0123456789abcdef0:/ /efs/fs-0123456789abcdef0.fsap-0123456789abcdef0 "; !strings.HasPrefix(host.host.Read("/run/mount.efs.log"), want) {
		t.Errorf("the mount helper was called with %q", host.host.Read("/run/mount.efs.log"))
	}
	// So is a directory that the configuration names and the image has, alone.
	if err := os.MkdirAll(host.host.Path("/srv/data/below"), 0o755); err != nil {
		t.Fatal(err)
	}
	host.host.Write("/srv/data/below/set", "numbers", 0o644)
	shared := launch(launcher.Workload{
		ID: "shared", InstanceType: "m5.large", Command: []string{"read", "/mnt/data/below/set", ";", "write", "/mnt/data/below/set", "others"},
		Mounts: []launcher.Mount{{Source: "/srv/data", Target: "/mnt/data", ReadOnly: true}},
	})
	if s := until(shared, launcher.Exited); s.ExitCode == 0 || host.host.Read("/srv/data/below/set") != "numbers" {
		t.Errorf("a session with a directory of the host, read-only: %+v", s)
	}
	if r, err = fleet.Logs(ctx, shared, launcher.LogOptions{Stream: launcher.Stdout}); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "numbers" {
		t.Errorf("of the directory of the host it reads %q, %v", text, err)
	}
	r.Close()
	for i, source := range []string{"/etc", "/efs/fs-0123456789abcdef0", "/srv", "/srv/data/below", "/srv/data/../../etc"} {
		s := until(launch(launcher.Workload{
			ID: launcher.ID(fmt.Sprint("elsewhere-", i)), InstanceType: "m5.large", Command: []string{"list", "/mnt"},
			Mounts: []launcher.Mount{{Source: source, Target: "/mnt"}},
		}), launcher.Exited)
		if s.Reason != launcher.ErrMount {
			t.Errorf("a session with %s: %+v", source, s)
		}
	}

	// Credentials are asked for when an image is pulled.
	absent := launch(launcher.Workload{ID: "absent", InstanceType: "m5.large", Image: "127.0.0.1:1/absent:1"})
	select {
	case registry := <-asked:
		if registry != "127.0.0.1:1" {
			t.Errorf("credentials were asked for %q", registry)
		}
	case <-time.After(time.Minute):
		t.Error("nobody asked for credentials")
	}

	// Rotation disturbs no host, also when its connections break.
	if err := fleet.RotateKeys(ctx); err != nil {
		t.Fatal(err)
	}
	host.host.RestartEngine("TERM")
	again := launch(launcher.Workload{ID: "again", InstanceType: "m5.large", Command: []string{"exit", "3"}})
	if s := until(again, launcher.Exited); s.ExitCode != 3 {
		t.Errorf("after a rotation: %+v", s)
	}

	// A machine with another's keys in the host's place is nobody: what ran
	// there is unknown, and the reason is told.
	right := host.aws.Secret // of the generation before: it has not read the new one
	other, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	theirs, err := ec2launcher.NewFromConfig(other.Config(), ec2launcher.Config{
		Fleet: "test", Store: store.NewMemory(), Subnets: []string{other.Subnets()[0].ID}, SecurityGroups: []string{"sg-1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.Setup(ctx); err != nil {
		t.Fatal(err)
	}
	host.become(hostKeys(t, other))
	eventually(t, "the workload is unknown", func() bool { return status(t, fleet, serves).Unknown })
	if _, err := fleet.Logs(ctx, serves, launcher.LogOptions{}); !errors.Is(err, launcher.ErrUnavailable) ||
		!strings.Contains(err.Error(), "no certificate of fleet test") {
		t.Errorf("with another machine in the host's place, Logs returned %v", err)
	}
	if !strings.Contains(told.String(), "no certificate of fleet test") {
		t.Errorf("the log does not say why the host is silent:\n%s", told.String())
	}
	host.become(right)
	until(serves, launcher.Running)

	// Nor is another host of the fleet that has its address: what runs there is
	// not taken for anything.
	id := s.Host
	host.renamed("i-0fedcba9876543210")
	eventually(t, "the workload is unknown", func() bool { return status(t, fleet, serves).Unknown })
	if _, err := fleet.Logs(ctx, serves, launcher.LogOptions{}); !errors.Is(err, launcher.ErrUnavailable) || !strings.Contains(err.Error(), "another host of the fleet") {
		t.Errorf("with another host in the host's place, Logs returned %v", err)
	}
	host.renamed(id)
	until(serves, launcher.Running)

	for _, id := range []launcher.ID{serves, echo, home, again, absent} {
		if err := fleet.Stop(ctx, id, launcher.StopOptions{Signal: "SIGKILL", Forget: true}); err != nil {
			t.Error(err)
		}
		eventually(t, string(id)+" is forgotten", func() bool { return status(t, fleet, id).ID == "" })
	}
	stop()
}

// status returns a workload's, or the zero status.
func status(t *testing.T, l launcher.Launcher, id launcher.ID) launcher.Status {
	t.Helper()
	for s, err := range l.List(t.Context(), launcher.Filter{IDs: []launcher.ID{id}}) {
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return launcher.Status{}
}
