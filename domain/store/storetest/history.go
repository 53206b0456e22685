package storetest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/atelier-go/atelier/domain/store"
)

// patience bounds the search for an order of events, which takes milliseconds
// when there is one and can take for ever when there is none.
const patience = 20 * time.Second

// A request is one call, or what a List says of one record. No two puts of a
// history have the same value, so that a value tells which put it is from.
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
	// unknown is a put or delete that failed with any other error: it may have
	// happened, or happen at any time until the end.
	unknown bool
}

// A state is one record; version zero is none.
type state struct {
	version int64
	value   string
	// hidden is a record at a version that nobody ever sees.
	hidden bool
}

func (s state) exists() bool          { return s.hidden || s.version != 0 }
func (s state) at(version int64) bool { return !s.hidden && s.version == version }

// model is what a store has to look like, for one record. A call whose outcome
// is unknown is one that takes effect at some time until the history's end: that
// it never does is that it does so last, when nobody looks any more.
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
			if !now.exists() {
				return out.err == store.ErrNotFound, now
			}
			return out.err == nil && now.at(out.version) && out.value == now.value, now
		case "put":
			switch {
			case !now.at(in.version):
				return out.unknown || out.err == store.ErrConflict, now
			case out.unknown:
				return true, state{value: in.value, hidden: true}
			}
			return out.err == nil && !now.at(out.version), state{version: out.version, value: in.value}
		default: // delete
			switch {
			case !now.exists():
				return out.unknown || out.err == store.ErrNotFound, now
			case !now.at(in.version):
				return out.unknown || out.err == store.ErrConflict, now
			}
			return out.unknown || out.err == nil, state{}
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// A history is what clients saw, timed by a counter: a call that begins after
// another has returned has the greater number.
type history struct {
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

// unknown counts the calls whose outcome is unknown.
func (h *history) unknown() int {
	n := 0
	for _, o := range h.operations {
		if o.Output.(response).unknown {
			n++
		}
	}
	return n
}

// settled returns the calls with what the whole history tells of the unknown
// ones: they may take effect until its end, and a put whose value was read did
// happen, with the version it was read at.
func (h *history) settled() []porcupine.Operation {
	type written struct{ id, value string }
	seen := map[written]int64{}
	for _, o := range h.operations {
		in, out := o.Input.(request), o.Output.(response)
		if in.call == "get" && out.err == nil {
			seen[written{in.id, out.value}] = out.version
		}
	}
	end := h.clock.Add(1)
	var settled []porcupine.Operation
	for _, o := range h.operations {
		in, out := o.Input.(request), o.Output.(response)
		if out.unknown {
			o.Return = end
			if version, ok := seen[written{in.id, in.value}]; ok && in.call == "put" {
				o.Output = response{version: version}
			}
		}
		settled = append(settled, o)
	}
	return settled
}

// problem says why the history is none of a store: it has no explanation, or
// one version twice. It is empty if there is none.
func (h *history) problem() string {
	var b strings.Builder
	operations := h.settled()
	if result := porcupine.CheckOperationsTimeout(model, operations, patience); result != porcupine.Ok {
		fmt.Fprintf(&b, "no order of these %d calls explains what they saw (the search is %s):\n", len(operations), result)
		for _, o := range operations {
			fmt.Fprintf(&b, "client %d, %d to %d: %s\n", o.ClientId, o.Call, o.Return, model.DescribeOperation(o.Input, o.Output))
		}
	}
	type write struct {
		id      string
		version int64
	}
	writes := map[write]bool{}
	for _, o := range operations {
		in, out := o.Input.(request), o.Output.(response)
		if in.call != "put" || out.err != nil || out.unknown {
			continue
		}
		w := write{in.id, out.version}
		if writes[w] {
			fmt.Fprintf(&b, "version %d was given to record %s twice\n", out.version, in.id)
		}
		writes[w] = true
	}
	return b.String()
}
