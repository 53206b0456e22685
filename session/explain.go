package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// An Explanation says why a session is as it is: why one that runs is alive and when
// that ends, or why one does not run any more, with the evidence.
type Explanation struct {
	// Session is what it is about, as it is now.
	Session Session
	// At is when this was found out.
	At time.Time
	// Used is its last use, by the evidence that counts.
	Used Evidence
	// Evidence is what is known from each source, the latest use first; of a session
	// that does not run, as it was at its end.
	Evidence []Evidence
	// Ends is when it ends by itself if nobody uses it from now on, and by which
	// rule. Zero if no rule applies or it does not run.
	Ends Ending
	// KeptUntil is until when it is exempt from that, KeptBy who has seen to it.
	KeptUntil time.Time
	KeptBy    string
}

// Explain tells why a session is alive, or why it is not. It reads the store and needs
// no Run; what was reported within the last minute may be missing.
func (m *Manager) Explain(ctx context.Context, id ID) (Explanation, error) {
	r, err := m.find(ctx, "explain", id)
	if err != nil {
		return Explanation{}, err
	}
	return r.explain(time.Now()), nil
}

func (r record) explain(now time.Time) Explanation {
	x := Explanation{Session: r.session(), At: now, Evidence: slices.Collect(maps.Values(r.Evidence))}
	slices.SortFunc(x.Evidence, func(a, b Evidence) int {
		if c := b.last().Compare(a.last()); c != 0 {
			return c
		}
		return strings.Compare(string(a.Source), string(b.Source))
	})
	if !r.Started.IsZero() {
		x.Used = lastUse(r)
	}
	if r.KeepUntil.After(now) {
		x.KeptUntil, x.KeptBy = r.KeepUntil, r.KeptBy
	}
	if r.State == Running {
		if v, ok := judge(r); ok {
			x.Ends = v.Ending
			x.Ends.At = maxTime(x.Ends.At, r.Ends.At)
		}
	}
	return x
}

// String is the explanation for people, in a few lines. Times are UTC.
func (x Explanation) String() string {
	var b strings.Builder
	s := x.Session
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	switch {
	case s.State != Running:
		line("%s is %s since %s.", s.ID, s.State, clock(s.Since))
		if s.Last.Op != "" && s.Last.Op != "start" {
			line("%s was asked for by %s%s.", s.Last.Op, name(s.Last.By), because(s.Last.Why))
		}
		if s.Message != "" && s.Message != s.Last.Why { // which is told
			line("%s.", strings.TrimSuffix(s.Message, "."))
		}
	case x.Ends.At.IsZero():
		line("%s runs since %s, and no rule ends it.", s.ID, clock(s.Since))
	default:
		what := "suspended"
		if x.Ends.Stop {
			what = "stopped"
		}
		line("%s runs since %s, and is %s at %s unless it is used before: %s.", s.ID, clock(s.Since), what, clock(x.Ends.At), x.Ends.Why)
	}
	if !x.KeptUntil.IsZero() {
		line("It is exempt until %s, by %s.", clock(x.KeptUntil), name(x.KeptBy))
	}
	if !x.Used.Used.IsZero() {
		line("Last used at %s (%s: %s).", clock(x.Used.last()), x.Used.Source, detail(x.Used))
	}
	for _, e := range x.Evidence {
		weight := ""
		if !e.counts() {
			weight = ", which counts for nothing"
		}
		line("  %s: %s%s", e.Source, detail(e), weight)
	}
	return b.String()
}

// detail is what a source tells, in words.
func detail(e Evidence) string {
	var parts []string
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	if e.Used.IsZero() {
		parts = append(parts, "no use seen")
	} else {
		parts = append(parts, "used at "+clock(e.Used))
	}
	switch {
	case e.Failure != "" && e.Asked.IsZero():
		parts = append(parts, "does not answer: "+e.Failure)
	case e.Failure != "":
		parts = append(parts, "does not answer since "+clock(e.Asked)+": "+e.Failure)
	}
	return strings.Join(parts, ", ")
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func name(by string) string {
	if by == "" {
		return "somebody"
	}
	return by
}
