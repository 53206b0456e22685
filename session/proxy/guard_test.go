package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
)

// sly is a program that answers word for word: at /hints with interim answers ahead,
// at /switch with the protocol of the query, whatever was asked for.
type sly struct{ switched atomic.Int64 } // connections that are open

func (s *sly) program(ctx context.Context, p *fakelauncher.Proc) int {
	return accept(ctx, p, func(conn net.Conn) { go s.answer(conn) })
}

// answer answers the request of a connection.
func (s *sly) answer(conn net.Conn) {
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	if r.URL.Path == "/switch" {
		s.switched.Add(1)
		defer s.switched.Add(-1)
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n"+r.URL.Query().Get("head")+"\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn) // until it is closed
		return
	}
	if r.URL.Path == "/hints" {
		for _, status := range []string{"100 Continue", "102 Processing", "103 Early Hints", "103 Early Hints", "199 X"} {
			_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\nSet-Cookie: a=1; Path=/\r\nClear-Site-Data: \"*\"\r\n\r\n")
		}
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

func newSly(t *testing.T) (*world, *sly) {
	t.Helper()
	s, cfg := &sly{}, fake.Config{Images: images()}
	cfg.Images["sly"] = s.program
	w := newWorld(t, cfg)
	w.start("s1", "sly", mirrorKind())
	return w, s
}

// Interim answers, whose headers a browser takes as well, are not passed on, and take
// nothing away of what the portal has set.
func TestInterim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newSly(t)
		w.listen(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Security-Policy", "default-src 'self'")
			w.ServeHTTP(rw, r)
		}))
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, head textproto.MIMEHeader) error {
			t.Errorf("a browser gets %d with %v", code, head)
			return nil
		}})
		for _, method := range []string{"GET", "PUT"} {
			res, err := w.open(ctx, method, "/sessions/s1/hints", strings.NewReader("x"))
			check(t, err)
			text, err := io.ReadAll(res.Body)
			check(t, err)
			res.Body.Close()
			delete(res.Header, "Date")
			want := http.Header{"Content-Security-Policy": {"default-src 'self'"}, "Content-Type": {"text/plain"}, "Content-Length": {"2"}}
			if diff := cmp.Diff(want, res.Header); diff != "" || res.StatusCode != 200 || string(text) != "ok" {
				t.Errorf("%s: %d %q (-want +got):\n%s", method, res.StatusCode, text, diff)
			}
		}
	})
}

// A program that switches protocols when nobody asked, or to another, and one whose
// client's connection cannot be had, is hung up on.
func TestSwitchesUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newSly(t)
		const path, echo = "/sessions/s1/switch?head=", "Connection:+Upgrade%0D%0AUpgrade:+echo"
		for name, got := range map[string]reply{
			"unasked":    w.ask("GET", path+echo, ""),
			"other":      w.ask("GET", path+echo, "", "Connection", "Upgrade", "Upgrade", "websocket"),
			"no words":   w.ask("GET", path+"X:+y", "", "Connection", "Upgrade", "Upgrade", "echo"),
			"no upgrade": w.ask("GET", path+"Upgrade:+echo", "", "Connection", "Upgrade", "Upgrade", "echo"),
			"look-alike": w.ask("GET", path+"Connection:+Upgrade%0D%0AUpgrade:+%E2%84%AA", "", "Connection", "Upgrade", "Upgrade", "k"),
		} {
			if got.status != 502 {
				t.Errorf("%s: %d %s", name, got.status, got.text)
			}
		}
		rec := httptest.NewRecorder() // which has no connection
		r := httptest.NewRequestWithContext(t.Context(), "GET", portal+path+echo, http.NoBody)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "echo")
		w.ServeHTTP(rec, r)
		if rec.Code != 502 {
			t.Errorf("without a connection: %d %s", rec.Code, rec.Body)
		}
		synctest.Wait()
		if n := s.switched.Load(); n != 0 {
			t.Errorf("%d connections to the program are left open", n)
		}
	})
}

// A page of another origin may look, as it may everywhere, and do nothing; the
// portal's own may, also where a load balancer asks by another name.
func TestCrossOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		w.start("s1", "mirror", mirrorKind())
		ask := func(method, host string, head ...string) int {
			r := httptest.NewRequestWithContext(t.Context(), method, "/sessions/s1/x", http.NoBody)
			r.Host = host
			for i := 0; i < len(head); i += 2 {
				r.Header.Set(head[i], head[i+1])
			}
			rec := httptest.NewRecorder()
			w.ServeHTTP(rec, r)
			return rec.Code
		}
		const evil, site = "https://evil.example.com", "Sec-Fetch-Site"
		for _, c := range []struct {
			head []string
			want int
		}{
			{nil, 200}, // no browser
			{[]string{"Origin", portal}, 200},
			{[]string{"Origin", portal, site, "same-origin"}, 200},
			{[]string{"Origin", "null", site, "same-origin"}, 200}, // a form of a page that says nothing of itself
			{[]string{site, "none"}, 200},
			{[]string{"Origin", evil}, 403},
			{[]string{"Origin", "null"}, 403},
			{[]string{"Origin", evil, site, "cross-site"}, 403},
			{[]string{"Origin", "https://other.example.com", site, "same-site"}, 403},
			{[]string{site, "cross-site"}, 403},
		} {
			for _, host := range []string{"portal.example.com", "10.0.0.7:8080"} {
				for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
					if got := ask(method, host, c.head...); got != c.want {
						t.Errorf("%s at %s with %q: %d; want %d", method, host, c.head, got, c.want)
					}
				}
				for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
					if got := ask(method, host, c.head...); got != 200 {
						t.Errorf("%s at %s with %q: %d", method, host, c.head, got)
					}
				}
			}
		}
		if got := ask("POST", "portal.example.com", "Origin", evil, "X-User", "bob"); got != 404 {
			t.Errorf("bob learns that there is a session: %d", got)
		}
	})
}
