package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/websocket"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/session/proxy"
)

// Each program that stands for an IDE, as a browser sees it: where its first page
// leads, a file, and a stream that is not held back.
func TestPrograms(t *testing.T) {
	positron := session.Positron()
	positron.Activity.Path += "?tkn=t0"
	for name, c := range map[string]struct {
		kind  session.Kind
		args  []string
		query string
		to    string // the first page leads there
		says  string
	}{
		"ide":        {kind: session.Kind{}, says: "session of alice"},
		"rstudio":    {kind: session.RStudio(), to: "/sessions/s1/auth-sign-in", says: "sign in to RStudio"},
		"jupyterlab": {kind: session.JupyterLab(), to: "/sessions/s1/lab", says: "JupyterLab"},
		"vscode":     {kind: session.VSCode(), to: "/sessions/s1/login", says: "sign in to code-server"},
		"positron":   {kind: positron, args: []string{"--connection-token=t0"}, query: "?tkn=t0", says: "Positron"},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t, fake.Config{})
			kind := c.kind
			if name == "ide" {
				kind = mirrorKind()
			}
			w.start("s1", name, kind, c.args...)
			if got := w.ask("GET", "/sessions/s1"+c.query, ""); got.status != 307 || got.head.Get("Location") != "/sessions/s1/"+c.query {
				t.Errorf("without a slash: %d to %q", got.status, got.head.Get("Location"))
			}
			first := w.ask("GET", "/sessions/s1/"+c.query, "")
			if c.to != "" {
				if first.status != 302 || first.head.Get("Location") != c.to {
					t.Fatalf("the first page is %d to %q", first.status, first.head.Get("Location"))
				}
				first = w.ask("GET", c.to, "")
			}
			if first.status != 200 || strings.TrimSpace(first.text) != c.says {
				t.Errorf("the page is %d %q", first.status, first.text)
			}
			if got := w.ask("PUT", "/sessions/s1/files/home/alice/x"+c.query, "kept"); got.status != 204 {
				t.Errorf("a file is not written: %d %s", got.status, got.text)
			}
			if got := w.ask("GET", "/sessions/s1/files/home/alice/x"+c.query, ""); got.text != "kept" {
				t.Errorf("the file is %d %q", got.status, got.text)
			}
			if name == "ide" {
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			res, err := w.open(ctx, "GET", "/sessions/s1/events"+c.query, http.NoBody)
			check(t, err)
			defer res.Body.Close()
			begun := time.Now()
			if line, err := bufio.NewReader(res.Body).ReadString('\n'); line != ":\n" || err != nil || time.Since(begun) != 0 {
				t.Errorf("the stream begins with %q after %v: %v", line, time.Since(begun), err)
			}
		})
	}
}

// Who may not enter a session learns nothing: not even that it exists.
func TestUnknownIsForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		w.start("s1", "mirror", mirrorKind())
		for _, accept := range []string{"", "text/html"} {
			for _, rest := range []string{"", "/", "/x?y=z"} {
				var all []reply
				for _, id := range []string{"s1", "s2", "S1", "s%31", "a-name-that-is-longer-than-any"} {
					all = append(all, w.ask("GET", "/sessions/"+id+rest, "", "X-User", "bob", "Accept", accept))
				}
				for _, got := range all {
					delete(got.head, "Date")
					if got.status != 404 || !cmp.Equal(got, all[0], cmp.AllowUnexported(reply{})) {
						t.Errorf("%q, %q: %+v differs from %+v", accept, rest, got, all[0])
					}
				}
			}
		}
		if got := w.ask("GET", "/sessions/s1/", "", "X-User", "alice"); got.status != 200 {
			t.Errorf("alice gets %d", got.status)
		}
		direct := func(target string) int {
			rec := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), "GET", target, http.NoBody)
			w.ServeHTTP(rec, r)
			return rec.Code
		}
		for _, target := range []string{"/", "/sessions", "/sessions/", "/sessions//x", "/other/s1/", "/sessions/../s1/"} {
			if got := direct(target); got != 404 {
				t.Errorf("%s: %d", target, got)
			}
		}
	})
}

