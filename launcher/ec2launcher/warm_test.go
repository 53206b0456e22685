package ec2launcher_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// pooled is a workload of the pool.
func (w *world) pooled(id string) launcher.Workload {
	work := w.workload(id, id)
	work.Sharing = launcher.Pool
	return work
}

// ec2Calls counts the calls of EC2 so far.
func (w *world) ec2Calls() (n int) {
	for _, c := range w.cloud.Calls() {
		if strings.HasPrefix(c.Action, "ec2:") && c.Action != "ec2:DescribeInstances" { // which it does now and then
			n++
		}
	}
	return n
}

// TestWarm: what finds warm room runs within seconds and without a call of EC2,
// and there is room for the next.
func TestWarm(t *testing.T) {
	for _, sharing := range []launcher.Sharing{launcher.Pool, launcher.PerOwner, launcher.Exclusive} {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, realistic, func(c *ec2launcher.Config) {
				like := (*world)(nil).pooled("like")
				like.Sharing = sharing
				c.Warm = []ec2launcher.Warm{{Like: like, Slots: 2}}
			})
			time.Sleep(2 * time.Minute)
			warm := len(w.hosts())
			if want := map[launcher.Sharing]int{launcher.Pool: 1}[sharing]; warm != max(want, 1) && warm != 2 {
				t.Fatalf("%q: %d hosts are kept", sharing, warm)
			}
			for n := range 2 {
				before, there := w.ec2Calls(), w.hosts()
				work := w.pooled(fmt.Sprint("claims", n))
				work.Sharing = sharing
				begun := time.Now()
				s := w.run(work)
				if took := time.Since(begun); took > 3*time.Second {
					t.Errorf("%q: it took %v with warm room", sharing, took)
				}
				// Alone on a host it has another bought at once, for the next.
				if calls := w.ec2Calls() - before; calls > 0 && sharing == launcher.Pool {
					t.Errorf("it took %d calls of EC2", calls)
				}
				if !slices.ContainsFunc(there, func(h ec2launcher.Host) bool { return h.ID == s.Host }) {
					t.Errorf("%q: it runs on a host that was not there", sharing)
				}
				time.Sleep(2 * time.Minute)
			}
			settled := w.hosts()
			time.Sleep(time.Hour)
			if !slices.EqualFunc(settled, w.hosts(), func(a, b ec2launcher.Host) bool { return a.ID == b.ID }) {
				t.Errorf("%q: an hour later other hosts are there", sharing)
			}
			if kept := len(w.hosts()); sharing != launcher.Pool && kept != 4 || sharing == launcher.Pool && kept != 1 {
				t.Errorf("%q: two run, and %d hosts are there", sharing, kept)
			}
		})
	}
}

// TestWarmWithin: what is kept stays within its price, and follows the demand.
func TestWarmWithin(t *testing.T) {
	price, _ := instancetype.Embedded().Price("t3.medium", "us-east-1")
	open := func(t *testing.T, warm ec2launcher.Warm) *world {
		return newWorld(t, realistic, func(c *ec2launcher.Config) {
			warm.Like = (*world)(nil).workload("like", "like")
			c.Warm = []ec2launcher.Warm{warm}
		})
	}
	for name, test := range map[string]struct {
		warm ec2launcher.Warm
		want int
	}{
		"NoLimit":   {ec2launcher.Warm{Slots: 3}, 3},
		"Two":       {ec2launcher.Warm{Slots: 3, MaxPerHour: 2 * price.PerHour}, 2},
		"TooLittle": {ec2launcher.Warm{Slots: 3, MaxPerHour: price.PerHour - 1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := open(t, test.warm)
				for range 10 {
					time.Sleep(5 * time.Minute)
					if n := len(w.hosts()); n != test.want {
						t.Fatalf("%d hosts are kept, want %d", n, test.want)
					}
				}
				room := w.fleet.WarmRooms()[0]
				if room.Slots != 3 || room.Ready != test.want || room.Coming != 0 || (room.Message != "") != (test.want < 3) {
					t.Errorf("it is told as %+v", room)
				}
			})
		})
	}
	t.Run("Demand", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := open(t, ec2launcher.Warm{Slots: 1, Most: 3})
			time.Sleep(2 * time.Minute)
			if n := len(w.hosts()); n != 1 {
				t.Fatalf("%d hosts are kept before anybody came", n)
			}
			for n := range 5 {
				w.launch(w.workload(fmt.Sprint("w", n), fmt.Sprint("user", n)))
			}
			time.Sleep(90 * time.Second)
			if n := len(w.hosts()); n != 5+3 {
				t.Errorf("after five came there are %d hosts, want three beside theirs", n)
			}
			time.Sleep(20 * time.Minute)
			if n := len(w.hosts()); n != 5+1 {
				t.Errorf("when nobody has come for long there are %d hosts, want one beside theirs", n)
			}
		})
	})
}

