package session_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/storetest"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/faultlauncher"
	"github.com/atelier-go/atelier/session"
)

// A recorder keeps failures, so that a run that fails can be played again, smaller.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

// errGivenUp is what a recorder panics with where a test would end.
var errGivenUp = errors.New("the run is given up")

func (r *recorder) Helper() {}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(errGivenUp)
}

func (r *recorder) Failed() bool { return len(r.found()) > 0 }

func (r *recorder) found() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failures
}

// A dice decides by what a call is and how often it came, not by when: so a seed
// replays however goroutines are scheduled.
type dice struct {
	seed  uint64
	mu    sync.Mutex
	calls [1 << 12]uint64 // by the hash of what is called
}

// roll is the next number for a call.
func (d *dice) roll(call string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, call)
	d.mu.Lock()
	n := &d.calls[h.Sum64()%uint64(len(d.calls))]
	*n++
	number := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, d.seed), *n)
	d.mu.Unlock()
	_, _ = h.Write(number)
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// lag is how long a call takes, to the nanosecond another each time: no two calls
// come at one instant, so that their order is the seed's.
func lag(roll uint64) time.Duration { return 20*time.Microsecond + time.Duration(roll%2e6) }

// patience is how long a client of the store waits for an answer.
const patience = 3 * time.Second

// flakyStore is the store as one process sees it: each call takes a while, and a
// share of them fails while the process is in trouble.
type flakyStore struct {
	store.Store
	dice
	rough func() bool
}

// around makes a call with what the dice say of it.
func around[T any](ctx context.Context, s *flakyStore, call, key string, do func(context.Context, store.Store) (T, error)) (T, error) {
	roll := s.roll(call + key)
	fault := storetest.None
	if at := roll >> 32 % 100; at < 12 && s.rough() {
		fault = []storetest.Fault{
			storetest.Refused, storetest.Refused, storetest.Refused, storetest.Refused,
			storetest.LostReply, storetest.LostReply, storetest.LostReply, storetest.LostReply,
			storetest.Hangs, storetest.Hangs, storetest.Late, storetest.Late,
		}[at]
	}
	if fault == storetest.None {
		time.Sleep(lag(roll))
		return do(ctx, s.Store)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return do(ctx, &storetest.Faulty{Store: s.Store, Next: func(string) (time.Duration, storetest.Fault) { return lag(roll), fault }})
}

func (s *flakyStore) Get(ctx context.Context, collection, id string) (store.Record, error) {
	return around(ctx, s, "get", collection+"/"+id, func(ctx context.Context, s store.Store) (store.Record, error) {
		return s.Get(ctx, collection, id)
	})
}

func (s *flakyStore) Put(ctx context.Context, r store.Record) (int64, error) {
	return around(ctx, s, "put", r.Collection+"/"+r.ID, func(ctx context.Context, s store.Store) (int64, error) {
		return s.Put(ctx, r)
	})
}

func (s *flakyStore) Delete(ctx context.Context, collection, id string, version int64) error {
	_, err := around(ctx, s, "delete", collection+"/"+id, func(ctx context.Context, s store.Store) (struct{}, error) {
		return struct{}{}, s.Delete(ctx, collection, id, version)
	})
	return err
}

// A witness is the store itself. It tells the model of each session that is written,
// in the order in which that happens.
type witness struct {
	store.Store
	mu    sync.Mutex
	wrote func(session.ID)
}

func (s *witness) Put(ctx context.Context, r store.Record) (int64, error) {
	if s.wrote == nil || r.Collection != "domains/research/sessions" {
		return s.Store.Put(ctx, r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	version, err := s.Store.Put(ctx, r)
	if err == nil {
		s.wrote(session.ID(r.ID))
	}
	return version, err
}

// A line is the launcher as one process reaches it: each call takes a while, some
// fail or lose their reply while the process is in trouble, and it may be cut.
type line struct {
	launcher.Launcher                         // without trouble
	refusing          *faultlauncher.Launcher // every call fails, without effect
	losing            *faultlauncher.Launcher // every call has its effect, and fails
	dice
	rough func() bool

	state sync.Mutex
	up    chan struct{} // closed when it is cut
	down  bool
}

func newLine(l launcher.Launcher, seed uint64, rough func() bool) (*line, error) {
	refusing, err := faultlauncher.Wrap(l, seed, faultlauncher.Fault{})
	if err != nil {
		return nil, err
	}
	losing, err := faultlauncher.Wrap(l, seed, faultlauncher.Fault{After: true})
	return &line{Launcher: l, refusing: refusing, losing: losing, dice: dice{seed: seed}, rough: rough, up: make(chan struct{})}, err
}

func (l *line) cut(down bool) {
	l.state.Lock()
	defer l.state.Unlock()
	if l.down == down {
		return
	}
	if l.down = down; down {
		close(l.up)
	} else {
		l.up = make(chan struct{})
	}
}

// reach returns what a call reaches, and what is closed when it does not any more.
func (l *line) reach(op string, id launcher.ID) (launcher.Launcher, <-chan struct{}, error) {
	roll := l.roll(op + string(id))
	time.Sleep(lag(roll))
	l.state.Lock()
	defer l.state.Unlock()
	switch at := roll >> 32 % 100; {
	case l.down:
		return nil, nil, &launcher.Error{Op: op, ID: id, Kind: launcher.ErrUnavailable, Err: errors.New("the line is cut")}
	case at < 20 && l.rough():
		return l.refusing, l.up, nil
	case at < 40 && l.rough():
		return l.losing, l.up, nil
	}
	return l.Launcher, l.up, nil
}

func (l *line) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	to, _, err := l.reach("launch", w.ID)
	if err != nil {
		return launcher.Status{}, err
	}
	if roll := l.roll("slow " + string(w.ID)); l.rough() && roll%3 == 0 { // it arrives, whatever becomes of who sent it
		time.Sleep(lag(roll) + time.Duration(roll>>8%uint64(12*time.Second)))
		ctx = context.WithoutCancel(ctx)
	}
	return to.Launch(ctx, w)
}

func (l *line) Stop(ctx context.Context, id launcher.ID, o launcher.StopOptions) error {
	to, _, err := l.reach("stop", id)
	if err != nil {
		return err
	}
	return to.Stop(ctx, id, o)
}

func (l *line) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		to, _, err := l.reach("list", launcher.ID(fmt.Sprint(f.IDs)))
		if err != nil {
			yield(launcher.Status{}, err)
			return
		}
		to.List(ctx, f)(yield)
	}
}

