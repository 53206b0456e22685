package session

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// at is a time of a start, in seconds after it was asked for.
func at(seconds float64) time.Time {
	return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func TestTimelineString(t *testing.T) {
	whole := Timeline{
		Asked: at(0), Queued: at(0.004), Host: at(41), Boot: at(58), Pull: at(80), Mount: at(81.4), Began: at(82), Ready: at(85),
		InstanceType: "m5.xlarge", Zone: "us-east-1a",
	}
	for _, c := range []struct {
		name   string
		change func(*Timeline)
		want   string
	}{
		{"whole", func(*Timeline) {}, "queued 4ms, host 41s (m5.xlarge in us-east-1a), boot 58s, pull 1m20s, mount 1m21s, began 1m22s, ready 1m25s"},
		{"no zone", func(l *Timeline) { l.Zone = "" }, "queued 4ms, host 41s (m5.xlarge), boot 58s, pull 1m20s, mount 1m21s, began 1m22s, ready 1m25s"},
		{"on its way", func(l *Timeline) {
			l.Pull, l.Mount, l.Began, l.Ready = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		}, "queued 4ms, host 41s (m5.xlarge in us-east-1a), boot 58s"},
		{"when asked is not known", func(l *Timeline) { l.Asked = time.Time{} }, "queued 0s, host 41s (m5.xlarge in us-east-1a), boot 58s, pull 1m20s, mount 1m21s, began 1m22s, ready 1m25s"},
		{"a stage is not known", func(l *Timeline) { l.Pull = time.Time{} }, "queued 4ms, host 41s (m5.xlarge in us-east-1a), boot 58s, mount 1m21s, began 1m22s, ready 1m25s"},
		{"nothing known", func(l *Timeline) { *l = Timeline{} }, ""},
	} {
		line := whole
		c.change(&line)
		if got := line.String(); got != c.want {
			t.Errorf("%s:\n%s; want\n%s", c.name, got, c.want)
		}
	}
}

// What is logged is the same, for machines.
func TestTimelineIsLogged(t *testing.T) {
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}})).Info("", "start", Timeline{Asked: at(0), Queued: at(0), Host: at(41), Boot: at(58.5)})
	if got, want := out.String(), "start.queued=0s start.host=41s start.boot=58.5s\n"; got != want {
		t.Errorf("logged %q; want %q", got, want)
	}
}

// Whatever clocks say, stages are told in order, and those that were not reached are
// not told; what was stored is what was seen; nothing that is repeated is news.
func TestTimelineIsInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func() time.Time {
		if random.IntN(4) == 0 {
			return time.Time{}
		}
		return at(random.Float64() * 100).Local()
	}
	for range 2000 {
		r := draft(Starting, at(0))
		r.Start.Asked = toMillisecond(some())
		s := launcher.Status{ID: r.workloadID(), Phase: launcher.Starting, QueuedAt: some(), Host: "i-1", StartedAt: some(), Reached: launcher.Timeline{Host: some(), Boot: some(), Pull: some(), Mount: some()}}
		r.note(s)
		if r.note(s) {
			t.Fatalf("told again, it is news: %+v", s)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var stored record
		if err := json.Unmarshal(text, &stored); err != nil {
			t.Fatal(err)
		}
		line := r.timeline()
		if stored.timeline() != line || stored.note(s) {
			t.Fatalf("stored, it is %+v; was %+v", stored.timeline(), line)
		}
		told := []time.Time{s.QueuedAt, s.Reached.Host, s.Reached.Boot, s.Reached.Pull, s.Reached.Mount, s.StartedAt, {}}
		last := line.Asked
		for i, stage := range line.stages() {
			want := told[i]
			if s.QueuedAt.IsZero() && i < 5 { // no launcher's status
				want = time.Time{}
			}
			if stage.at.IsZero() != want.IsZero() {
				t.Fatalf("%s is told as %v, and was %v", stage.name, stage.at, want)
			}
			if stage.at.IsZero() {
				continue
			}
			if stage.at.Before(last) || stage.at.After(last) && !stage.at.Equal(toMillisecond(want)) {
				t.Fatalf("%s is at %v, after %v; was %v", stage.name, stage.at, last, want)
			}
			last = stage.at
		}
	}
}

// A record of an earlier version has no start. Its timeline is what is known.
func TestTimelineOfAnOldRecord(t *testing.T) {
	var r record
	if err := json.Unmarshal([]byte(`{"ID":"s1","State":"running","Generation":1,"Created":"2026-03-01T09:00:00Z","Started":"2026-03-01T09:01:22Z"}`), &r); err != nil {
		t.Fatal(err)
	}
	if got, want := r.timeline().String(), "began 1m22s"; got != want {
		t.Errorf("it is %q; want %q", got, want)
	}
	r.Generation, r.Started = 2, time.Time{}
	if got := r.timeline(); got != (Timeline{}) {
		t.Errorf("of a later generation it is %+v; want nothing", got)
	}
}

// While a session starts and its launcher gives no reason, its message is the stage
// that it is in; a reason of the launcher's counts for more, and what runs has none.
func TestMessageIsTheStage(t *testing.T) {
	r := draft(Pending, at(0))
	says := func(want string) {
		t.Helper()
		if got := r.session().Message; got != want {
			t.Errorf("%s with %q: message %q; want %q", r.State, r.timeline(), got, want)
		}
	}
	says("it waits for the launcher to take it")
	r.State = Starting
	s := launcher.Status{QueuedAt: at(0)}
	for _, step := range []struct {
		set  func()
		want string
	}{
		{func() {}, "it waits for a host"},
		{func() { s.Host, s.InstanceType, s.Zone, s.Reached.Host = "i-1", "m5.xlarge", "us-east-1a", at(41) }, "its host, m5.xlarge in us-east-1a, boots"},
		{func() { s.Reached.Boot = at(58) }, "its image is being pulled"},
		{func() { s.Message = "the image is being pulled: 3 of 400 MiB" }, "the image is being pulled: 3 of 400 MiB"},
		{func() { s.Message, s.Reached.Pull = "", at(80) }, "its home is being mounted and its container made"},
		{func() { s.Reached.Mount = at(81) }, "its process is about to begin"},
	} {
		step.set()
		r.note(s)
		says(step.want)
	}
	r.State = Running
	says("")
}
