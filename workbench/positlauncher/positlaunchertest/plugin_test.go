package positlaunchertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A plugin serves a world.
type plugin struct {
	*world
	args    []string
	out     chan any
	streams map[uint64]context.CancelFunc // the reader's
	places  map[uint64]uint64             // of a flawed one
	spoken  bool
	own     map[*entry]bool // what it has submitted
}

// serve is the plugin's main.
func (w *world) serve(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	if w.is("a cluster of its own") {
		w = &world{delay: w.delay, run: w.run, end: w.end, changed: make(chan struct{})}
		end, cancel := context.WithCancel(w.end)
		w.end = end
		defer w.close(cancel)
	}
	p := &plugin{world: w, args: args, out: make(chan any), streams: map[uint64]context.CancelFunc{}, places: map[uint64]uint64{}, own: map[*entry]bool{}}
	term := ctx
	if w.is("SIGTERM is ignored") {
		term = context.Background()
	}
	ctx, cancel := context.WithCancel(term)
	var work sync.WaitGroup
	work.Go(func() { p.write(ctx, out) })
	if slices.Contains(args, "--plugin-metrics-interval-seconds=1") && !w.is("no metrics") {
		work.Go(func() { p.metrics(ctx) })
	}
	if w.is("exact reads") {
		in = exactly{in}
	}
	read := make(chan error, 1)
	go func() { read <- p.read(ctx, in, &work) }()
	var err error
	select {
	case err = <-read:
	case <-ctx.Done():
	}
	if err != nil && (w.is("streams hold the end up") && len(p.streams) > 0 || w.is("waits for Bootstrap") && !p.spoken || w.is("waits for the rest") && errors.Is(err, io.ErrUnexpectedEOF)) {
		<-term.Done()
	}
	if w.is("its end is the jobs'") || w.is("killed, it takes its jobs with it") && err == nil || w.is("what is pending goes with it") {
		for _, e := range w.jobs {
			if w.is("what is pending goes with it") && e.status() != wire.Pending {
				continue
			}
			e.killed.Do(func() { close(e.kill) })
		}
	}
	cancel()
	work.Wait()
	if w.is("fails at the end of input") {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && !w.is("exact reads") {
		err = nil
	}
	return err
}

// write writes responses, which it numbers.
func (p *plugin) write(ctx context.Context, out io.Writer) {
	number := uint64(0)
	for {
		select {
		case message := <-p.out:
			if m, ok := message.(interface{ Head() *wire.Header }); ok {
				if h := m.Head(); h.Type != wire.HeartbeatResponse && h.Type != wire.MetricsResponse {
					h.ResponseID = number
					if !p.is("responses have no numbers") {
						number++
					}
				}
			}
			var frame []byte
			if text, ok := message.([]byte); ok {
				frame = text
			} else {
				frame, _ = wire.Encode(message, 0)
			}
			if _, err := out.Write(frame); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// send sends a response, unless the plugin ends.
func (p *plugin) send(ctx context.Context, message any) bool {
	select {
	case p.out <- message:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *plugin) metrics(ctx context.Context) {
	for {
		select {
		case <-time.After(time.Second):
			m := &wire.Metrics{Header: wire.Header{Type: wire.MetricsResponse}, UptimeSeconds: 1}
			if p.is("metrics are numbered") {
				m.RequestID = 1
			}
			p.send(ctx, m)
		case <-ctx.Done():
			return
		}
	}
}

// read takes requests until the end of input.
func (p *plugin) read(ctx context.Context, in io.Reader, work *sync.WaitGroup) error {
	n := 0
	for r := wire.NewReader(in, 0); ; n++ {
		text, err := r.Next()
		if n%50 == 49 && p.is("requests are lost") {
			continue
		}
		if errors.As(err, new(*wire.SizeError)) && !p.is("dies of size") {
			p.send(ctx, wire.Errorf(wire.InvalidRequest, "%v", err))
			continue
		}
		if err != nil {
			return err
		}
		q, err := wire.Decode(text)
		if e, ok := errors.AsType[*wire.DecodeError](err); ok {
			if p.is("dies of bad JSON") && !e.Known {
				return err
			}
			if e.Known && !p.is("bad fields are passed over") {
				p.fail(ctx, e.ID, wire.Errorf(wire.InvalidRequest, "%v", e))
			}
			continue
		}
		if p.picky(string(text), q) {
			return errors.New("I do not know this")
		}
		if q.Type == wire.HeartbeatRequest && !p.is("heartbeats wait") {
			if p.is("heartbeats take their time") {
				work.Go(func() {
					time.Sleep(60 * time.Millisecond)
					p.send(ctx, &wire.Header{})
				})
			} else if p.spoken || !p.is("no heartbeat before Bootstrap") {
				p.send(ctx, &wire.Header{})
			}
			continue
		}
		p.spoken = true
		streaming := streaming(q.Type)
		if streaming && q.Cancel {
			goesOn := p.is("streams go on") || q.Type == wire.JobOutputRequest && p.is("canceled output goes on") || q.Type == wire.ResourceUtilRequest && p.is("use goes on")
			if cancel := p.streams[q.ID]; cancel != nil && !goesOn {
				cancel()
			}
			continue
		}
		ctx := ctx
		if streaming {
			ctx, p.streams[q.ID] = context.WithCancel(ctx)
		}
		handle := func() {
			if err := p.handle(ctx, q); err != nil {
				p.fail(ctx, q.ID, err)
			}
		}
		switch {
		case p.is("heartbeats wait") && !streaming:
			handle()
		case p.is("one at a time while a job starts") && q.Type != wire.SubmitJobRequest:
			work.Go(func() {
				for slices.ContainsFunc(p.find(wire.Request{JobID: wire.All, Username: wire.All}), func(e *entry) bool { return e.status() == wire.Pending }) {
					time.Sleep(10 * time.Millisecond)
				}
				handle()
			})
		default:
			work.Go(handle)
		}
	}
}

func streaming(kind wire.RequestType) bool {
	return kind == wire.JobStatusRequest || kind == wire.JobOutputRequest || kind == wire.ResourceUtilRequest
}

// picky reports whether a flawed plugin ends of what others understand.
func (p *plugin) picky(text string, q wire.Request) bool {
	var raw map[string]json.RawMessage
	_ = json.Unmarshal([]byte(text), &raw)
	start := strings.Trim(string(raw["startTime"]), `"`)
	_, err := time.Parse(time.RFC3339, start)
	switch {
	case p.is("output types are texts"):
		return len(raw["outputType"]) == 1
	case p.is("times have zones"):
		return start != "" && err != nil
	case p.is("no unknown field"):
		return raw["future"] != nil
	case p.is("no unknown type"):
		return q.Type > 9 && q.Type < 200
	case p.is("no unknown stream"):
		return q.Cancel && p.streams[q.ID] == nil
	}
	return false
}

func (p *plugin) fail(ctx context.Context, id uint64, err error) {
	e := &wire.Error{}
	if !errors.As(err, &e) {
		e = wire.Errorf(wire.Unknown, "%v", err)
	}
	e.RequestID = id
	p.send(ctx, e)
}

// handle answers a request.
func (p *plugin) handle(ctx context.Context, q wire.Request) error {
	head := func(kind wire.ResponseType) wire.Header { return wire.Header{Type: kind, RequestID: q.ID} }
	var one *entry
	if q.JobID != "" && q.JobID != wire.All {
		found := p.find(q)
		switch {
		case len(found) > 0 && p.is("jobs come later") && time.Since(found[0].made) < time.Second:
			found = nil
		case streaming(q.Type) && p.is("foreign streams are open"):
			q.Username = wire.All
			found = p.find(q)
		case len(found) == 0 && q.Type == wire.JobStateRequest && p.is("a missing job is no error"):
			p.state(ctx, q)
			return nil
		case len(found) == 0 && q.Type == wire.ControlJobRequest && p.is("what there is not is stopped"):
			p.send(ctx, &wire.ControlJob{Header: head(wire.ControlJobResponse), OperationComplete: true})
			return nil
		}
		if len(found) == 0 {
			return wire.Errorf(wire.JobNotFound, "there is no job %s", q.JobID)
		}
		one = found[0]
	}
	switch q.Type {
	case wire.HeartbeatRequest:
		p.send(ctx, &wire.Header{})
	case wire.BootstrapRequest:
		if q.Version.Major != wire.API.Major && !p.is("any version will do") || p.is("no older version") && q.Version.Minor < wire.API.Minor {
			return wire.Errorf(wire.UnsupportedVersion, "version %d is not spoken", q.Version.Major)
		}
		for range map[bool]int{true: 2, false: 1}[p.is("answers twice")] {
			p.send(ctx, &wire.Bootstrap{Header: head(wire.BootstrapResponse), Version: wire.API})
		}
	case wire.SubmitJobRequest:
		return p.submitted(ctx, q)
	case wire.JobStateRequest:
		p.state(ctx, q)
	case wire.JobStatusRequest:
		p.statuses(ctx, q)
	case wire.ControlJobRequest:
		switch {
		case one == nil && p.is("all jobs are controlled"):
			for _, e := range p.find(q) {
				_ = p.control(e, q.Operation)
			}
		case one == nil:
			return wire.Errorf(wire.InvalidRequest, "name one job")
		default:
			if p.is("each controls its own") && !p.own[one] {
				return wire.Errorf(wire.JobControlFailure, "job %s is not mine", one.ID)
			}
			if err := p.control(one, q.Operation); err != nil {
				return err
			}
		}
		p.send(ctx, &wire.ControlJob{Header: head(wire.ControlJobResponse), OperationComplete: true})
	case wire.JobOutputRequest:
		return p.output(ctx, q, one)
	case wire.ResourceUtilRequest:
		p.utilization(ctx, q, one)
	case wire.JobNetworkRequest:
		now := one.status()
		has := now == wire.Running || now == wire.Pending && p.is("pending jobs have a network") || now.Final() && p.is("ended jobs have a network")
		if !has {
			return wire.Errorf(wire.JobNotRunning, "job %s is %s", one.ID, now)
		}
		p.send(ctx, &wire.JobNetwork{Header: head(wire.JobNetworkResponse), Host: "here", IPAddresses: []string{"10.0.0.1"}})
		if p.is("nobody listens") {
			p.net.mu.Lock()
			clear(p.net.listeners)
			p.net.mu.Unlock()
		}
	case wire.ClusterInfoRequest:
		info := &wire.ClusterInfo{Header: head(wire.ClusterInfoResponse), SupportsContainers: true, Images: []string{"test"}, DefaultImage: "test", ResourceLimits: []wire.Limit{{Type: wire.Memory}}}
		switch {
		case p.is("limits have no type"):
			info.ResourceLimits[0].Type = ""
		case p.is("the default image is no image"):
			info.DefaultImage = "other"
		}
		p.send(ctx, info)
	case wire.SetNodesRequest:
		if p.is("nodes are refused") {
			return wire.Errorf(wire.RequestNotSupported, "one node is enough")
		}
		h := head(wire.SetNodesResponse)
		p.send(ctx, &h)
	case wire.ConfigReloadRequest:
		reload := &wire.ConfigReload{Header: head(wire.ConfigReloadResponse)}
		if p.is("nothing is reloaded") {
			reload.ErrorType, reload.ErrorMessage = wire.ReloadLoad, "no"
		}
		p.send(ctx, reload)
	default:
		return wire.Errorf(wire.RequestNotSupported, "type %d is not known", q.Type)
	}
	return nil
}

func (p *plugin) submitted(ctx context.Context, q wire.Request) error {
	if q.Job == nil {
		return wire.Errorf(wire.InvalidRequest, "a submit needs a job")
	}
	job := *q.Job
	if q.Username != wire.All {
		job.User = q.Username
	}
	if job.User == "" && !p.is("nobody has jobs") {
		return wire.Errorf(wire.InvalidRequest, "a job needs a user")
	}
	switch {
	case p.is("instanceId is lost"):
		job.InstanceID = ""
	case p.is("metadata is lost"):
		job.Metadata = nil
	case p.is("tags are tidied"):
		job.Tags = slices.Compact(slices.Collect(func(yield func(string) bool) {
			for _, t := range job.Tags {
				if !yield(strings.ReplaceAll(t, " ", "-")) {
					return
				}
			}
		}))
	case p.is("stdin is trimmed"):
		job.Stdin = strings.TrimSpace(job.Stdin)
	case p.is("the environment is lost"):
		job.Environment = nil
	case p.is("the directory is lost"):
		job.WorkingDirectory = "/"
	case p.is("arguments are split"):
		job.Args = strings.Fields(strings.Join(job.Args, " "))
	case p.is("the image is lost"):
		job.Container = nil
	case p.is("stdin is never empty"):
		job.Stdin += "\n"
	case p.is("the user is not set"):
		job.User = "root"
	}
	e := p.submit(job)
	p.mu.Lock()
	p.own[e] = true
	p.mu.Unlock()
	if p.is("submit waits") || p.is("heartbeats wait") {
		for e.status() == wire.Pending && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	p.mu.Lock()
	job = e.Job
	p.mu.Unlock()
	if p.is("no submission time") {
		job.SubmissionTime = nil
	}
	p.send(ctx, &wire.JobState{Header: wire.Header{Type: wire.JobStateResponse, RequestID: q.ID}, Jobs: []wire.Job{job}})
	return nil
}

func (p *plugin) state(ctx context.Context, q wire.Request) {
	found := p.find(q)
	p.mu.Lock()
	var jobs []wire.Job
	for _, e := range found {
		if p.is("all fields are told") {
			q.Fields = nil
		}
		jobs = append(jobs, e.Job.Only(q.Fields))
	}
	p.mu.Unlock()
	if jobs == nil && p.is("lists are null") {
		p.send(ctx, struct {
			wire.Header
			Jobs *int `json:"jobs"`
		}{Header: wire.Header{Type: wire.JobStateResponse, RequestID: q.ID, ResponseID: 1 << 40}})
		return
	}
	p.send(ctx, &wire.JobState{Header: wire.Header{Type: wire.JobStateResponse, RequestID: q.ID}, Jobs: jobs})
}
