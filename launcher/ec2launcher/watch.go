package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// probeEvery is how often the engine of a host that does not answer is tried.
	probeEvery = time.Second
	// roomLimit is how long an engine may take to say what room it has.
	roomLimit = 15 * time.Second
	// fullFor is how long a host that refused a workload for want of room is
	// left out of placement.
	fullFor = 30 * time.Second
	// killAgain is how long after its grace a workload may still run before
	// its host is told to kill it once more.
	killAgain = 10 * time.Second
)

// A hostWatch follows one host: it connects to its engine, reports it ready,
// and keeps what it says of its workloads. It lives as long as the reconciler
// needs it.
type hostWatch struct {
	id   string
	r    *reconciler
	end  context.CancelFunc
	done chan struct{}

	mu        sync.Mutex
	open      HostLauncher
	readyAt   time.Time // when it answered for the first time, as recorded
	failure   error     // why it does not answer
	synced    bool
	statuses  map[launcher.ID]launcher.Status
	stops     map[launcher.ID]sentStop
	fullUntil time.Time
}

// heard are the hosts that have said something that no pass has looked at yet.
type heard struct {
	mu    sync.Mutex
	hosts map[string]bool
}

// from notes that a host has said something.
func (h *heard) from(host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hosts == nil {
		h.hosts = map[string]bool{}
	}
	h.hosts[host] = true
}

// take adds them to others and forgets them.
func (h *heard) take(others map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.Copy(others, h.hosts)
	clear(h.hosts)
}

// sentStop is the last that a host was told about the end of a workload.
type sentStop struct {
	kill  time.Time // of the stopRecord
	until time.Time // when the workload should have ended
}

// follow starts watching a host.
func (r *reconciler) follow(ctx context.Context, h Host) *hostWatch {
	ctx, end := context.WithCancel(ctx)
	w := &hostWatch{
		id: h.ID, r: r, end: end, done: make(chan struct{}),
		statuses: map[launcher.ID]launcher.Status{}, stops: map[launcher.ID]sentStop{},
	}
	r.onHosts.wg.Go(func() {
		defer close(w.done)
		defer r.l.engines.drop(h.ID)
		for ctx.Err() == nil {
			err := w.session(ctx, h)
			r.l.engines.drop(h.ID)
			if ctx.Err() != nil {
				return
			}
			w.lost(ctx, err)
			if pace.Sleep(ctx, probeEvery) != nil {
				return
			}
		}
	})
	return w
}

// session is one connection to the engine, until it breaks.
func (w *hostWatch) session(ctx context.Context, h Host) error {
	engine, err := w.r.l.engines.get(ctx, h)
	if err != nil {
		return err
	}
	room, err := askRoom(ctx, engine)
	if err != nil {
		return err
	}
	h, err = w.r.hostAnswers(ctx, w.id, room)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.open, w.readyAt = engine, h.ReadyAt
	w.mu.Unlock()
	snapshot := map[launcher.ID]launcher.Status{}
	for s, err := range engine.Watch(ctx, launcher.Filter{}) {
		switch {
		case err != nil:
			return err
		case s.Synced():
			if snapshot != nil { // an engine that marks twice says nothing new
				w.sync(snapshot)
				snapshot = nil
			}
			w.r.l.wake()
			continue
		case snapshot != nil:
			snapshot[s.ID] = s
		default:
			w.hear(s)
		}
		if err := w.r.observe(ctx, w.id, s); err != nil {
			return err
		}
		w.r.l.wake()
	}
	return launcher.ErrUnavailable
}

// askRoom asks an engine for its room, which takes it no time: one that hangs
// does not answer.
func askRoom(ctx context.Context, engine HostLauncher) (room launcher.Resources, err error) {
	err = pace.Within(ctx, roomLimit, func(ctx context.Context) error {
		room, err = engine.Room(ctx)
		return err
	})
	if errors.Is(err, pace.ErrLate) {
		err = fmt.Errorf("its engine did not say within %v what room it has", roomLimit)
	}
	return room, err
}