func (l *line) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		to, up, err := l.reach("watch", "")
		if err != nil {
			yield(launcher.Status{}, err)
			return
		}
		bound, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		go func() {
			select {
			case <-up:
				cancel(launcher.ErrUnavailable)
			case <-bound.Done():
			}
		}()
		for s, err := range to.Watch(bound, f) {
			if err != nil && ctx.Err() == nil && bound.Err() != nil {
				err = &launcher.Error{Op: "watch", Kind: launcher.ErrUnavailable, Err: context.Cause(bound)}
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

func (l *line) Dial(ctx context.Context, id launcher.ID, port string) (net.Conn, error) {
	to, _, err := l.reach("dial", id)
	if err != nil {
		return nil, err
	}
	return to.Dial(ctx, id, port)
}

func (l *line) Logs(ctx context.Context, id launcher.ID, o launcher.LogOptions) (io.ReadCloser, error) {
	to, _, err := l.reach("logs", id)
	if err != nil {
		return nil, err
	}
	return to.Logs(ctx, id, o)
}

func (l *line) Usage(ctx context.Context, id launcher.ID) (launcher.Usage, error) {
	to, _, err := l.reach("usage", id)
	if err != nil {
		return launcher.Usage{}, err
	}
	return to.Usage(ctx, id)
}

// A server is a manager in a process of its own, and a watcher that it serves.
type server struct {
	*session.Manager
	name   int
	fuse   *fuse
	line   *line
	ctx    context.Context
	end    func()
	goOn   func()    // of one that is paused
	stood  bool      // it was, and may not have begun to run
	roughs [2]bool   // its store and its launcher are in trouble
	view   view      // what the watcher has been told
	begun  time.Time // when it began
}

// A view is what a watcher knows of the sessions.
type view struct {
	mu     sync.Mutex
	known  map[session.ID]session.Session
	synced bool
}

func (s *server) rough(part int) func() bool {
	return func() bool {
		s.view.mu.Lock()
		defer s.view.mu.Unlock()
		return s.roughs[part]
	}
}

func (s *server) trouble(store, line bool) {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	s.roughs = [2]bool{store, line}
}

// paused reports whether the process stands still.
func (s *server) paused() bool { return s.goOn != nil }

// serve begins a process.
func (x *model) serve() *server {
	x.names++
	s := &server{name: x.names, begun: time.Now()}
	s.view.known = map[session.ID]session.Session{}
	seed := x.seed*1e6 + uint64(x.names)
	var err error
	s.line, err = newLine(x.aws, seed, s.rough(1))
	check(x.t, err)
	ctx, die := context.WithCancel(x.t.Context())
	s.fuse = &fuse{kill: die}
	flaky := &flakyStore{Store: x.witness, dice: dice{seed: seed}, rough: s.rough(0)}
	s.Manager, err = session.New(x.domainOn(mortalStore{flaky, s.fuse}), mortalLauncher{s.line, s.fuse}, session.Config{
		CredentialsURL: credentialsURL,
		Deadlines:      session.Deadlines{Pending: 5 * time.Minute, Starting: 6 * time.Minute},
	})
	check(x.t, err)
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	running.Go(func() { s.watch(ctx, x) })
	s.ctx, s.end = ctx, sync.OnceFunc(func() { die(); running.Wait() })
	return s
}

// watch follows all sessions, and checks that no news is older than what is known.
func (s *server) watch(ctx context.Context, x *model) {
	for ctx.Err() == nil {
		for got, err := range s.Watch(ctx, session.Filter{}) {
			s.view.mu.Lock()
			switch old, known := s.view.known[got.ID]; {
			case err != nil:
			case got.ID == "":
				s.view.synced = true
			case known && old.CreatedAt.Equal(got.CreatedAt) && (got.Generation < old.Generation || got.Since.Before(old.Since) || got.Spent < old.Spent):
				x.t.Errorf("the watcher of process %d is told of %s, %d, %s after %s, %d, %s", s.name, got.ID, got.Generation, got.State, old.ID, old.Generation, old.State)
			default:
				s.view.known[got.ID] = got
			}
			s.view.mu.Unlock()
			if err != nil && ctx.Err() == nil && (!s.stood || !errors.Is(err, session.ErrNotRunning)) {
				x.t.Errorf("the watch of process %d ended: %v", s.name, err)
				return
			}
		}
	}
}

// gate is between the manager's processes and the host. It knows what every launch
// has to be like.
type gate struct {
	launcher.Launcher
	x *model

	mu      sync.Mutex
	digests map[launcher.ID]string
	homes   map[uint32]string // by uid
	uids    map[string]uint32 // by owner
	tokens  map[string]launcher.ID
	ended   map[launcher.ID]bool
}

func (g *gate) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	_, beforeErr := launcher.Get(ctx, g.Launcher, w.ID)
	s, err := g.Launcher.Launch(ctx, w)
	if err != nil {
		return s, err
	}
	if errors.Is(beforeErr, launcher.ErrNotFound) {
		g.x.launched(w)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	bad := func(format string, args ...any) {
		g.x.t.Errorf("launch of %s: %s", w.ID, fmt.Sprintf(format, args...))
	}
	if digest := g.digests[w.ID]; digest != "" && digest != w.Digest() {
		bad("another workload than before")
	}
	g.digests[w.ID] = w.Digest()
	if g.ended[w.ID] && s.Phase != launcher.Exited {
		bad("it has ended once and runs again")
	}
	home := w.Mounts[0].Source
	if known := g.homes[w.User.UID]; known != "" && known != home {
		bad("uid %d had the home %s, and gets %s", w.User.UID, known, home)
	}
	if known := g.uids[w.Owner]; known != 0 && known != w.User.UID {
		bad("%s had uid %d, and gets %d", w.Owner, known, w.User.UID)
	}
	for owner, uid := range g.uids {
		if owner != w.Owner && uid == w.User.UID {
			bad("%s and %s have uid %d", owner, w.Owner, uid)
		}
	}
	for uid, other := range g.homes {
		if uid != w.User.UID && other == home {
			bad("uids %d and %d have the home %s", uid, w.User.UID, home)
		}
	}
	g.homes[w.User.UID], g.uids[w.Owner] = home, w.User.UID
	if token := w.Role.Token; token != "" {
		if of := g.tokens[token]; of != "" && of != w.ID {
			bad("it has the token of %s", of)
		}
		g.tokens[token] = w.ID
	}
	return s, nil
}

// note remembers which containers have ended.
func (g *gate) note(s launcher.Status) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended[s.ID] && s.Phase != launcher.Exited {
		g.x.t.Errorf("%s has ended once and runs again", s.ID)
	}
	if s.Phase == launcher.Exited {
		g.ended[s.ID] = true
	}
}

// secrets are the tokens of all sessions.
func (g *gate) tells(text string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for token := range g.tokens {
		if strings.Contains(text, token) {
			return true
		}
	}
	return false
}
