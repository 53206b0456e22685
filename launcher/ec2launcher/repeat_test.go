package ec2launcher_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// A hooked store fails when its hooks say so.
type hooked struct {
	store.Store
	put  func(r store.Record) error
	list func(collection string) error
}

func (s *hooked) Put(ctx context.Context, r store.Record) (int64, error) {
	if s.put != nil {
		if err := s.put(r); err != nil {
			return 0, err
		}
	}
	return s.Store.Put(ctx, r)
}

func (s *hooked) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	if s.list != nil {
		if err := s.list(collection); err != nil {
			return func(yield func(store.Record, error) bool) { yield(store.Record{}, err) }
		}
	}
	return s.Store.List(ctx, collection, after)
}

var errBoom = errors.New("boom")

// TestFailedDeliveryIsRepeated: one write that fails as a workload is delivered costs
// a moment, whether something else wakes the loop meanwhile or not.
func TestFailedDeliveryIsRepeated(t *testing.T) {
	for _, wakes := range []bool{true, false} {
		for range 10 {
			bubble(t, func(t *testing.T) {
				var armed atomic.Bool
				w := newWorld(t, realistic, func(c *ec2launcher.Config) {
					c.Store = &hooked{Store: c.Store, put: func(r store.Record) error {
						if armed.Load() && strings.HasSuffix(r.Collection, ".workloads") && bytes.Contains(r.Value, []byte(`"Delivered":true`)) && armed.CompareAndSwap(true, false) {
							return errBoom
						}
						return nil
					}}
				})
				w.run(w.workload("a", "o"))
				time.Sleep(time.Minute)
				armed.Store(true)
				w.launch(w.workload("b", "o"))
				if wakes {
					time.Sleep(700 * time.Millisecond)
					w.launch(w.workload("c", "other"))
				}
				time.Sleep(time.Minute)
				if s, err := launcher.Get(t.Context(), w.fleet, "b"); err != nil || s.Phase != launcher.Running || armed.Load() {
					t.Fatalf("a minute later it is %s on %s, %v", s.Phase, s.Host, err)
				}
			})
		}
	}
}

// A misser is an engine that comes back without its containers, and whose looks for
// one fail a number of times.
type misser struct {
	ec2launcher.HostLauncher
	hide *atomic.Bool
	fail *atomic.Int32
}

func (p misser) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	if len(f.IDs) > 0 && p.fail.Add(-1) >= 0 {
		return func(y func(launcher.Status, error) bool) { y(launcher.Status{}, errBoom) }
	}
	if !p.hide.Load() {
		return p.HostLauncher.List(ctx, f)
	}
	return func(y func(launcher.Status, error) bool) {}
}

func (p misser) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(y func(launcher.Status, error) bool) {
		if !p.hide.Load() { // breaks after 2 minutes once
			c, cancel := context.WithTimeout(ctx, 2*time.Minute)
			defer cancel()
			ctx = c
			for s, err := range p.HostLauncher.Watch(ctx, f) {
				if err != nil && c.Err() != nil {
					p.hide.Store(true)
					y(s, launcher.ErrUnavailable)
					return
				}
				if !y(s, err) {
					return
				}
			}
			return
		}
		if !y(launcher.Status{}, nil) {
			return
		}
		<-ctx.Done()
		y(launcher.Status{}, ctx.Err())
	}
}

// TestFailedLookIsRepeated: a container that its host has lost is told as lost also
// when the look for it failed once.
func TestFailedLookIsRepeated(t *testing.T) {
	for _, fails := range []int32{0, 1} {
		bubble(t, func(t *testing.T) {
			var hide atomic.Bool
			var fail atomic.Int32
			fail.Store(fails)
			w := newWorld(t, realistic, func(c *ec2launcher.Config) {
				inner := c.Connect
				c.Connect = func(ctx context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
					e, err := inner(ctx, h)
					if err != nil {
						return nil, err
					}
					return misser{e, &hide, &fail}, nil
				}
			})
			w.run(w.workload("a", "o"))
			for !hide.Load() {
				time.Sleep(time.Second)
			}
			for range 8 {
				time.Sleep(300 * time.Millisecond)
				x := w.workload("x"+time.Now().Format("150405.000"), "z")
				x.ID = launcher.ID(strings.ToLower(string(x.ID)))
				w.launch(x)
			}
			time.Sleep(30 * time.Minute)
			if s, err := launcher.Get(t.Context(), w.fleet, "a"); err != nil || s.Reason != launcher.ErrHostLost {
				t.Errorf("when the look fails %d times it is %s, %q, %v", fails, s.Phase, s.Reason, err)
			}
		})
	}
}

// TestNoticeIsToldAfterFailedListing: what AWS says of a host reaches who watches,
// also if the store fails just then.
func TestNoticeIsToldAfterFailedListing(t *testing.T) {
	for _, fail := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			var armed, on atomic.Bool
			var until atomic.Int64
			w := newWorld(t, realistic, func(c *ec2launcher.Config) {
				c.Store = &hooked{Store: c.Store, put: func(r store.Record) error {
					if strings.HasSuffix(r.Collection, ".hosts") && bytes.Contains(r.Value, []byte(`"Endangered":true`)) && armed.CompareAndSwap(true, false) {
						until.Store(time.Now().Add(2500 * time.Millisecond).UnixNano())
						on.Store(true)
					}
					return nil
				}, list: func(c string) error {
					if fail && on.Load() && strings.HasSuffix(c, ".workloads") && time.Now().UnixNano() < until.Load() {
						return errBoom
					}
					return nil
				}}
			})
			s := w.run(w.onSpot("a"))
			time.Sleep(10 * time.Second)
			armed.Store(true)
			if err := w.fleet.HandleEvent(w.Context(), []byte(`{"detail-type":"EC2 Instance Rebalance Recommendation","source":"aws.ec2","detail":{"instance-id":"`+s.Host+`"}}`)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(w.Context(), 30*time.Minute)
			defer cancel()
			_, err := launcher.Wait(ctx, w.fleet, "a", func(s launcher.Status) bool { return s.Endangered })
			if err != nil {
				t.Errorf("while a listing fails (%t) a watch is not told: %v", fail, err)
			}
		})
	}
}

// TestFewTokens: a purchase waits for as many tokens as it needs and not for more.
func TestFewTokens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Faults = []fakeaws.Fault{{Action: "ec2:RunInstances", Nth: 1, Status: 503, Code: "RequestLimitExceeded"}}
		w := newWorld(t, account, nil)
		for _, name := range []string{"t3.medium", "m5.large", "c5.large", "r5.large"} {
			work := w.workload("w"+name[:2], name)
			work.InstanceType = name
			at, before := time.Now(), w.calls("ec2:RunInstances")
			w.launch(work)
			for w.calls("ec2:RunInstances") == before {
				time.Sleep(50 * time.Millisecond)
			}
			if took := time.Since(at); took > 15*time.Second {
				t.Errorf("the first call for a %s came after %v", name, took)
			}
			time.Sleep(4 * time.Second)
		}
	})
}

// TestDriftOfWhatStarts: what starts while the hosts are asked is not taken for lost.
func TestDriftOfWhatStarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var hook atomic.Pointer[func()]
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			between(c, engine{list: func() {
				if f := hook.Swap(nil); f != nil {
					(*f)()
				}
			}})
		})
		w.run(w.workload("a", "o"))
		start := func() { w.run(w.workload("b", "o")) }
		hook.Store(&start)
		if found := w.drift(); len(found) != 0 {
			t.Errorf("the report says %v", found)
		}
	})
}
