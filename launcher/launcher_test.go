package launcher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

func ExampleError() {
	err := error(&launcher.Error{Op: "launch", ID: "s-1", Kind: launcher.ErrCapacity, Err: errors.New("r5.4xlarge is sold out in us-east-1a: choose another type")})
	fmt.Println(err)
	fmt.Println(errors.Is(err, launcher.ErrCapacity), errors.Is(err, launcher.ErrQuota))
	// Output:
	// launcher: launch s-1: no capacity: r5.4xlarge is sold out in us-east-1a: choose another type
	// true false
}

func TestErrorIs(t *testing.T) {
	err := error(&launcher.Error{Op: "dial", Kind: launcher.ErrUnsupported, Err: io.ErrUnexpectedEOF})
	for _, target := range []error{launcher.ErrUnsupported, errors.ErrUnsupported, io.ErrUnexpectedEOF} {
		if !errors.Is(err, target) {
			t.Errorf("errors.Is(%v, %v) = false", err, target)
		}
	}
	for _, target := range []error{launcher.ErrInvalid, io.EOF} {
		if errors.Is(err, target) {
			t.Errorf("errors.Is(%v, %v) = true", err, target)
		}
	}
	if errors.Is(launcher.ErrNotFound, errors.ErrUnsupported) {
		t.Error("ErrNotFound is errors.ErrUnsupported")
	}
	for want, e := range map[string]*launcher.Error{
		"launcher: not found":             {Kind: launcher.ErrNotFound},
		"launcher: list: unavailable":     {Op: "list", Kind: launcher.ErrUnavailable},
		"launcher: stop a: not found":     {Op: "stop", ID: "a", Kind: launcher.ErrNotFound},
		"launcher: stop a: not found: :(": {Op: "stop", ID: "a", Kind: launcher.ErrNotFound, Err: errors.New(":(")},
	} {
		if e.Error() != want {
			t.Errorf("Error() = %q; want %q", e, want)
		}
	}
}

func TestFilterMatch(t *testing.T) {
	s := launcher.Status{ID: "a", Owner: "alice", Labels: map[string]string{"x": "1", "y": ""}}
	for _, c := range []struct {
		f    launcher.Filter
		want bool
	}{
		{launcher.Filter{}, true},
		{launcher.Filter{IDs: []launcher.ID{"b", "a"}}, true},
		{launcher.Filter{IDs: []launcher.ID{"b"}}, false},
		{launcher.Filter{Owner: "alice"}, true},
		{launcher.Filter{Owner: "bob"}, false},
		{launcher.Filter{Labels: map[string]string{"x": "1"}}, true},
		{launcher.Filter{Labels: map[string]string{"x": "1", "y": ""}}, true},
		{launcher.Filter{Labels: map[string]string{"x": "2"}}, false},
		{launcher.Filter{Labels: map[string]string{"z": ""}}, false},
		{launcher.Filter{IDs: []launcher.ID{"a"}, Owner: "bob"}, false},
	} {
		if got := c.f.Match(s); got != c.want {
			t.Errorf("%+v.Match = %v", c.f, got)
		}
	}
}

// scripted is a Launcher that says what a test wrote down.
type scripted struct {
	list, watch []launcher.Status
	err         error // ends both, if set
}

func (l scripted) Launch(context.Context, launcher.Workload) (launcher.Status, error) {
	return launcher.Status{}, launcher.ErrUnsupported
}

func (l scripted) Stop(context.Context, launcher.ID, launcher.StopOptions) error {
	return launcher.ErrUnsupported
}

func (l scripted) List(_ context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return l.play(l.list, f)
}

func (l scripted) Watch(_ context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return l.play(l.watch, f)
}

func (l scripted) Dial(context.Context, launcher.ID, string) (net.Conn, error) {
	return nil, launcher.ErrUnsupported
}

func (l scripted) Logs(context.Context, launcher.ID, launcher.LogOptions) (io.ReadCloser, error) {
	return nil, launcher.ErrUnsupported
}

func (l scripted) Usage(context.Context, launcher.ID) (launcher.Usage, error) {
	return launcher.Usage{}, launcher.ErrUnsupported
}

