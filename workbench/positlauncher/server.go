package positlauncher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A server is one plugin process, as its Launcher has it.
type server struct {
	manager *session.Manager // there once the board is synced
	board   *board
	out     *outbox
	meter   meter
	begun   time.Time

	// busy has a place for each request that the cluster works for at one time, and
	// taken counts the bytes of all that are not answered.
	busy  chan struct{}
	taken *semaphore.Weighted

	mu       sync.Mutex
	cfg      Config
	streams  map[uint64]*stream // that are open, by request
	handlers sync.WaitGroup
	stopping map[session.ID]bool // the sessions that are over and being stopped
}

// A stream is one that a request has opened.
type stream struct{ cancel context.CancelFunc }

// Serve answers a Launcher that writes requests to in and reads responses from out,
// with the sessions of m, whose Run has to be active in this process. It is a whole
// plugin: [Stdio] has the in and out of one that the Launcher has started.
//
// It returns nil when in ends, which is how a Launcher ends a plugin; the error of
// ctx when that ends; [session.ErrNotRunning] when the manager's Run does; and else
// what made it impossible to go on: writing that failed, or what are no messages. By
// then every goroutine of its own has ended. To end them it closes in and out where
// they are an [io.Closer], and Close has to end a Read and a Write that wait.
//
// Sessions go on when Serve has ended, and another Serve, in whatever process, tells
// of the same jobs.
func Serve(ctx context.Context, in io.Reader, out io.Writer, m *session.Manager, c Config) error {
	return ServeOpening(ctx, in, out, func(context.Context) (*session.Manager, error) { return m, nil }, c)
}

// ServeOpening is [Serve] for a program that takes a while until it has its manager,
// such as to find a domain: open, which is called once, returns it. Until then
// heartbeats are answered, since a Launcher restarts a plugin that does not, and all
// other requests wait. An error of open ends it and is returned; the context of open
// ends with ServeOpening, which waits for open to return.
func ServeOpening(ctx context.Context, in io.Reader, out io.Writer, open func(context.Context) (*session.Manager, error), c Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	c = c.withDefaults()
	s := &server{
		cfg: c, begun: time.Now(), busy: make(chan struct{}, maxBusy),
		taken:   semaphore.NewWeighted(maxTaken),
		streams: map[uint64]*stream{}, stopping: map[session.ID]bool{},
	}
	s.board = newBoard(func() { s.out.rouse() })
	s.out = newOutbox(c.MaxMessage, s.board.next)

	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		defer cancel()
		return s.read(ctx, wire.NewReader(in, c.MaxMessage))
	})
	work.Go(func() error { return s.out.run(ctx, out) })
	work.Go(func() error {
		m, err := open(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the end came first, and is no failure
			}
			return err
		}
		s.manager = m // before anything that needs it: all of that waits for follow
		return s.follow(ctx)
	})
	work.Go(func() error { return s.tidy(ctx) })
	work.Go(func() error { return s.watchUse(ctx) })
	work.Go(func() error { return s.tellMetrics(ctx) })
	work.Go(func() error {
		<-ctx.Done()
		for _, end := range []any{in, out} {
			if c, ok := end.(io.Closer); ok {
				_ = c.Close() // so that who waits for it does not any more
			}
		}
		return nil
	})
	err := work.Wait()
	s.handlers.Wait()
	if outer.Err() != nil {
		return outer.Err()
	}
	return err
}

// config is how the plugin works at present.
func (s *server) config() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// read takes requests until there are no more.
func (s *server) read(ctx context.Context, r *wire.Reader) error {
	for {
		frame, err := r.Next()
		if size, ok := errors.AsType[*wire.SizeError](err); ok {
			s.answer(wire.Request{}, wire.Errorf(wire.InvalidRequest, "a request of %d bytes, at most %d", size.Size, size.Limit))
			continue
		}
		switch {
		case ctx.Err() != nil, errors.Is(err, io.EOF):
			return nil //nolint:nilerr // it is over
		case err != nil:
			return err
		}
		q, err := wire.Decode(frame)
		if err != nil {
			bad, _ := errors.AsType[*wire.DecodeError](err)
			s.config().Logger.Warn("a request was not understood", "type", int(bad.Type), "request", bad.ID, "error", err)
			s.answer(wire.Request{ID: bad.ID}, wire.Errorf(wire.InvalidRequest, "%v", err))
			continue
		}
		if !s.take(ctx, q, int64(len(frame))) {
			return nil
		}
	}
}

const (
	// maxBusy is how many requests the cluster works for at one time: of a burst the
	// others wait, lest heartbeats do.
	maxBusy = 2
	// maxTaken is how many bytes of requests wait for their answers. Beyond that nothing
	// more is read, and heartbeats wait, too.
	maxTaken = 64 << 20
	// aside is what a request takes beside its bytes.
	aside = 4 << 10
)

