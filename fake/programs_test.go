package fake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// A host runs programs on alice's home, one after another.
type host struct {
	t    *testing.T
	home *fakelauncher.Dir
	*fakelauncher.Launcher
	id   launcher.ID
	kind session.Kind
}

func newHost(t *testing.T, program fakelauncher.Program, kind session.Kind) *host {
	t.Helper()
	h := &host{t: t, home: fakelauncher.NewDir(), kind: kind}
	ok(t, h.home.Chown("/", 1000, 1000))
	var err error
	h.Launcher, err = fakelauncher.New(fakelauncher.Config{
		Images: fakelauncher.Programs(map[string]fakelauncher.Program{"it": program}),
		Mount:  func(launcher.Mount) (*fakelauncher.Dir, error) { return h.home, nil },
	})
	ok(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs the program as a next container, and waits until it serves.
func (h *host) start(id launcher.ID, env map[string]string, command ...string) {
	h.t.Helper()
	all := map[string]string{"USER": "alice", "HOME": "/home/alice"}
	maps.Copy(all, env)
	_, err := h.Launch(h.t.Context(), launcher.Workload{
		ID: id, Owner: "alice", Image: "it", Command: command, Env: all, Ports: h.kind.Ports,
		User: launcher.User{UID: 1000, GID: 1000}, Mounts: []launcher.Mount{{Source: "home", Target: "/home/alice"}},
	})
	ok(h.t, err)
	h.id = id
	time.Sleep(2 * time.Second)
}

func (h *host) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return h.Dial(ctx, h.id, h.kind.Ports[0].Name)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends a request and returns status and body.
func (h *host) ask(method, path, body string) (int, string) {
	h.t.Helper()
	q, err := http.NewRequestWithContext(h.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	ok(h.t, err)
	answer, err := h.client().Do(q)
	ok(h.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	ok(h.t, err)
	return answer.StatusCode, strings.TrimSpace(string(text))
}

// wants asks and compares.
func (h *host) wants(method, path, body string, status int, text string) {
	h.t.Helper()
	if s, got := h.ask(method, path, body); s != status || got != text {
		h.t.Errorf("%s %s: %d %q, want %d %q", method, path, s, got, status, text)
	}
}

// end sends a signal and returns the exit code and the log, or -1 if the program
// goes on.
func (h *host) end(signal string) (int, string) {
	h.t.Helper()
	ok(h.t, h.Stop(h.t.Context(), h.id, launcher.StopOptions{Signal: signal, Grace: 24 * time.Hour}))
	synctest.Wait()
	s, err := launcher.Get(h.t.Context(), h.Launcher, h.id)
	ok(h.t, err)
	logs, err := h.Logs(h.t.Context(), h.id, launcher.LogOptions{})
	ok(h.t, err)
	defer logs.Close()
	text, err := io.ReadAll(logs)
	ok(h.t, err)
	if s.Phase != launcher.Exited {
		return -1, string(text)
	}
	return s.ExitCode, string(text)
}

// R's variables survive where they were saved, and only there.
func TestRStudioKeepsVariables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, fake.RStudio, session.RStudio())
		h.start("1", nil)
		h.wants("GET", "/", "", http.StatusFound, `<a href="/auth-sign-in">Found</a>.`)
		h.wants("GET", "/auth-sign-in", "", http.StatusOK, "sign in to RStudio")
		h.wants("GET", "/variables/x", "", http.StatusNotFound, "object not found")
		h.wants("PUT", "/variables/x", "1:10", http.StatusNoContent, "")
		h.wants("PUT", "/files/home/alice/a.R", "x <- 1:10", http.StatusNoContent, "")
		if code, log := h.end("SIGUSR1"); code != session.RStudioSaved {
			t.Fatalf("ended with %d: %s", code, log)
		}
		h.start("2", nil)
		h.wants("GET", "/variables/x", "", http.StatusOK, "1:10")
		h.wants("PUT", "/variables/x", "letters", http.StatusNoContent, "")
		if code, log := h.end("SIGTERM"); code != 0 {
			t.Fatalf("ended with %d: %s", code, log)
		}
		h.start("3", nil)
		h.wants("GET", "/variables/x", "", http.StatusOK, "1:10")
		h.wants("GET", "/files/home/alice/a.R", "", http.StatusOK, "x <- 1:10")
	})
}