// What is not running says so, in words and for programs, and how long that takes.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{AWS: fakeaws.Config{Delays: fakeaws.Realistic()}})
		expect := func(status int, again string, words ...string) {
			t.Helper()
			for _, accept := range []string{"*/*", "text/html,*/*;q=0.1"} {
				got := w.ask("GET", "/sessions/s1/x", "", "Accept", accept)
				if got.status != status || got.head.Get("Retry-After") != again || got.head.Get("Cache-Control") != "no-store" {
					t.Errorf("%d, again %q, want %d, %q: %s", got.status, got.head.Get("Retry-After"), status, again, got.text)
				}
				if html := accept != "*/*"; html != strings.HasPrefix(got.head.Get("Content-Type"), "text/html") || html != strings.HasPrefix(got.text, "<!DOCTYPE") {
					t.Errorf("who accepts %s gets %s: %s", accept, got.head.Get("Content-Type"), got.text)
				}
				for _, word := range words {
					if !strings.Contains(got.text, word) {
						t.Errorf("it does not say %q: %s", word, got.text)
					}
				}
			}
		}
		_, err := w.Sessions.Start(t.Context(), session.StartRequest{ID: "s1", User: "alice", Image: "mirror", InstanceType: "t3.medium", Kind: mirrorKind()})
		check(t, err)
		time.Sleep(10 * time.Second)
		expect(503, "2", "starting")
		w.until("s1", session.Running)
		if got := w.ask("GET", "/sessions/s1/x", ""); got.status != 200 {
			t.Errorf("running: %d %s", got.status, got.text)
		}
		_, err = w.Sessions.Suspend(t.Context(), "s1", session.Order{By: "alice", Why: "lunch & <rest>"})
		check(t, err)
		expect(503, "2", "suspending")
		w.until("s1", session.Suspended)
		expect(503, "30", "suspended", "alice", "lunch")
		if got := w.ask("GET", "/sessions/s1/x", "", "Accept", "text/html"); strings.Contains(got.text, "<rest>") {
			t.Errorf("the page has what somebody wrote as it is: %s", got.text)
		}
		w.stop("s1")
		expect(410, "", "stopped")
		for line := range strings.SplitSeq(w.log.String(), "\n") {
			if strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN") {
				t.Error(line)
			}
		}
	})
}

// A portal may answer for what does not run: for the request as it came, whether that
// was known before or the program was gone when it was asked, and for nobody else.
func TestAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		w.start("s1", "mirror", mirrorKind())
		c := w.config()
		c.Absent = func(rw http.ResponseWriter, r *http.Request, s session.Session) {
			rw.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(rw, strings.Join([]string{string(s.ID), s.User, string(s.State), r.Host, r.RequestURI, r.URL.Path, r.Header.Get("Authorization")}, " "))
		}
		var err error
		w.Handler, err = proxy.New(w.Sessions, c)
		check(t, err)
		w.listen(w.Handler)
		ask := func(head ...string) reply {
			return w.ask("POST", "/sessions/s1/x?y", "", append(head, "Authorization", "portal")...)
		}
		expect := func(got reply, state session.State) {
			t.Helper()
			want := "s1 alice " + string(state) + " portal.example.com /sessions/s1/x?y /sessions/s1/x portal"
			if got.status != http.StatusTeapot || got.text != want || got.head.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %q, %v; want %q", got.status, got.text, got.head, want)
			}
		}
		if got := ask(); got.status != 200 {
			t.Errorf("while it runs: %d %s", got.status, got.text)
		}
		waits := make(chan reply)
		go func() { waits <- w.ask("GET", "/sessions/s1/wait", "") }()
		time.Sleep(time.Minute)
		w.suspend("s1")
		if got := <-waits; got.status != http.StatusTeapot || !strings.Contains(got.text, "suspend") || !strings.Contains(got.text, "/sessions/s1/wait /sessions/s1/wait") {
			t.Errorf("who waited gets %d %s", got.status, got.text)
		}
		expect(ask(), session.Suspended)
		for name, head := range map[string][]string{"bob": {"X-User", "bob"}, "a page elsewhere": {"Origin", "https://evil.example.com"}} {
			if got := ask(head...); got.status == http.StatusTeapot {
				t.Errorf("%s gets %s", name, got.text)
			}
		}
		w.stop("s1")
		expect(ask(), session.Stopped)
	})
}

