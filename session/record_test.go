package session

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// Nothing of a generation is left in the next, before the launcher has told of
// that: neither what its host was nor when it is taken.
func TestBeginForgets(t *testing.T) {
	now := time.Now()
	r := draft(Starting, now)
	r.note(launcher.Status{
		Host: "i-1", InstanceType: "t3.large", Market: launcher.Spot, Tried: []launcher.Attempt{{At: now}},
		Interruption: now, Endangered: true, Reason: launcher.ErrCapacity, Message: "sold out",
		QueuedAt: now, Zone: "us-east-1a", Reached: launcher.Timeline{Host: now, Boot: now, Pull: now, Mount: now},
	})
	r.exit(launcher.Status{Reason: launcher.ErrInterrupted})
	_ = r.apply(sawInterrupted, now, Deadlines{}.withDefaults())
	_ = r.apply(goesOn, now, Deadlines{}.withDefaults())
	r.begin(r.Grant, ResumeRequest{}, access{})
	if s := r.session(); s.Host != "" || s.InstanceType != "" || s.Market != "" || s.Tried != nil || !s.Interruption.IsZero() ||
		s.Endangered || s.Reason != "" || r.Message != "" || s.ExitCode != 0 || s.Timeline != (Timeline{Asked: toMillisecond(now)}) {
		t.Errorf("left over: %+v", s)
	}
	if r.hurried(now).StopGrace != r.Request.Kind.StopGrace {
		t.Error("the next generation has only the grace that the last had")
	}
}

// What a launcher repeats is no news, also to a record that has been stored:
// each note would be a write, and the next look another.
func TestNoteIsQuiet(t *testing.T) {
	now := time.Now() // with a monotonic reading, which no store keeps
	base := launcher.Status{QueuedAt: now, Reached: launcher.Timeline{Host: now}, Zone: "us-east-1a", Host: "i-1", InstanceType: "t3.large", StartedAt: now, Endpoints: map[string]string{"http": "a:1"}}
	for _, s := range []State{Pending, Starting, Running} {
		for name, change := range map[string]func(*launcher.Status){
			"nothing":      func(*launcher.Status) {},
			"tried":        func(s *launcher.Status) { s.Tried = []launcher.Attempt{{InstanceType: "t3.medium", At: now}} },
			"time":         func(s *launcher.Status) { s.Tried = []launcher.Attempt{{InstanceType: "t3.medium", At: now.Add(1)}} },
			"type":         func(s *launcher.Status) { s.InstanceType = "t3.medium" },
			"market":       func(s *launcher.Status) { s.Market = launcher.Spot },
			"endangered":   func(s *launcher.Status) { s.Endangered = true },
			"interruption": func(s *launcher.Status) { s.Interruption = now },
			"booted":       func(s *launcher.Status) { s.Reached.Boot = now },
		} {
			r := draft(s, now)
			r.note(base)
			told := base
			change(&told)
			news := r.note(told)
			if want := name != "nothing" && (s != Running || name != "tried" && name != "time"); news != want {
				t.Errorf("%s, %s: news %v, want %v", s, name, news, want)
			}
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var stored record
			if err := json.Unmarshal(text, &stored); err != nil {
				t.Fatal(err)
			}
			if stored.note(told) {
				t.Errorf("%s, %s: told twice and noted twice", s, name)
			}
		}
	}
}
