package ec2launcher_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
)

const testImage = "registry.example.com/behave:1"

// A world is an account with a fleet in it, inside one bubble.
type world struct {
	*testing.T
	cloud *fakeaws.Cloud
	store store.Store
	cfg   ec2launcher.Config
	sdk   []func(*middleware.Stack) error // of the processes that are to come

	fleet *ec2launcher.Launcher
	stop  func() // ends the fleet's Run and waits for it
}

// newWorld makes an account and starts a fleet in it. The test's end ends both.
func newWorld(t *testing.T, account fakeaws.Config, change func(*ec2launcher.Config)) *world {
	t.Helper()
	cloud, err := fakeaws.New(account)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.PushImage(testImage, fakeaws.Image{Program: behave.Program}); err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, cloud: cloud, store: store.NewMemory()}
	w.cfg = ec2launcher.Config{
		Fleet: "test", Store: w.store, SecurityGroups: []string{w.securityGroup()},
		Connect: func(_ context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) { return cloud.Host(h.ID) },
	}
	for _, s := range cloud.Subnets() {
		w.cfg.Subnets = append(w.cfg.Subnets, s.ID)
	}
	if change != nil {
		change(&w.cfg)
	}
	w.start()
	t.Cleanup(func() {
		w.stop()
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// start makes a launcher, as a new process would, and runs it.
func (w *world) start() {
	w.Helper()
	w.fleet, w.stop = w.process(w.cfg)
}

// process makes a launcher and runs it until it is stopped.
func (w *world) process(cfg ec2launcher.Config) (fleet *ec2launcher.Launcher, stop func()) {
	w.Helper()
	account := w.cloud.Config()
	account.APIOptions = append(account.APIOptions, w.sdk...)
	fleet, err := ec2launcher.NewFromConfig(account, cfg)
	if err != nil {
		w.Fatal(err)
	}
	return fleet, w.operate(fleet)
}

// before has a function called before each call of an operation, which fails if it does.
func before(operation string, do func() error) func(*middleware.Stack) error {
	step := func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if awsmiddleware.GetOperationName(ctx) == operation {
			if err := do(); err != nil {
				return middleware.FinalizeOutput{}, middleware.Metadata{}, err
			}
		}
		return next.HandleFinalize(ctx, in)
	}
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("Before", step), middleware.Before)
	}
}

// slowly has an operation take a while.
func slowly(operation string, takes time.Duration) func(*middleware.Stack) error {
	return before(operation, func() error { time.Sleep(takes); return nil })
}

// failing has an operation fail while it is broken.
func failing(operation string, broken *atomic.Bool) func(*middleware.Stack) error {
	return before(operation, func() error {
		if broken.Load() {
			return errors.New("no route to host")
		}
		return nil
	})
}

// operate runs a launcher until it is stopped.
func (w *world) operate(fleet *ec2launcher.Launcher) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fleet.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run returned %v", err)
		}
	}
}

// restart ends the process and starts another.
func (w *world) restart() {
	w.Helper()
	w.stop()
	w.start()
}

func (w *world) securityGroup() string {
	w.Helper()
	out, err := awsec2.NewFromConfig(w.cloud.Config()).CreateSecurityGroup(context.Background(), &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("hosts"), Description: aws.String("hosts"), VpcId: aws.String(w.cloud.DefaultVPC()),
	})
	if err != nil {
		w.Fatal(err)
	}
	return aws.ToString(out.GroupId)
}

// fileSystem makes an EFS file system that the fleet's hosts reach, and returns
// what makes mount sources on it.
func (w *world) fileSystem() func(dir string) (source string) {
	w.Helper()
	ctx, client := context.Background(), awsefs.NewFromConfig(w.cloud.Config())
	fs, err := client.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{CreationToken: aws.String("test")})
	if err != nil {
		w.Fatal(err)
	}
	group := w.cfg.SecurityGroups[0]
	_, err = awsec2.NewFromConfig(w.cloud.Config()).AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{
		GroupId: aws.String(group), IpPermissions: nfsFrom(group),
	})
	if err != nil {
		w.Fatal(err)
	}
	time.Sleep(time.Minute) // virtual: until it is available
	for _, subnet := range w.cfg.Subnets {
		if _, err := client.CreateMountTarget(ctx, &awsefs.CreateMountTargetInput{
			FileSystemId: fs.FileSystemId, SubnetId: aws.String(subnet), SecurityGroups: []string{group},
		}); err != nil {
			w.Fatal(err)
		}
	}
	time.Sleep(5 * time.Minute)
	made := map[string]string{}
	return func(dir string) string {
		if made[dir] != "" {
			return made[dir]
		}
		ap, err := client.CreateAccessPoint(ctx, &awsefs.CreateAccessPointInput{
			ClientToken: aws.String(dir), FileSystemId: fs.FileSystemId,
			RootDirectory: &efstypes.RootDirectory{Path: aws.String("/" + dir), CreationInfo: &efstypes.CreationInfo{
				OwnerUid: aws.Int64(0), OwnerGid: aws.Int64(0), Permissions: aws.String("0777"),
			}},
		})
		if err != nil {
			w.Fatal(err)
		}
		time.Sleep(time.Minute)
		made[dir] = "/efs/" + aws.ToString(fs.FileSystemId) + "." + aws.ToString(ap.AccessPointId)
		return made[dir]
	}
}

// workload is one that runs until it is stopped.
func (w *world) workload(id, owner string) launcher.Workload {
	return launcher.Workload{
		ID: launcher.ID(id), Owner: owner, Image: testImage, Command: []string{"wait"}, InstanceType: "t3.medium",
		Resources: launcher.Resources{MilliCPU: 500, MemoryMiB: 512},
	}
}

// launch launches a workload, which must be taken.
func (w *world) launch(work launcher.Workload) {
	w.Helper()
	if _, err := w.fleet.Launch(w.Context(), work); err != nil {
		w.Fatal(err)
	}
}

// until waits until a workload is in a phase, and returns its status.
func (w *world) until(id launcher.ID, phase launcher.Phase) launcher.Status {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Hour)
	defer cancel()
	s, err := launcher.Wait(ctx, w.fleet, id, func(s launcher.Status) bool { return s.Phase == phase })
	if err != nil {
		now, _ := launcher.Get(w.Context(), w.fleet, id)
		w.Fatalf("waiting for %s to be %s: %v; it is %+v", id, phase, err, now)
	}
	return s
}

// hosts returns the fleet's hosts that are not gone.
func (w *world) hosts() []ec2launcher.Host {
	w.Helper()
	var hosts []ec2launcher.Host
	for h, err := range w.fleet.Hosts(w.Context()) {
		if err != nil {
			w.Fatal(err)
		}
		if h.State != ec2launcher.HostGone {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// calls counts the attempts of an action so far.
func (w *world) calls(action string) (n int) {
	for _, c := range w.cloud.Calls() {
		if c.Action == action {
			n++
		}
	}
	return n
}
