package ec2launcher_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// An oddHost is a host's engine that behaves oddly where a function is set.
type oddHost struct {
	ec2launcher.HostLauncher
	launch func(context.Context, launcher.Workload) (launcher.Status, error)
	watch  func(context.Context, launcher.Filter) iter.Seq2[launcher.Status, error]
}

func (o oddHost) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	if o.launch != nil {
		return o.launch(ctx, w)
	}
	return o.HostLauncher.Launch(ctx, w)
}

func (o oddHost) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	if o.watch != nil {
		return o.watch(ctx, f)
	}
	return o.HostLauncher.Watch(ctx, f)
}

// odd makes every host the fleet connects to an odd one.
func odd(c *ec2launcher.Config, change func(*oddHost)) {
	connect := c.Connect
	c.Connect = func(ctx context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
		engine, err := connect(ctx, h)
		if err != nil {
			return nil, err
		}
		o := oddHost{HostLauncher: engine}
		change(&o)
		return o, nil
	}
}

// A host that falls silent while it lingers is not kept for ever.
func TestSilentHostThatLingers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) { c.Linger = time.Minute })
		work := w.workload("a", "alice")
		work.Command = []string{"exit", "0"}
		w.launch(work)
		host := w.until("a", launcher.Exited).Host
		if err := w.cloud.Partition(host, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Minute)
		if n := len(w.instances("pending", "running")); n != 0 {
			t.Error("the silent host is kept")
		}
	})
}

// A host that came up while no process worked for the fleet is as good as any.
func TestHostComesUpUnseen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		time.Sleep(5 * time.Second)
		if n := len(w.hosts()); n != 1 {
			t.Fatalf("%d hosts; want the one that boots", n)
		}
		w.stop()
		time.Sleep(time.Hour)
		w.start()
		w.until("a", launcher.Running)
		if n := w.calls("ec2:RunInstances"); n != 1 {
			t.Errorf("%d purchases for one workload", n)
		}
	})
}

// A fleet that has lost its store, or has an older copy of it, finds its hosts
// again and ends nothing that runs there.
func TestLostStore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) { c.Linger = -1 })
		w.launch(w.workload("a", "alice"))
		host := w.until("a", launcher.Running).Host
		time.Sleep(time.Hour)
		w.stop()
		w.cfg.Store = store.NewMemory()
		w.start()
		time.Sleep(10 * time.Minute)
		s, err := launcher.Get(t.Context(), w.fleet, "a")
		if err != nil || s.Phase != launcher.Running || s.Host != host {
			t.Errorf("it is %+v, %v; want it running on %s as before", s, err, host)
		}
	})
}

// What is gone is not asked for more often than a fleet at rest.
func TestCrashedHostCostsNoCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		host := w.until("a", launcher.Running).Host
		if err := w.cloud.CrashHost(host); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		before := w.calls("ec2:DescribeInstances")
		time.Sleep(20 * time.Minute)
		if n := w.calls("ec2:DescribeInstances") - before; n > 20*4 {
			t.Errorf("%d calls of DescribeInstances in 20 minutes without a host", n)
		}
	})
}

// What cannot be launched, and might be, is tried again until it is to stop:
// then it ends, whether or not the launch arrived.
func TestStopOfWhatIsNotDelivered(t *testing.T) {
	for name, arrives := range map[string]bool{"not launched": false, "launched, and the answer lost": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				tries := 0
				w := newWorld(t, realistic, func(c *ec2launcher.Config) {
					odd(c, func(o *oddHost) {
						o.launch = func(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
							tries++
							if arrives {
								if _, err := o.HostLauncher.Launch(ctx, w); err != nil {
									return launcher.Status{}, err
								}
							}
							return launcher.Status{}, &launcher.Error{Op: "launch", ID: w.ID, Kind: launcher.ErrUnavailable}
						}
					})
				})
				w.launch(w.workload("a", "alice"))
				time.Sleep(5 * time.Minute)
				if s := status(t, w.fleet, "a"); s.Phase == launcher.Exited || !arrives && tries < 2 {
					t.Fatalf("after %d tries it is %+v, want it tried again", tries, s)
				}
				if err := w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}); err != nil {
					t.Fatal(err)
				}
				asked := time.Now()
				w.until("a", launcher.Exited)
				if d := time.Since(asked); d > 2*time.Minute {
					t.Errorf("it took %v until what was to stop had ended", d)
				}
			})
		})
	}
}

