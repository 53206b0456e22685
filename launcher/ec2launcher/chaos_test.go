package ec2launcher_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// seeds is how many fleets TestChaos sends through their bad days.
const seeds = 40

// weather is what goes wrong with a fifth of the calls, in the ways that EC2
// documents: an answer of "slow down", a failure before and after the effect,
// and capacity that is sold out, which is an HTTP 500 too.
func weather() []fakeaws.Fault {
	var faults []fakeaws.Fault
	for _, action := range []string{"ec2:RunInstances", "ec2:DescribeInstances", "ec2:TerminateInstances", "ec2:DescribeSubnets", "ssm:GetParameter"} {
		faults = append(faults,
			fakeaws.Fault{Action: action, Rate: 0.07, Status: http.StatusServiceUnavailable, Code: "RequestLimitExceeded"},
			fakeaws.Fault{Action: action, Rate: 0.07},
			fakeaws.Fault{Action: action, Rate: 0.07, After: true},
		)
	}
	return append(faults, fakeaws.Fault{Action: "ec2:RunInstances", Rate: 0.05, Code: "InsufficientInstanceCapacity"})
}

// A process is one of several that work for a fleet.
type process struct {
	fleet *ec2launcher.Launcher
	store *mortal
	end   func() // and wait
}

// process starts one more process of the fleet.
func (c *chaos) process() process {
	store := newMortal(c.store)
	cfg := c.cfg
	cfg.Store = store
	fleet, err := ec2launcher.NewFromConfig(c.cloud.Config(), cfg)
	if err != nil {
		c.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- fleet.Run(ctx) }()
	go func() {
		time.Sleep(time.Second)
		c.ledger.watch(ctx, fleet)
		done <- nil
	}()
	return process{fleet, store, func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			c.Errorf("Run returned %v", err)
		}
	}}
}

// chaos is one fleet's bad days.
type chaos struct {
	*world
	ledger    *ledger
	rand      *rand.Rand
	processes []process
	launched  map[launcher.ID]bool
	cut       map[string]bool
}

// TestChaos sends fleets through random days: people come and go, hosts crash,
// fall silent and are sold out, AWS fails, processes die, two run at a time.
// When it is over, everything has ended as it should, nothing ran twice and
// nothing is left.
func TestChaos(t *testing.T) {
	for seed := range uint64(seeds) {
		if testing.Short() && seed%5 != 0 {
			continue
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { runChaos(t, seed) })
		})
	}
}

func runChaos(t *testing.T, seed uint64) {
	c := &chaos{rand: rand.New(rand.NewPCG(seed, 4)), launched: map[launcher.ID]bool{}, cut: map[string]bool{}}
	linger := []time.Duration{-1, time.Minute, 3 * time.Minute}[seed%3]
	account := fakeaws.Config{Seed: seed, Delays: fakeaws.Realistic(), Faults: weather()}
	if seed%4 == 3 {
		account.Delays = fakeaws.Delays{} // everything at once
	}
	c.world, c.ledger = newFleet(t, account, func(cfg *ec2launcher.Config) {
		cfg.Linger, cfg.FenceAfter, cfg.BootDeadline = linger, 2*time.Minute, 4*time.Minute
	})
	c.processes = append(c.processes, c.process(), c.process())
	c.world.stop()
	c.world.stop = func() {} // these two are enough
	defer func() {
		for _, p := range c.processes {
			p.end()
		}
	}()
	for range 50 {
		c.step()
		time.Sleep(time.Duration(c.rand.Int64N(int64(20 * time.Second))))
	}
	c.calm()
}

// step does one thing that may happen.
func (c *chaos) step() {
	switch n := c.rand.IntN(100); {
	case n < 40:
		c.launchOne()
	case n < 60:
		c.stopOne()
	case n < 67:
		c.replaceOne(c.rand.IntN(2) == 0)
	case n < 72:
		if i := c.instance(); i != "" {
			if err := c.cloud.CrashHost(i); err != nil {
				c.Fatal(err)
			}
		}
	case n < 82:
		if i := c.instance(); i != "" {
			c.cut[i] = !c.cut[i]
			if err := c.cloud.Partition(i, c.cut[i]); err != nil {
				c.Fatal(err)
			}
		}
	case n < 90:
		c.sell(c.rand.IntN(3))
	default: // nothing: time passes
	}
}

// one returns a process that is asked.
func (c *chaos) one() process { return c.processes[c.rand.IntN(len(c.processes))] }

