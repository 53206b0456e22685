package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/atelier-go/atelier/domain/store"
)

// Histories of one record, "a", in the order of their calls; what is
// concurrent is so because its outcome is unknown.
func TestHistoryProblem(t *testing.T) {
	type event struct {
		in  request
		out response
	}
	get := func(version int64, value string) event {
		if version == 0 {
			return event{request{call: "get", id: "a"}, response{err: store.ErrNotFound}}
		}
		return event{request{call: "get", id: "a"}, response{version: version, value: value}}
	}
	put := func(at int64, value string, out response) event {
		return event{request{call: "put", id: "a", version: at, value: value}, out}
	}
	remove := func(at int64, out response) event { return event{request{call: "delete", id: "a", version: at}, out} }
	unknown, conflict, missing := response{unknown: true}, response{err: store.ErrConflict}, response{err: store.ErrNotFound}
	at := func(version int64) response { return response{version: version} }

	for name, c := range map[string]struct {
		history []event
		problem string
	}{
		"nothing":                          {nil, ""},
		"a life":                           {[]event{put(0, "x", at(1)), get(1, "x"), put(1, "y", at(2)), remove(2, response{}), get(0, "")}, ""},
		"a put is lost":                    {[]event{put(0, "x", at(1)), get(0, "")}, "no order"},
		"a delete is lost":                 {[]event{put(0, "x", at(1)), remove(1, response{}), get(1, "x")}, "no order"},
		"a conflict with nothing":          {[]event{put(0, "x", conflict)}, "no order"},
		"a delete finds nothing":           {[]event{put(0, "x", at(1)), remove(1, missing)}, "no order"},
		"a put at a former version":        {[]event{put(0, "x", at(1)), put(1, "y", at(2)), put(1, "z", at(3))}, "no order"},
		"the version stays":                {[]event{put(0, "x", at(1)), put(1, "y", at(1))}, "no order"},
		"a version comes again":            {[]event{put(0, "x", at(1)), remove(1, response{}), put(0, "y", at(1))}, "version 1 was given to record a twice"},
		"unknown, and it happened":         {[]event{put(0, "x", unknown), get(1, "x"), put(1, "y", at(2))}, ""},
		"unknown, and it did not":          {[]event{put(0, "x", unknown), get(0, ""), put(0, "y", at(1))}, ""},
		"unknown, and it happens later":    {[]event{put(0, "x", unknown), get(0, ""), get(1, "x")}, ""},
		"unknown, and nobody sees it":      {[]event{put(0, "x", unknown), put(0, "y", conflict)}, ""},
		"unknown, hidden and in the way":   {[]event{put(0, "x", at(1)), put(1, "y", unknown), remove(1, conflict), put(1, "z", conflict)}, ""},
		"unknown, hidden and overwritten":  {[]event{put(0, "x", at(1)), put(1, "y", unknown), put(1, "z", conflict), put(1, "w", at(2))}, "no order"},
		"unknown, and it happens twice":    {[]event{put(0, "x", unknown), get(1, "x"), remove(1, response{}), get(1, "x")}, "no order"},
		"unknown, and it is undone":        {[]event{put(0, "x", unknown), get(1, "x"), get(0, "")}, "no order"},
		"unknown, and it could not happen": {[]event{put(0, "x", at(1)), put(7, "y", unknown), get(2, "y")}, "no order"},
		"unknown, and its version again":   {[]event{put(0, "x", unknown), get(1, "x"), remove(1, response{}), put(0, "y", at(1))}, "version 1 was given to record a twice"},
		"unknown delete that happened":     {[]event{put(0, "x", at(1)), remove(1, unknown), get(0, "")}, ""},
		"unknown delete that did not":      {[]event{put(0, "x", at(1)), remove(1, unknown), get(1, "x"), put(1, "y", at(2))}, ""},
		"unknown delete that comes later":  {[]event{put(0, "x", at(1)), remove(1, unknown), get(1, "x"), get(0, "")}, ""},
		"unknown delete that is undone":    {[]event{put(0, "x", at(1)), remove(1, unknown), get(0, ""), get(1, "x")}, "no order"},
		"unknown delete of what is gone":   {[]event{put(0, "x", at(1)), remove(1, unknown), get(1, "x"), remove(1, response{}), get(0, "")}, ""},
		"unknown delete of a later record": {[]event{put(0, "x", at(1)), put(1, "y", at(2)), remove(1, unknown), get(0, "")}, "no order"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &history{}
			for _, e := range c.history {
				h.add(0, h.clock.Add(1), e.in, e.out)
			}
			if got := h.problem(); !strings.Contains(got, c.problem) || (got == "") != (c.problem == "") {
				t.Errorf("the problem is %q, want %q", got, c.problem)
			}
		})
	}
}

// flawed is a store with a flaw, which a trial has to find.
type flawed struct {
	*store.Memory
	mu    sync.Mutex
	puts  int
	flaw  string
	early map[string]store.Record // the first of each key
}

func (s *flawed) Put(ctx context.Context, r store.Record) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts++
	switch {
	case s.flaw == "forgets" && s.puts%7 == 0:
		return 1 << 40, nil
	case s.flaw == "overwrites" && s.puts%7 == 0:
		if now, err := s.Get(ctx, r.Collection, r.ID); err == nil {
			r.Version = now.Version
		}
	case s.flaw == "fails" && s.puts%7 == 0:
		return 0, errors.New("out of order")
	case s.flaw == "conflicts for nothing" && s.puts%7 == 0:
		return 0, store.ErrConflict
	}
	version, err := s.Memory.Put(ctx, r)
	r.Version = version
	if err == nil && s.early[r.Collection+" "+r.ID].ID == "" {
		s.early[r.Collection+" "+r.ID] = r
	}
	return version, err
}

// restart is of a store that comes back with what was there at first.
func (s *flawed) restart(store.Store) store.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flaw != "falls back" {
		return s
	}
	for _, r := range s.early {
		if now, err := s.Get(context.Background(), r.Collection, r.ID); err == nil {
			r.Version = now.Version
			_, _ = s.Memory.Put(context.Background(), r)
		}
	}
	return s
}

// Each kind of trial finds each flaw, and none where there is none.
func TestTrialFindsFlaws(t *testing.T) {
	for _, how := range []trial{{}, {faults: true}, {restarts: 2}, {faults: true, restarts: 2}} {
		for _, flaw := range []string{"", "forgets", "overwrites", "fails", "conflicts for nothing", "falls back"} {
			t.Run(fmt.Sprintf("faults=%v/restarts=%d/%s", how.faults, how.restarts, flaw), func(t *testing.T) {
				s := &flawed{Memory: store.NewMemory(), flaw: flaw, early: map[string]store.Record{}}
				how := how
				how.restart = s.restart
				_, problem, err := how.repeat(t.Context(), s, rounds)
				found := problem != "" || err != nil
				if want := flaw != "" && (flaw != "falls back" || how.restarts > 0); found != want {
					t.Errorf("found is %v (%s, %v), want %v", found, problem, err, want)
				}
			})
		}
	}
}
