package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/session"
)

// bases are the three ways in which programs learn their path.
func bases() map[session.ID]session.Kind {
	none, header, argument := mirrorKind(), mirrorKind(), mirrorKind()
	header.Base.Header = "X-Base"
	argument.Base.Argument = "--base={path}"
	return map[session.ID]session.Kind{"none": none, "header": header, "argument": argument}
}

// What a program gets of a request: its path, by the way of its kind, and nothing
// that a client made up or that is the portal's.
func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		for id, kind := range bases() {
			w.start(id, "mirror", kind)
			got := w.mirrored("/sessions/"+string(id)+"/a%2Fb/c%20d/e;f?x=1;y=%2f",
				"X-Base", "/evil", "x-base", "/evil2", "Connection", "X-Base, X-Hop", "X-Hop", "1", "Keep-Alive", "1", "Proxy-Authorization", "p",
				"Authorization", "Bearer portal", "X-Amzn-Oidc-Data", "jwt", "X-Amzn-Oidc-Accesstoken", "jwt",
				"Forwarded", "for=evil", "X-Forwarded-For", "6.6.6.6", "X-Forwarded-Host", "evil", "X-Forwarded-Proto", "gopher",
				"X-Forwarded-Prefix", "/evil", "X-Forwarded-Access-Token", "t", "X-Real-Ip", "6.6.6.6", "X-Kept", "yes",
				"Cookie", "__Host-portal=secret; a=1;__Host-portal=again;b=\"x; c", "Cookie", "AWSELBAuthSessionCookie-0=s; d=4", "User-Agent", "test",
			)
			path, base := "/a%2Fb/c%20d/e;f", []string(nil)
			switch id {
			case "argument":
				path = "/sessions/argument" + path
			case "header":
				base = []string{"/sessions/header"}
			}
			if got.URI != path+"?x=1;y=%2f" || got.Host != "portal.example.com" {
				t.Errorf("%s: %s at %s", id, got.URI, got.Host)
			}
			want := http.Header{
				"X-Forwarded-For": {"pipe"}, "X-Forwarded-Host": {"portal.example.com"}, "X-Forwarded-Proto": {"https"},
				"X-Kept": {"yes"}, "Cookie": {`a=1; b="x; c; d=4`}, "User-Agent": {"test"},
			}
			if base != nil {
				want["X-Base"] = base
			}
			if got.Header["X-Forwarded-For"] == nil { // the connection has no address that could be told
				delete(want, "X-Forwarded-For")
			}
			if diff := cmp.Diff(want, got.Header); diff != "" {
				t.Errorf("%s (-want +got):\n%s", id, diff)
			}
			if got := w.mirrored("/sessions/"+string(id)+"/", "X-Base", "/evil", "x-base", "/evil2"); base != nil && !slices.Equal(got.Header["X-Base"], base) {
				t.Errorf("%s: below %q", id, got.Header["X-Base"])
			}
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://evil.example.com/sessions/none/", http.NoBody)
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, r)
		if !strings.Contains(rec.Body.String(), `"Host":"portal.example.com"`) || strings.Contains(rec.Body.String(), "evil") {
			t.Errorf("asked at another host, it gets %s", rec.Body)
		}
		if strings.Contains(w.log.String(), "portal=") || strings.Contains(w.log.String(), "x=1") {
			t.Errorf("the log tells cookies or queries: %s", w.log)
		}
	})
}

// Two requests in one, as some servers and proxies read them differently, are one
// or none.
func TestSmuggling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		w.start("s1", "mirror", mirrorKind())
		const second = "GET /sessions/s1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
		for _, head := range []string{
			fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", len(second)+5),
			"Content-Length: 4\r\nContent-Length: 60\r\n",
			"Transfer-Encoding: chunked, identity\r\n",
			"Transfer-Encoding : chunked\r\n",
			"X: a\r\n\tX-Base: evil\r\nContent-Length: 0\r\n",
		} {
			conn, err := w.web.dial(t.Context(), "", "")
			check(t, err)
			go func() {
				_, _ = io.WriteString(conn, "POST /sessions/s1/ HTTP/1.1\r\nHost: portal.example.com\r\nConnection: close\r\n"+head+"\r\n0\r\n\r\n"+second)
			}()
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			check(t, err)
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			conn.Close()
			if strings.Contains(string(text), "smuggled") || res.StatusCode == http.StatusBadGateway {
				t.Errorf("%q: %d %s", head, res.StatusCode, text)
			}
		}
		if strings.Contains(w.log.String(), "smuggled") {
			t.Errorf("the log is %s", w.log)
		}
	})
}