// TestWarmRooms: how much warm room there is can be asked for, and why there is not
// more; of who does not work for the fleet it cannot.
func TestWarmRooms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			c.Warm = []ec2launcher.Warm{{Like: (*world)(nil).pooled("like"), Slots: 2}}
		})
		time.Sleep(20 * time.Second)
		if room := w.fleet.WarmRooms()[0]; room != (ec2launcher.WarmRoom{Slots: 2, Coming: 2}) {
			t.Errorf("while its host boots it is %+v", room)
		}
		other, stop := w.process(w.cfg)
		time.Sleep(3 * time.Minute)
		if room := w.fleet.WarmRooms()[0]; room != (ec2launcher.WarmRoom{Slots: 2, Ready: 2}) {
			t.Errorf("it is %+v", room)
		}
		if rooms := other.WarmRooms(); rooms != nil {
			t.Errorf("who does not work for the fleet knows of %+v", rooms)
		}
		stop()
		for _, s := range w.cloud.Subnets() {
			if err := w.cloud.SetCapacity("t3.medium", s.Zone, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.cloud.CrashHost(w.hosts()[0].ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Minute)
		if room := w.fleet.WarmRooms()[0]; room.Slots != 2 || room.Ready != 0 || room.Reason != launcher.ErrCapacity || !strings.Contains(room.Message, "t3.medium") {
			t.Errorf("sold out it is %+v", room)
		}
		w.stop()
		if rooms := w.fleet.WarmRooms(); rooms != nil {
			t.Errorf("when Run has ended it is %+v", rooms)
		}
		w.start()
	})
}

// TestWarmImageThatIsMissing: the room is kept although the image cannot be had.
func TestWarmImageThatIsMissing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			like := (*world)(nil).pooled("like")
			like.Image = "registry.example.com/missing:1"
			c.Warm = []ec2launcher.Warm{{Like: like, Slots: 1}}
		})
		time.Sleep(10 * time.Minute)
		if n := len(w.hosts()); n != 1 {
			t.Errorf("%d hosts are kept", n)
		}
	})
}

func TestWarmRefused(t *testing.T) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	like := (*world)(nil).workload("like", "like")
	like.InstanceType, like.Image, like.Market, like.Sharing = "t3.huge", "", "bogus", "nobody"
	like.Resources = launcher.Resources{MilliCPU: -1}
	_, err = ec2launcher.NewFromConfig(cloud.Config(), ec2launcher.Config{
		Fleet: "test", Store: store.NewMemory(), Subnets: []string{"subnet-1"}, SecurityGroups: []string{"sg-1"},
		Warm: []ec2launcher.Warm{{Like: like, Slots: 0, Most: -1, MaxPerHour: -1}},
	})
	if !errors.Is(err, launcher.ErrInvalid) {
		t.Fatalf("it is %v", err)
	}
	for _, want := range []string{"warm 0: 0 slots", "at most -1 slots", "-$0.000001 an hour", "like: image is empty", "t3.huge", `market "bogus"`, `sharing "nobody"`, "must not be negative"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// An engine is a host's with something between.
type engine struct {
	ec2launcher.HostLauncher
	pull func(ctx context.Context, image string) error
	list func()
}

func (e engine) Pull(ctx context.Context, image string) error {
	if e.pull != nil {
		if err := e.pull(ctx, image); err != nil {
			return err
		}
	}
	return e.HostLauncher.Pull(ctx, image)
}

func (e engine) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		for s, err := range e.HostLauncher.List(ctx, f) {
			if !yield(s, err) {
				return
			}
		}
		if e.list != nil {
			e.list()
		}
	}
}

