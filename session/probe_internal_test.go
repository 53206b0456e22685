package session

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

// answering is a dialer to a program that answers each request with bytes and
// hangs up. It sends the requests to the channel, if there is one.
func answering(requests chan<- string, text string) dialer {
	return func(context.Context, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			q, err := http.ReadRequest(bufio.NewReader(far))
			if err != nil {
				return
			}
			if requests != nil {
				requests <- q.Method + " " + q.Host + q.URL.String()
			}
			_, _ = io.WriteString(far, text)
		}()
		return near, nil
	}
}

func http200(body string) string { return "HTTP/1.1 200 OK\r\n\r\n" + body }

func probed() Kind {
	k := VSCode()
	k.Ready.Path = "/healthz?x=1"
	return k
}

func TestReadyAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		dial  dialer
		ready bool
		why   string
	}{
		"200":            {answering(nil, http200("alive")), true, ""},
		"a sign-in":      {answering(nil, "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n"), true, ""},
		"401":            {answering(nil, "HTTP/1.1 401 Unauthorized\r\n\r\n"), true, ""},
		"403":            {answering(nil, "HTTP/1.1 403 Forbidden\r\n\r\n"), true, ""},
		"404":            {answering(nil, "HTTP/1.1 404 Not Found\r\n\r\n"), true, ""},
		"499":            {answering(nil, "HTTP/1.1 499 Odd\r\n\r\n"), true, ""},
		"HTTP/1.0":       {answering(nil, "HTTP/1.0 200 OK\r\n\r\n"), true, ""},
		"early hints":    {answering(nil, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"+http200("")), true, ""},
		"500":            {answering(nil, "HTTP/1.1 500 Internal Server Error\r\n\r\n"), false, "500 Internal Server Error to GET /healthz"},
		"503":            {answering(nil, "HTTP/1.1 503 Busy\r\n\r\n"), false, "503 Service Unavailable"},
		"hints and 502":  {answering(nil, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 502 Bad\r\n\r\n"), false, "502"},
		"nothing":        {answering(nil, ""), false, "hangs up"},
		"half an answer": {answering(nil, "HTTP/1.1 200 OK\r\nContent-"), false, "not answer as an HTTP server"},
		"half a body":    {answering(nil, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), false, "hangs up"},
		"another tongue": {answering(nil, "SSH-2.0-OpenSSH_9.6\r\n"), false, "not answer as an HTTP server"},
		"endless header": {answering(nil, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("a", maxAnswer)), false, "more than"},
		"endless body":   {answering(nil, http200(strings.Repeat("a", maxAnswer))), false, "more than"},
		"endless hints":  {answering(nil, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxAnswer/28+1)), false, "more than"},
		"not listening":  {func(context.Context, string) (net.Conn, error) { return nil, errors.New("connection refused") }, false, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				ready, why := probed().ready(t.Context(), c.dial)
				if ready != c.ready || !strings.Contains(why, c.why) || ready != (why == "") {
					t.Errorf("ready %v: %q", ready, why)
				}
				if time.Since(begun) != 0 {
					t.Errorf("it took %v", time.Since(begun))
				}
				synctest.Wait() // the bubble ends only if nothing is left over
			})
		})
	}
}

// What is asked: that path, of a host that every program knows, once; what a
// redirect names is never gone to.
func TestReadyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := make(chan string, 3)
		var ports []string
		answer := answering(requests, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")
		dial := func(ctx context.Context, port string) (net.Conn, error) {
			ports = append(ports, port)
			return answer(ctx, port)
		}
		if ready, why := probed().ready(t.Context(), dial); !ready {
			t.Error(why)
		}
		close(requests)
		if got := <-requests; got != "GET localhost/healthz?x=1" || len(requests) != 0 || len(ports) != 1 || ports[0] != "http" {
			t.Errorf("asked %q, then %d more, on %q", got, len(requests), ports)
		}
	})
}

