package session

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBackground(t *testing.T) {
	b := Background{Requests: []string{"GET /api/kernels", "GET /api/kernels/*", "POST /files/", "GET /a?c"}}
	for request, want := range map[string]bool{
		"GET /api/kernels": true, "POST /api/kernels": false, "GET /api/kernels/": true, "GET /api/kernels/1": true,
		"GET /api/kernels/1/channels": false, "GET /api": false, "POST /files/": true, "POST /files/a/b": true, "POST /files": false, "GET /files/a": false,
		" /api/kernels": false,
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := b.Matches(method, path); got != want {
			t.Errorf("%s: %v", request, got)
		}
	}
	if (Background{}).Matches("GET", "/") {
		t.Error("nothing matches something")
	}
	if found := b.problems(); len(found) != 1 || !strings.Contains(found[0].Error(), "/a?c") {
		t.Errorf("the problems are %v", found)
	}
	for _, request := range []string{"", "GET", "/x", "GET x", "get /x", "GET  /x", "GET /x y", "GET /[", "GET /é", "GET /x?y"} {
		k := RStudio()
		k.Background.Requests = []string{request}
		if k.problems() == nil {
			t.Errorf("%q is taken", request)
		}
	}
	if (Background{KeepAlive: -1}).problems() == nil {
		t.Error("a negative length is taken")
	}
}

// A kind below a path is asked there if its program expects that, and otherwise
// where it was.
func TestKindAt(t *testing.T) {
	jupyter := JupyterLab()
	jupyter.Activity.Path += "?token=t"
	at, args := jupyter.At("/sessions/s1")
	if diff := cmp.Diff([]string{"--ServerApp.base_url=/sessions/s1"}, args); diff != "" || at.problems() != nil {
		t.Errorf("%v %s", at.problems(), diff)
	}
	if at.Ready.Path != "/sessions/s1/api" || at.Activity.Path != "/sessions/s1/api/status?token=t" || jupyter.Ready.Path != "/api" {
		t.Errorf("it is asked at %s and %s", at.Ready.Path, at.Activity.Path)
	}
	for _, k := range []Kind{{}, RStudio(), VSCode(), Job()} {
		if at, args := k.At("/x"); args != nil || !cmp.Equal(at, k.clone()) {
			t.Errorf("%s becomes %+v, %q", k.Name, at, args)
		}
	}
}
