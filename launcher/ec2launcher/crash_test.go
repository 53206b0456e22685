package ec2launcher_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// errKilled is what the store says to a process that was killed.
var errKilled = errors.New("the process was killed")

// A mortal is the store as one process sees it: once that is killed, nothing
// it does has an effect any more.
type mortal struct {
	store.Store

	mu     sync.Mutex
	writes int
	fatal  int  // the write at which the process is killed; zero is none
	after  bool // the fatal write takes effect
	dead   bool
	killed chan struct{}
}

func newMortal(s store.Store) *mortal { return &mortal{Store: s, killed: make(chan struct{})} }

// kill ends the process as far as the store can see.
func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dead {
		m.dead = true
		close(m.killed)
	}
}

func (m *mortal) alive() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errKilled
	}
	return nil
}

// write makes a write, or is killed by it.
func (m *mortal) write(do func() error) error {
	m.mu.Lock()
	m.writes++
	fatal := m.writes == m.fatal
	m.mu.Unlock()
	if fatal {
		if m.after {
			_ = do()
		}
		m.kill()
	}
	if err := m.alive(); err != nil {
		return err
	}
	return do()
}

func (m *mortal) Get(ctx context.Context, collection, id string) (store.Record, error) {
	if err := m.alive(); err != nil {
		return store.Record{}, err
	}
	return m.Store.Get(ctx, collection, id)
}

func (m *mortal) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	if err := m.alive(); err != nil {
		return func(yield func(store.Record, error) bool) { yield(store.Record{}, err) }
	}
	return m.Store.List(ctx, collection, after)
}

func (m *mortal) Put(ctx context.Context, r store.Record) (version int64, err error) {
	return version, m.write(func() (err error) {
		version, err = m.Store.Put(ctx, r)
		return err
	})
}

func (m *mortal) Delete(ctx context.Context, collection, id string, version int64) error {
	return m.write(func() error { return m.Store.Delete(ctx, collection, id, version) })
}

// A ledger is what containers have noted of themselves, and what was told of
// them, to be held against each other.
type ledger struct {
	*testing.T
	mu     sync.Mutex
	runs   map[launcher.ID]context.Context // of the container; ends with it
	exited map[launcher.ID]bool            // was told to have
}

func newLedger(t *testing.T) *ledger {
	return &ledger{T: t, runs: map[launcher.ID]context.Context{}, exited: map[launcher.ID]bool{}}
}

// program is the image of workloads that note their start. It runs for the
// time in its command, if there is one, and else until it is killed. With the
// word "slow" before, it takes three seconds to heed a SIGTERM.
func (l *ledger) program(ctx context.Context, p *fakelauncher.Proc) int {
	l.mu.Lock()
	switch {
	case l.runs[p.ID] != nil:
		l.Errorf("%s was run twice", p.ID)
	case l.exited[p.ID]:
		l.Errorf("%s was run after its exit was told", p.ID)
	}
	l.runs[p.ID] = ctx
	l.mu.Unlock()
	args, signals := p.Args, (<-chan string)(nil)
	if args[0] == "slow" {
		args, signals = args[1:], p.Signals("SIGTERM")
	}
	var over <-chan time.Time
	if d, err := time.ParseDuration(args[0]); err == nil {
		over = time.After(d)
	}
	select {
	case <-over:
		return 3
	case <-signals:
		time.Sleep(3 * time.Second)
		return 4
	case <-ctx.Done():
		return 1
	}
}

// watch holds what a process tells against the ledger until ctx ends.
func (l *ledger) watch(ctx context.Context, fleet *ec2launcher.Launcher) {
	phases := []launcher.Phase{launcher.Queued, launcher.Provisioning, launcher.Starting, launcher.Running, launcher.Stopping, launcher.Exited}
	order := map[launcher.Phase]int{}
	for i, p := range phases {
		order[p] = i
	}
	last := map[launcher.ID]launcher.Phase{}
	for s, err := range fleet.Watch(ctx, launcher.Filter{}) {
		if err != nil || s.Synced() {
			continue
		}
		if order[s.Phase] < order[last[s.ID]] {
			l.Errorf("%s went back from %s to %s", s.ID, last[s.ID], s.Phase)
		}
		last[s.ID] = s.Phase
		if s.Phase == launcher.Exited {
			l.ended(s)
		}
	}
}

