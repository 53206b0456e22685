package ec2launcher

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
	"github.com/atelier-go/atelier/launcher/ec2launcher/internal/hostboot"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

const (
	// dataDevice is the name of the hosts' data disk towards EC2. The image's
	// own is /dev/xvda.
	dataDevice = "/dev/xvdb"
	// dialLimit bounds how long a host may take to accept a connection: it is
	// near. identifyLimit bounds how long its engine may take to say which it
	// is, for which a busy one counts its containers.
	dialLimit     = 5 * time.Second
	identifyLimit = 15 * time.Second
)

// keepAlive finds within half a minute that a host is gone without a word.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// docker connects to the Docker Engine of a host that booted as [boot] has it.
func (l *Launcher) docker(_ context.Context, h Host) (HostLauncher, error) {
	gpus := 0
	if t, err := l.cfg.Catalog.Type(h.InstanceType); err == nil {
		gpus = t.GPUs
	}
	return dockerlauncher.New(dockerlauncher.Config{
		DialEngine: func(ctx context.Context) (net.Conn, error) { return l.dialEngine(ctx, h) },
		Host:       h.ID, InstanceType: h.InstanceType, GPUs: gpus,
		Address: h.Address, FirstPort: firstSessionPort, LastPort: lastSessionPort, DialContext: l.cfg.DialContext,
		Mounts:      l.mountable,
		Credentials: l.cfg.Credentials,
		Logger:      l.cfg.Logger,
	})
}

// automounted is what hosts mount by themselves: see efs.sh of hostboot. It is
// whole access points only, since below one a user's link may lead anywhere.
var automounted = regexp.MustCompile(`^/efs/fs-[0-9a-f]{8,40}\.fsap-[0-9a-f]{8,40}$`)

// mountable allows the mounts that hosts have.
func (l *Launcher) mountable(_ context.Context, _ launcher.Workload, m launcher.Mount) (string, error) {
	if !automounted.MatchString(m.Source) && !slices.Contains(l.cfg.HostPaths, m.Source) {
		return "", fmt.Errorf("%q is nothing that hosts mount: want /efs/<file system>.<access point>, or one of Config.HostPaths (%s)",
			m.Source, strings.Join(l.cfg.HostPaths, ", "))
	}
	return m.Source, nil
}

// dialEngine opens a connection to the engine of a host, known to each other.
func (l *Launcher) dialEngine(ctx context.Context, h Host) (net.Conn, error) {
	keys, err := l.engineTLS(ctx)
	if err != nil {
		return nil, err
	}
	var plain net.Conn
	var secure *tls.Conn
	err = pace.Within(ctx, dialLimit, func(ctx context.Context) (err error) {
		plain, err = l.cfg.DialContext(ctx, "tcp", net.JoinHostPort(h.Address, strconv.Itoa(enginePort)))
		if err != nil {
			return err
		}
		secure = tls.Client(plain, keys)
		return secure.HandshakeContext(ctx)
	})
	if err == nil {
		err = pace.Within(ctx, identifyLimit, func(ctx context.Context) error { return identify(ctx, secure, h) })
	}
	if err != nil {
		if plain != nil {
			_ = plain.Close() // what it says is of no use
		}
		return nil, l.refused(h, err)
	}
	return secure, nil
}

// identify asks at a new connection which host is there. All hosts of a fleet
// show one certificate, and an address that one has left may be another's soon:
// what runs there would be taken for strays.
func identify(ctx context.Context, conn net.Conn, h Host) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	ask, err := http.NewRequest(http.MethodGet, "http://"+h.ID+"/info", nil)
	if err != nil {
		return err
	}
	if err := ask.Write(conn); err != nil {
		return err
	}
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, ask)
	if err != nil {
		return err
	}
	var engine struct {
		Labels  []string
		Message string `json:"message"` // of an error
	}
	err = json.NewDecoder(answer.Body).Decode(&engine)
	// To close it is to read it to its end: nothing is left for who is next.
	if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the engine does not say which host it is on: %s %s: %w", answer.Status, engine.Message, cmp.Or(err, errNoAnswer))
	}
	if answer.Close || reader.Buffered() > 0 {
		return fmt.Errorf("%w: what it says next is not for us", errNoAnswer)
	}
	if !slices.Contains(engine.Labels, hostboot.InstanceLabel+"="+h.ID) {
		return fmt.Errorf("%w: it says %q", errOtherHost, engine.Labels)
	}
	if !stop() {
		return ctx.Err()
	}
	return nil
}

var (
	errOtherHost = errors.New("another host of the fleet answers at its address")
	errNoAnswer  = errors.New("this is no answer of a Docker Engine that can be gone on with")
)

// refused says what a failure of a connection means if one side has refused the
// other's certificate. The keys are read again soon: they may have been rotated.
func (l *Launcher) refused(h Host, err error) error {
	remote, _ := errors.AsType[*net.OpError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	// crypto/tls's names for alerts; in TLS 1.3 this one follows the handshake.
	case remote != nil && remote.Op == "remote error" && strings.Contains(remote.Err.Error(), "certificate"):
		err = fmt.Errorf("host %s refuses the launcher's certificate: its keys are another fleet's, or older than those that are kept (%w)", h.ID, err)
	case untrusted:
		err = fmt.Errorf("what answers as host %s at %s has no certificate of fleet %s: it is another machine, or its keys are older than those that are kept (%w)",
			h.ID, h.Address, l.cfg.Fleet, err)
	case errors.Is(err, errForeignHost):
	default:
		return err
	}
	l.keys.doubt()
	return err
}

// boot adds to a purchase what makes hosts out of instances: what they do when
// they boot, who they are to AWS, and a disk for images and containers. Left
// alone they stay up as long as exits are kept, for whoever comes to ask.
func (l *Launcher) boot(in *awsec2.RunInstancesInput, t instancetype.Type) {
	in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte(hostboot.UserData(hostboot.Config{
		Region: l.region, Secret: l.hostSecret(), LogGroup: l.logGroupName(),
		Bridges: []string{"docker0", dockerlauncher.DefaultBridge}, EnginePort: enginePort,
		FirstPort: firstSessionPort, LastPort: lastSessionPort, DataDevice: dataDevice,
		PowerOffAfter: launcher.Retention, GPU: t.GPUs > 0,
	}))))
	if in.IamInstanceProfile == nil {
		in.IamInstanceProfile = &ec2types.IamInstanceProfileSpecification{Name: aws.String(l.hostRole())}
	}
	in.BlockDeviceMappings = []ec2types.BlockDeviceMapping{{
		DeviceName: aws.String(dataDevice),
		Ebs: &ec2types.EbsBlockDevice{
			VolumeType: ec2types.VolumeTypeGp3, VolumeSize: aws.Int32(l.cfg.DiskGiB),
			Encrypted: aws.Bool(true), DeleteOnTermination: aws.Bool(true),
		},
	}}
}
