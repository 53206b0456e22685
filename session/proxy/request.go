package proxy

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
)

// isUpgrade reports whether a request asks for a websocket or another protocol.
func isUpgrade(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }

// request makes of a browser's request the one that the program gets.
func (v *visit) request(p *httputil.ProxyRequest) {
	out, kind := p.Out, v.s.Kind
	path := v.rest
	if kind.Base.Argument != "" {
		path = v.base + path
	}
	out.URL = &url.URL{Scheme: "http", Host: v.address(), RawPath: path, RawQuery: p.In.URL.RawQuery}
	out.URL.Path, _ = url.PathUnescape(path) // it comes from EscapedPath
	if v.query != "" {
		out.URL.RawQuery = strings.Trim(out.URL.RawQuery+"&"+v.query, "&")
	}
	out.Host = v.host
	for name := range out.Header {
		if foreign(name) {
			delete(out.Header, name)
		}
	}
	p.SetXForwarded() // who connected, alone
	out.Header.Set("X-Forwarded-Host", v.host)
	out.Header.Set("X-Forwarded-Proto", v.scheme)
	if kind.Base.Header != "" {
		out.Header.Set(kind.Base.Header, v.base) // in the place of what was there
	}
	if isUpgrade(p.In) && kind.Background.KeepAlive > 0 {
		out.Header.Del("Sec-Websocket-Extensions") // compressed, messages do not tell their length
	}
	v.private.strip(out.Header)
	if out.Body != nil && v.use.counts {
		out.Body = used{out.Body, v.use}
	}
}

// foreign reports whether a header, by its canonical name, is none of a session's
// business, or what only a proxy may say.
func foreign(name string) bool {
	switch name {
	case "Authorization", "Forwarded", "X-Real-Ip":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Amzn-Oidc-")
}

// cookies are names of the portal's own.
type cookies []string

// strip takes the portal's cookies out of what a request has.
func (private cookies) strip(head http.Header) {
	lines := head["Cookie"]
	if len(lines) == 0 {
		return
	}
	var kept []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimSpace(pair)
			name, _, _ := strings.Cut(pair, "=")
			if pair != "" && !private.have(strings.TrimSpace(name)) {
				kept = append(kept, pair)
			}
		}
	}
	delete(head, "Cookie")
	if kept != nil {
		head.Set("Cookie", strings.Join(kept, "; "))
	}
}

// guard takes out of an answer what would set one of the portal's cookies: below the
// session's path a browser would send it, and before the portal's.
func (private cookies) guard(head http.Header) {
	if head["Set-Cookie"] == nil {
		return
	}
	kept := slices.DeleteFunc(head["Set-Cookie"], func(line string) bool {
		pair, _, _ := strings.Cut(line, ";")
		// A cookie without a name is sent as its value alone, which may look like another's.
		name, _, _ := strings.Cut(strings.TrimLeft(pair, "= \t"), "=")
		return private.have(strings.TrimSpace(name))
	})
	if len(kept) == 0 {
		delete(head, "Set-Cookie")
		return
	}
	head["Set-Cookie"] = kept
}

// have reports whether a cookie is the portal's, or that by which a load balancer
// of AWS knows who signed in
// (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html).
func (private cookies) have(name string) bool {
	return slices.Contains(private, name) || strings.HasPrefix(name, "AWSELBAuthSessionCookie")
}
