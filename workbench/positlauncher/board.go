package positlauncher

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A board has every job of the cluster as it is now, and the streams that are told of
// their statuses. A stream that is slow is told of the latest status of each job, and
// so of the final one in every case.
type board struct {
	rouse  func()        // something is to be told
	synced chan struct{} // closed once every job is there

	mu      sync.Mutex
	jobs    map[session.ID]*entry
	streams map[uint64]*statusStream
	// due are the jobs whose status is to be told, in the order in which they changed,
	// and to whom.
	due   []session.ID
	tells map[session.ID]map[*statusStream]bool
	// held are jobs whose submission was not answered yet: nobody is told of them
	// before.
	held map[session.ID]bool
}

// An entry is one job.
type entry struct {
	asked   wire.Job // as it was submitted
	job     wire.Job // as it is
	session session.Session
	changed chan struct{} // closed with the next change
}

// A statusStream is told of the status of one job, or of all of a user's.
type statusStream struct {
	request uint64
	user    string
	only    session.ID // empty for all
	told    uint64
}

func newBoard(rouse func()) *board {
	return &board{
		rouse: rouse, synced: make(chan struct{}),
		jobs: map[session.ID]*entry{}, streams: map[uint64]*statusStream{},
		tells: map[session.ID]map[*statusStream]bool{}, held: map[session.ID]bool{},
	}
}

// mayKnow reports whether who makes a request in the name of user is to know of a job.
func mayKnow(user string, j wire.Job) bool { return user == wire.All || user == j.User }

// put takes over what was learned of a session, unless more is known already. It
// reports the job as it then is, and whether there is one: whether the session is of
// a job.
func (b *board) put(s session.Session) (wire.Job, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.jobs[s.ID]
	if e == nil {
		var asked wire.Job
		if json.Unmarshal([]byte(s.Annotations[jobAnnotation]), &asked) != nil || asked.User == "" {
			return wire.Job{}, false
		}
		e = &entry{asked: asked, changed: make(chan struct{})}
		b.jobs[s.ID] = e
	}
	if s.Revision < e.session.Revision {
		return e.job, true
	}
	before := e.job
	e.session, e.job = s, report(e.asked, s)
	close(e.changed)
	e.changed = make(chan struct{})
	if before.Status != e.job.Status || before.StatusCode != e.job.StatusCode || before.StatusMessage != e.job.StatusMessage {
		for _, st := range b.streams {
			if st.wants(s.ID, e.job) {
				b.tell(s.ID, st)
			}
		}
		b.rouse()
	}
	return e.job, true
}

// get returns a job.
func (b *board) get(id session.ID) (wire.Job, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.jobs[id]; e != nil {
		return e.job, true
	}
	return wire.Job{}, false
}

// session returns the session of a job, and what is closed when that changes.
func (b *board) session(id session.ID) (session.Session, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.jobs[id]; e != nil {
		return e.session, e.changed
	}
	return session.Session{}, nil
}