// A program that says nothing, or one that never stops, is given two seconds,
// and less if the context ends before; the connection is closed then.
func TestReadyIsBounded(t *testing.T) {
	slow := map[string]func(net.Conn){
		"takes nothing":  func(net.Conn) {},
		"says nothing":   func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"says it slowly": func(c net.Conn) { trickle(c, "HTTP/1.1 200 OK\r\nX: ") },
		"tells on":       func(c net.Conn) { trickle(c, http200("")) },
	}
	for name, serve := range slow {
		for limit, want := range map[time.Duration]time.Duration{time.Hour: askLimit, time.Second: time.Second} {
			t.Run(name+" "+limit.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					closed := make(chan struct{})
					dial := func(context.Context, string) (net.Conn, error) {
						near, far := net.Pipe()
						go serve(far)
						t.Cleanup(func() { far.Close() })
						return &noticed{Conn: near, closed: closed}, nil
					}
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					begun := time.Now()
					ready, why := probed().ready(ctx, dial)
					if took := time.Since(begun); ready || !strings.Contains(why, "no answer in time") || took != want {
						t.Errorf("ready %v after %v: %q", ready, took, why)
					}
					<-closed
					time.Sleep(askLimit) // the program notices that, too
				})
			})
		}
	}
	t.Run("cancelled before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			closed := make(chan struct{})
			ready, why := probed().ready(ctx, func(context.Context, string) (net.Conn, error) {
				near, _ := net.Pipe()
				return &noticed{Conn: near, closed: closed}, nil
			})
			if ready || !strings.Contains(why, "canceled") {
				t.Errorf("ready %v: %q", ready, why)
			}
			<-closed
		})
	})
}

// trickle says something and goes on with a byte a second until it is hung up.
func trickle(c net.Conn, begin string) {
	go func() { _, _ = io.Copy(io.Discard, c) }()
	text := begin
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		text = "a"
		time.Sleep(time.Second - time.Millisecond)
	}
}

// noticed tells of being closed.
type noticed struct {
	net.Conn
	closed chan struct{}
}

func (n *noticed) Close() error {
	select {
	case <-n.closed:
	default:
		close(n.closed)
	}
	return n.Conn.Close()
}

// Whatever a program answers, asking it ends, and never says that it is ready
// of what is not HTTP.
func FuzzAsk(f *testing.F) {
	for _, text := range []string{
		http200("{}"), "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\n" + http200(""), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "SSH-2.0\r\n", "", "HTTP/1.1 099 X\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		status, body, err := ask(t.Context(), answering(nil, string(text)), "http", "/")
		if err == nil && (!strings.HasPrefix(string(text), "HTTP/") || status < 100 || len(body) > len(text)) {
			t.Errorf("%q is read as %d with %d bytes", text, status, len(body))
		}
		if err != nil && (status != 0 || body != nil) {
			t.Errorf("%v beside %d and %q", err, status, body)
		}
	})
}

