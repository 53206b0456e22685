package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/websocket"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/session/proxy"
)

const (
	portal = "https://portal.example.com"
	mount  = portal + "/sessions/"
)

func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// images are the programs of a world: those that stand for IDEs, and one that
// shows what it gets.
func images() map[string]fakelauncher.Program {
	return map[string]fakelauncher.Program{
		"ide": fake.IDE, "rstudio": fake.RStudio, "jupyterlab": fake.JupyterLab, "vscode": fake.VSCode, "positron": fake.Positron,
		"mirror": mirror, "mute": func(ctx context.Context, _ *fakelauncher.Proc) int { <-ctx.Done(); return 0 },
		"rude": rude,
	}
}

// world is a fake one with a proxy into its sessions, of which each user may enter
// their own. A request says in a header whose it is.
type world struct {
	*fake.World
	*proxy.Handler
	t   testing.TB
	log *syncBuffer
	web *listener
}

// syncBuffer is a text that many write.
type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newWorld(t testing.TB, cfg fake.Config) *world {
	t.Helper()
	if cfg.Images == nil {
		cfg.Images = images()
	}
	w := &world{World: fake.New(t, cfg), t: t, log: &syncBuffer{}}
	w.serve(w.Sessions)
	return w
}

func (w *world) config() proxy.Config {
	return proxy.Config{
		URL: mount, Cookies: []string{"__Host-portal"},
		Logger: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Authorize: func(r *http.Request, s session.Session) error {
			if who := r.Header.Get("X-User"); who != "" && who != s.User {
				return errors.New("not theirs")
			}
			return nil
		},
	}
}

// serve opens the portal: a web server with the proxy, until the test ends.
func (w *world) serve(m *session.Manager) {
	w.t.Helper()
	var err error
	w.Handler, err = proxy.New(m, w.config())
	check(w.t, err)
	mux := http.NewServeMux()
	mux.Handle("/sessions/", w.Handler)
	w.listen(mux)
}

// listen has a portal's web server answer by h, until the test ends.
func (w *world) listen(h http.Handler) {
	web := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	w.web = web
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(web)
	}()
	w.t.Cleanup(func() {
		server.Close()
		<-done
	})
}

// listener is a network of one server in memory, for bubbles have no sockets.
type listener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// mirrorKind is a program that need not know its path.
func mirrorKind() session.Kind {
	return session.Kind{Name: "mirror", Ports: []launcher.Port{{Name: "http", Number: 8787}}, Ready: session.Probe{Port: "http", Path: "/"}}
}

// start returns once a session runs.
func (w *world) start(id session.ID, image string, k session.Kind, args ...string) {
	w.t.Helper()
	k, more := k.At(w.Path(id))
	_, err := w.Sessions.Start(w.t.Context(), session.StartRequest{
		ID: id, User: "alice", Image: image, InstanceType: "t3.medium", Kind: k, Command: append(args, more...),
	})
	check(w.t, err)
	w.until(id, session.Running)
}

func (w *world) until(id session.ID, s session.State) session.Session {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 24*time.Hour)
	defer cancel()
	got, err := w.Sessions.Wait(ctx, id, s)
	check(w.t, err)
	return got
}

func (w *world) stop(id session.ID) {
	w.t.Helper()
	_, err := w.Sessions.Stop(w.t.Context(), id, session.Order{})
	check(w.t, err)
	w.until(id, session.Stopped)
}

func (w *world) suspend(id session.ID) {
	w.t.Helper()
	_, err := w.Sessions.Suspend(w.t.Context(), id, session.Order{})
	check(w.t, err)
	w.until(id, session.Suspended)
}

// browser follows no redirects, and uses a connection once.
func (w *world) browser() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true,
			DialContext: w.web.dial, DialTLSContext: w.web.dial,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// open sends a request, with headers as pairs.
func (w *world) open(ctx context.Context, method, path string, body io.Reader, head ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, portal+path, body)
	check(w.t, err)
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Add(head[i], head[i+1])
	}
	return w.browser().Do(r)
}

// reply is a whole answer.
type reply struct {
	status int
	head   http.Header
	text   string
}