// insist repeats a call that may fail for want of AWS or the store.
func (c *chaos) insist(call func(context.Context, *ec2launcher.Launcher) error) {
	c.Helper()
	var err error
	for range 5 {
		if err = call(c.Context(), c.one().fleet); err == nil {
			return
		}
	}
	c.Fatal(err)
}

func (c *chaos) launchOne() {
	n := len(c.launched)
	command := [][]string{{"wait"}, {"slow", "wait"}, {"0s"}, {"1s"}, {"40s"}, {"5m"}}[c.rand.IntN(6)]
	w := c.noted(fmt.Sprintf("w%02d", n), fmt.Sprintf("user%d", c.rand.IntN(3)), command...)
	w.InstanceType = []string{"t3.medium", "t3.medium", "m5.large"}[c.rand.IntN(3)]
	w.Sharing = []launcher.Sharing{launcher.PerOwner, launcher.PerOwner, launcher.Pool, launcher.Exclusive}[c.rand.IntN(4)]
	if c.rand.IntN(4) == 0 {
		w.Resources = launcher.Resources{} // all of a host
	}
	c.launched[w.ID] = true
	c.insist(func(ctx context.Context, l *ec2launcher.Launcher) error {
		_, err := l.Launch(ctx, w)
		return err
	})
}

func (c *chaos) stopOne() {
	if n := len(c.launched); n > 0 {
		id := launcher.ID(fmt.Sprintf("w%02d", c.rand.IntN(n)))
		o := launcher.StopOptions{Grace: []time.Duration{0, time.Second, 20 * time.Second}[c.rand.IntN(3)]}
		if c.rand.IntN(4) == 0 {
			o.Signal = "SIGKILL"
		}
		c.insist(func(ctx context.Context, l *ec2launcher.Launcher) error { return l.Stop(ctx, id, o) })
	}
}

// replaceOne ends a process, in order or as a crash, and starts another.
func (c *chaos) replaceOne(crash bool) {
	n := c.rand.IntN(len(c.processes))
	if crash {
		c.processes[n].store.kill()
	}
	c.processes[n].end()
	c.processes[n] = c.process()
}

// instance returns one of the instances that have not ended, or none.
func (c *chaos) instance() string {
	var ids []string
	for _, i := range c.present() {
		ids = append(ids, *i.InstanceId)
	}
	if len(ids) == 0 {
		return ""
	}
	return ids[c.rand.IntN(len(ids))]
}

// sell leaves n instances of a type to be had in a zone.
func (c *chaos) sell(n int) {
	subnets := c.cloud.Subnets()
	zone := subnets[c.rand.IntN(len(subnets))].Zone
	if err := c.cloud.SetCapacity([]string{"t3.medium", "m5.large"}[c.rand.IntN(2)], zone, n); err != nil {
		c.Fatal(err)
	}
}

// calm ends what goes wrong by itself no more, has everything stopped, and
// looks at what comes of it. AWS goes on failing.
func (c *chaos) calm() {
	for i, cut := range c.cut {
		if cut && c.rand.IntN(2) == 0 { // the others stay silent for ever
			if err := c.cloud.Partition(i, false); err != nil {
				c.Fatal(err)
			}
		}
	}
	for _, s := range c.cloud.Subnets() {
		for _, name := range []string{"t3.medium", "m5.large"} {
			if err := c.cloud.SetCapacity(name, s.Zone, -1); err != nil {
				c.Fatal(err)
			}
		}
	}
	if c.rand.IntN(2) == 0 {
		time.Sleep(6 * time.Minute) // long enough for whatever waits to run
		for id := range c.launched {
			s, err := launcher.Get(c.Context(), c.one().fleet, id)
			if err != nil {
				c.Error(err)
			}
			if s.Phase != launcher.Running && s.Phase != launcher.Exited {
				c.Errorf("in calm weather a workload waits: %+v", s)
			}
		}
	}
	for id := range c.launched {
		c.insist(func(ctx context.Context, l *ec2launcher.Launcher) error {
			return l.Stop(ctx, id, launcher.StopOptions{})
		})
	}
	time.Sleep(12 * time.Minute)
	c.fleet = c.one().fleet
	if err := c.left(); err != nil {
		c.Errorf("when all was over:\n%v", err)
	}
	for s, err := range c.fleet.List(c.Context(), launcher.Filter{}) {
		if err != nil {
			c.Fatal(err)
		}
		c.ledger.ended(s)
	}
}
