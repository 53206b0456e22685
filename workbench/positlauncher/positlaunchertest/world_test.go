package positlaunchertest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/positlaunchertest"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A world is a small cluster in memory. With a flaw it does one thing wrong.
type world struct {
	flaw  string
	delay time.Duration // until a job runs
	run   func(*proc) int
	end   context.Context
	work  sync.WaitGroup
	net   network

	mu      sync.Mutex
	changed chan struct{} // closed when anything has
	jobs    []*entry
}

func newWorld(t testing.TB, flaw string, delay time.Duration) *world {
	end, cancel := context.WithCancel(context.Background())
	w := &world{flaw: flaw, delay: delay, run: program, end: end, changed: make(chan struct{})}
	t.Cleanup(func() { w.close(cancel) })
	return w
}

// close kills all jobs and waits for their end.
func (w *world) close(cancel func()) {
	cancel()
	w.mu.Lock()
	for _, e := range w.jobs {
		e.killed.Do(func() { close(e.kill) })
	}
	w.mu.Unlock()
	w.work.Wait()
}

// is reports whether that is the world's flaw.
func (w *world) is(flaw string) bool { return w.flaw == flaw }

// An entry is a job and what has become of it.
type entry struct {
	wire.Job
	w       *world
	made    time.Time
	version int
	chunks  []positlaunchertest.Output
	told    bool          // its output is complete
	signals chan int      // 15 and 9, as far as it listens
	kill    chan struct{} // closed when it is to be killed
	killed  sync.Once
}

// A proc is what a program knows.
type proc struct {
	job     wire.Job
	write   func(stream, text string)
	signals chan int
	kill    chan struct{}
	listen  func(port int, serve func(net.Conn)) func()
}

// change does something and tells everybody.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// set changes a job.
func (e *entry) set(f func()) {
	e.w.change(func() {
		f()
		e.version++
		e.LastUpdateTime = wire.At(time.Now())
	})
}

func (e *entry) status() wire.Status {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	return e.Status
}

func (w *world) submit(job wire.Job) *entry {
	e := &entry{Job: job, w: w, made: time.Now(), signals: make(chan int, 9), kill: make(chan struct{})}
	w.change(func() {
		e.ID = "job-" + strconv.Itoa(len(w.jobs)+1)
		if w.is("same ID") {
			e.ID = "job-1"
		}
		e.Status, e.StatusMessage, e.StatusCode = wire.Pending, "a host boots", "Booting"
		if w.is("pending says nothing") {
			e.StatusMessage = ""
		}
		e.SubmissionTime = wire.At(e.made)
		w.jobs = append(w.jobs, e)
	})
	w.work.Go(e.live)
	return e
}

// live is the life of a job.
func (e *entry) live() {
	defer e.set(func() { e.told = true })
	select {
	case <-time.After(e.w.delay):
	case <-e.w.end.Done():
		return
	case <-e.kill:
		return
	}
	started, job := false, wire.Job{}
	e.set(func() {
		job = e.Job
		if e.Status == wire.Pending {
			started, e.Status, e.StatusMessage, e.StatusCode = true, wire.Running, "", ""
		}
	})
	if !started {
		return
	}
	code := e.w.run(&proc{job: job, signals: e.signals, kill: e.kill, listen: e.w.listen, write: func(stream, text string) {
		e.set(func() { e.chunks = append(e.chunks, positlaunchertest.Output{Text: text, Stream: stream}) })
	}})
	e.set(func() {
		e.Status, e.ExitCode = wire.Finished, &code
		switch {
		case code == 137:
			e.Status = wire.Killed
			if e.w.is("killed is finished") {
				e.Status = wire.Finished
			}
		case code == 143 && e.w.is("stopped is killed"):
			e.Status = wire.Killed
		case code == 3 && e.w.is("exited jobs have failed"):
			e.Status = wire.Failed
		case e.w.is("exit code is lost"):
			e.ExitCode = nil
		}
	})
	if e.w.is("regresses") {
		select {
		case <-time.After(60 * time.Millisecond):
			e.set(func() { e.Status = wire.Running })
		case <-e.w.end.Done():
		}
	}
}

// program is what runs in memory: the job's exe says what.
func program(p *proc) int {
	switch p.job.Exe {
	case "quick":
		p.write("stdout", "out\n")
		p.write("stderr", "err\n")
		return 3
	case "echo":
		p.write("stdout", p.job.Stdin)
		return 0
	case "big":
		p.write("stdout", positlaunchertest.BigText())
		return 0
	case "env":
		for _, e := range p.job.Environment {
			if e.Name == p.job.Args[0] {
				p.write("stdout", string(e.Value)+"\n")
			}
		}
		return 0
	case "dir":
		p.write("stdout", p.job.WorkingDirectory+"\n")
		return 0
	case "args":
		for _, a := range p.job.Args {
			p.write("stdout", a+"\n")
		}
		return 0
	case "serve":
		port, _ := strconv.Atoi(p.job.Args[0])
		line, _, _ := strings.Cut(p.job.Stdin, "\n")
		defer p.listen(port, func(c net.Conn) {
			fmt.Fprintln(c, line)
			c.Close()
		})()
	}
	p.write("stdout", "ready\n")
	for {
		select {
		case <-p.signals:
			if p.job.Exe != "ignore" {
				return 143
			}
		case <-p.kill:
			return 137
		}
	}
}

