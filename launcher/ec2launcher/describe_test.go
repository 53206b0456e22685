package ec2launcher_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// described has a function see and change how instances are asked about.
func described(change func(*awsec2.DescribeInstancesInput)) func(*middleware.Stack) error {
	step := func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		if describe, ok := in.Parameters.(*awsec2.DescribeInstancesInput); ok && len(describe.Filters) > 0 {
			change(describe)
		}
		return next.HandleInitialize(ctx, in)
	}
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Described", step), middleware.Before)
	}
}

// pages has all instances told five at a time, so that a small fleet is a large one.
var pages = described(func(in *awsec2.DescribeInstancesInput) {
	if len(in.Filters) == 1 { // the fleet's
		in.MaxResults = aws.Int32(5)
	}
})

// TestManyPages: to be told of all instances takes a large fleet longer than one call
// may.
func TestManyPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Delays{Call: 10 * time.Second}}, nil)
		w.stop()
		w.bought(45, ec2types.Tag{Key: aws.String("atelier:fleet"), Value: aws.String("test")})
		w.sdk = append(w.sdk, pages)
		w.start()
		begun := time.Now()
		if err := ec2launcher.Describe(t.Context(), w.fleet); err != nil || time.Since(begun) < 90*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		time.Sleep(3 * time.Minute)
		if n := len(w.hosts()); n != 45 {
			t.Errorf("%d instances are taken on", n)
		}
	})
}

// TestBootBesideManyPages: that a host runs is seen soon, however long it takes to be
// told of all.
func TestBootBesideManyPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Delays.Call = 4 * time.Second
		w := newWorld(t, account, nil)
		w.stop()
		w.sdk = append(w.sdk, pages)
		w.start()
		alone := func(i int) launcher.Workload {
			work := w.workload(fmt.Sprintf("w%d", i), "alice")
			work.Sharing = launcher.Exclusive
			return work
		}
		const n = 30
		for i := range n {
			w.launch(alone(i))
		}
		for i := range n {
			w.until(alone(i).ID, launcher.Running)
		}
		for i := range 4 {
			time.Sleep(time.Minute + time.Duration(i)*7*time.Second)
			before := len(w.hosts())
			w.launch(alone(n + i))
			for len(w.hosts()) == before {
				time.Sleep(time.Second)
			}
			var begun time.Time
			for seen := false; !seen; time.Sleep(time.Second / 2) {
				seen = true
				for _, h := range w.hosts() {
					if !h.Running {
						seen, begun = false, h.BoughtAt
					}
				}
			}
			if took := time.Since(begun) - account.Delays.InstanceRunning; took > 15*time.Second {
				t.Errorf("that a host runs is seen %v later", took)
			}
		}
	})
}

// TestManyBootsBesideManyPages: no more hosts are asked about in one call than a filter
// has values, while all are being asked about, and those that are left out come next.
func TestManyBootsBesideManyPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Delays.Call = 2 * time.Second
		w := newWorld(t, account, nil)
		w.stop()
		var mu sync.Mutex
		most := 0
		w.sdk = append(w.sdk, pages, described(func(in *awsec2.DescribeInstancesInput) {
			mu.Lock()
			defer mu.Unlock()
			for _, f := range in.Filters {
				most = max(most, len(f.Values))
			}
		}))
		w.start()
		const n = 210
		w.wants(n)
		for len(w.hosts()) < n {
			time.Sleep(time.Second)
		}
		time.Sleep(account.Delays.InstanceRunning + 15*time.Second)
		for _, h := range w.hosts() {
			if !h.Running {
				t.Errorf("that host %s runs is not seen", h.ID)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if most != 200 {
			t.Errorf("%d hosts were asked about in one call", most)
		}
	})
}

// TestReasonOfALookIsTakenBack: that EC2 could not be asked about a host is told to who
// waits for it only as long as that is so.
func TestReasonOfALookIsTakenBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, steady, nil)
		w.stop()
		var broken atomic.Bool
		broken.Store(true)
		w.sdk = append(w.sdk, failing("DescribeInstances", &broken))
		w.start()
		w.launch(w.workload("a", "alice"))
		w.told("a", func(s launcher.Status) bool { return strings.Contains(s.Message, "no route to host") })
		broken.Store(false)
		time.Sleep(8 * time.Second)
		if s, err := launcher.Get(t.Context(), w.fleet, "a"); err != nil || s.Phase != launcher.Provisioning || s.Reason != "" || s.Message != "" {
			t.Errorf("it is %+v, %v", s, err)
		}
	})
}
