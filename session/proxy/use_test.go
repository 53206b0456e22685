package proxy_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/websocket"

	"github.com/atelier-go/atelier/session"
)

// counter is an upload without end; it counts what was taken of it.
type counter struct{ n atomic.Int64 }

func (c *counter) Read(p []byte) (int, error) {
	p = p[:min(len(p), 1024)]
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// slowly yields a byte every while.
type slowly time.Duration

func (s slowly) Read(p []byte) (int, error) {
	time.Sleep(time.Duration(s))
	return copy(p, "x"), nil
}

// every does something again and again, every five minutes of an hour and a half.
func every(do func()) {
	for range 18 {
		time.Sleep(5 * time.Minute)
		do()
	}
}

// TestUse: what pages send while nobody looks lets a session end, and what somebody
// does there keeps it. Each goes on for an hour and a half; the rule says one.
func TestUse(t *testing.T) {
	type step = func(*testing.T, *world)
	asks := func(method, path string, head ...string) step {
		return func(_ *testing.T, w *world) {
			every(func() { w.ask(method, "/sessions/s1"+path, "", head...) })
		}
	}
	sends := func(path string, send func(*websocket.Conn) error) step {
		return func(t *testing.T, w *world) {
			ws := w.socket("/sessions/s1" + path)
			go func() { _, _ = io.Copy(io.Discard, ws) }()
			every(func() { _ = send(ws) }) // it may have ended
			ws.Close()
		}
	}
	text := func(s string) func(*websocket.Conn) error {
		return func(ws *websocket.Conn) error { return websocket.Message.Send(ws, s) }
	}
	frame := func(kind byte, s string) func(*websocket.Conn) error {
		return func(ws *websocket.Conn) error {
			w, err := ws.NewFrameWriter(kind)
			if err == nil {
				_, err = w.Write([]byte(s))
			}
			return err
		}
	}
	lasts := func(method, path string, body func() io.Reader) step {
		return func(_ *testing.T, w *world) {
			ctx, cancel := context.WithTimeout(context.Background(), 90*time.Minute)
			defer cancel()
			res, err := w.open(ctx, method, "/sessions/s1"+path, body())
			if err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			<-ctx.Done()
		}
	}
	nothing := func() io.Reader { return http.NoBody }
	keepsAlive := mirrorKind()
	keepsAlive.Background = session.Background{KeepAlive: 5, Requests: []string{"GET /ws", "GET /raw"}}
	small := mirrorKind()
	small.Background.KeepAlive = 5
	rstudio, jupyter := session.RStudio(), session.JupyterLab()
	jupyter.Activity = session.Activity{} // what its API takes for use is not the question
	vscode := session.VSCode()
	vscode.Activity = session.Activity{}
	for name, c := range map[string]struct {
		image string
		kind  session.Kind
		do    step
		used  bool
		says  string
	}{
		"Nothing":          {"mirror", mirrorKind(), func(*testing.T, *world) { time.Sleep(90 * time.Minute) }, false, ""},
		"Request":          {"mirror", mirrorKind(), asks("GET", "/x?secret=1"), true, "GET /x"},
		"Post":             {"mirror", mirrorKind(), asks("POST", "/a%20b/"+strings.Repeat("long/", 100)), true, "POST /a%20b/long/"},
		"Head":             {"mirror", mirrorKind(), asks("HEAD", "/x"), false, ""},
		"Options":          {"mirror", mirrorKind(), asks("OPTIONS", "/x"), false, ""},
		"Listens":          {"mirror", mirrorKind(), asks("GET", "/x", "Accept", "text/event-stream"), false, ""},
		"Upgrades":         {"mirror", mirrorKind(), asks("GET", "/x", "Connection", "Upgrade", "Upgrade", "websocket"), false, ""},
		"Upload":           {"mirror", mirrorKind(), lasts("PUT", "/sink", func() io.Reader { return slowly(time.Minute) }), true, "PUT /sink"},
		"Download":         {"mirror", mirrorKind(), lasts("GET", "/source?pause=1m", nothing), true, "GET /source"},
		"EventStream":      {"mirror", mirrorKind(), lasts("GET", "/source?pause=1m&type=text/event-stream", nothing), false, ""},
		"Pings":            {"mirror", mirrorKind(), sends("/ws", frame(websocket.PingFrame, "are you there?")), false, ""},
		"Pongs":            {"mirror", mirrorKind(), sends("/ws", frame(websocket.PongFrame, "still there")), false, ""},
		"Empty":            {"mirror", mirrorKind(), sends("/ws", text("")), false, ""},
		"Data":             {"mirror", mirrorKind(), sends("/ws", text("x")), true, "GET /ws"},
		"KeepAlive":        {"mirror", small, sends("/ws", text("12345")), false, ""},
		"MoreThanThat":     {"mirror", small, sends("/ws", text("123456")), true, "GET /ws"},
		"BackgroundSocket": {"mirror", keepsAlive, sends("/ws", text("123456")), false, ""},

		"RStudioEvents":    {"rstudio", rstudio, asks("POST", "/events/get_events"), false, ""},
		"RStudioSigns":     {"rstudio", rstudio, lasts("GET", "/events", nothing), false, ""},
		"RStudioInput":     {"rstudio", rstudio, asks("POST", "/rpc/console_input"), true, "POST /rpc/console_input"},
		"RStudioTerminal":  {"mirror", withBackground(rstudio), sends("/ws", text("ax")), true, "GET /ws"},
		"RStudioTerminals": {"mirror", withBackground(rstudio), sends("/ws", text("b")), false, ""},
		"JupyterPolls": {"jupyterlab", jupyter, func(t *testing.T, w *world) {
			every(func() {
				for _, path := range []string{
					"/api/kernels", "/api/kernels?1785312000000", "/api/kernels/0-1", "/api/sessions", "/api/terminals",
					"/api/kernelspecs", "/api/contents?content=1", "/api/contents/work?content=1", "/api/status", "/api/me",
				} {
					w.ask("GET", "/sessions/s1"+path, "")
				}
			})
		}, false, ""},
		"JupyterStarts": {"jupyterlab", jupyter, asks("POST", "/api/kernels"), true, "POST /api/kernels"},
		"JupyterSaves":  {"jupyterlab", jupyter, asks("PUT", "/api/contents/x.ipynb"), true, "PUT /api/contents/x.ipynb"},
		"JupyterRuns":   {"mirror", withBackground(jupyter), sends("/ws", text(`{"header":{"msg_type":"execute_request"}}`)), true, "GET /ws"},
		"VSCodeAlive":   {"mirror", withBackground(vscode), sends("/ws", text("\x09"+strings.Repeat("\x00", 12))), false, ""},
		"VSCodeAcks":    {"mirror", withBackground(vscode), sends("/ws", text("\x01"+strings.Repeat("\x00", 17))), false, ""},
		"VSCodeTypes":   {"mirror", withBackground(vscode), sends("/ws", text("\x01"+strings.Repeat("\x00", 40))), true, "GET /ws"},
		"VSCodeHealth":  {"vscode", vscode, asks("GET", "/healthz"), false, ""},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t, idle())
			w.start("s1", c.image, c.kind)
			c.do(t, w)
			synctest.Wait()
			x, err := w.Sessions.Explain(t.Context(), "s1")
			check(t, err)
			if used := x.Session.State == session.Running; used != c.used {
				t.Errorf("afterwards it is %s: %s", x.Session.State, x)
			}
			if got := x.Used; c.used && (got.Source != session.Traffic || !strings.HasPrefix(got.Detail, c.says)) || strings.Contains(x.String(), "secret") {
				t.Errorf("it was used by %s: %s", got.Source, got.Detail)
			}
		})
	}
}