// take has a request handled. It does not wait for that, so that a heartbeat never
// waits either, but a stream is open, and can be cancelled, when it returns.
// It reports false when ctx has ended.
func (s *server) take(ctx context.Context, q wire.Request, size int64) bool {
	switch q.Type {
	case wire.HeartbeatRequest:
		s.out.beat()
	case wire.JobStatusRequest, wire.JobOutputRequest, wire.ResourceUtilRequest:
		if q.Cancel {
			s.cancel(q.ID)
			return true
		}
		ctx, opened := s.open(ctx, q.ID)
		if opened == nil {
			s.answer(q, wire.Errorf(wire.InvalidRequest, "request %d has a stream already", q.ID))
			return true
		}
		s.handlers.Go(func() {
			defer s.close(q.ID, opened)
			s.handle(ctx, q)
		})
	default:
		if err := s.taken.Acquire(ctx, size+aside); err != nil {
			return false
		}
		s.handlers.Go(func() {
			defer s.taken.Release(size + aside)
			if worksFor(q.Type) {
				select {
				case s.busy <- struct{}{}:
					defer func() { <-s.busy }()
				case <-ctx.Done():
					return
				}
			}
			s.handle(ctx, q)
		})
	}
	return true
}

// worksFor reports whether the cluster has to do something for a request, rather than
// to tell what is known or to look.
func worksFor(t wire.RequestType) bool {
	return t == wire.SubmitJobRequest || t == wire.ControlJobRequest || t == wire.ClusterInfoRequest
}

