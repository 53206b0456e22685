package session_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store/storetest"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

var (
	modelSeed = flag.Uint64("model.seed", 0, "replay the model test with this seed alone")
	modelOps  = flag.Int("model.ops", 0, "operations of each run of the model test; 0 is 300, or 100 with -short")
	modelOnly = flag.String("model.only", "", "numbers of the operations that are played, with commas between; empty is all")
)

func modelSize() int {
	switch {
	case *modelOps != 0:
		return *modelOps
	case testing.Short():
		return 100
	}
	return 300
}

// TestModel: random callers ask random things of several managers on one store,
// while programs end, hosts are lost and taken back, stores and launchers fail,
// processes die or stand still, the owner changes policies and the clock runs on. A
// small model, which knows of the library what its documentation promises and no
// more, says of every answer and of every record that is written whether it may be
// so; see invariants and quiet for what holds after each operation and when
// everything has calmed down.
//
// The seed decides every operation, and how long each call takes and whether it fails
// by how often it came. What goroutines do at one instant it does not, by which a
// replay may drift by milliseconds:
//
//	go test -run TestModel ./session -args -model.seed=7 -model.ops=10000
func TestModel(t *testing.T) {
	seeds := []uint64{1, 2}
	if *modelSeed != 0 {
		seeds = []uint64{*modelSeed}
	} else if testing.Short() {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			run := playModel(t, seed, numbers(t))
			t.Logf("%d operations in %v: %v", run.played, run.lasted.Round(time.Minute), run.kinds)
			if run.failures == nil {
				return
			}
			t.Errorf("seed %d: %s", seed, strings.Join(run.failures, "\n"))
			again := fmt.Sprint("go test -run TestModel ./session -args -model.seed=", seed)
			t.Errorf("replay with: %s -model.ops=%d", again, run.played)
			small := shrink(t, seed, run)
			t.Errorf("these operations fail, too (of the last 40):\n%s\n%s", strings.Join(small.trace[max(0, len(small.trace)-40):], "\n"), strings.Join(small.failures, "\n"))
			if len(small.ops) <= 200 {
				t.Errorf("replay them with: %s -model.only=%s", again, strings.ReplaceAll(strings.Trim(fmt.Sprint(small.ops), "[]"), " ", ","))
			}
		})
	}
}

// A modelRun is what came of a run.
type modelRun struct {
	played   int
	ops      []int
	trace    []string // a line for each operation
	failures []string
	kinds    map[string]int
	lasted   time.Duration
}

// numbers are the operations to play.
func numbers(t *testing.T) (all []int) {
	if *modelOnly == "" {
		return upTo(modelSize())
	}
	for text := range strings.SplitSeq(*modelOnly, ",") {
		n, err := strconv.Atoi(text)
		check(t, err)
		all = append(all, n)
	}
	return all
}

// upTo is the numbers below n.
func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// playModel plays the operations of some numbers. What each does depends on the
// seed, its number and what it finds, so that one may be left out.
func playModel(t *testing.T, seed uint64, ops []int) (run modelRun) {
	cryptotest.SetGlobalRandom(t, seed)
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // it makes much garbage, and keeps little
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{TB: t}
		begun := time.Now()
		x := newModel(r, seed)
		x.play(ops)
		run = modelRun{played: x.played, ops: ops[:x.played], trace: x.trace, failures: r.found(), kinds: x.kinds, lasted: time.Since(begun)}
	})
	return run
}

// shrinkFor is how long a run that failed is made smaller.
const shrinkFor = 20 * time.Second

// shrink leaves out operations of a run that failed as long as the rest fails, too.
func shrink(t *testing.T, seed uint64, run modelRun) modelRun {
	begun := time.Now()
	for size := len(run.ops) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(run.ops); {
			if time.Since(begun) > shrinkFor {
				return run
			}
			fewer := playModel(t, seed, slices.Concat(run.ops[:at], run.ops[at+size:]))
			if fewer.failures != nil {
				run = fewer
			} else {
				at += size
			}
		}
	}
	return run
}

