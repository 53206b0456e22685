package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

const imageReference = "registry.example.com/rstudio:1"

// A storm is a trace being played.
type storm struct {
	Options
	cfg    ec2launcher.Config // of every process
	cloud  *fakeaws.Cloud
	trace  []Visit
	census *census
	begun  time.Time

	mu      sync.Mutex
	process *process // the last that was started
	crashes int
	stays   map[launcher.ID]*stay
	ran     int            // how many came to run
	calls   map[string]int // until the last ran
	refuse  int            // of these, for being too many
}

// A stay is what became of a visit.
type stay struct {
	asked  time.Time
	ran    bool
	waited time.Duration // from asked until it ran
	left   bool          // its user has
	failed bool
	last   launcher.Status // as it was told until it failed or its user left
}

// replay plays a trace against a fleet, and tells what came of it and how it looked.
func replay(ctx context.Context, o Options, trace []Visit) (Report, picture, error) {
	begun := wallClock()
	profile := o.account()
	cloud, err := fakeaws.New(profile)
	if err != nil {
		return Report{}, picture{}, err
	}
	s := &storm{Options: o, cloud: cloud, trace: trace, census: newCensus(), begun: time.Now(), stays: map[launcher.ID]*stay{}}
	if _, err := cloud.PushImage(imageReference, fakeaws.Image{Program: s.census.program, Size: 1e9}); err != nil {
		return Report{}, picture{}, err
	}
	if s.cfg, err = o.fleet(ctx, cloud, trace); err != nil {
		return Report{}, picture{}, err
	}
	kept, err := s.play(ctx)
	report := s.report(bound(trace, profile, o.Overcommit), kept)
	report.WallSeconds, report.PeakMiB = round(wallClock()-begun), peakMiB()
	return report, s.picture(), errors.Join(err, cloud.Close())
}

const (
	// bootDeadline is what a host has from its purchase: several times what one
	// takes, so that those who wait for one that never comes up get another soon.
	bootDeadline = 3 * time.Minute
	// orphanAfter is how long hosts have to end after the last session: a deadline,
	// the time they linger, and then some, and for each host of a large fleet its turn
	// at a call of which AWS takes so many a second.
	orphanAfter  = 15 * time.Minute
	endsASecond  = 20
	subnetHolds  = 4096 - 5 // hosts
	zonesOfFleet = 3
	subnetsOfVPC = 16 // that [fakeaws.Cloud.AddSubnet] has room for
)

// fleet is the configuration of the fleet in an account.
func (o Options) fleet(ctx context.Context, cloud *fakeaws.Cloud, trace []Visit) (ec2launcher.Config, error) {
	group, err := awsec2.NewFromConfig(cloud.Config()).CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("storm"), Description: aws.String("hosts of storm"), VpcId: aws.String(cloud.DefaultVPC()),
	})
	if err != nil {
		return ec2launcher.Config{}, err
	}
	var subnets []string
	all := cloud.Subnets()[:zonesOfFleet]
	for _, subnet := range all {
		subnets = append(subnets, subnet.ID)
	}
	for len(trace) > subnetHolds*len(subnets) && len(subnets) < subnetsOfVPC { // a host for each, at worst
		more, err := cloud.AddSubnet(cloud.DefaultVPC(), all[len(subnets)%len(all)].Zone)
		if err != nil {
			return ec2launcher.Config{}, err
		}
		subnets = append(subnets, more.ID)
	}
	return ec2launcher.Config{
		Fleet: "storm", Store: store.NewMemory(), Subnets: subnets, SecurityGroups: []string{aws.ToString(group.GroupId)},
		Overcommit: ec2launcher.Overcommit{CPU: o.Overcommit}, Warm: o.warm(trace), BootDeadline: bootDeadline,
	}, nil
}