// What no host takes does not make the fleet buy hosts without end.
func TestRefusedEverywhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			odd(c, func(o *oddHost) {
				o.launch = func(_ context.Context, w launcher.Workload) (launcher.Status, error) {
					return launcher.Status{}, &launcher.Error{Op: "launch", ID: w.ID, Kind: launcher.ErrCapacity}
				}
			})
		})
		w.launch(w.workload("a", "alice"))
		if s := w.until("a", launcher.Exited); s.Reason != launcher.ErrCapacity {
			t.Errorf("it ended with %q (%s)", s.Reason, s.Message)
		}
		if n := w.calls("ec2:RunInstances"); n > 3 {
			t.Errorf("%d hosts were bought for what none takes", n)
		}
	})
}

// A workload with more mounts than a host has room for is refused.
func TestTooManyMounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		work := w.workload("a", "alice")
		for i := range 401 {
			work.Mounts = append(work.Mounts, launcher.Mount{Source: fmt.Sprintf("/efs/%d", i), Target: fmt.Sprintf("/mnt/%d", i)})
		}
		if _, err := w.fleet.Launch(t.Context(), work); !errors.Is(err, launcher.ErrInvalid) {
			t.Errorf("Launch = %v; want it refused", err)
		}
	})
}

// A refusal that nobody has heard of is told, and not taken for an open outcome.
func TestUnknownRefusal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Faults = []fakeaws.Fault{{Action: "ec2:RunInstances", Status: 400, Code: "SomethingNew"}}
		w := newWorld(t, account, nil)
		w.launch(w.workload("a", "alice"))
		time.Sleep(5*time.Minute + 30*time.Second)
		s, err := launcher.Get(t.Context(), w.fleet, "a")
		if err != nil || s.Reason != launcher.ErrUnavailable || !strings.Contains(s.Message, "SomethingNew") {
			t.Errorf("it is %+v, %v; want it to say what EC2 said", s, err)
		}
		if n := w.calls("ec2:RunInstances"); n > 6 {
			t.Errorf("EC2 was asked %d times", n)
		}
	})
}

// What a host was given so long ago that it may have run and been forgotten is
// not given to it again.
func TestGivenLongAgo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w *world
		w, _ = newFleet(t, realistic, func(c *ec2launcher.Config) {
			odd(c, func(o *oddHost) {
				engine := o.HostLauncher
				o.launch = func(ctx context.Context, work launcher.Workload) (launcher.Status, error) {
					s, err := engine.Launch(ctx, work)
					if err == nil {
						w.cfg.Store.(*mortal).kill() // and nobody notes that it runs
					}
					return s, err
				}
			})
		})
		w.launch(w.noted("a", "alice", "0s"))
		<-w.cfg.Store.(*mortal).killed
		time.Sleep(2 * time.Hour)
		w.replace()
		if s := w.until("a", launcher.Exited); s.Reason != launcher.ErrHostLost {
			t.Errorf("it ended with %q (%s)", s.Reason, s.Message)
		}
	})
}

// A host's account that is older than a workload does not make it lost.
func TestAccountThatLags(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lag := false
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			odd(c, func(o *oddHost) {
				engine := o.HostLauncher
				o.watch = func(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
					return func(yield func(launcher.Status, error) bool) {
						if lag && !yield(launcher.Status{}, nil) { // synced, with nothing
							return
						}
						for s, err := range engine.Watch(ctx, f) {
							if lag {
								time.Sleep(10 * time.Second)
								if s.Synced() {
									continue
								}
							}
							if !yield(s, err) {
								return
							}
						}
					}
				}
			})
		})
		w.launch(w.workload("a", "alice"))
		w.until("a", launcher.Running)
		w.stop()
		lag = true
		w.start()
		time.Sleep(time.Minute)
		if s, err := launcher.Get(t.Context(), w.fleet, "a"); err != nil || s.Phase != launcher.Running {
			t.Errorf("it is %+v, %v; want it running", s, err)
		}
	})
}

