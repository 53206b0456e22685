package ec2launcher

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// TestRecordMovesForward lets chance tell a record what hosts report and
// callers ask, and checks that its phase never goes back and that an exit is
// never unsaid.
func TestRecordMovesForward(t *testing.T) {
	phases := []launcher.Phase{launcher.Starting, launcher.Running, launcher.Stopping, launcher.Exited}
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := workloadRecord{Host: "i-1", Delivered: true, Status: launcher.Status{ID: "a", Phase: launcher.Provisioning}}
		for range 30 {
			before := w.Status
			if r.IntN(4) == 0 {
				w.stop(launcher.StopOptions{Grace: time.Duration(1+r.IntN(60)) * time.Second, Forget: r.IntN(3) == 0})
			} else {
				host := []string{"i-1", "i-1", "i-2"}[r.IntN(3)]
				told := launcher.Status{ID: "a", Phase: phases[r.IntN(len(phases))], ExitCode: r.IntN(256), Host: host}
				if r.IntN(2) == 0 { // again and again, by an engine that restarts
					told.Reached.Pull, told.Reached.Mount = time.Unix(r.Int64N(100), 0), time.Unix(r.Int64N(100), 0)
				}
				w.observe(host, told)
				if host == "i-2" && !reflect.DeepEqual(before, w.Status) {
					t.Fatalf("seed %d: a host it is not on changed %+v to %+v", seed, before, w.Status)
				}
			}
			if order(w.Status.Phase) < order(before.Phase) {
				t.Fatalf("seed %d: it went from %s back to %s", seed, before.Phase, w.Status.Phase)
			}
			if before.Phase == launcher.Exited && !reflect.DeepEqual(before, w.Status) {
				t.Fatalf("seed %d: its exit %+v became %+v", seed, before, w.Status)
			}
			if was, is := before.Reached, w.Status.Reached; !was.Pull.IsZero() && is.Pull != was.Pull || !was.Mount.IsZero() && is.Mount != was.Mount {
				t.Fatalf("seed %d: what it had reached, %+v, became %+v", seed, was, is)
			}
			if w.Stop != nil && w.Status.Phase == launcher.Running {
				t.Fatalf("seed %d: it was asked to stop and is said to run", seed)
			}
		}
	}
}

// TestVerdicts holds what is known of EC2's error codes to its rules.
func TestVerdicts(t *testing.T) {
	for code, v := range verdicts {
		if v.kind == "" || v.advice == "" {
			t.Errorf("%s has no kind or no advice: %+v", code, v)
		}
		if v.soldOut && (!v.settled || v.kind != launcher.ErrCapacity) {
			t.Errorf("%s: sold out is a settled want of capacity, not %+v", code, v)
		}
	}
}