// A program that does not listen, hangs up or speaks something else; a job.
func TestBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		unready := mirrorKind()
		unready.Ready = session.Probe{}
		w.start("mute", "mute", unready)
		w.start("rude", "rude", unready)
		w.start("job", "mute", session.Job())
		for path, want := range map[string]struct {
			status int
			say    string
		}{
			"mute/":      {503, "does not answer now"},
			"rude/":      {502, "broke off"},
			"rude/noise": {502, "broke off"},
			"job/":       {404, "serves nothing"},
		} {
			got := w.ask("POST", "/sessions/"+path+"?secret=1", "", "Authorization", "secret")
			if got.status != want.status || !strings.Contains(got.text, want.say) || (want.status == 503) != (got.head.Get("Retry-After") != "") {
				t.Errorf("%s: %d %s", path, got.status, got.text)
			}
			if id, _, _ := strings.Cut(path, "/"); id != "job" && !strings.Contains(w.log.String(), `msg="a session does not answer" session=`+id) {
				t.Errorf("%s: the log is %s", path, w.log)
			}
		}
		if strings.Contains(w.log.String(), "secret") {
			t.Errorf("the log tells a query or a header: %s", w.log)
		}
	})
}

// Use that nobody would notice is refused: a session in use must not end for that.
func TestManagerDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		w.start("s1", "mirror", mirrorKind())
		m, err := session.New(w.Domain, w.Fleet, session.Config{})
		check(t, err)
		w.serve(m)
		if got := w.ask("GET", "/sessions/s1/", ""); got.status != 503 || !strings.Contains(got.text, "administrator") {
			t.Errorf("without a Run: %d %s", got.status, got.text)
		}
		if !strings.Contains(w.log.String(), "level=ERROR") {
			t.Errorf("the log is %s", w.log)
		}
	})
}

// hanging is a launcher whose hosts do not answer.
type hanging struct{ launcher.Launcher }

func (hanging) Dial(ctx context.Context, _ launcher.ID, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// A host that does not answer is not waited for.
func TestHostDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		w.start("s1", "mirror", mirrorKind())
		m, err := session.New(w.Domain, hanging{w.Fleet}, session.Config{})
		check(t, err)
		w.serve(m)
		begun := time.Now()
		if got := w.ask("HEAD", "/sessions/s1/", ""); got.status != 503 || time.Since(begun) != 10*time.Second {
			t.Errorf("%d after %v", got.status, time.Since(begun))
		}
	})
}

// Over real connections, who has said all still hears the rest.
func TestHalfClosed(t *testing.T) {
	w := newWorld(t, fake.Config{})
	w.start("s1", "mirror", mirrorKind())
	web := httptest.NewServer(w.Handler)
	defer web.Close()
	conn, err := net.Dial("tcp", web.Listener.Addr().String())
	check(t, err)
	defer conn.Close()
	check(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, "GET /sessions/s1/raw HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
	check(t, err)
	reader := bufio.NewReader(conn)
	res, err := http.ReadResponse(reader, nil)
	check(t, err)
	res.Body.Close()
	_, err = io.WriteString(conn, strings.Repeat("x", 1<<20))
	check(t, err)
	check(t, conn.(*net.TCPConn).CloseWrite())
	if text, err := io.ReadAll(reader); len(text) != 1<<20 || err != nil {
		t.Errorf("%d bytes come back: %v", len(text), err)
	}
}

// A session resumed on another type is reached there, and never by a connection to
// where it was.
func TestResumedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		w.start("s1", "mirror", mirrorKind())
		first := w.mirrored("/sessions/s1/")
		if again := w.mirrored("/sessions/s1/"); again.Container != first.Container {
			t.Errorf("%s and %s", first.Container, again.Container)
		}
		for _, kind := range []string{"r5.4xlarge", "t3.medium", "r5.4xlarge"} {
			w.suspend("s1")
			_, err := w.Sessions.Resume(t.Context(), "s1", session.ResumeRequest{InstanceType: kind})
			check(t, err)
			w.until("s1", session.Running)
			next := w.mirrored("/sessions/s1/")
			if next.Container == first.Container {
				t.Errorf("on %s it is still %s", kind, next.Container)
			}
			first = next
		}
	})
}

