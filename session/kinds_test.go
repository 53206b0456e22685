package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
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

// kinds are the values of the package with the programs that stand for them.
func kinds() map[string]struct {
	kind    session.Kind
	program fakelauncher.Program
	args    []string
} {
	positron := session.Positron()
	positron.Activity.Path += "?tkn=secret"
	return map[string]struct {
		kind    session.Kind
		program fakelauncher.Program
		args    []string
	}{
		"rstudio":    {kind: session.RStudio(), program: fake.RStudio},
		"jupyterlab": {kind: session.JupyterLab(), program: fake.JupyterLab},
		"vscode":     {kind: session.VSCode(), program: fake.VSCode},
		"positron":   {kind: positron, program: fake.Positron, args: []string{"positron-server", "--connection-token=secret"}},
		"job":        {kind: session.Job(), program: fake.Job, args: strings.Fields("say begun ; work 1h ; exit 3")},
	}
}

// A container is one program of a kind on a host of its own.
type container struct {
	t    testing.TB
	host *fakelauncher.Launcher
	kind session.Kind
}

// contain runs a program of a kind in a bubble.
func contain(t testing.TB, kind session.Kind, program fakelauncher.Program, args ...string) *container {
	t.Helper()
	host, err := fakelauncher.New(fakelauncher.Config{Images: fakelauncher.Programs(map[string]fakelauncher.Program{"it": program})})
	check(t, err)
	t.Cleanup(func() { host.Close() })
	c := &container{t: t, host: host, kind: kind}
	_, err = host.Launch(t.Context(), launcher.Workload{
		ID: "it", Owner: "alice", Image: "it", Command: args, Ports: kind.Ports,
		Env:        map[string]string{"USER": "alice", "HOME": "/home/alice"},
		User:       launcher.User{UID: 1000, GID: 1000},
		Mounts:     []launcher.Mount{{Source: "home", Target: "/home/alice"}},
		StopSignal: kind.StopSignal,
	})
	check(t, err)
	return c
}

func (c *container) dial(ctx context.Context, port string) (net.Conn, error) {
	return c.host.Dial(ctx, "it", port)
}

func (c *container) ready() (bool, string) { return c.kind.IsReady(c.t.Context(), c.dial) }

// use sends the program a request on a connection of its own and returns the body.
func (c *container) use(method, path, body string) string {
	c.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return c.dial(ctx, c.kind.Ports[0].Name)
	}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	q, err := http.NewRequestWithContext(c.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	check(c.t, err)
	answer, err := client.Do(q)
	check(c.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	check(c.t, err)
	if answer.StatusCode >= 400 {
		c.t.Errorf("%s %s: %s %s", method, path, answer.Status, text)
	}
	return string(text)
}

// idle is for how long the program has not been used.
func (c *container) idle() (time.Duration, bool, string) {
	c.t.Helper()
	last, busy, detail, err := c.kind.LastUse(c.t.Context(), c.dial)
	check(c.t, err)
	return time.Since(last).Round(time.Second), busy, detail
}

// ended asks the program to end and returns its exit code.
func (c *container) ended(o launcher.StopOptions) int {
	c.t.Helper()
	check(c.t, c.host.Stop(c.t.Context(), "it", o))
	s, err := launcher.Wait(c.t.Context(), c.host, "it", func(s launcher.Status) bool { return s.Phase == launcher.Exited })
	check(c.t, err)
	return s.ExitCode
}

func (c *container) suspended() int {
	c.t.Helper()
	signal, grace := c.kind.SuspendOptions()
	return c.ended(launcher.StopOptions{Signal: signal, Grace: grace})
}

// None is ready before its port answers, each is after.
func TestReady(t *testing.T) {
	for name, k := range kinds() {
		inBubble(t, name, func(t *testing.T) {
			c := contain(t, k.kind, k.program, k.args...)
			if name == "job" {
				if ready, why := c.ready(); !ready {
					t.Errorf("a job is not ready: %s", why)
				}
				return
			}
			synctest.Wait()
			if ready, why := c.ready(); ready || !strings.Contains(why, "refused") {
				t.Errorf("ready %v before it listens: %q", ready, why)
			}
			time.Sleep(2 * time.Second)
			if ready, why := c.ready(); !ready {
				t.Errorf("not ready: %s", why)
			}
		})
	}
}

// What asks when a program was used is no use of it: all of them grow idle
// though they are asked all the time.
func TestActivity(t *testing.T) {
	for name, use := range map[string]func(c *container){
		"jupyterlab": func(c *container) { c.use("GET", "/api/kernels", "") },
		"vscode":     func(c *container) { c.use("GET", "/", "") },
		"positron":   func(c *container) { c.use("PUT", "/used?tkn=secret", "") },
	} {
		inBubble(t, name, func(t *testing.T) {
			k := kinds()[name]
			c := contain(t, k.kind, k.program, k.args...)
			time.Sleep(2 * time.Second)
			use(c)
			time.Sleep(time.Second) // code-server's heart counts the connections a minute later, and ours is none of use
			for since := range 90 {
				if ready, why := c.ready(); !ready {
					t.Fatalf("not ready: %s", why)
				}
				idle, busy, detail := c.idle()
				if want := time.Second + time.Duration(since)*time.Minute; idle != want || busy || detail == "" {
					t.Fatalf("idle for %v, busy %v (%s); want %v", idle, busy, detail, want)
				}
				time.Sleep(time.Minute)
			}
			use(c)
			if idle, _, _ := c.idle(); idle != 0 {
				t.Errorf("used now, and idle for %v", idle)
			}
		})
	}
	for _, name := range []string{"rstudio", "job"} {
		inBubble(t, name, func(t *testing.T) {
			k := kinds()[name]
			c := contain(t, k.kind, k.program, k.args...)
			time.Sleep(2 * time.Second)
			if _, _, _, err := c.kind.LastUse(t.Context(), c.dial); !errors.Is(err, session.ErrSilent) {
				t.Errorf("it tells when it was used: %v", err)
			}
		})
	}
}

func TestJupyterComputes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := contain(t, session.JupyterLab(), fake.JupyterLab)
		time.Sleep(2 * time.Second)
		var kernel struct{ ID string }
		check(t, json.Unmarshal([]byte(c.use("POST", "/api/kernels", `{"name":"ir"}`)), &kernel))
		c.use("POST", "/api/kernels", `{}`)
		c.use("PUT", "/kernels/"+kernel.ID, "busy")
		time.Sleep(time.Hour)
		if idle, busy, detail := c.idle(); idle != time.Hour || !busy || detail != "2 kernels, 1 of them computing, 0 connections to them" {
			t.Errorf("idle for %v, busy %v: %s", idle, busy, detail)
		}
		c.use("PUT", "/kernels/"+kernel.ID, "idle")
		if idle, busy, _ := c.idle(); idle != 0 || busy {
			t.Errorf("idle for %v, busy %v", idle, busy)
		}
		c.use("DELETE", "/api/kernels/"+kernel.ID, "")
		if _, _, detail := c.idle(); !strings.HasPrefix(detail, "1 kernels") {
			t.Error(detail)
		}
	})
}