// repeat makes what the host has said be looked at once more.
func (w *hostWatch) repeat() {
	w.r.heard.from(w.id)
}

// sync takes a complete account of what is on the host for what is known.
func (w *hostWatch) sync(snapshot map[launcher.ID]launcher.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statuses, w.synced = snapshot, true
	w.r.heard.from(w.id)
}

// lost notes that the engine does not answer.
func (w *hostWatch) lost(ctx context.Context, err error) {
	w.mu.Lock()
	w.open, w.synced, w.failure = nil, false, err
	w.r.heard.from(w.id)
	clear(w.stops)
	w.mu.Unlock()
	w.r.hostSilent(ctx, w.id, err)
}

// why returns what stood in the way to the host last, in brackets; empty if
// nothing is known.
func (w *hostWatch) why() string {
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure == nil {
		return ""
	}
	return " (" + w.failure.Error() + ")"
}

// engine returns the way to the host while it answers.
func (w *hostWatch) engine() (HostLauncher, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open == nil {
		return nil, fmt.Errorf("host %s: %w", w.id, launcher.ErrUnavailable)
	}
	return w.open, nil
}

// answers reports whether the host has given a complete account and goes on.
func (w *hostWatch) answers() bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synced
}

// said returns what the host last said of a workload; synced is false while
// it has not given a complete account.
func (w *hostWatch) said(id launcher.ID) (s launcher.Status, synced, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, known = w.statuses[id]
	return s, w.synced, known
}

// strays returns what the host says that it runs and that is not wanted there, in
// the order of IDs. Before its first complete account there are none.
func (w *hostWatch) strays(wanted func(launcher.ID) bool) (strays []launcher.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.synced {
		return nil
	}
	for id, s := range w.statuses {
		if s.Phase != launcher.Exited && !wanted(id) {
			strays = append(strays, s)
		}
	}
	slices.SortFunc(strays, func(a, b launcher.Status) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return strays
}

// hear keeps what the host says of a workload, unless it knows of its exit.
func (w *hostWatch) hear(s launcher.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.statuses[s.ID].Phase != launcher.Exited {
		w.statuses[s.ID] = s
		w.r.heard.from(w.id)
	}
}

// unhear forgets a workload the host was told to forget.
func (w *hostWatch) unhear(id launcher.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.statuses, id)
	delete(w.stops, id)
	w.r.heard.from(w.id)
}

// unstart forgets a workload that the host was about to start.
func (w *hostWatch) unstart(id launcher.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.statuses[id].Phase == launcher.Starting {
		delete(w.statuses, id)
		w.r.heard.from(w.id)
	}
}

// nextStop returns what the host is to be told about the end of a workload;
// due is false while it was told and has time left. A host that is told after
// the grace is over, because nobody reached it before, still gives the
// workload its signal and its time.
func (w *hostWatch) nextStop(id launcher.ID, s stopRecord, now time.Time) (o launcher.StopOptions, due bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent, ok := w.stops[id]
	switch {
	case !ok || !sent.kill.Equal(s.Kill):
		o = launcher.StopOptions{Signal: s.Signal, Grace: s.Kill.Sub(now)}
		if o.Grace <= 0 {
			o.Grace = s.Grace
		}
		return o, true
	case now.After(sent.until):
		return launcher.StopOptions{Signal: "SIGKILL"}, true
	}
	return o, false
}

func (w *hostWatch) sentStop(id launcher.ID, kill time.Time, o launcher.StopOptions) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stops[id] = sentStop{kill, time.Now().Add(o.Grace + killAgain)}
}

// busy reports whether the host says that something runs there. A host that is
// not watched says nothing.
func (w *hostWatch) busy() bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.statuses {
		if s.Phase != launcher.Exited {
			return true
		}
	}
	return false
}

// refused notes that the host had no room although it should have.
func (w *hostWatch) refused() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fullUntil = time.Now().Add(fullFor)
}

// full reports whether the host refused work lately. A host that is not
// watched yet has not.
func (w *hostWatch) full(now time.Time) bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return now.Before(w.fullUntil)
}
