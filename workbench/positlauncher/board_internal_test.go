package positlauncher

import (
	"fmt"
	"testing"
	"time"

	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// known is a session of a job of a user.
func known(t *testing.T, id session.ID, user string, state session.State) session.Session {
	t.Helper()
	kept, err := keepsake(wire.Job{User: user, Name: "job " + string(id)})
	if err != nil {
		t.Fatal(err)
	}
	s := session.Session{ID: id, State: state, Generation: 1, CreatedAt: time.Unix(1, 0), Annotations: map[string]string{jobAnnotation: kept}}
	if state != session.Pending && state != session.Starting {
		s.StartedAt = time.Unix(2, 0)
	}
	return s
}

// drain is all that is to be told now.
func drain(b *board) []string {
	var told []string
	for m := b.next(); m != nil; m = b.next() {
		s := m.(*wire.JobStatus)
		told = append(told, fmt.Sprintf("%s %s %v", s.ID, s.Status, s.Sequences))
	}
	return told
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestBoard(t *testing.T) {
	b := newBoard(func() {})
	b.put(known(t, "s1", "alice", session.Pending))
	same(t, drain(b), nil) // nobody listens

	b.open(&statusStream{request: 7, user: "alice"})
	same(t, drain(b), []string{"s1 Pending [{7 1}]"})

	// One message for all who are to be told, each with its own count.
	all, bobs := &statusStream{request: 9, user: wire.All}, &statusStream{request: 10, user: "bob"}
	b.open(all)
	b.open(bobs)
	b.put(known(t, "s1", "alice", session.Running))
	b.put(known(t, "s2", "bob", session.Pending))
	same(t, drain(b), []string{"s1 Running [{7 2} {9 1}]", "s2 Pending [{9 2} {10 1}]"})

	// Who does not read is told of the latest, and of the end in every case.
	b.put(known(t, "s2", "bob", session.Starting)) // the same to the Launcher but for its code
	b.put(known(t, "s2", "bob", session.Running))
	b.put(known(t, "s1", "alice", session.Stopping))
	b.put(known(t, "s2", "bob", session.Stopped))
	b.put(known(t, "s1", "alice", session.Stopped))
	same(t, drain(b), []string{"s2 Finished [{9 3} {10 2}]", "s1 Finished [{7 3} {9 4}]"})

	// Nothing is told to a stream that has ended, nor of what did not change.
	b.close(all)
	b.put(known(t, "s1", "alice", session.Stopped))
	b.put(known(t, "s3", "bob", session.Pending))
	b.close(bobs)
	same(t, drain(b), nil)

	// A stream of one job is told of that one.
	b.open(&statusStream{request: 11, user: wire.All, only: "s3"})
	b.put(known(t, "s3", "bob", session.Running))
	b.put(known(t, "s2", "bob", session.Failed))
	same(t, drain(b), []string{"s3 Running [{11 1}]"})
}

// The answer to a submission comes before the job's status.
func TestBoardHolds(t *testing.T) {
	b := newBoard(func() {})
	b.open(&statusStream{request: 1, user: wire.All})
	b.hold("s1")
	b.put(known(t, "s1", "alice", session.Pending))
	b.put(known(t, "s2", "alice", session.Pending))
	b.put(known(t, "s1", "alice", session.Running))
	same(t, drain(b), []string{"s2 Pending [{1 1}]"})
	b.release("s1")
	same(t, drain(b), []string{"s1 Running [{1 2}]"})
}

// What is learned late does not take the place of what is known.
func TestBoardForgetsNothing(t *testing.T) {
	b := newBoard(func() {})
	now, before := known(t, "s1", "alice", session.Stopped), known(t, "s1", "alice", session.Pending)
	now.Revision, before.Revision = 5, 1
	b.put(now)
	if j, ok := b.put(before); !ok || j.Status != wire.Finished {
		t.Errorf("it went back to %s", j.Status)
	}
	if _, ok := b.put(session.Session{ID: "s9"}); ok {
		t.Error("a session that is no job is one")
	}
}