// play lets every user come and go while processes run the fleet, and waits until
// hosts had time to end. It returns which the fleet keeps.
func (s *storm) play(ctx context.Context) (kept map[string]bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	first, err := s.start()
	if err != nil {
		return nil, err
	}
	served := make(chan error, 1)
	go func() {
		err := s.serve(ctx, first)
		cancel(err)
		served <- err
	}()
	var users sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for i, v := range s.trace {
		users.Go(func() {
			time.Sleep(time.Until(s.begun.Add(v.Start)))
			if err := s.visit(ctx, i, v); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	users.Wait()
	time.Sleep(orphanAfter + time.Duration(len(s.trace)/endsASecond)*time.Second)
	kept, err = s.kept(ctx)
	cancel(nil)
	return kept, errors.Join(append(errs, err, <-served)...)
}

// visitID names the session of the i-th visit.
func visitID(i int) launcher.ID { return launcher.ID(fmt.Sprintf("s%06d", i)) }

// visit is one session of a user's.
func (s *storm) visit(ctx context.Context, i int, v Visit) error {
	id := visitID(i)
	s.mu.Lock()
	s.stays[id] = &stay{asked: time.Now()}
	s.mu.Unlock()
	if err := s.ask(ctx, func(ctx context.Context, fleet *ec2launcher.Launcher) error {
		_, err := fleet.Launch(ctx, s.workload(id, v))
		return err
	}); err != nil {
		return err
	}
	time.Sleep(time.Until(s.begun.Add(v.End)))
	s.leave(id)
	return s.ask(ctx, func(ctx context.Context, fleet *ec2launcher.Launcher) error {
		err := fleet.Stop(ctx, id, launcher.StopOptions{Forget: true})
		if s.hasFailed(id) && errors.Is(err, launcher.ErrNotFound) {
			return nil // it ended so long ago that it was forgotten
		}
		return err
	})
}

// leave notes that a session's user has left. One that never ran has failed.
func (s *storm) leave(id launcher.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stays[id]
	st.left, st.failed = true, st.failed || !st.ran
}

func (s *storm) hasFailed(id launcher.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stays[id].failed
}

// workload is the session of a visit.
func (o Options) workload(id launcher.ID, v Visit) launcher.Workload {
	return launcher.Workload{
		ID: id, Owner: v.User, Image: imageReference, InstanceType: hostTypes[0], Alternatives: hostTypes[1:], Resources: v.Size,
		Sharing: policies[o.Policy],
	}
}

// warm is room for one of each size, and for as many as came lately.
func (o Options) warm(trace []Visit) (warm []ec2launcher.Warm) {
	if !o.Warm {
		return nil
	}
	for _, size := range o.sizes(trace) {
		warm = append(warm, ec2launcher.Warm{Like: o.workload("like", Visit{User: "anybody", Size: size}), Slots: 1, Most: 20})
	}
	return warm
}

// watch notes when sessions come to run, and which end otherwise than they should.
func (s *storm) watch(ctx context.Context, fleet *ec2launcher.Launcher) error {
	for st, err := range fleet.Watch(ctx, launcher.Filter{}) {
		switch {
		case err != nil && ctx.Err() == nil:
			return err
		case err == nil && !st.Synced():
			s.note(st)
		}
	}
	return nil
}

// note takes a session's status in.
func (s *storm) note(st launcher.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.stays[st.ID]
	if is == nil || is.left || is.failed {
		return
	}
	is.last = st
	switch {
	case st.Phase == launcher.Running && !is.ran:
		is.ran, is.waited = true, time.Since(is.asked)
		if s.ran++; s.ran == len(s.trace) {
			s.count()
		}
	case st.Phase == launcher.Exited:
		is.failed = true
	}
}

// count notes the calls that there were until now.
func (s *storm) count() {
	s.calls, s.refuse = map[string]int{}, 0
	for _, c := range s.cloud.Calls() {
		s.calls[c.Action]++
		if c.Code == "RequestLimitExceeded" {
			s.refuse++
		}
	}
}

// kept are the instances that the fleet keeps for warm room: no more than there
// are slots of it. Without warm room it keeps none.
func (s *storm) kept(ctx context.Context) (kept map[string]bool, err error) {
	slots := 0
	for _, w := range s.cfg.Warm {
		slots += w.Slots
	}
	err = s.ask(ctx, func(ctx context.Context, fleet *ec2launcher.Launcher) error {
		kept = map[string]bool{}
		for h, err := range fleet.Hosts(ctx) {
			if err != nil {
				return err
			}
			if keeps := h.State == ec2launcher.HostBooting || h.State == ec2launcher.HostReady; keeps && len(kept) < slots {
				kept[h.ID] = true
			}
		}
		return nil
	})
	return kept, err
}
