package ec2launcher_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/launcher/launchertest"
)

// TestContract: many EC2 hosts keep the contract that one container engine does.
func TestContract(t *testing.T) {
	launchertest.Suite{New: func(t *testing.T) launchertest.Harness {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()}, func(c *ec2launcher.Config) {
			c.Linger = 2 * time.Hour // logs are kept as long as their host
		})
		return launchertest.Harness{
			Launcher: w.fleet,
			Image:    testImage,
			Template: launcher.Workload{InstanceType: "m5.24xlarge", Resources: launcher.Resources{MilliCPU: 1000, MemoryMiB: 1024}},
			NoImage:  "registry.example.com/absent:1",
			Dir:      w.fileSystem(),
			NoDir:    "/efs/fs-00000000000000000.fsap-00000000000000000",
			Restart: func() launcher.Launcher {
				w.restart()
				return w.fleet
			},
		}
	}}.Run(t)
}

func nfsFrom(group string) []ec2types.IpPermission {
	return []ec2types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(2049), ToPort: aws.Int32(2049),
		UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: aws.String(group)}},
	}}
}