// open begins the stream of a request, which lasts until its context ends. It
// returns nil if there is one already.
func (s *server) open(ctx context.Context, request uint64) (context.Context, *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[request] != nil {
		return ctx, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	opened := &stream{cancel}
	s.streams[request] = opened
	return ctx, opened
}

// close ends the stream of a request, if there is one, or only the one given: after a
// cancel the request's ID may have been used again.
func (s *server) close(request uint64, only *stream) {
	s.mu.Lock()
	open := s.streams[request]
	if only == nil || open == only {
		delete(s.streams, request)
	}
	s.mu.Unlock()
	if only == nil {
		only = open
	}
	if only != nil {
		only.cancel()
	}
}

// cancel ends the stream of a request, if there is one, and what of it was not told.
func (s *server) cancel(request uint64) {
	s.close(request, nil)
	s.out.drop(request)
}

// answer answers a request.
func (s *server) answer(q wire.Request, m message) {
	m.Head().RequestID = q.ID
	s.out.post(m)
}

// handle answers a request, whatever comes.
func (s *server) handle(ctx context.Context, q wire.Request) {
	log := s.config().Logger.With("request", q.ID, "type", int(q.Type), "user", q.Username)
	defer func() {
		if r := recover(); r != nil {
			log.Error("a request made the plugin panic", "panic", r, "stack", string(debug.Stack()))
			s.answer(q, wire.Errorf(wire.Unknown, "the plugin failed, which is an error in it; its log has more"))
		}
	}()
	m, err := s.respond(ctx, q)
	switch {
	case ctx.Err() != nil: // the Launcher has gone, or does not want it any more
	case err != nil:
		e := refusal(err)
		log.Info("a request was refused", "code", int(e.Code), "error", err)
		answer := &wire.Error{Header: e.Header, Code: e.Code, Message: e.Message}
		answer.RequestID = q.ID
		if q.Type == wire.JobOutputRequest || q.Type == wire.ResourceUtilRequest { // after what it has told
			_ = s.out.stream(ctx, q.ID, answer) // ctx has ended
			return
		}
		s.out.post(answer)
	case m != nil:
		s.answer(q, m)
	}
}

// respond makes the answer to a request; nil, without an error, if it is answered.
func (s *server) respond(ctx context.Context, q wire.Request) (message, error) {
	switch q.Type {
	case wire.BootstrapRequest, wire.SetNodesRequest, wire.ConfigReloadRequest:
	default:
		if q.Username == "" {
			return nil, wire.Errorf(wire.InvalidRequest, "a username is missing")
		}
	}
	if q.Type != wire.BootstrapRequest || q.Version.Major == wire.API.Major { // a wrong version is said at once
		select {
		case <-s.board.synced:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	switch q.Type {
	case wire.BootstrapRequest:
		if q.Version.Major != wire.API.Major {
			return nil, wire.Errorf(wire.UnsupportedVersion, "the Launcher speaks version %d.%d.%d of the plugin API, this plugin %d.%d.%d: install versions of the same first number",
				q.Version.Major, q.Version.Minor, q.Version.Patch, wire.API.Major, wire.API.Minor, wire.API.Patch)
		}
		return &wire.Bootstrap{Header: wire.Header{Type: wire.BootstrapResponse}, Version: wire.API}, nil
	case wire.SubmitJobRequest:
		return s.timed(func() (message, error) { return s.submit(ctx, q) })
	case wire.JobStateRequest:
		return s.state(ctx, q)
	case wire.JobStatusRequest:
		return nil, s.streamStatus(ctx, q)
	case wire.ControlJobRequest:
		return s.timed(func() (message, error) { return s.control(ctx, q) })
	case wire.JobOutputRequest:
		return nil, s.streamOutput(ctx, q)
	case wire.ResourceUtilRequest:
		return nil, s.streamUsage(ctx, q)
	case wire.JobNetworkRequest:
		return s.timed(func() (message, error) { return s.network(ctx, q) })
	case wire.ClusterInfoRequest:
		return s.timed(func() (message, error) { return s.cluster(ctx, q) })
	case wire.SetNodesRequest:
		s.config().Logger.Info("the Launcher runs on these nodes", "nodes", q.Nodes)
		return &wire.Header{Type: wire.SetNodesResponse}, nil
	case wire.ConfigReloadRequest:
		return s.reload(ctx), nil
	}
	return nil, wire.Errorf(wire.RequestNotSupported, "requests of type %d are not supported", int(q.Type))
}

// job returns a job that a request is about and may be.
func (s *server) job(ctx context.Context, q wire.Request) (wire.Job, error) {
	if q.JobID == wire.All || q.JobID == "" {
		return wire.Job{}, wire.Errorf(wire.InvalidRequest, "this is asked of one job: want its ID, not %q", q.JobID)
	}
	id := session.ID(q.JobID)
	j, ok := s.board.get(id)
	if !ok { // another process may have submitted it a moment ago
		found, err := s.manager.Get(ctx, id)
		switch {
		case errors.Is(err, session.ErrNotFound), errors.Is(err, session.ErrInvalid):
		case err != nil:
			return j, err
		case found.Labels[clusterLabel] == s.config().Cluster:
			j, ok = s.board.put(found)
		}
	}
	if !ok || !mayKnow(q.Username, j) {
		return wire.Job{}, errNoJob(q.JobID)
	}
	return j, nil
}

// state tells of jobs.
func (s *server) state(ctx context.Context, q wire.Request) (message, error) {
	m := &wire.JobState{Header: wire.Header{Type: wire.JobStateResponse}}
	if q.JobID == wire.All || q.JobID == "" {
		m.Jobs = s.board.list(q)
		return m, nil
	}
	j, err := s.job(ctx, q)
	if err != nil {
		return nil, err
	}
	m.Jobs = []wire.Job{j.Only(q.Fields)}
	return m, nil
}

// streamStatus tells of the status of one job or of all, until the stream is
// cancelled.
func (s *server) streamStatus(ctx context.Context, q wire.Request) error {
	st := &statusStream{request: q.ID, user: q.Username}
	if q.JobID != wire.All && q.JobID != "" {
		if _, err := s.job(ctx, q); err != nil {
			return err
		}
		st.only = session.ID(q.JobID)
	}
	s.board.open(st)
	defer s.board.close(st)
	<-ctx.Done()
	return nil
}

// follow keeps the board as sessions are, and ends those that are over.
func (s *server) follow(ctx context.Context) error {
	f := session.Filter{Labels: map[string]string{clusterLabel: s.config().Cluster}}
	for now, err := range s.manager.Watch(ctx, f) {
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case now.ID == "":
			close(s.board.synced)
			continue
		}
		if _, ok := s.board.put(now); ok && over(now) {
			s.finish(ctx, now)
		}
	}
	return nil
}

// finisher is who asks for what no user has asked for.
const finisher = "workbench"

// finish stops a session that is over, once, for the reason for which it was suspended.
func (s *server) finish(ctx context.Context, over session.Session) {
	s.mu.Lock()
	known := s.stopping[over.ID]
	s.stopping[over.ID] = true
	s.mu.Unlock()
	if known {
		return
	}
	s.handlers.Go(func() {
		_, err := s.manager.Stop(ctx, over.ID, session.Order{By: finisher, Why: fmt.Sprintf("%.400s", cmp.Or(over.Message, string(over.Reason)))})
		if err != nil && ctx.Err() == nil {
			s.config().Logger.Warn("a session that is over could not be ended; it is tried again in a minute", "session", over.ID, "error", err)
		}
		s.mu.Lock()
		delete(s.stopping, over.ID)
		s.mu.Unlock()
	})
}

// tidyEvery is how often the plugin looks for what nobody tells it of.
const tidyEvery = time.Minute

// tidy deletes the sessions of jobs that ended long ago, ends those that are over and
// could not be ended before, and finds those that somebody else has deleted, of which
// a watch does not tell.
func (s *server) tidy(ctx context.Context) error {
	_ = pace.Every(ctx, tidyEvery, func() {
		for _, now := range s.board.lasting() {
			if over(now) {
				s.finish(ctx, now)
			}
			if _, ok := s.manager.Cached(now.ID); ok {
				continue
			}
			if _, err := s.manager.Get(ctx, now.ID); errors.Is(err, session.ErrNotFound) {
				s.board.put(vanished(now))
			}
		}
		for _, id := range s.board.expired(time.Now().Add(-s.config().JobExpiry)) {
			err := s.manager.Delete(ctx, id, session.Order{By: finisher, Why: "the job ended longer ago than jobs are kept"})
			if err != nil && !errors.Is(err, session.ErrNotFound) {
				if ctx.Err() == nil {
					s.config().Logger.Warn("an old job could not be deleted; it is tried again", "session", id, "error", err)
				}
				continue
			}
			s.board.forget(id)
		}
	})
	return nil
}
