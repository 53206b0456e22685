package proxy

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/atelier-go/atelier/session"
)

// A redirect of this site leads below the base, once and for all; every other stays
// as it is.
func FuzzRelocate(f *testing.F) {
	for _, to := range []string{
		"/", "/x", "//evil.example.com", "///evil.example.com", "/\\evil", "https://portal.example.com/x", "https://portal.example.com", "x/../y", "/../../other/x",
		"/sessions/s1", "/sessions/s1/x", "/sessions/s12", "mailto:x", "http:/x", "/a%2Fb?c#d", "%zz", "/%zz", "https://portal.example.com/%2e%2e/", "?", "#",
	} {
		f.Add(to)
	}
	const base, host = "/sessions/s1", "portal.example.com"
	f.Fuzz(func(t *testing.T, to string) {
		got := relocate(to, base, host)
		if again := relocate(got, base, host); again != got {
			t.Errorf("%q becomes %q, and that %q", to, got, again)
		}
		u, err := url.Parse(to)
		if err != nil {
			if got != to {
				t.Errorf("%q is no URL and becomes %q", to, got)
			}
			return
		}
		if here := strings.EqualFold(u.Host, host) || u.Host == "" && u.Scheme == "" && strings.HasPrefix(u.Path, "/"); here && u.Opaque == "" {
			if path, _, _ := strings.Cut(strings.SplitN(got, "?", 2)[0], "#"); !within(path, base) {
				t.Errorf("%q leads to %q, which is not below %s", to, got, base)
			}
		} else if got != to {
			t.Errorf("%q leads elsewhere and becomes %q", to, got)
		}
	})
}

// Whatever a program sets as a cookie, its browser keeps it below the base, and at
// no other domain; and confining it again changes nothing.
func FuzzConfine(f *testing.F) {
	for _, cookie := range []string{
		"a=1", "a=1; Path=/", "a=1; Path=/; Path=/x", "a=1;path = /x ; DOMAIN=.example.com", "a; Path", "; Path=/", "a=1; Path=\"/\"", "a=1; Path=/sessions/s1/x",
		"a=1; Path=/sessions/s12", "a=1; Secure; SameSite=Lax; HttpOnly", "", ";;;", "a=1; \tPath=/y",
	} {
		f.Add(cookie, true)
		f.Add(cookie, false)
	}
	const base = "/sessions/s1"
	f.Fuzz(func(t *testing.T, cookie string, known bool) {
		got := confine(cookie, base, known)
		if again := confine(got, base, known); again != got {
			t.Errorf("%q becomes %q, and that %q", cookie, got, again)
		}
		if name, _, _ := strings.Cut(cookie, ";"); !strings.HasPrefix(got, name) {
			t.Errorf("%q becomes %q", cookie, got)
		}
		c, err := http.ParseSetCookie(got) // a browser is no stricter
		if err != nil {
			return
		}
		if c.Domain != "" || strings.HasPrefix(c.Path, "/") && !within(c.Path, base) {
			t.Errorf("%q becomes %q: domain %q, path %q", cookie, got, c.Domain, c.Path)
		}
	})
}

// Whatever a program sets as a cookie, no browser then sends one that could be taken
// for the portal's.
func FuzzGuard(f *testing.F) {
	for _, line := range []string{
		"a=1", "portal=1", " portal\t= 1; Path=/", "portal", "=portal=1", "= \t=portal=1", "==portal", "portals=1", "a=portal=1", "PORTAL=1", ";portal=1", "", "\"portal\"=1",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		head := http.Header{"Set-Cookie": {"first=1", line, "last=1"}}
		cookies{"portal"}.guard(head)
		kept := head["Set-Cookie"]
		if len(kept) < 2 || kept[0] != "first=1" || kept[len(kept)-1] != "last=1" {
			t.Fatalf("with %q, others are %q", line, kept)
		}
		// RFC 6265bis, sections 5.6 and 5.8.3.
		pair, _, _ := strings.Cut(line, ";")
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			name, value = "", pair
		}
		sent := strings.Trim(value, " \t")
		if name = strings.Trim(name, " \t"); name != "" {
			sent = name + "=" + sent
		}
		r := http.Request{Header: http.Header{"Cookie": {sent}}}
		if forged := len(r.CookiesNamed("portal")) > 0; forged && len(kept) == 3 {
			t.Errorf("%q is kept, and sent as %q", line, sent)
		}
		if !strings.Contains(line, "portal") && len(kept) == 2 {
			t.Errorf("%q is dropped", line)
		}
	})
}

// A request that pages make by themselves has the kind's query behind its own, and no
// other has it.
func TestQuery(t *testing.T) {
	for target, want := range map[string]string{
		"/poll": "seen=no", "/poll?": "seen=no", "/poll?a=1&b=%2F": "a=1&b=%2F&seen=no", "/poll?a;b": "a;b&seen=no", "/poll?1785312000000": "1785312000000&seen=no",
		"/work?a=1": "a=1", "/work": "", "/work?seen=no": "seen=no",
	} {
		v := &visit{Handler: &Handler{}, s: session.Session{ID: "s1"}, base: "/sessions/s1"}
		v.s.Kind.Background = session.Background{Requests: []string{"OPTIONS /poll"}, Query: "seen=no"}
		in := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/sessions/s1"+target, http.NoBody)
		v.rest = strings.TrimPrefix(in.URL.EscapedPath(), v.base)
		if err := v.judge(in); err != nil { // OPTIONS is never reported
			t.Fatal(err)
		}
		p := &httputil.ProxyRequest{In: in, Out: in.Clone(t.Context())}
		v.request(p)
		if got := p.Out.URL.RawQuery; got != want {
			t.Errorf("%s is asked with %q; want %q", target, got, want)
		}
	}
}

// A program gets the path exactly as it was written behind the base, whatever is in
// it, and none of the portal's cookies.
func FuzzRequest(f *testing.F) {
	for _, path := range []string{"", "x", "/x//y", "%2e%2e/x", "../s2/x", "a%2Fb", "a;b", "%25", "é", "?q", "x%zz", "\x00"} {
		f.Add(path, "a=1; portal=secret;b=2", false)
		f.Add(path, "portal=secret", true)
	}
	f.Fuzz(func(t *testing.T, path, cookie string, argument bool) {
		u, err := url.Parse("https://portal.example.com/sessions/s1/" + path)
		if err != nil {
			t.Skip()
		}
		v := &visit{
			Handler: &Handler{path: "/sessions", host: "portal.example.com", scheme: "https", private: cookies{"portal"}},
			s:       session.Session{ID: "s1", Generation: 2}, port: "http", base: "/sessions/s1",
			rest: strings.TrimPrefix(u.EscapedPath(), "/sessions/s1"),
		}
		v.use = &use{visit: v}
		want := v.rest
		if argument {
			v.s.Kind.Base.Argument, want = "--x={path}", u.EscapedPath()
		}
		in := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		in.URL = u
		in.Header["Cookie"] = []string{cookie}
		p := &httputil.ProxyRequest{In: in, Out: in.Clone(t.Context())}
		v.request(p)
		if got := p.Out.URL.EscapedPath(); got != want || p.Out.URL.Host != "s1.2.http" {
			t.Errorf("%q becomes %q at %q; want %q", u, got, p.Out.URL.Host, want)
		}
		for _, c := range p.Out.Cookies() {
			if c.Name == "portal" {
				t.Errorf("of %q the program gets %q", cookie, p.Out.Header["Cookie"])
			}
		}
	})
}