// An open tab of JupyterLab, which polls every 30 seconds, is use neither for us nor
// for its own server, and what somebody does in it is.
func TestJupyterLabTab(t *testing.T) {
	for name, works := range map[string]time.Duration{"Open": 0, "Used": 40 * time.Minute} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t, idle())
			w.start("s1", "jupyterlab", session.JupyterLab())
			begun, lasted := time.Now(), time.Duration(0)
			for lasted < 3*time.Hour {
				if works > 0 && lasted == works {
					if got := w.ask("POST", "/sessions/s1/api/kernels", "{}"); got.status != 201 {
						t.Errorf("a kernel is not started: %d %s", got.status, got.text)
					}
				}
				open := 0
				for _, path := range []string{"/api/kernels", "/api/kernels?1785312000000", "/api/contents/work?content=1", "/api/status"} {
					if got := w.ask("GET", "/sessions/s1"+path, ""); got.status < 500 {
						open++
					}
				}
				if open == 0 {
					break
				}
				time.Sleep(30 * time.Second)
				lasted = time.Since(begun)
			}
			if least := works + time.Hour; lasted < least-time.Minute || lasted > least+5*time.Minute {
				t.Errorf("it ends after %v; want about %v", lasted, least)
			}
			w.until("s1", session.Suspended)
		})
	}
}

// withBackground is a mirror whose pages are those of a kind.
func withBackground(k session.Kind) session.Kind {
	m := mirrorKind()
	m.Background = k.Background
	return m
}

// Compressed messages do not tell how long they are, so they are not asked for where
// that matters.
func TestCompression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, idle())
		small := mirrorKind()
		small.Background.KeepAlive = 1
		w.start("any", "mirror", mirrorKind())
		w.start("small", "mirror", small)
		for path, want := range map[string]string{"/sessions/any/": "permessage-deflate", "/sessions/small/": ""} {
			got := w.mirrored(path, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Extensions", "permessage-deflate")
			if got.Header.Get("Sec-Websocket-Extensions") != want || got.Header.Get("Upgrade") != "websocket" {
				t.Errorf("%s: %v", path, got.Header)
			}
		}
	})
}
