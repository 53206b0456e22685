package ec2launcher_test

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// A pausedStore is the store of a process that stands still from a write on, or
// from having read a collection, as one whose machine was suspended. Awake again,
// its timers have not told yet that its time is over.
type pausedStore struct {
	store.Store
	after   func(store.Record) bool
	read    func(collection string) bool
	paused  atomic.Bool
	resumed chan struct{}
}

func (s *pausedStore) wait() {
	if s.paused.Load() {
		<-s.resumed
	}
}

func (s *pausedStore) Get(ctx context.Context, collection, id string) (store.Record, error) {
	s.wait()
	defer s.wait()
	return s.Store.Get(context.WithoutCancel(ctx), collection, id)
}

func (s *pausedStore) Put(ctx context.Context, r store.Record) (int64, error) {
	s.wait()
	defer s.wait()
	version, err := s.Store.Put(context.WithoutCancel(ctx), r)
	if err == nil && s.after != nil && s.after(r) {
		s.paused.Store(true)
	}
	return version, err
}

func (s *pausedStore) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		s.wait()
		for r, err := range s.Store.List(ctx, collection, after) {
			if !yield(r, err) {
				return
			}
		}
		if s.read != nil && s.read(collection) {
			s.paused.Store(true)
		}
		s.wait()
	}
}

// A process that was suspended while it handed a workload to a host, and wakes
// when another has seen that through to its end, does not run it again.
func TestSuspendedProcessDeliversNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		runs := 0
		first := &pausedStore{resumed: make(chan struct{}), after: func(r store.Record) bool {
			return r.Collection == "test.workloads" && strings.Contains(string(r.Value), `"Delivered":true`)
		}}
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			c.Linger = time.Hour
			first.Store, c.Store = c.Store, first
			odd(c, func(o *oddHost) {
				o.launch = func(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
					return o.HostLauncher.Launch(context.WithoutCancel(ctx), w)
				}
			})
		})
		if _, err := w.cloud.PushImage("registry.example.com/counted:1", fakeaws.Image{Program: func(context.Context, *fakelauncher.Proc) int {
			runs++
			return 0
		}}); err != nil {
			t.Fatal(err)
		}
		work := w.workload("a", "alice")
		work.Image, work.Command = "registry.example.com/counted:1", nil
		w.launch(work)
		time.Sleep(5 * time.Minute)
		if !first.paused.Load() || runs != 0 {
			t.Fatalf("suspended %v after %d runs; want it suspended before the first", first.paused.Load(), runs)
		}
		other := w.cfg
		other.Store = w.store
		second, stop := w.process(other)
		if _, err := launcher.Wait(t.Context(), second, "a", func(s launcher.Status) bool { return s.Phase == launcher.Exited }); err != nil {
			t.Fatal(err)
		}
		if err := second.Stop(t.Context(), "a", launcher.StopOptions{Forget: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if s := status(t, second, "a"); s.ID != "" {
			t.Fatalf("it is not forgotten: %+v", s)
		}
		first.paused.Store(false)
		close(first.resumed)
		time.Sleep(time.Minute)
		if runs != 1 {
			t.Errorf("it ran %d times", runs)
		}
		stop()
	})
}

// A process that was suspended with a queue in its hands, and wakes when another
// has bought for it, orders nothing.
func TestSuspendedProcessOrdersNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *world
		var armed atomic.Bool
		var mu sync.Mutex
		var last [2]string // what was read last
		first := &pausedStore{resumed: make(chan struct{})}
		first.read = func(collection string) bool {
			mu.Lock()
			defer mu.Unlock()
			// Only the one that works for the fleet reads purchases.
			queue := last == [2]string{"test.buys", "test.hosts"} && collection == "test.workloads"
			last = [2]string{last[1], collection}
			return queue && armed.Load() && w.calls("ssm:GetParameter") > 0 && w.calls("ec2:DescribeSecurityGroups") > 0
		}
		w = newWorld(t, realistic, func(c *ec2launcher.Config) {
			c.Linger = time.Hour
			first.Store, c.Store = c.Store, first
		})
		armed.Store(true)
		w.launch(w.workload("a", "alice"))
		time.Sleep(10 * time.Second)
		if !first.paused.Load() || w.calls("ec2:RunInstances") != 0 {
			t.Fatalf("suspended %v after %d purchases; want it suspended before the first", first.paused.Load(), w.calls("ec2:RunInstances"))
		}
		other := w.cfg
		other.Store = w.store
		_, stop := w.process(other)
		for w.calls("ec2:RunInstances") == 0 {
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second) // it is settled
		armed.Store(false)
		first.paused.Store(false)
		close(first.resumed)
		time.Sleep(5 * time.Minute)
		if n := w.calls("ec2:RunInstances"); n != 1 {
			t.Errorf("hosts were bought %d times", n)
		}
		stop()
	})
}

// What a process that was suspended says of a host when it wakes, whose
// connections have broken, costs nobody a session: the one that works for the
// fleet by then hears the host.
func TestSuspendedProcessSilencesNoHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		id := w.until("a", launcher.Running).Host
		r, err := w.store.Get(t.Context(), "test.hosts", id)
		if err != nil {
			t.Fatal(err)
		}
		var h ec2launcher.Host
		if err := json.Unmarshal(r.Value, &h); err != nil {
			t.Fatal(err)
		}
		h.UnreachableSince = time.Now()
		if r.Value, err = json.Marshal(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if h := w.hosts()[0]; !h.UnreachableSince.IsZero() {
			t.Errorf("a minute later it is taken for silent: %+v", h)
		}
		time.Sleep(30 * time.Minute)
		if s := w.until("a", launcher.Running); s.Host != id || s.Unknown {
			t.Errorf("the session is %+v", s)
		}
	})
}