// Where redirects lead, and what is left of headers that bind more than a session.
func TestResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fake.Config{})
		for id, kind := range bases() {
			w.start(id, "mirror", kind)
			base := "/sessions/" + string(id)
			for to, want := range map[string]string{
				"/x?y=/z#f":                               base + "/x?y=/z#f",
				"/a%2Fb":                                  base + "/a%2Fb",
				"https://portal.example.com/x":            base + "/x",
				"http://portal.example.com":               base + "/",
				"//portal.example.com/x":                  base + "/x",
				"//u:p@PORTAL.example.com/x":              base + "/x",
				base + "/x":                               base + "/x",
				"https://portal.example.com" + base + "/": base + "/",
				base + "x":                                base + base + "x",
				"x/y":                                     "x/y",
				"../x":                                    "../x",
				"?x":                                      "?x",
				"https://elsewhere.example.com/x":         "https://elsewhere.example.com/x",
				"mailto:alice@example.com":                "mailto:alice@example.com",
				"https:/x":                                "https:/x",
			} {
				if id == "argument" {
					want = to
				}
				got := w.ask("GET", base+"/to?x="+url.QueryEscape(to), "").head.Get("Location")
				if got != want {
					t.Errorf("%s: %q leads to %q; want %q", id, to, got, want)
				}
			}
			for cookie, want := range map[string]string{
				"a=1":                          "a=1",
				"a=1; Path=/":                  "a=1; Path=" + base + "/",
				"a=1; path=/x; Secure":         "a=1; Secure; Path=" + base + "/x",
				"a=1; Path=" + base:            "a=1; Path=" + base,
				"a=1; Path=" + base + "/x":     "a=1; Path=" + base + "/x",
				"a=1; Path=" + base + "x":      "a=1; Path=" + base + base + "x",
				"a=1; Path=relative; HttpOnly": "a=1; HttpOnly",
				"a=1; Domain=example.com; Path=/; SameSite=None; Secure; Partitioned": "a=1; SameSite=None; Secure; Partitioned; Path=" + base + "/",
				"a=1; Path=/x; Path=/y": "a=1; Path=" + base + "/y",
				"a=\"p; Max-Age=0":      "a=\"p; Max-Age=0",
				"__Host-portals=1":      "__Host-portals=1",
				"__Host-portal=1":       "",
				" __Host-portal\t=1; Secure; Path=" + base + "/x": "",
				"__Host-portal":                        "",
				"__Host-portal; HttpOnly":              "",
				"=__Host-portal=1":                     "", // a browser sends it without its first =
				"= =__Host-portal=1":                   "",
				"AWSELBAuthSessionCookie-1=1; Path=/x": "",
			} {
				// One that knows its base and names another path means nothing by it.
				if rest, path, ok := strings.Cut(want, "; Path="); id == "argument" && ok && !strings.Contains(cookie, "="+path) {
					want = rest + "; Path=" + base + "/"
				}
				got := w.ask("GET", base+"/head?x="+url.QueryEscape("Set-Cookie: "+cookie), "").head["Set-Cookie"]
				if (want != "" || got != nil) && !slices.Equal(got, []string{want}) {
					t.Errorf("%s: %q becomes %q; want %q", id, cookie, got, want)
				}
			}
			query := "?"
			for _, line := range []string{
				"Service-Worker-Allowed: /", "Clear-Site-Data: \"*\"", "Alt-Svc: h2=\"evil:443\"", "NEL: {}", "Report-To: {}",
				"Accept-CH: Sec-CH-UA-Model", "Set-Login: logged-out", "Secure-Session-Registration: (ES256); path=\"/x\"", "Use-As-Dictionary: match=\"/*\"",
				"Strict-Transport-Security: max-age=1", "X-Kept: yes", "Content-Security-Policy: default-src 'self'", "Set-Cookie: a=1", "Set-Cookie: __Host-portal=1", "Set-Cookie: b=2",
			} {
				query += "&x=" + url.QueryEscape(line)
			}
			got := w.ask("GET", base+"/head"+query, "").head
			delete(got, "Date")
			if diff := cmp.Diff(http.Header{
				"Service-Worker-Allowed": {base + "/"}, "X-Kept": {"yes"}, "Content-Security-Policy": {"default-src 'self'"},
				"Set-Cookie": {"a=1", "b=2"}, "Content-Length": {"0"},
			}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", id, diff)
			}
		}
	})
}
