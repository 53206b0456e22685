package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/atelier-go/atelier/domain/store"
)

// Many short histories find as much as a long one, and the search stays short.
const (
	rounds  = 20 // with -short, a quarter
	clients = 4
	calls   = 12 // of each client
)

// A trial has clients do at random what they can with two records, and looks
// for an order of all calls that explains what each of them saw.
type trial struct {
	faults   bool             // whether there are those of seeded
	expected func(error) bool // which other errors a call may fail with; nil for none
	restart  func(store.Store) store.Store
	restarts int // how often, while clients go on

	// Of each round.
	collection string
	seed       uint64
	*history
}

// A life is that of a store until it is restarted.
type life struct {
	store store.Store
	ends  atomic.Bool   // its calls may fail
	ended chan struct{} // the next has begun, or none will
}

// run has the trial on a store and returns that which the last restart
// returned.
func (tr *trial) run(ctx context.Context, s store.Store) (store.Store, error) {
	var present atomic.Pointer[life]
	present.Store(&life{store: s, ended: make(chan struct{})})
	progress := make(chan struct{}, clients*calls) // one for each call that has ended
	failures := make([]error, clients)
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			c := client{trial: tr, number: n, known: map[string]int64{}, rnd: rand.New(rand.NewPCG(tr.seed, uint64(n)))}
			next := seeded(tr.seed, uint64(n))
			for range calls {
				now := present.Load()
				s := now.store
				if tr.faults {
					s = &Faulty{Store: s, Next: next}
				}
				err := c.call(ctx, s, now)
				failures[n] = errors.Join(failures[n], err)
				progress <- struct{}{}
			}
		})
	}
	func() {
		// Also if restart ends the test: the clients must end before it does.
		defer wg.Wait()
		defer func() { close(present.Load().ended) }()
		for n := 1; n <= clients*calls; n++ {
			<-progress
			if n%(clients*calls/(tr.restarts+1)) != 0 || n == clients*calls {
				continue
			}
			last := present.Load()
			last.ends.Store(true)
			next := &life{store: tr.restart(last.store), ended: make(chan struct{})}
			present.Store(next)
			close(last.ended)
		}
	}()
	// What there is in the end has to be explained as well.
	now := present.Load()
	last := client{trial: tr, number: clients, known: map[string]int64{}}
	return now.store, errors.Join(append(failures, last.list(ctx, now.store, tr.clock.Add(1), now))...)
}

// A client makes one call after another.
type client struct {
	*trial
	number int
	known  map[string]int64 // the version of each record seen last
	rnd    *rand.Rand
	made   int
}

// call makes one call, chosen at random, and adds it to the history.
func (c *client) call(ctx context.Context, s store.Store, now *life) error {
	c.made++
	id := string('a' + rune(c.rnd.IntN(2)))
	in := request{call: "get", id: id}
	var out response
	var err error
	called := c.clock.Add(1)
	switch c.rnd.IntN(8) {
	case 0, 1:
		var r store.Record
		r, err = s.Get(ctx, c.collection, id)
		out = response{version: r.Version, value: string(r.Value)}
		if err == nil || errors.Is(err, store.ErrNotFound) {
			c.known[id] = r.Version
		}
	case 2:
		return c.list(ctx, s, called, now)
	case 3:
		in = request{call: "delete", id: id, version: c.known[id]}
		if err = s.Delete(ctx, c.collection, id, in.version); err == nil {
			c.known[id] = 0
		}
	default:
		in = request{call: "put", id: id, version: c.known[id], value: fmt.Sprintf("%d.%d", c.number, c.made)}
		var version int64
		version, err = s.Put(ctx, store.Record{Collection: c.collection, ID: id, Version: in.version, Value: []byte(in.value)})
		if err == nil {
			c.known[id], out.version = version, version
		}
	}
	for _, kind := range []error{store.ErrNotFound, store.ErrConflict} {
		if errors.Is(err, kind) {
			out.err, err = kind, nil
		}
	}
	if err != nil {
		if err := c.accept(err, now); err != nil {
			return fmt.Errorf("%s %s: %w", in.call, id, err)
		}
		if in.call == "get" {
			return nil // it tells nothing
		}
		out = response{unknown: true}
	}
	c.add(c.number, called, in, out)
	return nil
}

// list adds to the history what one List says of each record.
func (c *client) list(ctx context.Context, s store.Store, called int64, now *life) error {
	found := map[string]response{"a": {err: store.ErrNotFound}, "b": {err: store.ErrNotFound}}
	for r, err := range s.List(ctx, c.collection, "") {
		if err != nil {
			if err := c.accept(err, now); err != nil {
				return fmt.Errorf("list: %w", err)
			}
			return nil
		}
		found[r.ID] = response{version: r.Version, value: string(r.Value)}
	}
	for id, out := range found {
		c.known[id] = out.version
		c.add(c.number, called, request{call: "get", id: id}, out)
	}
	return nil
}

// accept returns an error that a call must not end with. It waits for the next
// life if this one is over.
func (c *client) accept(err error, now *life) error {
	switch {
	case c.faults && errors.Is(err, ErrFault):
		return nil
	case now.ends.Load():
		<-now.ended
		return nil
	case c.expected != nil && c.expected(err):
		return nil
	}
	return err
}

// repeat runs a trial n times on s, and returns how many calls had an
// outcome that is unknown, and what is wrong with the first history that is
// none of a store.
func (tr trial) repeat(ctx context.Context, s store.Store, n int) (unknown int, problem string, err error) {
	for round := range n {
		tr.collection, tr.seed, tr.history = fmt.Sprint("round", round), uint64(round), &history{}
		if s, err = tr.run(ctx, s); err != nil {
			return 0, "", err
		}
		if problem := tr.problem(); problem != "" {
			return 0, problem, nil
		}
		unknown += tr.unknown()
	}
	return unknown, "", nil
}

func testLinearisable(t *testing.T, s store.Store) {
	trial{}.test(t, s)
}

func testLinearisableFaults(t *testing.T, s store.Store) {
	trial{faults: true}.test(t, s)
}

func testLinearisableRestarts(t *testing.T, h Harness) {
	restart := func(s store.Store) store.Store { return h.Reopen(t, s) }
	trial{faults: true, restart: restart, restarts: 2}.test(t, h.New(t))
}

func testLinearisableOwnFaults(t *testing.T, h Harness) {
	expected := func(err error) bool { return !errors.Is(err, store.ErrInvalid) }
	trial{expected: expected}.test(t, h.Faulty(t, h.New(t)))
}

func (tr trial) test(t *testing.T, s store.Store) {
	n := rounds
	if testing.Short() {
		n /= 4
	}
	unknown, problem, err := tr.repeat(t.Context(), s, n)
	switch {
	case err != nil:
		t.Error(err)
	case problem != "":
		t.Error(problem)
	case (tr.faults || tr.expected != nil) && unknown == 0:
		t.Error("no call had an outcome that is unknown: nothing was tested")
	}
}
