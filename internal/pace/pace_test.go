package pace_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/internal/pace"
)

func TestSleep(t *testing.T) {
	for name, c := range map[string]struct {
		sleep, ends, took time.Duration
		err               error
	}{
		"Whole":    {sleep: time.Minute, ends: time.Hour, took: time.Minute},
		"CutShort": {sleep: time.Hour, ends: time.Minute, took: time.Minute, err: context.DeadlineExceeded},
		"None":     {sleep: 0, ends: time.Hour},
		"Negative": {sleep: -time.Second, ends: time.Hour},
		"Over":     {sleep: 0, ends: 0, err: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), c.ends)
				defer cancel()
				if err := pace.Sleep(ctx, c.sleep); !errors.Is(err, c.err) {
					t.Errorf("Sleep = %v; want %v", err, c.err)
				}
				if took := time.Since(begun); took != c.took {
					t.Errorf("it took %v; want %v", took, c.took)
				}
			})
		})
	}
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var at []time.Duration
		err := pace.Every(ctx, 2*time.Second, func() {
			at = append(at, time.Since(begun))
			if len(at) == 1 {
				time.Sleep(5 * time.Second) // misses one
			}
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Every = %v; want the context's error", err)
		}
		want := []time.Duration{2 * time.Second, 7 * time.Second, 8 * time.Second}
		if len(at) < len(want) || at[0] != want[0] || at[1] != want[1] || at[2] != want[2] {
			t.Errorf("called after %v; want it to begin with %v", at, want)
		}
	})
}

func TestWithin(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		takes, ends time.Duration
		fails, want error // fails is what f returns; nil is whatever Sleep does
	}{
		"InTime":          {takes: time.Second, ends: time.Hour},
		"Late":            {takes: time.Hour, ends: time.Hour, want: pace.ErrLate},
		"FailsInTime":     {takes: time.Second, ends: time.Hour, fails: broken, want: broken},
		"CallerEndsFirst": {takes: time.Hour, ends: time.Second, want: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.ends)
				defer cancel()
				err := pace.Within(ctx, time.Minute, func(ctx context.Context) error {
					if err := pace.Sleep(ctx, c.takes); err != nil {
						return err
					}
					return c.fails
				})
				if !errors.Is(err, c.want) {
					t.Errorf("Within = %v; want %v", err, c.want)
				}
			})
		})
	}
}

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, broken := errors.New("late"), errors.New("broken")
		begun := time.Now()
		var at []time.Duration
		err := pace.Poll(t.Context(), 20*time.Second, late, func() (bool, error) {
			at = append(at, time.Since(begun))
			return false, nil
		})
		ms := time.Millisecond
		if want := []time.Duration{0, 250 * ms, 750 * ms, 1750 * ms, 3750 * ms, 7750 * ms, 12750 * ms, 17750 * ms}; !errors.Is(err, late) || !slices.Equal(at, want) {
			t.Errorf("called after %v (%v), want %v", at, err, want)
		}
		if err := pace.Poll(t.Context(), time.Second, late, func() (bool, error) { return true, nil }); err != nil {
			t.Errorf("what is done at once: %v", err)
		}
		if err := pace.Poll(t.Context(), time.Second, late, func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
			t.Errorf("what fails: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := pace.Poll(ctx, time.Second, late, func() (bool, error) { return false, nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("when nobody wants it any more: %v", err)
		}
	})
}
