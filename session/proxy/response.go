package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// response makes of a program's answer the one that the browser gets.
func (v *visit) response(r *http.Response) error {
	head := r.Header
	for _, name := range originWide {
		delete(head, name)
	}
	if _, ok := head["Service-Worker-Allowed"]; ok {
		head.Set("Service-Worker-Allowed", v.base+"/")
	}
	known := v.s.Kind.Base.Argument != ""
	if to := head.Get("Location"); to != "" && !known {
		head.Set("Location", relocate(to, v.base, v.host))
	}
	v.private.guard(head)
	for i, cookie := range head["Set-Cookie"] {
		head["Set-Cookie"][i] = confine(cookie, v.base, known)
	}
	v.log.Debug("request", "session", v.s.ID, "generation", v.s.Generation, "request", v.use.detail, "status", r.StatusCode)
	switch {
	case r.StatusCode == http.StatusSwitchingProtocols:
		conn, ok := r.Body.(io.ReadWriteCloser)
		if !ok {
			return fmt.Errorf("a switch of protocols on a body that is a %T", r.Body)
		}
		v.switched = conn
		r.Body = &socket{ReadWriteCloser: conn, visit: v, raw: !strings.EqualFold(head.Get("Upgrade"), "websocket"), ctx: r.Request.Context()}
	case v.use.counts && !strings.HasPrefix(head.Get("Content-Type"), eventStream):
		r.Body = used{r.Body, v.use}
	}
	return nil
}

// originWide are headers by which one answer binds all of its origin: what it gets to
// know of the browser, where else it is served, that the browser is to forget it, to
// whom its failures are told, to whom its cookies are bound and who is signed in, that
// it has TLS for years, and by what its other answers are unpacked.
var originWide = []string{
	"Accept-Ch", "Alt-Svc", "Clear-Site-Data", "Nel", "Report-To", "Secure-Session-Registration", "Set-Login",
	"Strict-Transport-Security", "Use-As-Dictionary",
}

// relocate is where a redirect of a program leads that is served below base and
// does not know it. One that has base in it already knows. What leads elsewhere, or
// to what is beside it, stays as it is.
func relocate(to, base, host string) string {
	u, err := url.Parse(to)
	if err != nil || u.Opaque != "" || u.Host == "" && (u.Scheme != "" || !strings.HasPrefix(u.Path, "/")) || u.Host != "" && !strings.EqualFold(u.Host, host) {
		return to
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if !within(path, base) {
		path = base + path
	}
	u.Scheme, u.Host, u.User = "", "", nil
	u.RawPath = path
	if u.Path, err = url.PathUnescape(path); err != nil {
		return to
	}
	return u.String()
}

// confine keeps a cookie that a program sets below base, whatever domain or path it
// names. All else of it stays. A program that does not know its base means what is
// below that.
func confine(cookie, base string, known bool) string {
	parts := strings.Split(cookie, ";")
	kept, path := []string{parts[0]}, ""
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "domain":
		case "path":
			path = strings.TrimSpace(value) // the last one counts
		default:
			kept = append(kept, part)
		}
	}
	switch {
	case !strings.HasPrefix(path, "/"): // it is where the browser asked, which is below base
		return strings.Join(kept, ";")
	case within(path, base):
	case known:
		path = base + "/"
	default:
		path = base + path
	}
	return strings.Join(kept, ";") + "; Path=" + path
}

// within reports whether a path is base or below it.
func within(path, base string) bool { return path == base || strings.HasPrefix(path, base+"/") }