// between puts something between the fleet and its hosts.
func between(c *ec2launcher.Config, e engine) {
	inner := c.Connect
	c.Connect = func(ctx context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
		host, err := inner(ctx, h)
		if err != nil {
			return nil, err
		}
		e := e
		e.HostLauncher = host
		return e, nil
	}
}

// TestWarmPulls: an image that could not be pulled ahead is pulled a little later,
// once, and pulls hold up nothing else however many there are.
func TestWarmPulls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var n atomic.Int32
		newWorld(t, realistic, func(c *ec2launcher.Config) {
			between(c, engine{pull: func(context.Context, string) error {
				if n.Add(1) == 1 {
					return &launcher.Error{Op: "pull", Kind: launcher.ErrUnavailable, Err: errBoom}
				}
				return nil
			}})
			c.Warm = []ec2launcher.Warm{{Like: (*world)(nil).pooled("like"), Slots: 1}}
		})
		time.Sleep(time.Hour)
		if n.Load() != 2 {
			t.Errorf("it was pulled %d times", n.Load())
		}
	})
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			between(c, engine{pull: func(ctx context.Context, _ string) error {
				select {
				case <-time.After(5 * time.Minute):
				case <-ctx.Done():
				}
				return nil
			}})
			c.Warm = []ec2launcher.Warm{{Like: (*world)(nil).workload("like", "like"), Slots: 80}}
		})
		for ready := 0; ready < 78; {
			time.Sleep(time.Second)
			ready = 0
			for _, h := range w.hosts() {
				if h.State == ec2launcher.HostReady {
					ready++
				}
			}
		}
		begun := time.Now()
		w.run(w.workload("a", "a"))
		if took := time.Since(begun); took > time.Minute { // it pulls the image itself
			t.Errorf("while 80 hosts pull it ran after %v", took)
		}
	})
}

// TestWarmSpot: what spot costs is asked for before it is judged whether it is within
// the limit, and in a calm fleet it is bought without delay.
func TestWarmSpot(t *testing.T) {
	price, _ := instancetype.Embedded().Price("t3.medium", "us-east-1")
	bubble(t, func(t *testing.T) {
		begun := time.Now()
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			like := (*world)(nil).onSpot("like")
			like.Market = launcher.Spot
			c.Warm = []ec2launcher.Warm{{Like: like, Slots: 1, MaxPerHour: price.PerHour - 1}}
		})
		for w.calls("ec2:RunInstances") == 0 && time.Since(begun) < time.Hour {
			time.Sleep(50 * time.Millisecond)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it was bought after %v", took)
		}
		time.Sleep(time.Minute)
		hosts := w.hosts()
		if len(hosts) != 1 || !hosts[0].PriceKnown || hosts[0].Market != launcher.Spot {
			t.Errorf("kept are %+v", hosts)
		}
	})
}

// TestWarmBurst: also what comes right after another is placed at once.
func TestWarmBurst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			c.Warm = []ec2launcher.Warm{{Like: (*world)(nil).pooled("like"), Slots: 3}}
		})
		time.Sleep(2 * time.Minute)
		for n := range 3 {
			time.Sleep(200 * time.Millisecond)
			begun := time.Now()
			id := fmt.Sprint("w", n)
			w.launch(w.pooled(id))
			go func() {
				if s, err := launcher.Wait(t.Context(), w.fleet, launcher.ID(id), func(s launcher.Status) bool { return s.Host != "" }); err != nil || time.Since(begun) > 300*time.Millisecond {
					t.Errorf("%s has a host after %v: %v", s.ID, time.Since(begun), err)
				}
			}()
		}
		time.Sleep(time.Minute)
	})
}