// A host that hangs holds up its own workloads and nobody else's.
func TestHostThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			odd(c, func(o *oddHost) {
				engine := o.HostLauncher
				o.launch = func(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
					if w.Owner == "alice" {
						<-ctx.Done()
						return launcher.Status{}, ctx.Err()
					}
					return engine.Launch(ctx, w)
				}
			})
		})
		for i := range 100 {
			work := w.workload(fmt.Sprintf("a%d", i), "alice")
			work.Resources = launcher.Resources{MilliCPU: 1, MemoryMiB: 1}
			w.launch(work)
		}
		time.Sleep(time.Minute)
		w.launch(w.workload("b", "bob"))
		asked := time.Now()
		w.until("b", launcher.Running)
		if waited := time.Since(asked); waited > 15*time.Minute {
			t.Errorf("it waited %v for another's host", waited)
		}
	})
}

// However many steps wait for hosts that hang, AWS is called at once: what ends those
// hosts and buys others does not wait for them.
func TestCallsBesideHostsThatHang(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			odd(c, func(o *oddHost) {
				o.launch = func(ctx context.Context, _ launcher.Workload) (launcher.Status, error) {
					<-ctx.Done()
					return launcher.Status{}, ctx.Err()
				}
			})
		})
		for i := range 200 {
			work := w.workload(fmt.Sprintf("a%d", i), "alice")
			work.Resources = launcher.Resources{MilliCPU: 1, MemoryMiB: 1}
			w.launch(work)
		}
		time.Sleep(time.Minute)
		before := w.calls("ec2:RunInstances")
		w.launch(w.workload("b", "bob"))
		time.Sleep(5 * time.Second)
		if n := w.calls("ec2:RunInstances") - before; n != 1 {
			t.Errorf("five seconds later %d hosts are bought", n)
		}
	})
}

// A host that says that it starts a workload, and fails to, without a word of
// that to those who watch, is asked again.
func TestStartThatCameToNothing(t *testing.T) {
	unavailable := &launcher.Error{Op: "launch", ID: "a", Kind: launcher.ErrUnavailable}
	for name, try := range map[string]struct {
		last   error
		heard  time.Duration // after the try; it takes a second to fail
		within time.Duration // of that it runs
	}{
		"HeardBefore": {unavailable, 0, 45 * time.Second},
		"HeardAfter":  {unavailable, 2 * time.Second, 2 * time.Minute},
		"Capacity":    {&launcher.Error{Op: "launch", ID: "a", Kind: launcher.ErrCapacity}, 2 * time.Second, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var mu sync.Mutex
				tries, begun := 0, time.Time{}
				says := make(chan launcher.Status, 1) // of the host that fails
				w := newWorld(t, realistic, func(c *ec2launcher.Config) {
					c.Linger = time.Minute
					odd(c, func(o *oddHost) {
						o.launch = func(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
							mu.Lock()
							if tries++; tries == 1 {
								begun = time.Now()
							}
							only := tries == 1
							mu.Unlock()
							if !only {
								return o.HostLauncher.Launch(ctx, w)
							}
							time.AfterFunc(try.heard, func() {
								says <- launcher.Status{ID: w.ID, Owner: w.Owner, Image: w.Image, Phase: launcher.Starting, QueuedAt: time.Now()}
							})
							time.Sleep(time.Second)
							return launcher.Status{}, try.last
						}
						o.watch = func(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
							return both(ctx, o.HostLauncher.Watch(ctx, f), says)
						}
					})
				})
				w.launch(w.workload("a", "alice"))
				time.Sleep(5 * time.Minute)
				if s := status(t, w.fleet, "a"); s.Phase != launcher.Running || s.StartedAt.Sub(begun) > try.within {
					t.Errorf("after %d tries and %v it is %+v", tries, s.StartedAt.Sub(begun), s)
				}
				live := 0
				for _, h := range w.hosts() {
					if h.State == ec2launcher.HostReady {
						live++
					}
				}
				if live != 1 {
					t.Errorf("hosts: %+v", w.hosts())
				}
			})
		})
	}
}