// What could not be saved goes on, and is saved when it can be.
func TestRStudioRefusesToSuspend(t *testing.T) {
	for name, c := range map[string]struct{ path, why string }{
		"full": {"/full", "no space left on device"},
		"busy": {"/busy", "session 1 of R computes"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, fake.RStudio, session.RStudio())
				h.start("1", nil)
				h.wants("PUT", "/variables/x", "1", http.StatusNoContent, "")
				h.wants("PUT", c.path, "maybe", http.StatusBadRequest, "want true or false")
				h.wants("PUT", c.path, "true", http.StatusNoContent, "")
				code, log := h.end("SIGUSR1")
				lines := strings.Split(strings.TrimSpace(log), "\n")
				last := lines[len(lines)-1]
				if code != -1 || !strings.HasPrefix(last, session.RStudioNotSaved) || !strings.Contains(last, c.why) || !strings.Contains(last, "goes on") {
					t.Fatalf("code %d, and it says %q", code, last)
				}
				if _, err := h.home.Stat(".local/share/rstudio/sessions/active/session-1/suspended-session-data/environment"); err == nil {
					t.Error("it saved all the same")
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // a home in which nothing can be written is as full
		h := newHost(t, fake.RStudio, session.RStudio())
		h.start("1", nil)
		h.wants("PUT", "/variables/x", "1", http.StatusNoContent, "")
		ok(t, h.home.Chown("/", 0, 0))
		if code, log := h.end("SIGUSR1"); code != -1 || !strings.Contains(log, session.RStudioNotSaved) {
			t.Errorf("code %d: %s", code, log)
		}
		ok(t, h.home.Chown("/", 1000, 1000))
		if code, log := h.end("SIGUSR1"); code != session.RStudioSaved {
			t.Errorf("code %d: %s", code, log)
		}
	})
}

// R that computes when it is asked to suspend does when it has finished; the
// server goes on.
func TestRStudioSuspendsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, fake.RStudio, session.RStudio())
		h.start("1", nil)
		h.wants("PUT", "/variables/x", "1", http.StatusNoContent, "")
		h.wants("PUT", "/busy", "true", http.StatusNoContent, "")
		// The port of a program that is being stopped is not dialled any more:
		// what ends its work has to be on its way before.
		near, err := h.Dial(t.Context(), "1", "http")
		ok(t, err)
		defer near.Close()
		if code, log := h.end("SIGUSR1"); code != -1 {
			t.Fatalf("code %d: %s", code, log)
		}
		_, err = io.WriteString(near, "PUT /busy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nfalse")
		ok(t, err)
		synctest.Wait()
		text, err := h.home.ReadFile(".local/share/rstudio/sessions/active/session-1/suspended-session-data/environment")
		if err != nil || string(text) != `{"x":"1"}` {
			t.Errorf("saved %q: %v", text, err)
		}
	})
}

func TestRStudioStartsClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, fake.RStudio, session.RStudio())
		const state = ".local/share/rstudio/sessions/active/session-1/suspended-session-data"
		ok(t, h.home.As(launcher.User{UID: 1000, GID: 1000}).MkdirAll(state, 0o700))
		ok(t, h.home.As(launcher.User{UID: 1000, GID: 1000}).WriteFile(state+"/environment", []byte("broken"), 0o600))
		h.start("1", nil)
		if ready, text := h.ask("GET", "/variables/x", ""); ready != http.StatusInternalServerError || !strings.Contains(text, "cannot be restored") {
			t.Errorf("%d %s", ready, text)
		}
		h.wants("GET", "/auth-sign-in", "", http.StatusOK, "sign in to RStudio")
		if code, _ := h.end("SIGUSR1"); code != session.RStudioSaved { // no R session lives
			t.Errorf("ended with %d", code)
		}
		for n := range 3 {
			h.start(launcher.ID("clean"+string(rune('a'+n))), map[string]string{session.RStudioClean: "1"})
			h.wants("GET", "/variables/x", "", http.StatusNotFound, "object not found")
			h.wants("PUT", "/variables/x", "1", http.StatusNoContent, "")
			_, _ = h.end("SIGUSR1")
			aside, err := h.home.ReadDir(".local/share/rstudio/atelier-set-aside")
			if err != nil || len(aside) != n+1 {
				t.Errorf("set aside are %v: %v", aside, err)
			}
		}
		aside, err := h.home.ReadDir(".local/share/rstudio/atelier-set-aside")
		ok(t, err)
		text, err := h.home.ReadFile(".local/share/rstudio/atelier-set-aside/" + aside[0].Name() + "/environment")
		if err != nil || string(text) != "broken" {
			t.Errorf("the first set aside holds %q: %v", text, err)
		}
	})
}

// A connection that lasts beats code-server's heart, and it stops with it.
func TestVSCodeHeart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, fake.VSCode, session.VSCode())
		h.start("1", nil)
		h.wants("GET", "/healthz", "", http.StatusOK, `{"lastHeartbeat":0,"status":"expired"}`)
		h.wants("GET", "/", "", http.StatusFound, `<a href="/login">Found</a>.`)
		used := time.Now()
		status := func() string { _, text := h.ask("GET", "/healthz", ""); return text }
		time.Sleep(59 * time.Second)
		if got := status(); !strings.Contains(got, "alive") {
			t.Error(got)
		}
		time.Sleep(2 * time.Second)
		if got, want := status(), fmt.Sprintf(`{"lastHeartbeat":%d,"status":"expired"}`, used.UnixMilli()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		ctx, hangUp := context.WithCancel(t.Context())
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/events", http.NoBody)
		ok(t, err)
		answer, err := h.client().Do(q)
		ok(t, err)
		signs := 0
		go func() {
			for buffer := make([]byte, 16); ; signs++ {
				if _, err := answer.Body.Read(buffer); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Second) // not when the heart beats
		for range 60 {
			time.Sleep(time.Minute)
			if got := status(); !strings.Contains(got, "alive") {
				t.Fatal(got)
			}
		}
		hangUp()
		answer.Body.Close()
		synctest.Wait()
		if signs < 200 {
			t.Errorf("%d signs of life in an hour", signs)
		}
		time.Sleep(3 * time.Minute)
		if got := status(); !strings.Contains(got, "expired") {
			t.Error(got)
		}
		if code, _ := h.end("SIGTERM"); code != 0 {
			t.Errorf("ended with %d", code)
		}
	})
}

func TestPositronAsksForToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, fake.Positron, session.Positron())
		h.start("1", nil, "positron-server", "--connection-token=abc")
		for path, want := range map[string]int{"/version": 200, "/": 403, "/?tkn=abc": 200, "/idle": 403, "/idle?tkn=ab": 403, "/idle?tkn=abc": 200} {
			if got, text := h.ask("GET", path, ""); got != want {
				t.Errorf("%s: %d %s", path, got, text)
			}
		}
		if code, log := h.end("SIGTERM"); code != 143 {
			t.Errorf("ended with %d: %s", code, log)
		}
		h.start("2", nil, "positron-server")
		if s, err := launcher.Get(t.Context(), h.Launcher, "2"); err != nil || s.ExitCode != 1 {
			t.Errorf("without a token: %+v, %v", s, err)
		}
	})
}

func TestJupyterLabWithoutKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, fake.JupyterLab, session.JupyterLab())
		h.start("1", nil)
		h.wants("GET", "/", "", http.StatusFound, `<a href="/lab">Found</a>.`)
		h.wants("DELETE", "/api/kernels/x", "", http.StatusNotFound, "404 page not found")
		h.wants("PUT", "/kernels/x", "busy", http.StatusNotFound, "404 page not found")
		if code, _ := h.ask("POST", "/api/kernels", "no JSON"); code != http.StatusBadRequest {
			t.Errorf("%d", code)
		}
		if code, _ := h.ask("POST", "/api/kernels", "{}"); code != http.StatusCreated {
			t.Errorf("%d", code)
		}
		h.wants("PUT", "/kernels/00000000-0000-0000-0000-000000000001", "asleep", http.StatusBadRequest, "want busy or idle")
		if code, _ := h.end("SIGUSR1"); code != -1 {
			t.Errorf("SIGUSR1 ends it with %d", code)
		}
		if code, _ := h.end("SIGTERM"); code != 0 {
			t.Errorf("SIGTERM ends it with %d", code)
		}
	})
}

func TestJob(t *testing.T) {
	for command, want := range map[string]struct {
		code int
		log  string
	}{
		"say a ; complain b ; exit 3": {3, "a\nb\n"},
		"work 10m":                    {0, ""},
		"write /home/alice/x y ; read /home/alice/x ; ; ; ": {0, "y"},
		"echo":                         {0, "input"},
		"read /absent ; say never":     {1, "read /absent: open /absent: no such file or directory\n"},
		"work soon":                    {1, "work soon: time: invalid duration \"soon\"\n"},
		"exit now":                     {1, "exit now: no such action: see the documentation of fake.Job\n"},
		"dance":                        {1, "dance: no such action: see the documentation of fake.Job\n"},
		"say begun ; work 24h ; say x": {143, "begun\n"},
	} {
		t.Run(command, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, fake.Job, session.Job())
				_, err := h.Launch(t.Context(), launcher.Workload{
					ID: "1", Owner: "alice", Image: "it", Command: strings.Fields(command), Stdin: []byte("input"),
					User: launcher.User{UID: 1000, GID: 1000}, Mounts: []launcher.Mount{{Source: "home", Target: "/home/alice"}},
				})
				ok(t, err)
				h.id = "1"
				synctest.Wait()
				if want.code != 143 {
					time.Sleep(20 * time.Minute)
				}
				if code, log := h.end("SIGTERM"); code != want.code || log != want.log {
					t.Errorf("code %d, log %q", code, log)
				}
			})
		})
	}
}

// A program that is told to end before it serves does.
func TestProgramsEndEarly(t *testing.T) {
	for name, c := range map[string]struct {
		program fakelauncher.Program
		kind    session.Kind
		code    int
	}{
		"rstudio": {fake.RStudio, session.RStudio(), 0}, "jupyterlab": {fake.JupyterLab, session.JupyterLab(), 0}, "vscode": {fake.VSCode, session.VSCode(), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t, c.program, c.kind)
				_, err := h.Launch(t.Context(), launcher.Workload{ID: "1", Owner: "alice", Image: "it", Ports: c.kind.Ports})
				ok(t, err)
				synctest.Wait()
				if _, err := h.Dial(t.Context(), "1", "http"); !errors.Is(err, launcher.ErrUnavailable) {
					t.Errorf("it listens already: %v", err)
				}
				h.id = "1"
				if code, log := h.end("SIGTERM"); code != c.code {
					t.Errorf("ended with %d: %s", code, log)
				}
			})
		})
	}
}
