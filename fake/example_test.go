package fake_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
)

// A test gets a world from New and has nothing to clean up.
func ExampleNew() {
	t := &exampleT{} // in a test, its *testing.T
	defer t.end()

	w := fake.New(t, fake.Config{
		Users:  map[string][]string{"carol": {"students"}},
		Policy: domain.Policy{Types: []string{"t3.*"}},
	})

	_, err := w.Sessions.Start(context.Background(), session.StartRequest{ID: "thesis", User: "carol", InstanceType: "p4d.24xlarge"})
	fmt.Println(session.StatusCode(err), err)
	// Output:
	// 403 session: start thesis: domain: authorize research/carol: not allowed: instance type p4d.24xlarge: not among those allowed, ["t3.*"] (the domain's policy); choose one of these, or ask an administrator
}

// A session on a spot host goes on elsewhere when AWS takes the host back. The
// fleet asks EC2 for notices every few seconds; this test, which runs by the wall
// clock, passes the events on that EventBridge would deliver.
func ExampleNew_spot() {
	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	ctx := context.Background()

	w := fake.New(t, fake.Config{})
	_, err := w.Sessions.Start(ctx, session.StartRequest{
		ID: "analysis", User: "alice", InstanceType: "m5.large", Market: launcher.SpotOrOnDemand,
	})
	if err != nil {
		log.Panic(err)
	}
	before, err := w.Sessions.Wait(ctx, "analysis", session.Running)
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(before.State, before.Market, before.Generation)

	if err := w.Cloud.Interrupt(before.Host); err != nil {
		log.Panic(err)
	}
	for _, event := range w.Cloud.Events() {
		if err := w.Fleet.HandleEvent(ctx, event); err != nil {
			log.Panic(err)
		}
	}
	for s, err := range w.Sessions.Watch(ctx, session.Filter{}) {
		if err != nil {
			log.Panic(err)
		}
		if s.Generation == 2 && s.State == session.Running {
			fmt.Println(s.State, s.Market, s.Generation, "on another host:", s.Host != before.Host)
			break
		}
	}
	// Output:
	// running spot 1
	// running spot 2 on another host: true
}

// A session goes on while the program that began it is replaced.
func ExampleWorld_Replica() {
	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	ctx := context.Background()

	w := fake.New(t, fake.Config{})
	if _, err := w.Sessions.Start(ctx, session.StartRequest{ID: "analysis", User: "alice", InstanceType: "t3.medium"}); err != nil {
		log.Panic(err)
	}
	if err := w.End(); err != nil { // in the middle of the start
		log.Panic(err)
	}
	next := w.Replica(t)
	s, err := next.Sessions.Wait(ctx, "analysis", session.Running)
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(s.ID, s.State)
	// Output:
	// analysis running
}

// Programs that are no tests start a world and end it.
func ExampleStart() {
	ctx := context.Background()
	w, end, err := fake.Start(ctx, fake.Config{})
	if err != nil {
		log.Panic(err)
	}
	if _, err := w.Sessions.Start(ctx, session.StartRequest{ID: "analysis", User: "alice", InstanceType: "t3.medium"}); err != nil {
		log.Panic(err)
	}
	s, err := w.Sessions.Wait(ctx, "analysis", session.Running)
	fmt.Println(s.User, s.InstanceType, s.State, err)
	fmt.Println(end())
	// Output:
	// alice t3.medium running <nil>
	// <nil>
}

// A fleet of one's own on the account of a fake reaches its hosts by Connect.
func ExampleConnect() {
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Panic(err)
	}
	if _, err := cloud.PushImage("example.com/hello:1", fakeaws.Image{}); err != nil {
		log.Panic(err)
	}
	group, err := awsec2.NewFromConfig(cloud.Config()).CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("hosts"), Description: aws.String("hosts"), VpcId: aws.String(cloud.DefaultVPC()),
	})
	if err != nil {
		log.Panic(err)
	}
	fleet, err := ec2launcher.NewFromConfig(cloud.Config(), ec2launcher.Config{
		Fleet: "own", Store: store.NewMemory(), Connect: fake.Connect(cloud),
		Subnets: []string{cloud.Subnets()[0].ID}, SecurityGroups: []string{*group.GroupId},
	})
	if err != nil {
		log.Panic(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- fleet.Run(running) }()

	w := launcher.Workload{ID: "hello", Owner: "alice", Image: "example.com/hello:1", InstanceType: "t3.medium"}
	if _, err := fleet.Launch(ctx, w); err != nil {
		log.Panic(err)
	}
	s, err := launcher.Wait(ctx, fleet, w.ID, func(s launcher.Status) bool { return s.Phase == launcher.Exited })
	fmt.Println(s.Phase, s.InstanceType, err)
	stop()
	fmt.Println(<-ended, cloud.Close())
	// Output:
	// exited t3.medium <nil>
	// <nil> <nil>
}

type exampleT struct{ cleanups []func() }

func (t *exampleT) Helper()                           {}
func (t *exampleT) Fatalf(format string, args ...any) { log.Panicf(format, args...) }
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
}
