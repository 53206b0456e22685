package dockerlauncher_test

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// newRegistry serves an empty image registry on loopback, where engines expect
// no TLS, and returns its name.
func newRegistry(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(discard)))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// discard is where a registry's log goes.
var discard = log.New(io.Discard, "", 0)
