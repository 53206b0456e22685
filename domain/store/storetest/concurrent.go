package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/atelier-go/atelier/domain/store"
)

// testIncrements has many writers count in one record.
func testIncrements(t *testing.T, s store.Store) {
	const writers, times = 8, 25
	put(t, s, "counters", "a", "0", 0)
	increment := func() error {
		for {
			r, err := s.Get(t.Context(), "counters", "a")
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(r.Value))
			if err != nil {
				return err
			}
			r.Value = []byte(strconv.Itoa(n + 1))
			if _, err := s.Put(t.Context(), r); !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range times {
				if err := increment(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	r, err := s.Get(t.Context(), "counters", "a")
	if want := strconv.Itoa(writers * times); err != nil || string(r.Value) != want {
		t.Errorf("after %s increments the counter is %s, %v", want, r.Value, err)
	}
}

// testConcurrentCreates has many writers make the same record.
func testConcurrentCreates(t *testing.T, s store.Store) {
	for round := range 10 {
		var made, refused atomic.Int32
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: fmt.Sprint(round), Value: []byte{byte(n)}})
				switch {
				case err == nil:
					made.Add(1)
				case errors.Is(err, store.ErrConflict):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 || refused.Load() != 7 {
			t.Errorf("%d of 8 made a record, %d were refused", made.Load(), refused.Load())
		}
	}
}

// patience bounds the search for an order of events, which takes milliseconds
// when there is one and can take for ever when there is none.
const patience = 20 * time.Second

// A request is one call, or what a List says of one record.
type request struct {
	call    string // "get", "put", "delete"
	id      string
	version int64
	value   string
}

// A response is the outcome: the version and value that were read, or the
// version that was written.
type response struct {
	version int64
	value   string
	err     error // nil, ErrNotFound or ErrConflict
}

// A state is one record; version zero is none.
type state struct {
	version int64
	value   string
}

// model is what a store has to look like, for one record.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		records := map[string][]porcupine.Operation{}
		for _, o := range history {
			id := o.Input.(request).id
			records[id] = append(records[id], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range records {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return state{} },
	Step: func(before, input, output any) (bool, any) {
		now, in, out := before.(state), input.(request), output.(response)
		switch in.call {
		case "get":
			if now.version == 0 {
				return out.err == store.ErrNotFound, now
			}
			return out.err == nil && out.version == now.version && out.value == now.value, now
		case "put":
			if now.version != in.version {
				return out.err == store.ErrConflict, now
			}
			return out.err == nil && out.version != now.version, state{out.version, in.value}
		default: // delete
			switch {
			case now.version == 0:
				return out.err == store.ErrNotFound, now
			case now.version != in.version:
				return out.err == store.ErrConflict, now
			}
			return out.err == nil, state{}
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// A history is what clients saw, timed by a counter: a call that begins after
// another has returned has the greater number.
type history struct {
	collection string
	clock      atomic.Int64
	mu         sync.Mutex
	operations []porcupine.Operation
}

func (h *history) add(client int, called int64, in request, out response) {
	o := porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: h.clock.Add(1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, o)
}

// testLinearisable has clients do at random what they can with two records, and
// looks for an order of all calls that explains what each of them saw. Many
// short histories find as much as a long one, and the search stays short.
func testLinearisable(t *testing.T, s store.Store) {
	const rounds, clients, calls = 20, 4, 12
	for round := range rounds {
		h := history{collection: fmt.Sprint("round", round)}
		var wg sync.WaitGroup
		for client := range clients {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(round), uint64(client)))
				known := map[string]int64{} // the version seen last
				for n := range calls {
					id := string('a' + rune(rnd.IntN(2)))
					value := fmt.Sprintf("%d.%d", client, n)
					if err := h.call(t.Context(), s, client, rnd.IntN(8), id, value, known); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		h.check(t)
		if t.Failed() {
			return
		}
	}
}

// check fails the test if the history has no explanation, or a version twice.
func (h *history) check(t *testing.T) {
	if result := porcupine.CheckOperationsTimeout(model, h.operations, patience); result != porcupine.Ok {
		t.Errorf("no order of these %d calls explains what they saw (the search is %s):", len(h.operations), result)
		for _, o := range h.operations {
			t.Logf("client %d, %d to %d: %s", o.ClientId, o.Call, o.Return, model.DescribeOperation(o.Input, o.Output))
		}
	}
	type write struct {
		id      string
		version int64
	}
	writes := map[write]bool{}
	for _, o := range h.operations {
		in, out := o.Input.(request), o.Output.(response)
		if in.call != "put" || out.err != nil {
			continue
		}
		w := write{in.id, out.version}
		if writes[w] {
			t.Errorf("version %d was given to record %s twice", out.version, in.id)
		}
		writes[w] = true
	}
}

// call makes one call, chosen by a number below 8, and adds it to the history.
func (h *history) call(ctx context.Context, s store.Store, client, choice int, id, value string, known map[string]int64) error {
	in := request{call: "get", id: id}
	var out response
	var err error
	called := h.clock.Add(1)
	switch choice {
	case 0, 1:
		var r store.Record
		r, err = s.Get(ctx, h.collection, id)
		known[id] = r.Version
		out = response{version: r.Version, value: string(r.Value)}
	case 2:
		return h.list(ctx, s, client, called, known)
	case 3:
		in = request{call: "delete", id: id, version: known[id]}
		if err = s.Delete(ctx, h.collection, id, in.version); err == nil {
			known[id] = 0
		}
	default:
		in = request{call: "put", id: id, version: known[id], value: value}
		out.version, err = s.Put(ctx, store.Record{Collection: h.collection, ID: id, Version: in.version, Value: []byte(value)})
		if err == nil {
			known[id] = out.version
		} else {
			out.version = 0
		}
	}
	for _, kind := range []error{store.ErrNotFound, store.ErrConflict} {
		if errors.Is(err, kind) {
			out.err, err = kind, nil
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", in.call, id, err)
	}
	h.add(client, called, in, out)
	return nil
}

// list adds to the history what one List says of each record.
func (h *history) list(ctx context.Context, s store.Store, client int, called int64, known map[string]int64) error {
	found := map[string]response{"a": {err: store.ErrNotFound}, "b": {err: store.ErrNotFound}}
	for r, err := range s.List(ctx, h.collection, "") {
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		found[r.ID] = response{version: r.Version, value: string(r.Value)}
	}
	for id, out := range found {
		known[id] = out.version
		h.add(client, called, request{call: "get", id: id}, out)
	}
	return nil
}
