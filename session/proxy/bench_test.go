package proxy_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/session/proxy"
)

// nobody reads answers.
type nobody struct{ head http.Header }

func (n nobody) Header() http.Header         { return n.head }
func (n nobody) Write(p []byte) (int, error) { return len(p), nil }
func (n nobody) WriteHeader(int)             {}

// BenchmarkGet is a small GET, of a session directly and through the proxy: one hop
// each, over a connection in memory that is used again.
func BenchmarkGet(b *testing.B) {
	w := newWorld(b, fake.Config{})
	w.start("s1", "ide", session.Kind{})
	b.Run("Direct", func(b *testing.B) {
		b.ReportAllocs()
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return w.Sessions.Dial(ctx, "s1", "http")
		}}
		defer transport.CloseIdleConnections()
		for b.Loop() {
			r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://session/", http.NoBody)
			check(b, err)
			res, err := transport.RoundTrip(r)
			check(b, err)
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	})
	quiet := w.config()
	quiet.Logger = slog.New(slog.DiscardHandler)
	h, err := proxy.New(w.Sessions, quiet)
	check(b, err)
	b.Run("Proxied", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, mount+"s1/", http.NoBody)
			h.ServeHTTP(nobody{http.Header{}}, r)
		}
	})
	b.Run("Report", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check(b, w.Sessions.Report(b.Context(), "s1", session.Evidence{Source: session.Traffic, Used: time.Now(), Detail: "GET /"}))
		}
	})
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := w.Sessions.Get(b.Context(), "s1")
			check(b, err)
		}
	})
}