// until waits for a session of a job to be as wanted, and returns it.
func (b *board) until(ctx context.Context, id session.ID, wanted func(session.Session) bool) (session.Session, error) {
	for {
		s, changed := b.session(id)
		if s.ID == "" {
			return s, errNoJob(string(id))
		}
		if wanted(s) {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// list returns the jobs that a request selects, in the order of their submission.
func (b *board) list(q wire.Request) []wire.Job {
	b.mu.Lock()
	found := []wire.Job{}
	for _, e := range b.jobs {
		if mayKnow(q.Username, e.job) && selects(q, e.job, e.session.CreatedAt) {
			found = append(found, e.job)
		}
	}
	b.mu.Unlock()
	slices.SortFunc(found, func(x, y wire.Job) int {
		return cmp.Or(x.SubmissionTime.Compare(y.SubmissionTime.Time), cmp.Compare(x.ID, y.ID))
	})
	for i := range found {
		found[i] = found[i].Only(q.Fields)
	}
	return found
}

// selects reports whether a job passes the filters of a request.
func selects(q wire.Request, j wire.Job, submitted time.Time) bool {
	for _, tag := range q.Tags {
		if !slices.Contains(j.Tags, tag) {
			return false
		}
	}
	if len(q.Statuses) > 0 && !slices.Contains(q.Statuses, j.Status) {
		return false
	}
	after := q.StartTime == nil || q.StartTime.IsZero() || !submitted.Before(q.StartTime.Time)
	before := q.EndTime == nil || q.EndTime.IsZero() || !submitted.After(q.EndTime.Time)
	return after && before
}

// hold keeps a job that is about to be submitted from being told of, until release.
func (b *board) hold(id session.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[id] = true
}

func (b *board) release(id session.ID) {
	b.mu.Lock()
	delete(b.held, id)
	if b.tells[id] != nil {
		b.due = append(b.due, id)
	}
	b.mu.Unlock()
	b.rouse()
}

// wants reports whether a stream is told of a job.
func (st *statusStream) wants(id session.ID, j wire.Job) bool {
	return (st.only == "" || st.only == id) && mayKnow(st.user, j)
}

// tell notes that a stream is to be told of a job; b.mu is held.
func (b *board) tell(id session.ID, st *statusStream) {
	if b.tells[id] == nil {
		b.tells[id] = map[*statusStream]bool{}
		if !b.held[id] {
			b.due = append(b.due, id)
		}
	}
	b.tells[id][st] = true
}

// open begins a stream, which is told of how things are at once.
func (b *board) open(st *statusStream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[st.request] = st
	var known []*entry
	for id, e := range b.jobs {
		if st.wants(id, e.job) {
			known = append(known, e)
		}
	}
	slices.SortFunc(known, func(x, y *entry) int {
		return cmp.Or(x.session.CreatedAt.Compare(y.session.CreatedAt), cmp.Compare(x.session.ID, y.session.ID))
	})
	for _, e := range known {
		b.tell(e.session.ID, st)
	}
	b.rouse()
}

// close ends a stream: nothing more is told to it.
func (b *board) close(st *statusStream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.streams[st.request] == st { // and not one that has taken its place
		delete(b.streams, st.request)
	}
	for _, streams := range b.tells {
		delete(streams, st)
	}
}

// next is the next status to tell, to all streams that are to be told of it; nil if
// there is none.
func (b *board) next() message {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.due) > 0 {
		id := b.due[0]
		b.due = b.due[1:]
		streams, e := b.tells[id], b.jobs[id]
		delete(b.tells, id)
		if len(streams) == 0 || e == nil {
			continue
		}
		m := &wire.JobStatus{
			Header: wire.Header{Type: wire.JobStatusResponse},
			ID:     e.job.ID, Name: e.job.Name,
			Status: e.job.Status, StatusCode: e.job.StatusCode, StatusMessage: e.job.StatusMessage,
		}
		for st := range streams {
			st.told++
			m.Sequences = append(m.Sequences, wire.Sequence{RequestID: st.request, SequenceID: st.told})
		}
		slices.SortFunc(m.Sequences, func(x, y wire.Sequence) int { return cmp.Compare(x.RequestID, y.RequestID) })
		return m
	}
	return nil
}

// lasting are the sessions of the jobs that have not ended, as far as is known.
func (b *board) lasting() []session.Session {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []session.Session
	for _, e := range b.jobs {
		if !e.session.State.Ended() {
			all = append(all, e.session)
		}
	}
	return all
}

// expired are the jobs that ended before a time.
func (b *board) expired(before time.Time) []session.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	var old []session.ID
	for id, e := range b.jobs {
		if e.session.State.Ended() && e.session.Since.Before(before) {
			old = append(old, id)
		}
	}
	return old
}

// forget drops a job.
func (b *board) forget(id session.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.jobs, id)
}
