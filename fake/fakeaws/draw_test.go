package fakeaws_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestSpread: each instance has delays of its own, which are those foretold, in
// whatever order and by whatever calls it was bought.
func TestSpread(t *testing.T) {
	cfg := fakeaws.Config{Delays: fakeaws.Realistic(), Spread: 0.3, Seed: 7}
	cfg.Delays.Visible = 0
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, cfg)
		const n = 40
		begun := time.Now()
		var ids []string
		for _, count := range []int32{1, 30, 9} {
			in := a.launch("")
			in.ClientToken, in.MinCount, in.MaxCount = nil, aws.Int32(count), aws.Int32(count)
			out, err := a.ec2.RunInstances(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range out.Instances {
				ids = append(ids, *i.InstanceId)
			}
		}
		differ := map[time.Duration]bool{}
		for i := range ids {
			want := cfg.InstanceDelays("t3.medium", i+1)
			differ[want.InstanceRunning] = true
			for _, d := range []struct{ drawn, mean time.Duration }{
				{want.InstanceRunning, cfg.Delays.InstanceRunning}, {want.HostReady, cfg.Delays.HostReady}, {want.Pull, cfg.Delays.Pull},
				{want.ContainerStart, cfg.Delays.ContainerStart}, {want.InstanceGone, cfg.Delays.InstanceGone},
			} {
				if off := float64(d.drawn-d.mean) / float64(d.mean); off < -0.31 || off > 0.31 {
					t.Errorf("instance %d has %v where the mean is %v", i+1, d.drawn, d.mean)
				}
			}
			if want.Call != cfg.Delays.Call || want.FileSystem != cfg.Delays.FileSystem {
				t.Errorf("instance %d: what is none of an instance's differs: %+v", i+1, want)
			}
		}
		if len(differ) < n*9/10 {
			t.Errorf("%d instances have %d delays", n, len(differ))
		}
		time.Sleep(2 * time.Minute)
		var first time.Duration // of the first one, which was bought by itself
		lines := a.Bill().Lines // by the time they began to run
		for i, l := range lines {
			if i > 0 && l.From.Before(lines[i-1].From) {
				t.Error("the bill is not in order")
			}
			at := l.From.Sub(begun)
			if at < 12*time.Second || at > 24*time.Second {
				t.Errorf("%s runs after %v", l.Instance, at)
			}
			if l.Instance == ids[0] {
				first = at - cfg.Delays.Call
			}
		}
		if want := cfg.InstanceDelays("t3.medium", 1).InstanceRunning; first != want {
			t.Errorf("the first runs after %v, want %v", first, want)
		}
	})
	if cfg.Seed++; cfg.InstanceDelays("t3.medium", 1) == (fakeaws.Config{Delays: cfg.Delays, Spread: 0.3, Seed: 7}).InstanceDelays("t3.medium", 1) {
		t.Error("another seed draws the same")
	}
	if cfg.Spread = 0; cfg.InstanceDelays("t3.medium", 1) != cfg.Delays {
		t.Error("without a spread the delays differ")
	}
}

// TestStillborn: a share of the instances runs, and its engines never answer.
func TestStillborn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Stillborn: 0.25})
		in := a.launch("all")
		in.MinCount, in.MaxCount = aws.Int32(200), aws.Int32(200)
		out, err := a.ec2.RunInstances(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		silent := 0
		for _, i := range out.Instances {
			host, err := a.Host(*i.InstanceId)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := host.Room(t.Context()); err != nil {
				silent++
			}
		}
		if silent < 30 || silent > 70 {
			t.Errorf("of 200 hosts %d never answer, want about 50", silent)
		}
		shown, err := a.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{InstanceIds: []string{*out.Instances[0].InstanceId}})
		if err != nil || shown.Reservations[0].Instances[0].State.Name != "running" {
			t.Errorf("EC2 shows %+v, %v", shown, err)
		}
	})
}

func TestSharesRefused(t *testing.T) {
	_, err := fakeaws.New(fakeaws.Config{Spread: 1, Stillborn: -0.1})
	for _, want := range []string{"spread is 1: want a share from 0 to less than 1", "stillborn is -0.1: want a share from 0 to 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
