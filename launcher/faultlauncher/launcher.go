// Package faultlauncher injects failures into any [launcher.Launcher].
package faultlauncher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/atelier-go/atelier/launcher"
)

var _ launcher.Launcher = (*Launcher)(nil)

// A Launcher passes calls on to another, except for those a [Fault] strikes.
// Make one with [Wrap]. It is safe for concurrent use.
type Launcher struct {
	inner  launcher.Launcher
	seed   uint64
	faults []Fault

	mu       sync.Mutex
	calls    map[string]int // by operation and subject
	injected map[Op]int
}

// Wrap returns l with faults; of several that strike a call the first counts.
// The seed decides those with a Rate. Faults that make no sense are one
// [launcher.ErrInvalid] that names every problem.
func Wrap(l launcher.Launcher, seed uint64, faults ...Fault) (*Launcher, error) {
	var problems []error
	if l == nil {
		problems = append(problems, errors.New("the launcher to wrap is nil"))
	}
	for i, f := range faults {
		if err := f.validate(); err != nil {
			problems = append(problems, fmt.Errorf("fault %d: %w", i, err))
		}
	}
	if problems != nil {
		return nil, &launcher.Error{Op: "wrap", Kind: launcher.ErrInvalid, Err: errors.Join(problems...)}
	}
	return &Launcher{
		inner: l, seed: seed, faults: slices.Clone(faults),
		calls: map[string]int{}, injected: map[Op]int{},
	}, nil
}

// Injected returns how many calls of each method were struck so far. A test
// proves by it that what it injects does happen. A List, Watch or Logs that is
// to break later counts when it breaks.
func (l *Launcher) Injected() map[Op]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.injected)
}

// Launch implements [launcher.Launcher].
func (l *Launcher) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	at, fault := l.strike(Launch, w.ID, string(w.ID))
	if fault == nil {
		return l.inner.Launch(ctx, w)
	}
	if fault.After {
		if s, err := l.inner.Launch(ctx, w); err != nil {
			return s, err
		}
	}
	return launcher.Status{}, l.inject(fault, at)
}

// Stop implements [launcher.Launcher].
func (l *Launcher) Stop(ctx context.Context, id launcher.ID, o launcher.StopOptions) error {
	at, fault := l.strike(Stop, id, string(id))
	if fault == nil {
		return l.inner.Stop(ctx, id, o)
	}
	if fault.After {
		if err := l.inner.Stop(ctx, id, o); err != nil {
			return err
		}
	}
	return l.inject(fault, at)
}

// List implements [launcher.Launcher].
func (l *Launcher) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return l.elements(List, f, l.inner.List(ctx, f))
}

// Watch implements [launcher.Launcher].
func (l *Launcher) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return l.elements(Watch, f, l.inner.Watch(ctx, f))
}

// elements passes on a sequence until its fault strikes. Each loop over it is
// a call of its own.
func (l *Launcher) elements(op Op, f launcher.Filter, inner iter.Seq2[launcher.Status, error]) iter.Seq2[launcher.Status, error] {
	id, subject := concerns(f)
	return func(yield func(launcher.Status, error) bool) {
		at, fault := l.strike(op, id, subject)
		if fault == nil {
			inner(yield)
			return
		}
		if fault.Elements == 0 {
			yield(launcher.Status{}, l.inject(fault, at))
			return
		}
		n := 0
		for s, err := range inner {
			if !yield(s, err) || err != nil {
				return
			}
			if n++; n == fault.Elements {
				yield(launcher.Status{}, l.inject(fault, at))
				return
			}
		}
	}
}

// Dial implements [launcher.Launcher].
func (l *Launcher) Dial(ctx context.Context, id launcher.ID, port string) (net.Conn, error) {
	at, fault := l.strike(Dial, id, string(id)+"\x00"+port)
	if fault == nil {
		return l.inner.Dial(ctx, id, port)
	}
	if fault.After {
		c, err := l.inner.Dial(ctx, id, port)
		if err != nil {
			return nil, err
		}
		c.Close()
	}
	return nil, l.inject(fault, at)
}

// Logs implements [launcher.Launcher].
func (l *Launcher) Logs(ctx context.Context, id launcher.ID, o launcher.LogOptions) (io.ReadCloser, error) {
	at, fault := l.strike(Logs, id, string(id))
	if fault == nil {
		return l.inner.Logs(ctx, id, o)
	}
	if !fault.After {
		return nil, l.inject(fault, at)
	}
	r, err := l.inner.Logs(ctx, id, o)
	if err != nil {
		return nil, err
	}
	return &brokenReader{ReadCloser: r, left: fault.Bytes, fail: sync.OnceValue(func() error { return l.inject(fault, at) })}, nil
}

// Usage implements [launcher.Launcher].
func (l *Launcher) Usage(ctx context.Context, id launcher.ID) (launcher.Usage, error) {
	at, fault := l.strike(Usage, id, string(id))
	if fault == nil {
		return l.inner.Usage(ctx, id)
	}
	if fault.After {
		if u, err := l.inner.Usage(ctx, id); err != nil {
			return u, err
		}
	}
	return launcher.Usage{}, l.inject(fault, at)
}

// brokenReader fails when left bytes were read. Like any reader it is used by
// one goroutine at a time.
type brokenReader struct {
	io.ReadCloser
	left int64
	fail func() error
}

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, r.fail()
	}
	n, err := r.ReadCloser.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// strike counts a call and returns the fault that strikes it, or nil.
func (l *Launcher) strike(op Op, id launcher.ID, subject string) (call, *Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := string(op) + "\x00" + subject
	l.calls[key]++
	at := call{op: op, id: id, subject: subject, n: l.calls[key]}
	for i, f := range l.faults {
		if f.strikes(at, l.seed, i) {
			return at, &l.faults[i]
		}
	}
	return at, nil
}

// inject counts a fault and returns its error.
func (l *Launcher) inject(f *Fault, at call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.injected[at.op]++
	return f.error(at)
}

// concerns returns the workload a filter names, if it names one, and what
// distinguishes the filter from others.
func concerns(f launcher.Filter) (launcher.ID, string) {
	var id launcher.ID
	if len(f.IDs) == 1 {
		id = f.IDs[0]
	}
	var subject strings.Builder
	for _, id := range f.IDs {
		fmt.Fprintf(&subject, "%s\x00", id)
	}
	fmt.Fprintf(&subject, "\x00%s\x00", f.Owner)
	for _, k := range slices.Sorted(maps.Keys(f.Labels)) {
		fmt.Fprintf(&subject, "%s=%s\x00", k, f.Labels[k])
	}
	return id, subject.String()
}