// Without a path, what counts is that a connection stays open: that somebody took it
// proves nothing.
func TestReadyPort(t *testing.T) {
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		err   error // of the near end's Read, in place of what it would be
		ready bool
		why   string
		took  time.Duration
	}{
		"stays open":         {func(net.Conn) {}, nil, true, "", stays},
		"reads":              {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, nil, true, "", stays},
		"speaks first":       {func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n"); c.Close() }, nil, true, "", 0},
		"speaks later":       {func(c net.Conn) { time.Sleep(stays / 2); _, _ = io.WriteString(c, "!"); c.Close() }, nil, true, "", stays / 2},
		"hangs up":           {func(c net.Conn) { c.Close() }, nil, false, `port "http" hangs up at once: EOF`, 0},
		"hangs up later":     {func(c net.Conn) { time.Sleep(stays - 1); c.Close() }, nil, false, "hangs up", stays - 1},
		"hangs up in time":   {func(c net.Conn) { time.Sleep(stays + 1); c.Close() }, nil, true, "", stays},
		"resets":             {func(net.Conn) {}, reset, false, "hangs up at once: read tcp: connection reset", 0},
		"is closed, by whom": {func(net.Conn) {}, net.ErrClosed, false, "hangs up", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				closed := make(chan struct{})
				dial := func(context.Context, string) (net.Conn, error) {
					near, far := net.Pipe()
					t.Cleanup(func() { far.Close() })
					go c.serve(far)
					var conn net.Conn = &noticed{Conn: near, closed: closed}
					if c.err != nil {
						conn = failing{conn, c.err}
					}
					return conn, nil
				}
				begun := time.Now()
				k := probed()
				k.Ready.Path = ""
				ready, why := k.ready(t.Context(), dial)
				if took := time.Since(begun); ready != c.ready || !strings.Contains(why, c.why) || ready != (why == "") || took != c.took {
					t.Errorf("ready %v after %v: %q", ready, took, why)
				}
				<-closed
				time.Sleep(stays) // the program notices that, too
			})
		})
	}
	for name, limit := range map[string]time.Duration{"no time": 0, "little time": stays / 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				closed := make(chan struct{})
				begun := time.Now()
				err := connect(ctx, func(context.Context, string) (net.Conn, error) {
					near, far := net.Pipe()
					t.Cleanup(func() { far.Close() })
					return &noticed{Conn: near, closed: closed}, nil
				}, "http")
				if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took != limit {
					t.Errorf("after %v: %v", took, err)
				}
				<-closed
			})
		})
	}
	t.Run("not listening", func(t *testing.T) {
		k := probed()
		k.Ready.Path = ""
		ready, why := k.ready(t.Context(), func(context.Context, string) (net.Conn, error) { return nil, errors.New("connection refused") })
		if ready || !strings.Contains(why, "connection refused") {
			t.Errorf("ready %v: %q", ready, why)
		}
	})
}

// failing is a connection from which nothing can be read.
type failing struct {
	net.Conn
	err error
}

func (c failing) Read([]byte) (int, error) { return 0, c.err }

// TestReadyPortOnDocker: a real engine's proxy takes connections before the program in
// the container does, and that is not taken for the program.
func TestReadyPortOnDocker(t *testing.T) {
	dockertest.Engine(t)
	dir := t.TempDir()
	l, err := dockerlauncher.New(dockerlauncher.Config{SecretsDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := launcher.Workload{
		ID: launcher.ID("t" + strings.ToLower(rand.Text()) + "-port"), Owner: "alice", Image: dockertest.Image,
		Command: strings.Fields("spin 2s ; serve 8787"), Ports: []launcher.Port{{Name: "http", Number: 8787}},
	}
	if _, err := l.Launch(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = l.Stop(context.WithoutCancel(t.Context()), w.ID, launcher.StopOptions{Signal: "SIGKILL", Forget: true})
	}()
	k, taken := Kind{Ready: Probe{Port: "http"}}, 0
	dial := func(ctx context.Context, port string) (net.Conn, error) {
		c, err := l.Dial(ctx, w.ID, port)
		if err == nil {
			taken++
		}
		return c, err
	}
	serves := func() bool {
		logs, err := l.Logs(t.Context(), w.ID, launcher.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer logs.Close()
		text, err := io.ReadAll(logs)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "serving")
	}
	deadline := time.Now().Add(time.Minute)
	asked := 0
	for tick := time.NewTicker(100 * time.Millisecond); time.Now().Before(deadline); <-tick.C {
		asked++
		if ready, why := k.ready(t.Context(), dial); ready {
			if !serves() {
				t.Error("it is ready, and its program does not listen")
			}
			t.Logf("asked %d times, of which %d connections were taken", asked, taken)
			if taken < 2 {
				t.Error("nobody took a connection before the program did: this shows nothing")
			}
			return
		} else if !strings.Contains(why, "not serve yet") {
			t.Fatal(why)
		}
	}
	t.Error("it was never ready")
}
