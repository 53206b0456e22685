package session

import (
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

// TestJudge: of all rules that apply the first to come true holds; use, exemptions and
// what cannot be asked move it.
func TestJudge(t *testing.T) {
	begun := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	hours := func(n float64) time.Time { return begun.Add(time.Duration(n * float64(time.Hour))) }
	idle := func(after time.Duration, change func(*domain.IdleRule)) domain.Bound {
		r := domain.IdleRule{After: after}
		if change != nil {
			change(&r)
		}
		return domain.Bound{Idle: r, Owner: "the domain's policy"}
	}
	two := idle(2*time.Hour, nil)
	used := func(source Source, at time.Time) func(*record) {
		return func(r *record) { r.learn(Evidence{Source: source, Used: at, Asked: at}) }
	}
	for name, c := range map[string]struct {
		bounds []domain.Bound
		with   []func(*record)
		end    time.Time // zero: never
		stop   bool
		source Source
	}{
		"no rule":  {nil, nil, time.Time{}, false, Began},
		"begun":    {[]domain.Bound{two}, nil, hours(2), false, Began},
		"used":     {[]domain.Bound{two}, []func(*record){used(Traffic, hours(1))}, hours(3), false, Traffic},
		"the last": {[]domain.Bound{two}, []func(*record){used(Traffic, hours(1)), used(CPU, hours(1.5)), used("mine", hours(1.2))}, hours(3.5), false, CPU},
		"unsure": {[]domain.Bound{two}, []func(*record){func(r *record) {
			r.learn(Evidence{Source: "mine", Used: hours(1), Confidence: 0.4})
		}}, hours(2), false, Began},
		"sure enough": {[]domain.Bound{two}, []func(*record){func(r *record) {
			r.learn(Evidence{Source: "mine", Used: hours(1), Confidence: 0.5})
		}}, hours(3), false, "mine"},
		"cannot be asked since": {[]domain.Bound{two}, []func(*record){used(Program, hours(0.5)), func(r *record) {
			r.learn(Evidence{Source: Program, Asked: hours(5), Failure: "connection refused"})
		}}, hours(2.5), false, Program},
		"asked for since":     {[]domain.Bound{two}, []func(*record){func(r *record) { r.Last = Asked{Op: "keep", By: "alice", At: hours(1)} }}, hours(3), false, Began},
		"by the manager":      {[]domain.Bound{two}, []func(*record){func(r *record) { r.Last = Asked{Op: "resume", By: Itself, At: hours(1)} }}, hours(2), false, Began},
		"the shortest":        {[]domain.Bound{two, idle(time.Hour, nil), idle(3*time.Hour, nil)}, nil, hours(1), false, Began},
		"for another kind":    {[]domain.Bound{idle(time.Hour, func(r *domain.IdleRule) { r.Kinds = []string{"jupyterlab"} }), two}, nil, hours(2), false, Began},
		"for this kind":       {[]domain.Bound{idle(time.Hour, func(r *domain.IdleRule) { r.Kinds = []string{"rstudio"} }), two}, nil, hours(1), false, Began},
		"dear":                {[]domain.Bound{idle(time.Hour, func(r *domain.IdleRule) { r.MinPricePerHour = instancetype.Dollar }), two}, nil, hours(1), false, Began},
		"cheap":               {[]domain.Bound{idle(time.Hour, func(r *domain.IdleRule) { r.MinPricePerHour = 5 * instancetype.Dollar }), two}, nil, hours(2), false, Began},
		"for good":            {[]domain.Bound{idle(time.Hour, func(r *domain.IdleRule) { r.Stop = true })}, nil, hours(1), true, Began},
		"a job":               {[]domain.Bound{two}, []func(*record){func(r *record) { r.Request.Kind = Job() }}, time.Time{}, false, Work},
		"a job for too long":  {[]domain.Bound{two, {MaxLifetime: 8 * time.Hour}}, []func(*record){func(r *record) { r.Request.Kind = Job() }}, hours(8), true, Work},
		"lifetime, though":    {[]domain.Bound{two, {MaxLifetime: 8 * time.Hour}}, []func(*record){used(Traffic, hours(7))}, hours(8), false, Traffic},
		"kept":                {[]domain.Bound{two}, []func(*record){func(r *record) { r.KeepUntil = hours(20) }}, hours(20), false, Began},
		"kept for less":       {[]domain.Bound{two}, []func(*record){func(r *record) { r.KeepUntil = hours(1) }}, hours(2), false, Began},
		"could not suspend":   {[]domain.Bound{two}, []func(*record){func(r *record) { r.Unsuspended = hours(2) }}, hours(4), false, Began},
		"on its way sideways": {[]domain.Bound{{MaxLifetime: time.Hour}, two}, nil, hours(1), false, Began},
	} {
		r := record{ID: "s1", State: Running, Started: begun, Since: begun, Request: StartRequest{Kind: RStudio()}}
		r.Grant.Bounds = c.bounds
		r.Grant.PricePerHour, r.Grant.PriceKnown = instancetype.Price{PerHour: 2 * instancetype.Dollar}, true
		for _, change := range c.with {
			change(&r)
		}
		v, ok := judge(r)
		if ok != !c.end.IsZero() || !v.At.Equal(c.end) || ok && v.Stop != c.stop || v.used.Source != c.source {
			t.Errorf("%s: ends %v at %v (stop %v), last use by %s; want %v, %v, %s", name, ok, v.At, v.Stop, v.used.Source, c.end, c.stop, c.source)
		}
		if ok && (v.warn.After(v.At) || v.Why == "") {
			t.Errorf("%s: warned at %v: %q", name, v.warn, v.Why)
		}
	}
}

// TestLearn: of what a source tells the latest use is kept, whatever order it is told
// in, and what is no news is no write.
func TestLearn(t *testing.T) {
	at := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	var r record
	if !r.learn(Evidence{Source: Traffic, Used: at, Asked: at, Detail: "first"}) {
		t.Error("the first is no news")
	}
	if r.learn(Evidence{Source: Traffic, Used: at.Add(time.Second), Asked: at.Add(time.Second), Confidence: 0.1}) {
		t.Error("what counts for nothing takes the place of what counts")
	}
	var unsure record
	unsure.learn(Evidence{Source: Traffic, Used: at.Add(time.Second), Confidence: 0.1})
	if !unsure.learn(Evidence{Source: Traffic, Used: at}) || !unsure.Evidence[Traffic].Used.Equal(at) {
		t.Errorf("what counts does not take the place of what does not: %+v", unsure.Evidence)
	}
	if r.learn(Evidence{Source: Traffic, Used: at.Add(-time.Second), Asked: at}) || r.Evidence[Traffic].Detail != "first" {
		t.Errorf("an older one is news: %+v", r.Evidence)
	}
	if !r.learn(Evidence{Source: Traffic, Used: at, Asked: at.Add(reportEvery)}) || r.Evidence[Traffic].Detail != "first" {
		t.Errorf("that there was no use until later is to be known: %+v", r.Evidence)
	}
	if !r.learn(Evidence{Source: Traffic, Failure: "gone", Asked: at.Add(time.Hour)}) || !r.Evidence[Traffic].last().Equal(at.Add(reportEvery)) {
		t.Errorf("one that fails is taken for used until it last answered: %+v", r.Evidence)
	}
	if r.learn(Evidence{Source: Traffic, Failure: "gone", Asked: at.Add(2 * time.Hour)}) {
		t.Error("one that goes on failing is news")
	}
	if !r.learn(Evidence{Source: Traffic, Used: at, Asked: at.Add(3 * time.Hour)}) || r.Evidence[Traffic].Failure != "" {
		t.Errorf("one that answers again: %+v", r.Evidence)
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		2 * time.Hour: "2h", 90 * time.Minute: "1h30m", 45 * time.Second: "45s", 10 * time.Minute: "10m", 0: "0s", 61 * time.Second: "1m1s", 20 * time.Hour: "20h",
	} {
		if got := short(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// TestExitOfWhatTimedOut: why the container went counts for more than the rule by which
// it was to go, if it did not go as it was asked to.
func TestExitOfWhatTimedOut(t *testing.T) {
	for _, state := range []State{Suspending, Stopping} {
		for _, reason := range []launcher.Kind{ErrIdle, ErrLifetime} {
			r := record{State: state, Reason: reason, Message: "by a rule"}
			if r.exit(launcher.Status{ExitCode: 137, Message: "killed"}); r.Reason != reason || r.Message != "by a rule" {
				t.Errorf("%s, %s: as asked: %q, %q", state, reason, r.Reason, r.Message)
			}
			if r.exit(launcher.Status{Reason: launcher.ErrOutOfMemory, Message: "all used"}); r.Reason != launcher.ErrOutOfMemory || r.Message != "all used" {
				t.Errorf("%s, %s: out of memory: %q, %q", state, reason, r.Reason, r.Message)
			}
		}
	}
}
