package ec2launcher

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
	"github.com/atelier-go/atelier/launcher/ec2launcher/internal/hostboot"
)

const (
	// dataDevice is the name of the hosts' data disk towards EC2. The image's
	// own is /dev/xvda.
	dataDevice = "/dev/xvdb"
	// dialLimit bounds how long a host may take to accept a connection: it is
	// near.
	dialLimit = 5 * time.Second
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
		Mounts:      dockerlauncher.Below("/efs"), // what the host mounts by itself
		Credentials: l.cfg.Credentials,
		Logger:      l.cfg.Logger,
	})
}

// dialEngine opens a connection to the engine of a host, known to each other.
func (l *Launcher) dialEngine(ctx context.Context, h Host) (net.Conn, error) {
	keys, err := l.engineTLS(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	plain, err := l.cfg.DialContext(ctx, "tcp", net.JoinHostPort(h.Address, strconv.Itoa(enginePort)))
	if err != nil {
		return nil, err
	}
	secure := tls.Client(plain, keys)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(l.refused(h, err), plain.Close())
	}
	return &engineConn{Conn: secure, refused: func(err error) error { return l.refused(h, err) }}, nil
}

// refused says what a failure of a connection means if one side has refused the
// other's certificate. The keys are read again soon: they may have been rotated.
func (l *Launcher) refused(h Host, err error) error {
	_, alert := errors.AsType[tls.AlertError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case alert: // in TLS 1.3 a host tells so after the handshake
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

// An engineConn tells refusals that arrive when it is first read.
type engineConn struct {
	*tls.Conn
	refused func(error) error
}

func (c *engineConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if _, alert := errors.AsType[tls.AlertError](err); alert {
		err = c.refused(err)
	}
	return n, err
}

// boot adds to a purchase what makes hosts out of instances: what they do when
// they boot, who they are to AWS, and a disk for images and containers. Left
// alone they stay up as long as exits are kept, for whoever comes to ask.
func (l *Launcher) boot(in *awsec2.RunInstancesInput, t instancetype.Type) {
	in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte(hostboot.UserData(hostboot.Config{
		Region: l.region, Secret: l.hostSecret(), LogGroup: l.logGroupName(),
		Bridges: []string{"docker0", dockerlauncher.DefaultBridge}, EnginePort: enginePort, DataDevice: dataDevice,
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