func (w *world) ask(method, path, body string, head ...string) reply {
	w.t.Helper()
	res, err := w.open(w.t.Context(), method, path, strings.NewReader(body), head...)
	check(w.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	check(w.t, err)
	return reply{res.StatusCode, res.Header, string(text)}
}

// seen is a request as the mirror gets it.
type seen struct {
	Method, Host, URI string
	Header            http.Header
	Container         string
}

func (w *world) mirrored(path string, head ...string) seen {
	w.t.Helper()
	got := w.ask("GET", path, "", head...)
	var s seen
	if err := json.Unmarshal([]byte(got.text), &s); err != nil {
		w.t.Fatalf("GET %s: %d %s", path, got.status, got.text)
	}
	return s
}

// socket opens a websocket at a session.
func (w *world) socket(path string, change ...func(*websocket.Config)) *websocket.Conn {
	w.t.Helper()
	cfg, err := websocket.NewConfig("wss://portal.example.com"+path, portal)
	check(w.t, err)
	for _, f := range change {
		f(cfg)
	}
	conn, err := w.web.dial(w.t.Context(), "", "")
	check(w.t, err)
	ws, err := websocket.NewClient(cfg, conn)
	if err != nil {
		conn.Close()
		w.t.Fatal(err)
	}
	return ws
}

// served counts what mirrors have of a world's browsers.
type served struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
	ended int // requests whose context ended before they were answered
	bytes int64
}

func (s *served) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *served) read(n int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += int64(n)
	return s.bytes
}

func (s *served) gone(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended += n
	return s.ended
}

func mirror(ctx context.Context, p *fakelauncher.Proc) int { return new(served).program(ctx, p) }

// program answers with what it is asked. Below /to, /cookie and /head it answers
// with what the query says, and at other paths in ways of its own.
func (s *served) program(ctx context.Context, p *fakelauncher.Proc) int {
	l, err := p.Listen(8787)
	if err != nil {
		return 1
	}
	s.conns = map[net.Conn]bool{}
	container := fmt.Sprintf("%p", p)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(seen{r.Method, r.Host, r.RequestURI, r.Header, container})
	})
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("x"))
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/head", func(w http.ResponseWriter, r *http.Request) {
		for _, line := range r.URL.Query()["x"] {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Add(name, value)
		}
	})
	mux.Handle("/ws", websocket.Server{Handler: func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) }})
	mux.HandleFunc("/raw", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(conn, conn)
	})
	mux.HandleFunc("/sink", func(w http.ResponseWriter, r *http.Request) { // as fast as the query says
		pause, _ := time.ParseDuration(r.URL.Query().Get("pause"))
		buf := make([]byte, 1024)
		for {
			n, err := r.Body.Read(buf)
			s.read(n)
			if err != nil {
				return
			}
			time.Sleep(pause)
		}
	})
	mux.HandleFunc("/source", func(w http.ResponseWriter, r *http.Request) { // a line now and then, for ever
		pause, _ := time.ParseDuration(r.URL.Query().Get("pause"))
		if kind := r.URL.Query().Get("type"); kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		if pause == 0 {
			w.Header().Set("Content-Length", "1000000000000")
		}
		for {
			n, err := fmt.Fprintln(w, strings.Repeat("x", 1023))
			s.read(n)
			if err != nil || pause > 0 && http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
				s.gone(1)
				return
			}
		}
	})
	mux.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		s.gone(1)
	})
	base := ""
	for _, arg := range p.Args {
		if value, ok := strings.CutPrefix(arg, "--base="); ok {
			base = value
		}
	}
	server := &http.Server{
		Handler: http.StripPrefix(base, mux), ReadHeaderTimeout: time.Minute,
		ConnState: func(c net.Conn, state http.ConnState) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if state == http.StateClosed || state == http.StateHijacked {
				delete(s.conns, c)
			} else {
				s.conns[c] = true
			}
		},
	}
	signals := p.Signals("SIGTERM")
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-signals:
		case <-ctx.Done():
		}
		server.Close()
	}()
	_ = server.Serve(l)
	<-done
	return 0
}

// accept serves the port of a program until that ends, one connection at a time.
func accept(ctx context.Context, p *fakelauncher.Proc, serve func(net.Conn)) int {
	l, err := p.Listen(8787)
	if err != nil {
		return 1
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			return 0
		}
		serve(conn)
	}
}

// rude hangs up, or says what is no HTTP.
func rude(ctx context.Context, p *fakelauncher.Proc) int {
	return accept(ctx, p, func(conn net.Conn) {
		defer conn.Close()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		if strings.Contains(line, "/noise") {
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH\r\n\r\n")
		}
	})
}

// idle is a policy by which what nobody uses for an hour is suspended.
func idle() fake.Config {
	return fake.Config{Policy: domain.Policy{Idle: []domain.IdleRule{{After: time.Hour}}}}
}