// both yields what a watch says and what comes on a channel.
func both(ctx context.Context, watch iter.Seq2[launcher.Status, error], more <-chan launcher.Status) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		heard := make(chan launcher.Status)
		go func() {
			for s, err := range watch {
				if err != nil {
					return
				}
				select {
				case heard <- s:
				case <-ctx.Done():
					return
				}
			}
		}()
		for {
			var s launcher.Status
			select {
			case s = <-heard:
			case s = <-more:
			case <-ctx.Done():
				yield(launcher.Status{}, ctx.Err())
				return
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

// A workload that is asked to stop while its host is silent stays unknown.
func TestStopOnSilentHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		host := w.until("a", launcher.Running).Host
		if err := w.cloud.Partition(host, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		for s, err := range w.fleet.Watch(t.Context(), launcher.Filter{}) {
			if err != nil || s.Phase != launcher.Stopping || !s.Unknown {
				t.Errorf("it is told as %+v, %v; want stopping and unknown", s, err)
			}
			break
		}
	})
}

// Also a process that only stands by tells an exit that is forgotten at once,
// and its code.
func TestForgottenExitIsToldElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		time.Sleep(time.Second)
		works := w.fleet
		standby, stop := w.process(w.cfg)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		work := w.workload("a", "alice")
		work.Command = []string{"trap", "SIGTERM", "7"}
		w.launch(work)
		w.until("a", launcher.Running)
		time.Sleep(5 * time.Second)
		told := make(chan launcher.Status, 1)
		go func() {
			s, err := launcher.Wait(ctx, standby, "a", func(s launcher.Status) bool { return s.Phase == launcher.Exited })
			if err != nil {
				t.Errorf("the other process was told %v", err)
			}
			told <- s
		}()
		if err := works.Stop(ctx, "a", launcher.StopOptions{Forget: true}); err != nil {
			t.Fatal(err)
		}
		if s := <-told; s.ExitCode != 7 {
			t.Errorf("the other process was told %+v", s)
		}
		stop()
	})
}

// What a process launches that does not work for the fleet has to wait until the one
// that does looks, five seconds at most.
func TestLaunchOfStandby(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		time.Sleep(time.Second)
		standby, stop := w.process(w.cfg)
		defer stop()
		w.run(w.workload("first", "alice"))
		for i := range 10 {
			time.Sleep(time.Minute + time.Duration(i)*700*time.Millisecond)
			work := w.workload(fmt.Sprintf("w%d", i), "alice")
			work.Resources = launcher.Resources{MilliCPU: 10, MemoryMiB: 10}
			launched := time.Now()
			if _, err := standby.Launch(t.Context(), work); err != nil {
				t.Fatal(err)
			}
			for status(t, standby, work.ID).Host == "" {
				time.Sleep(10 * time.Millisecond)
			}
			if took := time.Since(launched); took > 5*time.Second+100*time.Millisecond {
				t.Errorf("it had a host after %v, although there was room", took)
			}
		}
	})
}

// A host that nobody needs any more and that never comes up is not kept for
// ever either.
func TestUnneededHostThatNeverComesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) { c.Linger = time.Minute })
		w.launch(w.workload("a", "alice"))
		time.Sleep(5 * time.Second)
		for _, h := range w.hosts() {
			if err := w.cloud.Partition(h.ID, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Minute)
		if n := len(w.instances("pending", "running")); n != 0 {
			t.Error("it is kept")
		}
	})
}