// parted is a launcher whose hosts are cut off from the network when a container
// ends: nobody hears of that.
type parted struct{ launcher.Launcher }

func (p parted) Dial(ctx context.Context, id launcher.ID, port string) (net.Conn, error) {
	conn, err := p.Launcher.Dial(ctx, id, port)
	return &silent{Conn: conn, closed: make(chan struct{})}, err
}

type silent struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (s *silent) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil {
		<-s.closed
	}
	return n, err
}

func (s *silent) Write(p []byte) (int, error) {
	if n, err := s.Conn.Write(p); err == nil {
		return n, nil
	}
	return len(p), nil // it is on its way
}

func (s *silent) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

// A connection to where a session was is not used for where it is, even if it looks
// as good as ever.
func TestStaleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		w.start("s1", "mirror", mirrorKind())
		m, err := session.New(w.Domain, parted{w.Fleet}, session.Config{})
		check(t, err)
		w.serve(m)
		first := w.ask("OPTIONS", "/sessions/s1/", "") // which is not reported: this manager does not run
		w.suspend("s1")
		_, err = w.Sessions.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
		w.until("s1", session.Running)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		res, err := w.open(ctx, "OPTIONS", "/sessions/s1/", http.NoBody)
		check(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		check(t, err)
		if next := (reply{status: res.StatusCode, text: string(text)}); first.status != 200 || next.status != 200 || next.text == first.text {
			t.Errorf("%d %s, then %d %s", first.status, first.text, next.status, next.text)
		}
		time.Sleep(2 * time.Minute) // both are given up
	})
}

// Connections to a session are used again, and closed a minute after the last
// request.
func TestConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s served
		cfg := fake.Config{Images: images()}
		cfg.Images["mirror"] = s.program
		w := newWorld(t, cfg)
		k := mirrorKind()
		k.Ready = session.Probe{}
		w.start("s1", "mirror", k)
		for range 20 {
			w.mirrored("/sessions/s1/")
		}
		if n := s.open(); n != 1 {
			t.Errorf("20 requests, one after another, leave %d connections", n)
		}
		time.Sleep(61 * time.Second)
		if n := s.open(); n != 0 {
			t.Errorf("a minute later %d are open", n)
		}
	})
}

// When a session ends, so does what is under way: a stream, a websocket, a request
// that waits.
func TestEndsMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		w.start("s1", "mirror", mirrorKind())
		res, err := w.open(t.Context(), "GET", "/sessions/s1/source?pause=1s", http.NoBody)
		check(t, err)
		defer res.Body.Close()
		ws := w.socket("/sessions/s1/ws")
		defer ws.Close()
		stream, socket, waits := make(chan error), make(chan error), make(chan reply)
		go func() { _, err := io.Copy(io.Discard, res.Body); stream <- err }()
		go func() { _, err := ws.Read(make([]byte, 1)); socket <- err }()
		go func() { waits <- w.ask("GET", "/sessions/s1/wait", "") }()
		time.Sleep(time.Minute)
		w.stop("s1")
		if err := <-stream; err == nil {
			t.Error("a stream that was cut looks whole")
		}
		if err := <-socket; err == nil {
			t.Error("the websocket goes on")
		}
		if got := <-waits; got.status != 410 && (got.status != 503 || !strings.Contains(got.text, `"state":"stopping"`)) {
			t.Errorf("who waited gets %d %s", got.status, got.text)
		}
	})
}

// A client that goes away, or whose time is up, is gone for the program, too.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s served
		cfg := fake.Config{Images: images()}
		cfg.Images["mirror"] = s.program
		w := newWorld(t, cfg)
		w.start("s1", "mirror", mirrorKind())
		for i, path := range []string{"wait", "source?pause=1m"} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(90*time.Second, cancel)
			res, err := w.open(ctx, "GET", "/sessions/s1/"+path, http.NoBody)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", path, err)
			}
			synctest.Wait()
			if n := s.gone(0); n != i+1 {
				t.Errorf("%s: %d requests have ended", path, n)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", mount+"s1/wait", http.NoBody))
		if rec.Code != 504 {
			t.Errorf("a request with a deadline is %d %s", rec.Code, rec.Body)
		}
	})
}