var programs = positlaunchertest.Jobs{
	Quick: exe("quick"), Long: exe("long"), Ignore: exe("ignore"), Echo: exe("echo"), Big: exe("big"), Dir: exe("dir"),
	Serve: func(port int) wire.Job { return wire.Job{Exe: "serve", Args: []string{strconv.Itoa(port)}} },
	Env:   func(name string) wire.Job { return wire.Job{Exe: "env", Args: []string{name}} },
	Args:  func(args ...string) wire.Job { return wire.Job{Exe: "args", Args: args} },
}

func exe(name string) func() wire.Job { return func() wire.Job { return wire.Job{Exe: name} } }

// A network is what listens in a world: one machine is enough.
type network struct {
	mu        sync.Mutex
	listeners map[int]func(net.Conn)
	work      sync.WaitGroup
}

func (w *world) listen(port int, serve func(net.Conn)) func() {
	n := &w.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[int]func(net.Conn){}
	}
	n.listeners[port] = serve
	return func() {
		n.mu.Lock()
		delete(n.listeners, port)
		n.mu.Unlock()
		n.work.Wait()
	}
}

func (w *world) dial(_ context.Context, address string) (net.Conn, error) {
	n := &w.net
	n.mu.Lock()
	defer n.mu.Unlock()
	_, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	serve := n.listeners[number]
	if serve == nil {
		return nil, errors.New("connection refused")
	}
	a, b := net.Pipe()
	n.work.Go(func() { serve(b) })
	return a, nil
}

// find returns the jobs that a user may see and a request selects.
func (w *world) find(q wire.Request) []*entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []*entry
	for _, e := range w.jobs {
		if q.JobID != wire.All {
			if e.ID == q.JobID && (w.sees(q.Username, e) || w.is("foreign jobs are found")) {
				return []*entry{e}
			}
			continue
		}
		has := func(tag string) bool { return slices.Contains(e.Tags, tag) }
		tags := !slices.ContainsFunc(q.Tags, func(tag string) bool { return !has(tag) })
		if w.is("any tag will do") {
			tags = slices.ContainsFunc(q.Tags, has)
		}
		switch {
		case !w.sees(q.Username, e) && !w.is("lists are of all"), !tags,
			len(q.Statuses) > 0 && !slices.Contains(q.Statuses, e.Status) && !w.is("any status will do"),
			q.StartTime != nil && e.made.Before(q.StartTime.Time) && !w.is("any time will do"),
			q.EndTime != nil && e.made.After(q.EndTime.Time) && !w.is("any time will do"),
			w.is("lists come later") && time.Since(e.made) < time.Second:
		default:
			found = append(found, e)
		}
	}
	return found
}

func (w *world) sees(user string, e *entry) bool {
	return user == e.User || user == wire.All && !w.is("administrators see nothing")
}

// control does something to a job.
func (w *world) control(e *entry, o wire.Operation) error {
	now := e.status()
	allowed := map[wire.Operation]wire.Status{wire.Suspend: wire.Running, wire.Resume: wire.Suspended, wire.Stop: wire.Running, wire.Kill: wire.Running, wire.Cancel: wire.Pending}
	want, ok := allowed[o]
	switch {
	case !ok && !w.is("any operation will do"):
		return wire.Errorf(wire.InvalidRequest, "there is no %s", o)
	case now.Final() && w.is("ended jobs are controlled"), o == wire.Resume && w.is("anything is resumed"):
		return nil
	case now == wire.Running && o == wire.Cancel && w.is("running jobs are canceled"):
	case now != want && o != wire.Kill || now.Final():
		return wire.Errorf(wire.InvalidJobState, "job %s is %s: it cannot %s", e.ID, now, o)
	}
	kill := func() { e.killed.Do(func() { close(e.kill) }) }
	switch o {
	case wire.Suspend:
		e.set(func() { e.Status = wire.Suspended })
	case wire.Resume:
		e.set(func() { e.Status = wire.Running })
	case wire.Stop:
		e.signals <- 15
		if w.is("a stop kills") {
			kill()
			e.set(func() { e.Status = wire.Killed })
		}
	case wire.Kill:
		kill()
	case wire.Cancel:
		if !w.is("a cancel does nothing") {
			e.set(func() { e.Status = wire.Canceled })
			kill()
		}
	}
	return nil
}

// exactly reads what some plugins take for a whole message: what one Read brings.
type exactly struct{ io.Reader }

func (r exactly) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == nil && n < len(p) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
