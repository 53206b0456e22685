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

// TestForgottenWhileStockIsTaken: an exit that this process tells while a list
// without it is on its way stays what it was.
func TestForgottenWhileStockIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(1)
		var lists atomic.Int64
		asked, ended, gone := make(chan struct{}), make(chan struct{}), make(chan struct{})
		l, end := openInBubble(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/containers/json"):
				if lists.Add(1) == 2 {
					close(asked)
					<-gone
				}
				s.ServeHTTP(w, r)
			case strings.HasSuffix(r.URL.Path, "/stop"):
				s.set(0, container.State{Status: container.StateExited, ExitCode: 7, StartedAt: "2026-01-02T03:04:06Z", FinishedAt: time.Now().Format(time.RFC3339Nano)})
				close(ended)
				w.WriteHeader(http.StatusNoContent)
			case strings.HasSuffix(r.URL.Path, "/wait"):
				<-ended
				_ = json.NewEncoder(w).Encode(map[string]int{"StatusCode": 7})
			case r.Method == http.MethodDelete:
				s.clear()
				close(gone)
				w.WriteHeader(http.StatusNoContent)
			default:
				s.ServeHTTP(w, r)
			}
		}))
		defer end()
		go func() {
			<-asked
			if err := l.Stop(t.Context(), "w-0000", launcher.StopOptions{Forget: true}); err != nil {
				t.Error(err)
			}
		}()
		// A reader may be too slow to see it stopping.
		if got := tell(t, l, 25*time.Second, "w-0000"); strings.ReplaceAll(got, " stopping", "") != "running exited(7)" {
			t.Errorf("told: %s", got)
		}
	})
}

// TestExitIsQueued: an exit of which the engine has told, and whose container is
// gone by the time stock is taken, is that exit.
func TestExitIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(1)
		var lists atomic.Int64
		l, end := openInBubble(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/containers/json") && lists.Add(1) == 2 {
				s.clear()
				at := events.Actor{Attributes: map[string]string{"atelier.id": "w-0000", "exitCode": "7"}}
				s.events <- events.Message{Action: events.ActionDie, Actor: at, TimeNano: time.Now().UnixNano()}
				s.events <- events.Message{Action: events.ActionDestroy, Actor: at, TimeNano: time.Now().UnixNano()}
			}
			s.ServeHTTP(w, r)
		}))
		defer end()
		if got := tell(t, l, 25*time.Second, "w-0000"); got != "running exited(7)" {
			t.Errorf("told: %s", got)
		}
	})
}

// TestEndedBeforeItBegan: an engine that is late notes a start after the end.
func TestEndedBeforeItBegan(t *testing.T) {
	s := newScripted(1)
	l := s.open(t)
	ended := time.Now()
	s.set(0, container.State{
		Status: container.StateExited, StartedAt: ended.Add(time.Millisecond).Format(time.RFC3339Nano), FinishedAt: ended.Format(time.RFC3339Nano),
	})
	if st, err := launcher.Get(t.Context(), l, "w-0000"); err != nil || st.StartedAt.IsZero() || st.ExitedAt.Before(st.StartedAt) {
		t.Errorf("it ran from %v to %v (%v)", st.StartedAt, st.ExitedAt, err)
	}
}

// TestGoneWithoutAWord: what is missing twice is gone, and its host's loss told.
func TestGoneWithoutAWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(1)
		l, end := openInBubble(t, s)
		defer end()
		time.AfterFunc(time.Second, s.clear)
		if got := tell(t, l, 25*time.Second, "w-0000"); got != "running exited(0) host lost" {
			t.Errorf("told: %s", got)
		}
	})
}

// TestSlowStart: an engine does not answer for a container that it is starting,
// which keeps nobody from hearing of others.
func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(1)
		l, end := openInBubble(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "1/json") {
				<-r.Context().Done()
				return
			}
			s.ServeHTTP(w, r)
		}))
		defer end()
		time.AfterFunc(time.Second, func() {
			s.add("slow", &container.Config{Labels: map[string]string{"atelier.id": "slow"}})
		})
		if got := tell(t, l, 5*time.Minute, "w-0000"); got != "running" {
			t.Errorf("told: %s", got)
		}
	})
}

// TestFailedWhileStockIsTaken: a launch that fails while stock is taken is not
// told of again.
func TestFailedWhileStockIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(1)
		var lists atomic.Int64
		var other atomic.Value // an id, once it is there
		taking, refused := make(chan struct{}), make(chan struct{})
		l, end := openInBubble(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := other.Load().(string)
			switch {
			case strings.HasSuffix(r.URL.Path, "/start"):
				<-taking
				w.WriteHeader(http.StatusInternalServerError)
				return
			case strings.HasSuffix(r.URL.Path, "/containers/json") && lists.Add(1) == 2: // stock is taken, of one more
				id := s.add("other", &container.Config{Labels: map[string]string{"atelier.id": "other"}})
				s.set(2, container.State{Status: container.StateRunning, Running: true})
				other.Store(id)
			case id != "" && strings.HasSuffix(r.URL.Path, "/"+id+"/json"): // the launches were looked at before
				close(taking)
				<-refused
			case r.Method == http.MethodDelete:
				w.WriteHeader(http.StatusNoContent)
				return
			}
			s.ServeHTTP(w, r)
		}))
		defer end()
		time.AfterFunc(time.Second, func() {
			if s, err := l.Launch(t.Context(), launcher.Workload{ID: "late", Owner: "bob", Image: "image:1"}); err == nil {
				t.Errorf("it is %+v", s)
			}
			close(refused)
		})
		if got := tell(t, l, 25*time.Second, "late"); got != "starting" {
			t.Errorf("told: %s", got)
		}
	})
}

// tell is what a watch tells of a workload within a time, but for that its image is
// there.
func tell(t *testing.T, l *dockerlauncher.Launcher, within time.Duration, id launcher.ID) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var told []string
	pulled := false
	for st, err := range l.Watch(ctx, launcher.Filter{IDs: []launcher.ID{id}}) {
		news := !st.Reached.Pull.IsZero() && !pulled
		pulled = pulled || news
		switch {
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			t.Error(err)
		case err != nil, st.Synced():
		case news && st.Phase == launcher.Starting && len(told) > 0 && told[len(told)-1] == "starting":
		case st.Unknown:
			told = append(told, "unknown")
		case st.Phase == launcher.Exited:
			told = append(told, strings.TrimSpace(fmt.Sprintf("exited(%d) %s", st.ExitCode, st.Reason)))
		default:
			told = append(told, string(st.Phase))
		}
	}
	return strings.Join(told, " ")
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
		if got := tell(t, l, 25*time.Second, "late"); launched != nil || got != "starting running" {
			t.Errorf("launched with %v, and told: %s", launched, got)
		}
	})
}
