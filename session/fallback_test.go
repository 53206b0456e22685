package session_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// A launcher is told of every type that a session may have, and of the market.
func TestAlternatives(t *testing.T) {
	for _, market := range []launcher.Market{launcher.OnDemand, launcher.Spot, launcher.SpotOrOnDemand} {
		inBubble(t, "market="+string(market), func(t *testing.T) {
			w := newWorld(t)
			m := w.manager()
			q := request("s1")
			q.Alternatives, q.Market = []string{"ml.t3.large", "m5.large"}, market
			s := started(t, m, q)
			others := []string{"t3.large", "m5.large"}
			if s.InstanceType != "t3.medium" || !slices.Equal(s.Alternatives, others) || s.Market != market {
				t.Errorf("%+v", s)
			}
			got := w.guard.workloads()[0]
			if got.InstanceType != "t3.medium" || !slices.Equal(got.Alternatives, others) || got.Market != market {
				t.Errorf("launched %+v", got)
			}
		})
	}
}

// A session never runs on a type that its user may not use.
func TestAlternativesRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Types: []string{"t3.*"}}))
		m := w.manager()
		q := request("s1")
		q.Alternatives = []string{"t3.large", "m5.large", "r5.large"}
		_, err := m.Start(t.Context(), q)
		fails(t, err, domain.ErrNotAllowed, "m5.large", "r5.large", "t3.*")
		q.Alternatives = []string{"t3.large", "ml.t3.medium"}
		_, err = m.Start(t.Context(), q)
		fails(t, err, domain.ErrInvalid, "t3.medium is named twice")
		if n := len(w.guard.workloads()); n != 0 {
			t.Errorf("%d launches of what was refused", n)
		}
	})
}

// What a resumed session may have follows from what is asked for.
func TestResumeWithAlternatives(t *testing.T) {
	for name, test := range map[string]struct {
		ask    session.ResumeRequest
		types  string // the main one and its alternatives
		market launcher.Market
	}{
		"as before":          {session.ResumeRequest{}, "t3.medium t3.large", launcher.Spot},
		"other alternatives": {session.ResumeRequest{Alternatives: []string{"ml.m5.large"}}, "t3.medium m5.large", launcher.Spot},
		"another type":       {session.ResumeRequest{InstanceType: "r5.4xlarge"}, "r5.4xlarge", launcher.Spot},
		"another size":       {session.ResumeRequest{Size: domain.Size{MilliCPU: 2000, MemoryMiB: 15000}}, "r5a.large", launcher.Spot},
		"another market":     {session.ResumeRequest{Market: new(launcher.OnDemand)}, "t3.medium t3.large", launcher.OnDemand},
		"everything": {session.ResumeRequest{InstanceType: "m5.large", Alternatives: []string{"r5.large"}, Market: new(launcher.SpotOrOnDemand)},
			"m5.large r5.large", launcher.SpotOrOnDemand},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			m := w.manager()
			q := request("s1")
			q.Alternatives, q.Market = []string{"t3.large"}, launcher.Spot
			started(t, m, q)
			_, err := m.Suspend(t.Context(), "s1", session.Order{})
			check(t, err)
			_, err = m.Wait(t.Context(), "s1", session.Suspended)
			check(t, err)
			s, err := m.Resume(t.Context(), "s1", test.ask)
			check(t, err)
			want := strings.Fields(test.types)
			_, err = m.Wait(t.Context(), "s1", session.Running)
			check(t, err)
			got := w.guard.workloads()[1]
			if s.Market != test.market || got.Market != test.market || !slices.Equal(append([]string{got.InstanceType}, got.Alternatives...), want) {
				t.Errorf("launched on %s %v, %q; want %v, %q", got.InstanceType, got.Alternatives, got.Market, want, test.market)
			}
			// Asking for what is so does nothing; for anything else it is refused.
			for _, same := range []session.ResumeRequest{test.ask, {}, {InstanceType: "ml." + got.InstanceType}, {Alternatives: got.Alternatives}, {Market: new(got.Market)}} {
				if again, err := m.Resume(t.Context(), "s1", same); err != nil || again.Generation != 2 {
					t.Errorf("Resume(%+v) = %+v, %v", same, again, err)
				}
			}
			for _, other := range []session.ResumeRequest{{InstanceType: "c5.large"}, {InstanceType: "c5.larg"}, {Alternatives: []string{"c5.large"}}, {Market: new(launcher.Market("other"))}} {
				_, err := m.Resume(t.Context(), "s1", other)
				fails(t, err, session.ErrState, got.InstanceType, "suspend it first")
			}
		})
	}
}

// What a session waits for and what it gets are shown as the launcher tells.
func TestWhatWasTriedAndFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.reclaimer()
		attempt := func(n int) launcher.Attempt {
			return launcher.Attempt{InstanceType: "t3.medium", Market: launcher.Spot, Zone: "us-east-1a", Reason: launcher.ErrCapacity, Message: "sold out", At: time.Unix(int64(n), 0)}
		}
		var tried []launcher.Attempt
		for n := range 60 {
			tried = append(tried, attempt(n))
		}
		waiting := func(s launcher.Status) launcher.Status {
			if s.Phase == launcher.Running {
				s.Phase, s.Host, s.StartedAt, s.Endpoints, s.Tried = launcher.Queued, "", time.Time{}, nil, tried
				s.InstanceType, s.Market = "t3.medium", launcher.Spot // asked for first
			}
			return s
		}
		found := func(s launcher.Status) launcher.Status {
			s.InstanceType, s.Market, s.Tried = "t3.large", launcher.OnDemand, tried
			return s
		}
		l.dress = waiting
		m, _ := w.run(l, session.Config{})
		q := request("s1")
		q.Alternatives, q.Market = []string{"t3.large"}, launcher.SpotOrOnDemand
		_, err := m.Start(t.Context(), q)
		check(t, err)
		s := get(t, m, "s1")
		if s.State != session.Starting || s.InstanceType != "t3.medium" || s.Market != launcher.SpotOrOnDemand || len(s.Tried) != 50 || s.Tried[0].At.Unix() != 10 || s.Tried[49].String() != tried[59].String() {
			t.Errorf("waiting: %+v", s)
		}
		cheap := s.PricePerHour
		l.set(func() { l.dress = found })
		s = get(t, m, "s1")
		if s.State != session.Running || s.InstanceType != "t3.large" || s.Market != launcher.OnDemand || s.Tried != nil || !s.PriceKnown || s.PricePerHour != 2*cheap {
			t.Errorf("running: %+v", s)
		}
		// It is on the alternative, so a Resume on that is nothing new.
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{InstanceType: "t3.large"})
		check(t, err)
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{InstanceType: "t3.medium"})
		fails(t, err, session.ErrState, "it is on t3.large")
		l.set(func() {
			l.dress = func(s launcher.Status) launcher.Status {
				s.InstanceType = "laptop"
				return s
			}
		})
		if s = get(t, m, "s1"); s.InstanceType != "laptop" || s.PriceKnown {
			t.Errorf("on a type of the launcher's own: %+v", s)
		}
		l.set(func() { l.dress = found })
		_, err = m.Suspend(t.Context(), "s1", session.Order{})
		check(t, err)
		if s = get(t, m, "s1"); s.State != session.Suspended || s.InstanceType != "t3.large" {
			t.Errorf("suspended: %+v", s)
		}
		l.set(func() { l.dress = waiting })
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
		if s = get(t, m, "s1"); s.State != session.Starting || s.InstanceType != "t3.medium" || s.Market != launcher.SpotOrOnDemand {
			t.Errorf("resumed: %+v", s)
		}
	})
}