// A token that is missing is said, and one that is there is not shown.
func TestActivityNeedsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kinds()["positron"]
		c := contain(t, k.kind, k.program, k.args...)
		time.Sleep(2 * time.Second)
		for _, path := range []string{"/idle", "/idle?tkn=wrong"} {
			c.kind.Activity.Path = path
			_, _, _, err := c.kind.LastUse(t.Context(), c.dial)
			if err == nil || !strings.Contains(err.Error(), "403 Forbidden to GET /idle") || !strings.Contains(err.Error(), "token into the path") || strings.Contains(err.Error(), "wrong") {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
}

// What is suspended confirms that its state is kept, by its code, or loses none.
func TestSuspends(t *testing.T) {
	for name, k := range kinds() {
		inBubble(t, name, func(t *testing.T) {
			c := contain(t, k.kind, k.program, k.args...)
			time.Sleep(2 * time.Second)
			if name == "job" {
				if why := k.kind.Unsuspendable(); why != "a session of kind job cannot be suspended, as it could not go on where it was; let it end, or stop it" {
					t.Errorf("it is said: %q", why)
				}
				return
			}
			if why := k.kind.Unsuspendable(); why != "" {
				t.Errorf("it cannot be suspended: %s", why)
			}
			begun := time.Now()
			code := c.suspended()
			if took := time.Since(begun); took > time.Second || !k.kind.KeptState(code) {
				t.Errorf("ended with %d after %v", code, took)
			}
			if k.kind.Suspension == session.SavesState && (k.kind.KeptState(0) || k.kind.KeptState(137) || k.kind.KeptState(143)) {
				t.Error("a code that says nothing confirms")
			}
		})
	}
}

// Asked to end for good, each does.
func TestStops(t *testing.T) {
	for name, k := range kinds() {
		inBubble(t, name, func(t *testing.T) {
			c := contain(t, k.kind, k.program, k.args...)
			time.Sleep(2 * time.Second)
			begun := time.Now()
			code := c.ended(launcher.StopOptions{Grace: k.kind.StopGrace})
			if took := time.Since(begun); took > time.Second || code != 0 && code != 143 {
				t.Errorf("ended with %d after %v", code, took)
			}
			if k.kind.Suspension == session.SavesState && k.kind.KeptState(code) {
				t.Error("what was stopped counts as suspended")
			}
		})
	}
}
