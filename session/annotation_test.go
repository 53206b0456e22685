package session_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// What a caller keeps with a session is told to callers, and to nobody else.
func TestAnnotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const private = "not for others"
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Labels = map[string]string{"team": "x"}
		q.Annotations = map[string]string{"plain": private, "Ünïcode key": "\x00\n\t☃", "": ""}
		_, err := m.Start(t.Context(), q)
		fails(t, err, session.ErrInvalid, `annotation "": want a key of 1 to 63 bytes`)
		delete(q.Annotations, "")
		q.Annotations["bytes"] = "\xff"
		_, err = m.Start(t.Context(), q)
		fails(t, err, session.ErrInvalid, "annotations must be UTF-8")
		delete(q.Annotations, "bytes")
		q.Annotations["large"] = strings.Repeat(private+" ", 8000) // of 120 KB
		want := maps.Clone(q.Annotations)
		s := started(t, m, q)
		q.Annotations["plain"] = "changed by the caller"
		s.Annotations["plain"] = "changed by the caller"

		// They are part of the request.
		_, err = m.Start(t.Context(), q)
		fails(t, err, session.ErrConflict, "asked for differently")
		q.Annotations = maps.Clone(want)
		check(t, second(m.Start(t.Context(), q)))
		q.Annotations = nil
		_, err = m.Start(t.Context(), q)
		fails(t, err, session.ErrConflict, "asked for differently")
		big := request("big")
		big.Annotations = map[string]string{"large": strings.Repeat("x", 128<<10)}
		_, err = m.Start(t.Context(), big)
		fails(t, err, session.ErrInvalid, "bytes, at most 131072")

		// They are there for ever, in whatever way it is looked at.
		check(t, second(m.Suspend(t.Context(), "s1", session.Order{})))
		check(t, second(m.Wait(t.Context(), "s1", session.Suspended)))
		check(t, second(m.Resume(t.Context(), "s1", session.ResumeRequest{})))
		s, err = m.Wait(t.Context(), "s1", session.Running)
		check(t, err)
		clear(toldFirst(t, m, "s1").Annotations) // which are the watcher's own
		var listed session.Session
		for l, err := range m.List(t.Context(), session.Filter{Labels: map[string]string{"team": "x"}}) {
			check(t, err)
			listed = l
		}
		for _, s := range []session.Session{s, listed, toldFirst(t, m, "s1"), get(t, m, "s1")} {
			if !maps.Equal(s.Annotations, want) {
				t.Errorf("it has the annotations %.200q", s.Annotations)
			}
		}
		for s := range m.List(t.Context(), session.Filter{Labels: map[string]string{"plain": private}}) {
			t.Errorf("%s was found by an annotation", s.ID)
		}

		// No workload, status or audit line has them.
		told := []any{}
		for _, w := range w.guard.workloads() {
			told = append(told, w)
		}
		for s, err := range w.host.List(t.Context(), launcher.Filter{}) {
			check(t, err)
			told = append(told, s)
		}
		for _, e := range w.entries(m, session.AuditFilter{}) {
			told = append(told, e)
		}
		text, err := json.Marshal(told)
		check(t, err)
		if len(told) < 6 || strings.Contains(string(text), private) {
			t.Errorf("of %d things told, some have the annotations", len(told))
		}
		check(t, second(m.Kill(t.Context(), "s1", session.Order{})))
		check(t, second(m.Wait(t.Context(), "s1", session.Stopped)))
		synctest.Wait()
		check(t, m.Delete(t.Context(), "s1", session.Order{}))
		r, err := w.store.Get(t.Context(), "domains/research/sessions", "s1")
		check(t, err)
		if strings.Contains(string(r.Value), private) {
			t.Error("what is left of a deleted session has them")
		}
	})
}

// toldFirst is a session as a watcher is told of it first.
func toldFirst(t *testing.T, m *session.Manager, id session.ID) session.Session {
	t.Helper()
	for s, err := range m.Watch(t.Context(), session.Filter{}) {
		check(t, err)
		if s.ID == id {
			return s
		}
	}
	t.Fatalf("no watcher is told of %s", id)
	return session.Session{}
}