// The model: what callers were promised, and what has been seen.
type model struct {
	*world
	seed     uint64
	witness  *witness
	aws      *reclaimer
	gate     *gate
	observer *session.Manager // reads the store; it never runs
	servers  []*server
	names    int

	number int // of the operation
	played int
	trace  []string
	kinds  map[string]int
	took   map[string]time.Duration

	mu     sync.Mutex
	lives  map[session.ID]*life
	ids    []session.ID // of lives, in the order in which they were made
	users  map[string]*person
	open   map[string]bool // projects of group lab
	wishes map[string]*wish
	rules  []ruling // the owner's policies, the latest last

	lost, blind map[launcher.ID]bool      // containers whose host is gone, or does not answer
	calm        time.Time                 // since when nothing is in trouble
	rough       time.Time                 // when something was last put into trouble
	orphans     map[launcher.ID]time.Time // containers that nobody wants, since when
	read        string                    // the last entry of the audit record that was read
	told        map[session.ID][]string   // what it tells of each session
}

// A person is a user of the domain as the model knows them.
type person struct {
	groups []string
	member bool
	unsure bool             // they may have been offboarded, or be a moment later
	spent  map[string]int64 // what sessions that ended cost, by month
}

// A life is all that the model knows of a session.
type life struct {
	id      session.ID
	request session.StartRequest
	now     session.Session // as it was last written
	gone    bool            // it was deleted
	moves   []string        // each change of its state
	during  []session.State // its states since the operation began
	since   ruling          // the strictest and the mildest that its generation may be under
	mildest ruling
	inside  bool      // its generation counts in the domain's account
	lab     bool      // its user was of the lab when its generation began
	begun   time.Time // when its generation did
	used    time.Time // its last use that was reported
	solid   time.Time // the one before
	clean   bool      // its program hangs
	ordered []string  // orders that were obeyed for certain, the latest last
	stopped bool      // a caller asked for its end
	killed  time.Time // when one first asked for it at once
	parted  bool      // a caller may have asked that it be suspended, or it to leave
	ended   time.Time // when it was deleted
	spent   int64     // what all its sessions cost
}

// A wish is an order that was given once or more.
type wish struct {
	op      string
	id      session.ID
	clean   bool
	resume  session.ResumeRequest // that it was, if it was one
	obeyed  int                   // changes that it made
	written int                   // lines of the audit record that have it
}

// A ruling is the policies of the domain and of group lab from a time on.
type ruling struct {
	from time.Time
	all  domain.Policy
	lab  domain.Policy
}

func newModel(t *recorder, seed uint64) *model {
	w := newWorldOn(t, fakelauncher.Config{
		Room:   launcher.Resources{MilliCPU: 16000, MemoryMiB: 64 << 10},
		Delays: fakelauncher.Delays{Start: 700 * time.Millisecond},
	})
	x := &model{
		world: w, seed: seed, kinds: map[string]int{}, took: map[string]time.Duration{},
		lives: map[session.ID]*life{}, users: map[string]*person{}, open: map[string]bool{}, wishes: map[string]*wish{},
		orphans: map[launcher.ID]time.Time{}, told: map[session.ID][]string{},
		lost: map[launcher.ID]bool{}, blind: map[launcher.ID]bool{}, calm: time.Now(), rough: time.Now(),
	}
	x.gate = &gate{
		Launcher: w.host, x: x, digests: map[launcher.ID]string{}, homes: map[uint32]string{},
		uids: map[string]uint32{}, tokens: map[string]launcher.ID{}, ended: map[launcher.ID]bool{},
	}
	w.guard.Launcher = x.gate
	x.aws = w.reclaimer()
	x.aws.dress = x.dress
	x.witness = &witness{Store: w.store}
	var err error
	x.observer, err = session.New(w.domain, w.host, session.Config{})
	check(t, err)
	x.witness.wrote = x.saw
	ctx := t.Context()
	_, err = w.cloud.PushImage("registry.example.com/broken:1", fakeaws.Image{Program: program})
	check(t, err)
	_, err = w.domain.Attach(ctx, domain.AttachRequest{Name: "broken", Reference: "registry.example.com/broken:1"})
	check(t, err)
	for _, user := range []string{"alice", "bob", "carol"} {
		x.onboard(user, nil)
	}
	x.policy(domain.Policy{
		Sessions: 6, SessionsPerUser: 3, BudgetPerUser: 500_000, Idle: []domain.IdleRule{{After: 8 * time.Minute}},
	}, domain.Policy{Sessions: 2})
	x.servers = []*server{x.serve(), x.serve()}
	return x
}

