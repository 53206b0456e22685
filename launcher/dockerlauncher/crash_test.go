package dockerlauncher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

// A doomed process is this test binary run again: it plays one act on the
// engine and kills itself, with SIGKILL, at one of its requests: before it is
// sent, or when its answer has come.
const doomed = "ATELIER_DOOMED"

type doom struct {
	Act   string
	Work  launcher.Workload
	At    int // the request; 0 is none
	After bool
}

func TestMain(m *testing.M) {
	if text := os.Getenv(doomed); text != "" {
		var d doom
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			panic(err)
		}
		os.Exit(d.play())
	}
	os.Exit(m.Run())
}

func (d doom) play() int {
	var requests atomic.Int64
	die := func(after bool) {
		if d.At > 0 && requests.Load() == int64(d.At) && d.After == after {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	c, err := client.New(client.FromEnv,
		client.WithHTTPRequestHook(func(*http.Request) error { requests.Add(1); die(false); return nil }),
		client.WithHTTPResponseHook(func(*http.Response) { die(true) }))
	if err != nil {
		panic(err)
	}
	l, err := dockerlauncher.New(dockerlauncher.Config{Client: c})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch d.Act {
	case "launch":
		_, err = l.Launch(ctx, d.Work)
	case "stop":
		err = l.Stop(ctx, d.Work.ID, launcher.StopOptions{Grace: 2 * time.Second})
	case "forget":
		err = l.Stop(ctx, d.Work.ID, launcher.StopOptions{Forget: true})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(requests.Load())
	return 0
}

// run plays an act in a process of its own and reports whether it came to its
// end, and how many requests it made.
func (d doom) run(t *testing.T) (ended bool, requests int) {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	self := exec.Command(os.Args[0], "-test.run=^$")
	self.Env = append(os.Environ(), doomed+"="+string(text))
	out, err := self.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return false, 0
		}
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", d.Act, err, out)
	}
	requests, err = strconv.Atoi(strings.TrimSpace(string(bytes.TrimSpace(out))))
	if err != nil {
		t.Fatal(err)
	}
	return true, requests
}

// TestKilledAtEveryRequest kills the caller with SIGKILL at every request it
// makes of the engine: before it is sent, and when its answer has come. A new
// process finds the same containers in the same states, the same call again
// ends what was begun, and nothing runs twice.
func TestKilledAtEveryRequest(t *testing.T) {
	dockertest.Engine(t)
	l := open(t, t.TempDir())
	name := "k" + strconv.FormatInt(time.Now().UnixNano(), 36)
	work := func(n int) launcher.Workload {
		return launcher.Workload{
			ID: launcher.ID(fmt.Sprintf("%s-%d", name, n)), Owner: "alice", Image: dockertest.Image,
			// The program ends with what it read, so that its input is told to have been whole.
			Command: []string{"echo", ";", "read", "/run/secrets/token", ";", "say", "ready", ";", "trap", "SIGTERM", "7"},
			Stdin:   []byte("input "), Secrets: map[string]string{"token": "hunter2 "},
		}
	}
	var n atomic.Int64
	next := func() launcher.Workload { return work(int(n.Add(1))) }
	output := func(t *testing.T, id launcher.ID) string {
		t.Helper()
		return logs(t, l, id, launcher.LogOptions{})
	}
	ready := func(t *testing.T, id launcher.ID) {
		t.Helper()
		await(t, "it is ready", func() bool { return strings.Contains(output(t, id), "trapped") })
	}
	exits := func(t *testing.T, id launcher.ID) {
		t.Helper()
		s, err := launcher.Wait(t.Context(), l, id, func(s launcher.Status) bool { return s.Phase == launcher.Exited })
		if err != nil || s.ExitCode != 7 && s.ExitCode != 137 {
			t.Errorf("%s ended as %+v, %v", id, s, err)
		}
		if got := output(t, id); strings.Count(got, "input ") != 1 || strings.Count(got, "hunter2 ") != 1 {
			t.Errorf("%s has written %q: want its input and its secret once", id, got)
		}
	}
	for _, act := range []string{"launch", "stop", "forget"} {
		t.Run(act, func(t *testing.T) {
			prepare := func(t *testing.T) launcher.Workload {
				t.Helper()
				w := next()
				if act == "launch" {
					return w
				}
				if _, err := l.Launch(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				ready(t, w.ID)
				if act == "forget" {
					if err := l.Stop(t.Context(), w.ID, launcher.StopOptions{}); err != nil {
						t.Fatal(err)
					}
					exits(t, w.ID)
				}
				return w
			}
			_, requests := doom{Act: act, Work: prepare(t)}.run(t)
			if requests < 2 {
				t.Fatalf("%s makes %d requests: too few to be true", act, requests)
			}
			t.Logf("%d requests", requests)
			for at := 1; at <= requests; at++ {
				for _, after := range []bool{false, true} {
					t.Run(fmt.Sprintf("at=%d,after=%t", at, after), func(t *testing.T) {
						t.Parallel()
						w := prepare(t)
						ended, _ := doom{Act: act, Work: w, At: at, After: after}.run(t)
						what := fmt.Sprintf("%s killed at request %d, after its answer %t", act, at, after)
						if ended && at < requests {
							t.Errorf("%s: it was not killed", what)
						}
						// A new process: this one.
						switch act {
						case "launch":
							if _, err := l.Launch(t.Context(), w); err != nil {
								t.Errorf("%s: launched again: %v", what, err)
								return
							}
							ready(t, w.ID)
							if err := l.Stop(t.Context(), w.ID, launcher.StopOptions{}); err != nil {
								t.Errorf("%s: %v", what, err)
							}
							exits(t, w.ID)
						case "stop":
							// Whether the signal was sent cannot be known; so it is sent again.
							if err := l.Stop(t.Context(), w.ID, launcher.StopOptions{}); err != nil {
								t.Errorf("%s: stopped again: %v", what, err)
							}
							exits(t, w.ID)
						}
						if err := l.Stop(t.Context(), w.ID, launcher.StopOptions{Forget: true}); err != nil && !errors.Is(err, launcher.ErrNotFound) {
							t.Errorf("%s: forgotten: %v", what, err)
						}
						if _, err := launcher.Get(t.Context(), l, w.ID); !errors.Is(err, launcher.ErrNotFound) {
							t.Errorf("%s: after it was forgotten: %v", what, err)
						}
					})
				}
			}
		})
	}
	t.Run("stopped before its start", func(t *testing.T) {
		w := next()
		_, requests := doom{Act: "launch", Work: next()}.run(t)
		// Killed before the last but one request, which is the start.
		if ended, _ := (doom{Act: "launch", Work: w, At: requests - 1}).run(t); ended {
			t.Fatal("it was not killed")
		}
		if s, err := launcher.Get(t.Context(), l, w.ID); !errors.Is(err, launcher.ErrNotFound) {
			t.Errorf("what was never started is told as %+v, %v", s, err)
		}
		if err := l.Stop(t.Context(), w.ID, launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		s, err := l.Launch(t.Context(), w)
		if err != nil || s.Phase != launcher.Exited || !s.StartedAt.IsZero() {
			t.Errorf("launched after it was stopped before its start: %+v, %v; want an exit without a start", s, err)
		}
		other := w
		other.Owner = "bob"
		if _, err := l.Launch(t.Context(), other); !errors.Is(err, launcher.ErrConflict) {
			t.Errorf("launched with another owner: %v; want a conflict", err)
		}
	})
	forgetAll(t, l, name)
}

// forgetAll ends and removes everything whose ID begins so.
func forgetAll(t testing.TB, l *dockerlauncher.Launcher, prefix string) {
	t.Helper()
	await(t, "all is gone", func() bool {
		left := false
		for s, err := range l.List(t.Context(), launcher.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(string(s.ID), prefix) {
				left = true
				_ = l.Stop(t.Context(), s.ID, launcher.StopOptions{Signal: "SIGKILL", Forget: true})
			}
		}
		return !left
	})
}

// await polls until ok says so.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("after a minute still not: %s", what)
		}
	}
}

// logs reads the logs of a workload to their end.
func logs(t testing.TB, l *dockerlauncher.Launcher, id launcher.ID, o launcher.LogOptions) string {
	t.Helper()
	r, err := l.Logs(t.Context(), id, o)
	if err != nil {
		t.Fatalf("logs of %s: %v", id, err)
	}
	defer r.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(r); err != nil {
		t.Fatalf("logs of %s: %v", id, err)
	}
	return text.String()
}
