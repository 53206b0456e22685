package session

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// A Background is what a program's pages in a browser send by themselves, also
// while nobody looks at them. A proxy does not take it for use. What it leaves
// out counts: a session that is kept too long costs money, one that ends in use
// costs work. The zero value is pages that send nothing by themselves.
type Background struct {
	// Requests are a method, a space and a path each, "GET /api/kernels": the
	// path as the program has it, without that of [Base]. It is a pattern of
	// [path.Match]; one that ends with a slash stands for everything below. Of
	// a request that becomes a websocket no message counts.
	Requests []string `json:",omitempty"`
	// Query is what a proxy adds to the query of these requests, such as
	// "no_track_activity=1", for a program that would take them for use itself.
	Query string `json:",omitempty"`
	// KeepAlive is the length in bytes of the longest message by which a page
	// only keeps a websocket. A proxy then sees to it that messages are not
	// compressed, as it could not tell their lengths. Zero is none: every
	// message with something in it counts.
	KeepAlive int `json:",omitempty"`
}

// Matches reports whether a request is one of b's. The path is the program's own.
func (b Background) Matches(method, name string) bool {
	return slices.ContainsFunc(b.Requests, func(r string) bool {
		m, pattern, _ := strings.Cut(r, " ")
		if m != method {
			return false
		}
		if strings.HasSuffix(pattern, "/") {
			return strings.HasPrefix(name, pattern)
		}
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

func (b Background) problems() []error {
	var found []error
	for _, r := range b.Requests {
		method, pattern, _ := strings.Cut(r, " ")
		_, err := path.Match(pattern, "")
		if method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || !strings.HasPrefix(pattern, "/") || !plain(pattern) || strings.Contains(pattern, "?") || err != nil {
			found = append(found, fmt.Errorf("background request %.60q: want a method, a space and a pattern of paths, such as \"GET /api/kernels\"", r))
		}
	}
	if _, err := url.ParseQuery(b.Query); err != nil || !plain(b.Query) {
		found = append(found, fmt.Errorf("background query %.60q: want what follows the question mark of a URL, such as \"no_track_activity=1\"", b.Query))
	}
	if b.KeepAlive < 0 {
		found = append(found, errors.New("background: the length of a message that keeps a websocket must not be negative"))
	}
	return found
}

// At is k for a session that a proxy serves below a path, such as
// "/sessions/analysis", with what its command needs to be told of that. A program
// that is told by a header, or need not know, is as it was, without arguments; of
// one that expects the path on every request, those of Ready and Activity then
// begin with it.
func (k Kind) At(path string) (at Kind, args []string) {
	at = k.clone()
	if at.Base.Argument == "" {
		return at, nil
	}
	for _, asked := range []*string{&at.Ready.Path, &at.Activity.Path} {
		if *asked != "" {
			*asked = path + *asked
		}
	}
	return at, []string{strings.ReplaceAll(at.Base.Argument, "{path}", path)}
}