// play plays operations, and ends everything.
func (x *model) play(ops []int) {
	defer func() {
		if caught := recover(); caught != nil && caught != any(errGivenUp) {
			panic(caught)
		}
		for _, s := range x.servers {
			x.wake(s)
			s.end()
		}
		time.Sleep(2 * storetest.LateBy) // what was late is there
	}()
	for _, n := range ops {
		x.number = n
		x.played++
		r := rand.New(rand.NewPCG(x.seed, uint64(n)))
		x.mark()
		op, answer := x.choose(r), ""
		began := time.Now()
		for range 5 {
			if answer = op.do(x, r); answer != "" {
				break
			}
			op = x.choose(r) // there was nothing that it could be done to
		}
		x.kinds[op.name]++
		x.took[op.name] += time.Since(began)
		x.trace = append(x.trace, fmt.Sprintf("%d %s: %s | %s", n, op.name, answer, x.digest()))
		x.invariants()
		if x.t.Failed() {
			return
		}
		x.pass(r)
		if n%modelQuiet == 150 {
			x.quiet()
			x.night()
		}
		if x.t.Failed() {
			return
		}
	}
	x.quiet()
}

// modelQuiet is after how many operations everything is left alone for a while.
const modelQuiet = 500

// pass lets time go by: most often none or little.
func (x *model) pass(r *rand.Rand) {
	d := time.Duration(0)
	switch at := r.IntN(100); {
	case at < 30:
	case at < 80:
		d = 3 * time.Second
	case at < 90:
		d = 40 * time.Second
	case at < 99:
		d = time.Second
	default:
		d = 10 * time.Minute
	}
	if d > 0 {
		time.Sleep(time.Duration(r.Int64N(int64(d))))
	}
	x.settleTrouble()
}

// mark begins to note the states of all sessions.
func (x *model) mark() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range x.lives {
		l.during = append(l.during[:0], l.now.State)
	}
}

// digest is how all sessions are, in a few letters.
func (x *model) digest() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d", time.Now().UnixNano())
	for _, id := range x.ids {
		if l := x.lives[id]; !l.gone {
			fmt.Fprintf(&b, " %s.%d %s", id, l.now.Generation, l.now.State)
		}
	}
	return b.String()
}

// dress is what the launcher says of containers whose host is lost or silent. The
// reclaimer holds its lock.
func (x *model) dress(s launcher.Status) launcher.Status {
	if x.lost[s.ID] && s.Phase == launcher.Exited {
		s.Reason, s.Message = launcher.ErrHostLost, "the host is gone"
	}
	if x.blind[s.ID] && s.Phase != launcher.Exited {
		s.Unknown = true
	}
	return s
}

// containerOf is the name of a session's container.
func containerOf(id session.ID, generation int) launcher.ID {
	return launcher.ID(fmt.Sprintf("research.%s.%d", id, generation))
}

// alive reports whether a session's container lives, whatever its launcher can say.
func (x *model) alive(id session.ID, generation int) bool {
	s, err := launcher.Get(context.Background(), x.host, containerOf(id, generation))
	if errors.Is(err, launcher.ErrNotFound) {
		return false
	}
	check(x.t, err)
	return s.Phase != launcher.Exited
}