func (l scripted) play(statuses []launcher.Status, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		for _, s := range statuses {
			if (s.Synced() || f.Match(s)) && !yield(s, nil) {
				return
			}
		}
		if l.err != nil {
			yield(launcher.Status{}, l.err)
		}
	}
}

func TestGet(t *testing.T) {
	lost := errors.New("lost")
	l := scripted{list: []launcher.Status{{ID: "a", Owner: "alice"}, {ID: "b", Owner: "bob"}}}
	if s, err := launcher.Get(t.Context(), l, "b"); err != nil || s.Owner != "bob" {
		t.Errorf("Get(b) = %+v, %v", s, err)
	}
	if s, err := launcher.Get(t.Context(), l, "c"); !errors.Is(err, launcher.ErrNotFound) {
		t.Errorf("Get(c) = %+v, %v; want ErrNotFound", s, err)
	}
	l.err = lost
	if s, err := launcher.Get(t.Context(), l, "c"); !errors.Is(err, lost) {
		t.Errorf("Get(c) from a broken list = %+v, %v; want its error", s, err)
	}
}

func TestWait(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	started := time.Unix(1, 0)
	status := func(p launcher.Phase) launcher.Status { return launcher.Status{ID: "a", Phase: p, StartedAt: started} }
	mark := launcher.Status{}
	killed := launcher.Status{ID: "a", Phase: launcher.Exited, ExitCode: 137, StartedAt: started, Reason: launcher.ErrOutOfMemory, Message: "give it more"}
	never := launcher.Status{ID: "a", Phase: launcher.Exited, Reason: launcher.ErrImage}
	for name, c := range map[string]struct {
		ctx   context.Context
		watch []launcher.Status
		err   error
		phase launcher.Phase
		is    []error
		text  string
	}{
		"AlreadyThere":    {t.Context(), []launcher.Status{status(launcher.Running)}, nil, launcher.Running, nil, ""},
		"Later":           {t.Context(), []launcher.Status{status(launcher.Queued), mark, status(launcher.Starting), status(launcher.Running)}, nil, launcher.Running, nil, ""},
		"Unknown":         {t.Context(), []launcher.Status{mark, status(launcher.Running)}, nil, "", []error{launcher.ErrNotFound}, "launcher: wait a: not found"},
		"ExitedBefore":    {t.Context(), []launcher.Status{killed, mark}, nil, launcher.Exited, []error{launcher.ErrNotRunning, launcher.ErrOutOfMemory}, "launcher: wait a: not running: it exited with code 137: out of memory: give it more"},
		"NeverStarted":    {t.Context(), []launcher.Status{mark, never}[1:], nil, launcher.Exited, []error{launcher.ErrNotRunning, launcher.ErrImage}, "launcher: wait a: not running: it never started: image unusable"},
		"WatchFails":      {t.Context(), []launcher.Status{status(launcher.Queued)}, io.ErrUnexpectedEOF, "", []error{io.ErrUnexpectedEOF}, ""},
		"SilentEnd":       {t.Context(), []launcher.Status{status(launcher.Queued), mark}, nil, "", []error{launcher.ErrUnavailable}, ""},
		"SilentCancelled": {ended, nil, nil, "", []error{context.Canceled}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := scripted{watch: c.watch, err: c.err}
			s, err := launcher.Wait(c.ctx, l, "a", func(s launcher.Status) bool { return s.Phase == launcher.Running })
			if s.Phase != c.phase || (err == nil) != (c.is == nil) {
				t.Errorf("Wait = %+v, %v; want phase %q and an error that is %v", s, err, c.phase, c.is)
			}
			if missing := slices.DeleteFunc(slices.Clone(c.is), func(is error) bool { return errors.Is(err, is) }); len(missing) > 0 {
				t.Errorf("Wait's error %v is not %v", err, missing)
			}
			if c.text != "" && err.Error() != c.text {
				t.Errorf("Wait's error is %q; want %q", err, c.text)
			}
		})
	}
	t.Run("ForExit", func(t *testing.T) {
		s, err := launcher.Wait(t.Context(), scripted{watch: []launcher.Status{killed}}, "a", func(s launcher.Status) bool { return s.Phase == launcher.Exited })
		if err != nil || s.ExitCode != 137 {
			t.Errorf("Wait for the exit = %+v, %v", s, err)
		}
	})
}