// ended holds a told exit against the ledger.
func (l *ledger) ended(s launcher.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exited[s.ID] = true
	run := l.runs[s.ID]
	switch lost := s.Reason == launcher.ErrHostLost; {
	case run != nil && run.Err() == nil && s.ExitCode != 3 && s.ExitCode != 4:
		l.Errorf("%s is told to have exited (%s) and is alive", s.ID, s.Message)
	case run != nil && s.StartedAt.IsZero() && !lost, run == nil && !s.StartedAt.IsZero():
		l.Errorf("%s ran: %t; it is told as %+v", s.ID, run != nil, s)
	}
}

// newFleet is newWorld for processes that can be killed and workloads that
// note their starts.
func newFleet(t *testing.T, account fakeaws.Config, change func(*ec2launcher.Config)) (*world, *ledger) {
	t.Helper()
	l := newLedger(t)
	w := newWorld(t, account, func(c *ec2launcher.Config) {
		c.Store = newMortal(c.Store)
		if change != nil {
			change(c)
		}
	})
	if _, err := w.cloud.PushImage(ledgerImage, fakeaws.Image{Program: l.program}); err != nil {
		t.Fatal(err)
	}
	return w, l
}

const ledgerImage = "registry.example.com/ledger:1"

// noted is a workload that runs the ledger's image.
func (w *world) noted(id, owner string, command ...string) launcher.Workload {
	work := w.workload(id, owner)
	work.Image, work.Command = ledgerImage, command
	return work
}

// replace kills the process and starts another over the same store.
func (w *world) replace() {
	w.Helper()
	w.cfg.Store.(*mortal).kill()
	w.stop()
	w.cfg.Store = newMortal(w.store)
	w.start()
}

// present returns the instances that have not been told to end. AWS is asked
// until it answers.
func (w *world) present() []ec2types.Instance {
	w.Helper()
	client := awsec2.NewFromConfig(w.cloud.Config())
	for {
		out, err := client.DescribeInstances(w.Context(), &awsec2.DescribeInstancesInput{
			Filters: []ec2types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"pending", "running"}}},
		})
		if err != nil {
			continue
		}
		var found []ec2types.Instance
		for _, r := range out.Reservations {
			found = append(found, r.Instances...)
		}
		return found
	}
}

// left reports whatever is left of a fleet that has nothing to do.
func (w *world) left() error {
	var problems []error
	for _, i := range w.present() {
		problems = append(problems, fmt.Errorf("instance %s (%s) is left running", *i.InstanceId, i.InstanceType))
	}
	for _, h := range w.hosts() {
		problems = append(problems, fmt.Errorf("host %+v is left", h))
	}
	for r, err := range w.store.List(w.Context(), "test.buys", "") {
		problems = append(problems, err, fmt.Errorf("purchase %s is open: %s", r.ID, r.Value))
	}
	for s, err := range w.fleet.List(w.Context(), launcher.Filter{}) {
		if err != nil || s.Phase != launcher.Exited {
			problems = append(problems, err, fmt.Errorf("workload %+v", s))
		}
	}
	return errors.Join(problems...)
}

