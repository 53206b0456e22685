package positlaunchertest_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/positlaunchertest"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// discard reads what a plugin is told until its end.
func discard(in io.Reader) error {
	_, err := io.Copy(io.Discard, in)
	return err
}

// Plugins that are no good, what comes of asking them, and what the test says.
func TestBadPlugins(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(ctx context.Context, in io.Reader, out io.Writer) error
		is    error // of the first request
		says  string
	}{
		"silent": {func(_ context.Context, in io.Reader, _ io.Writer) error { return discard(in) }, positlaunchertest.ErrSilent, "heartbeat is not answered"},
		"deaf": {func(ctx context.Context, _ io.Reader, _ io.Writer) error {
			<-ctx.Done()
			return nil
		}, positlaunchertest.ErrSilent, "told to end, it has not"},
		"dead": {func(context.Context, io.Reader, io.Writer) error { return errors.New("I am broken") }, positlaunchertest.ErrEnded, "I am broken"},
		"talkative": {func(_ context.Context, in io.Reader, out io.Writer) error {
			io.WriteString(out, "2026/01/02 starting up\n")
			return discard(in)
		}, positlaunchertest.ErrEnded, "log on standard output"},
		"cut off": {func(_ context.Context, _ io.Reader, out io.Writer) error {
			_, err := out.Write([]byte{0, 0, 0, 9, '{'})
			return err
		}, positlaunchertest.ErrEnded, "not whole"},
		"no JSON": {func(_ context.Context, in io.Reader, out io.Writer) error {
			out.Write([]byte{0, 0, 0, 2, 'h', 'i'})
			return discard(in)
		}, positlaunchertest.ErrSilent, "no JSON object"},
		"lingering": {func(ctx context.Context, in io.Reader, _ io.Writer) error {
			discard(in)
			<-ctx.Done()
			return nil
		}, positlaunchertest.ErrSilent, "told to end, it has not within 5s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{TB: t}
				l := positlaunchertest.Connect(r, positlaunchertest.InProcess(r, c.serve), positlaunchertest.Options{Heartbeat: time.Second})
				if err := l.Bootstrap(); !errors.Is(err, c.is) {
					t.Errorf("Bootstrap: %v; want %v", err, c.is)
				}
				r.end()
				if said := strings.Join(r.said, "\n"); !r.Failed() || !strings.Contains(said, c.says) {
					t.Errorf("the test says %q; want %q", said, c.says)
				}
			})
		})
	}
}

// A good plugin is asked as the documentation of Connect has it.
func TestLauncher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := positlaunchertest.Connect(t, harness(t, "").Start(t), positlaunchertest.Options{Heartbeat: time.Second})
		if err := l.Bootstrap(); err != nil {
			t.Fatal(err)
		}
		c := l.As("alice")
		job, err := c.Submit(wire.Job{Name: "n", Exe: "quick"})
		if err != nil {
			t.Fatal(err)
		}
		statuses, err := c.Statuses(job.ID)
		if err != nil {
			t.Fatal(err)
		}
		last, err := statuses.Until(time.Minute, func(s wire.JobStatus) bool { return s.Status.Final() })
		if err != nil || last.Status != wire.Finished || last.Name != "n" {
			t.Errorf("the job ends as %+v, %v", last, err)
		}
		if _, err := statuses.Next(time.Second); !errors.Is(err, positlaunchertest.ErrSilent) {
			t.Errorf("after its end: %v; want silence", err)
		}
		if got, err := c.Job(job.ID, "status"); err != nil || got.Status != wire.Finished || got.Name != "" {
			t.Errorf("its status alone is %+v, %v", got, err)
		}
		if _, err := l.As("bob").Job(job.ID); err == nil || !strings.Contains(err.Error(), "code 3") {
			t.Errorf("a foreign job: %v", err)
		}
		if n := len(l.Heartbeats()); n < 2 {
			t.Errorf("%d heartbeats in 3 seconds", n)
		}
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
		if _, err := c.Job(job.ID); !errors.Is(err, positlaunchertest.ErrEnded) {
			t.Errorf("after Close: %v; want ErrEnded", err)
		}
		if _, err := statuses.Next(time.Second); !errors.Is(err, positlaunchertest.ErrEnded) {
			t.Errorf("a stream after Close: %v; want ErrEnded", err)
		}
	})
}