// Nothing is kept: whoever reads slowly makes the other wait, in both directions.
func TestBackPressure(t *testing.T) {
	const most = 1 << 20 // of all buffers on the way
	synctest.Test(t, func(t *testing.T) {
		var s served
		cfg := fake.Config{Images: images()}
		cfg.Images["mirror"] = s.program
		w := newWorld(t, cfg)
		w.start("s1", "mirror", mirrorKind())
		ctx, cancel := context.WithCancel(t.Context())
		sent := &counter{}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if res, err := w.open(ctx, "PUT", "/sessions/s1/sink?pause=1s", sent); err == nil {
				res.Body.Close()
			}
		}()
		time.Sleep(100 * time.Second)
		if n := s.read(0); n < 90<<10 {
			t.Errorf("in 100 seconds %d bytes have arrived", n)
		}
		if n := sent.n.Load(); n > most {
			t.Errorf("%d bytes were sent ahead", n)
		}
		cancel()
		<-ended
		synctest.Wait()

		before := s.read(0)
		res, err := w.open(t.Context(), "GET", "/sessions/s1/source", http.NoBody)
		check(t, err)
		time.Sleep(100 * time.Second)
		if n := s.read(0) - before; n == 0 || n > most {
			t.Errorf("to who reads nothing %d bytes were sent", n)
		}
		res.Body.Close()
	})
}

// Websockets work, whatever else is switched to does, and a page of another site
// opens none.
func TestUpgrades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		w.start("s1", "mirror", mirrorKind())
		ws := w.socket("/sessions/s1/ws")
		for _, text := range []string{"hello", strings.Repeat("long ", 100_000)} {
			go func() { _ = websocket.Message.Send(ws, text) }()
			got := make([]byte, len(text))
			if _, err := io.ReadFull(ws, got); err != nil || string(got) != text {
				t.Errorf("%d bytes come back as %d: %v", len(text), len(got), err)
			}
		}
		ws.Close()

		conn, err := w.web.dial(t.Context(), "", "")
		check(t, err)
		defer conn.Close()
		go func() {
			_, _ = io.WriteString(conn, "GET /sessions/s1/raw HTTP/1.1\r\nHost: portal.example.com\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		}()
		reader := bufio.NewReader(conn)
		res, err := http.ReadResponse(reader, nil)
		check(t, err)
		res.Body.Close()
		go func() { _, _ = io.WriteString(conn, "hello\n") }()
		if line, err := reader.ReadString('\n'); res.StatusCode != 101 || line != "hello\n" || err != nil {
			t.Errorf("%d, then %q: %v", res.StatusCode, line, err)
		}

		for origin, want := range map[string]int{portal: 200, "": 200, "https://evil.example.com": 403, "null": 403, "http://portal.example.com": 403} {
			got := w.ask("GET", "/sessions/s1/", "", "Connection", "Upgrade", "Upgrade", "websocket", "Origin", origin)
			if got.status != want {
				t.Errorf("from %q: %d %s", origin, got.status, got.text)
			}
		}
	})
}

func TestNewProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		_, err := proxy.New(nil, proxy.Config{Cookies: []string{"a b"}})
		for _, word := range []string{"manager is nil", "Authorize", `url ""`, `"a b"`} {
			if !errors.Is(err, session.ErrInvalid) || !strings.Contains(err.Error(), word) {
				t.Errorf("New = %v; want it to say %q", err, word)
			}
		}
		for url, path := range map[string]string{
			"https://portal.example.com/sessions/": "/sessions/s1", "http://localhost:8080/a/b": "/a/b/s1",
			"https://x.example.com": "/s1", "https://x.example.com/": "/s1", "https://[::1]:8443/x": "/x/s1",
			"/sessions/": "", "ftp://x/": "", "https:///x": "", "https://u@x/": "", "https://x/?q": "", "https://x/#f": "",
			"https://x/?": "", "https://x/a//b": "", "https://x/a/../b": "", "https://x/a%2fb": "", "https://x/é": "", "https://x/a;b": "", "%": "",
		} {
			c := w.config()
			c.URL = url
			h, err := proxy.New(w.Sessions, c)
			if (err == nil) != (path != "") || path != "" && h.Path("s1") != path {
				t.Errorf("%s: %v", url, err)
			}
		}
	})
}