// story is the life of a small fleet: three workloads on two hosts, of which
// one ends by itself and two are stopped, and then nothing. A process that
// dies is replaced. It returns the calls of AWS that were made for it and how
// many instances were bought.
func story(t *testing.T, faults []fakeaws.Fault, first func(*mortal)) (w *world, calls []fakeaws.Call, bought int) {
	t.Helper()
	w, l := newFleet(t, fakeaws.Config{Delays: fakeaws.Realistic(), Faults: faults}, func(c *ec2launcher.Config) {
		c.Linger = time.Minute
		if first != nil {
			first(c.Store.(*mortal))
		}
	})
	// Whoever calls the launcher dies with it, and the next one calls again.
	// It is at another line of the story then; what was asked stays asked.
	again := func(call func(context.Context) error) {
		t.Helper()
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
			killed, crashed := w.cfg.Store.(*mortal).killed, w.cloud.Crashed()
			go func() {
				select {
				case <-killed:
				case <-crashed:
				case <-ctx.Done():
				}
				cancel()
			}()
			go l.watch(ctx, w.fleet)
			err := call(ctx)
			alive := ctx.Err() == nil && w.cfg.Store.(*mortal).alive() == nil
			cancel()
			if alive && err == nil {
				return
			}
			if alive {
				t.Fatal(err)
			}
			w.replace()
		}
		t.Fatal("the story does not go on")
	}
	all := []launcher.ID{"a", "b", "c"}
	again(func(ctx context.Context) error {
		for _, work := range []launcher.Workload{w.noted("a", "alice", "1m"), w.noted("b", "alice", "slow", "wait"), w.noted("c", "bob", "wait")} {
			if _, err := w.fleet.Launch(ctx, work); err != nil {
				return err
			}
		}
		for _, id := range all {
			_, err := launcher.Wait(ctx, w.fleet, id, func(s launcher.Status) bool { return !s.StartedAt.IsZero() })
			if err != nil {
				return err
			}
		}
		return nil
	})
	synctest.Wait() // a process that has started has yet to say which signals it heeds
	again(func(ctx context.Context) error {
		for _, id := range all[1:] {
			if err := w.fleet.Stop(ctx, id, launcher.StopOptions{}); err != nil {
				return err
			}
		}
		for _, id := range all {
			want := map[launcher.ID]int{"a": 3, "b": 4, "c": 128 + 15}[id]
			s, err := launcher.Wait(ctx, w.fleet, id, func(s launcher.Status) bool { return s.Phase == launcher.Exited })
			if err != nil {
				return err
			}
			if s.ExitCode != want || s.Reason != "" {
				t.Errorf("%s ended as %+v; want code %d", id, s, want)
			}
		}
		return nil
	})
	again(func(ctx context.Context) error {
		select {
		case <-time.After(4 * time.Minute):
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	calls = w.cloud.Calls()
	if err := w.left(); err != nil {
		t.Errorf("at the end:\n%v", err)
	}
	return w, calls, len(w.instances("terminated"))
}

// undisturbed is the story without a crash: its calls, its writes, and how
// many instances it buys.
func undisturbed(t *testing.T) (calls []fakeaws.Call, writes, bought int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, made, n := story(t, nil, nil)
		calls, bought = made[1:], n // but for the security group
		m := w.cfg.Store.(*mortal)
		m.mu.Lock()
		writes = m.writes
		m.mu.Unlock()
	})
	if bought != 2 {
		t.Fatalf("without a crash %d instances were bought for two hosts", bought)
	}
	return calls, writes, bought
}

// A process that dies at any call of AWS, before or after it took effect,
// loses nothing, buys nothing twice and runs nothing twice.
func TestCrashAtEveryCall(t *testing.T) {
	calls, _, want := undisturbed(t)
	t.Logf("%d calls", len(calls))
	for n, c := range calls {
		if testing.Short() && n%4 != 0 {
			continue
		}
		for _, after := range []bool{false, true} {
			name := fmt.Sprintf("%s/%s/%d/after=%t", strings.TrimPrefix(c.Action, "ec2:"), c.Subject, c.Nth, after)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					fault := fakeaws.Fault{Action: c.Action, Subject: c.Subject, Nth: c.Nth, Crash: true, After: after}
					if _, _, bought := story(t, []fakeaws.Fault{fault}, nil); bought != want {
						t.Errorf("%d instances were bought; want %d", bought, want)
					}
				})
			})
		}
	}
}

// A process that dies at any write to the store, before or after it took
// effect, loses nothing either.
func TestCrashAtEveryWrite(t *testing.T) {
	_, writes, want := undisturbed(t)
	t.Logf("%d writes", writes)
	for n := range writes {
		if testing.Short() && n%4 != 0 {
			continue
		}
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d/after=%t", n+1, after), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					_, _, bought := story(t, nil, func(m *mortal) { m.fatal, m.after = n+1, after })
					if bought != want {
						t.Errorf("%d instances were bought; want %d", bought, want)
					}
				})
			})
		}
	}
}
