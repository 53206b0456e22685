package dockerlauncher_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/system"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

// TestQuotaIsAskedFor: whatever else goes wrong with a container, the next is
// still bounded by the engine; only one that cannot is not asked any more.
func TestQuotaIsAskedFor(t *testing.T) {
	var mu sync.Mutex
	var asked []string // the sizes, as they came
	const unable = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
	refusals := []struct {
		status  int
		message string
	}{
		{500, "driver failed: no space left on device"},
		{409, "the name " + unable + " is in use"},
		{404, "no such image: " + unable},
		{400, unable + " is no name"},
		{500, "an image called storage-opt: driver failed"},
		{500, unable},
		{500, "driver failed"}, {500, "driver failed"},
	}
	l := openOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/info"):
			_ = json.NewEncoder(w).Encode(system.Info{
				NCPU: 4, MemTotal: 8 << 30, Driver: "overlay2", DriverStatus: [][2]string{{"Backing Filesystem", "xfs"}},
			})
		case strings.HasSuffix(r.URL.Path, "/containers/create"):
			var in struct {
				Image      string
				HostConfig struct{ StorageOpt map[string]string }
			}
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Image != "sha256:1" {
				t.Errorf("%v: made of image %q, want the one that was looked at", err, in.Image)
			}
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, in.HostConfig.StorageOpt["size"])
			w.WriteHeader(refusals[len(asked)-1].status)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": refusals[len(asked)-1].message})
		case lookPath.MatchString(r.URL.Path) || strings.HasSuffix(r.URL.Path, "/images/create"):
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = w.Write([]byte(`{"Id":"sha256:1","Options":{"com.docker.network.bridge.enable_icc":"false"}}`)) // the network, the image
		}
	}), dockerlauncher.Config{DiskMiB: 100})
	for range len(refusals) - 2 { // two are met within one Launch
		s, err := l.Launch(t.Context(), launcher.Workload{ID: "a", Owner: "alice", Image: "image:1", InstanceType: "m5.large"})
		if err == nil {
			t.Fatal(s)
		}
	}
	if got := strings.Join(asked, " "); got != "100m 100m 100m 100m 100m 100m  " {
		t.Errorf("the engine was asked for quotas of %q", asked)
	}
}

// A pipeListener accepts what is dialled within one process.
type pipeListener struct {
	conns chan net.Conn
	done  <-chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

func (l pipeListener) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// openInBubble is [openOn] within a bubble of synctest. What it returns ends all.
func openInBubble(t *testing.T, engine http.Handler) (*dockerlauncher.Launcher, func()) {
	ctx, cancel := context.WithCancel(t.Context())
	listener := pipeListener{make(chan net.Conn), ctx.Done()}
	server := &http.Server{Handler: engine, BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	l, err := dockerlauncher.New(dockerlauncher.Config{DialEngine: listener.dial})
	if err != nil {
		t.Fatal(err)
	}
	return l, func() {
		cancel()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		_ = server.Close()
		<-served
	}
}

// TestHungEngine: an engine that accepts everything and answers nothing but pings
// any more is as one that is gone, whatever it was asked.
func TestHungEngine(t *testing.T) {
	for name, c := range map[string]struct {
		path  string
		from  int64         // which request for the path is the first without an answer
		after time.Duration // the watch ends, or knows nothing any more
	}{
		"Events":     {"/events", 1, 30 * time.Second},
		"FirstStock": {"/containers/json", 1, 30 * time.Second},
		"Look":       {"/containers/w-0000/json", 1, time.Second + 30*time.Second},
		"NextStock":  {"/containers/json", 2, 10*time.Second + 30*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(1)
				var asked atomic.Int64
				l, end := openInBubble(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, c.path) {
						if asked.Add(1) >= c.from {
							<-r.Context().Done()
							return
						}
					}
					s.ServeHTTP(w, r)
				}))
				defer end()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				go func() {
					time.Sleep(time.Second)
					select {
					case s.events <- events.Message{Action: events.ActionStart, Actor: events.Actor{Attributes: map[string]string{"atelier.id": "w-0000"}}}:
					case <-ctx.Done():
					}
				}()
				begun := time.Now()
				for st, err := range l.Watch(ctx, launcher.Filter{}) {
					if err != nil && (!errors.Is(err, launcher.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)) {
						t.Errorf("the watch ends with %v", err)
					}
					if st.Unknown {
						break
					}
				}
				if took := time.Since(begun); took != c.after {
					t.Errorf("it is found out after %v, want %v", took, c.after)
				}
			})
		})
	}
}

// TestHungGuard: an engine that cannot say what containers have written is asked
// again.
func TestHungGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(1)
		var asked atomic.Int64
		l, end := openInBubble(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("size") == "" {
				s.ServeHTTP(w, r)
				return
			}
			asked.Add(1)
			<-r.Context().Done()
		}))
		defer end()
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		for _, err := range l.Watch(ctx, launcher.Filter{}) {
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		if n := asked.Load(); n != 3 {
			t.Errorf("in 15 minutes it was asked %d times", n)
		}
	})
}

// TestMissedEvent: an engine is asked for what happened just before it was
// asked, and an exit of which it never told is told when stock is taken again.
func TestMissedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(1)
		begun := time.Now()
		var since string
		l, end := openInBubble(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/events") {
				since = r.URL.Query().Get("since")
			}
			s.ServeHTTP(w, r)
		}))
		defer end()
		var told []launcher.Phase
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for st, err := range l.Watch(ctx, launcher.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if st.Synced() {
				s.set(0, container.State{Status: container.StateExited, StartedAt: "2026-01-02T03:04:06Z", FinishedAt: time.Now().Format(time.RFC3339Nano)})
				continue
			}
			told = append(told, st.Phase)
			if st.Phase == launcher.Exited {
				break
			}
		}
		if took := time.Since(begun); took != 10*time.Second || len(told) != 2 {
			t.Errorf("after %v the watch told %v", took, told)
		}
		if want := fmt.Sprintf("%d.000000000", begun.Add(-2*time.Second).Unix()); since != want {
			t.Errorf("the events are those since %q, want %q", since, want)
		}
	})
}

// TestStockIsOld: what was launched while stock was taken is not taken for gone.
func TestStockIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(1)
		var l *dockerlauncher.Launcher
		lists := 0
		var launched error
		l, end := openInBubble(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/containers/json") {
				s.ServeHTTP(w, r)
				return
			}
			old := httptest.NewRecorder()
			s.ServeHTTP(old, r)
			if lists++; lists == 2 { // the answer is on its way
				_, launched = l.Launch(r.Context(), launcher.Workload{ID: "late", Owner: "bob", Image: "image:1"})
			}
			_, _ = w.Write(old.Body.Bytes())
		}))
		defer end()
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		var told []string
		for st, err := range l.Watch(ctx, launcher.Filter{IDs: []launcher.ID{"late"}}) {
			if err == nil && !st.Synced() {
				told = append(told, string(st.Phase))
			}
		}
		if got := strings.Join(told, " "); launched != nil || got != "starting running" {
			t.Errorf("launched with %v, and told: %s", launched, got)
		}
	})
}
