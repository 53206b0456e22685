package dockerlauncher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/internal/realtest"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

// A scripted engine answers what a launcher asks to list and watch containers,
// for more of them than a machine holds.
type scripted struct {
	mu         sync.Mutex
	containers []container.InspectResponse
	summaries  []byte
	looks      atomic.Int64
	events     chan events.Message
}

// newScripted makes an engine with n containers, of which every second has exited.
func newScripted(n int) *scripted {
	s := &scripted{events: make(chan events.Message)}
	for i := range n {
		labels := map[string]string{
			"atelier.id": fmt.Sprintf("w-%04d", i), "atelier.owner": "alice", "atelier.image": "rstudio:1", "atelier.digest": "d",
			"atelier.queued": "2026-01-02T03:04:05Z", "atelier.port.http": "8787", "atelier.label.team": "red",
		}
		state := container.State{Status: container.StateRunning, Running: true, StartedAt: "2026-01-02T03:04:06Z", FinishedAt: "0001-01-01T00:00:00Z"}
		if i%2 == 1 {
			state = container.State{Status: container.StateExited, StartedAt: "2026-01-02T03:04:06Z", FinishedAt: time.Now().Format(time.RFC3339Nano), ExitCode: 3}
		}
		s.containers = append(s.containers, container.InspectResponse{
			ID: fmt.Sprintf("%064x", i), Name: "/" + labels["atelier.id"], State: &state, Config: &container.Config{Labels: labels},
		})
	}
	s.summarise()
	return s
}

func (s *scripted) summarise() {
	var all []container.Summary
	for _, c := range s.containers {
		made, _ := time.Parse(time.RFC3339Nano, c.Created)
		all = append(all, container.Summary{ID: c.ID, Labels: c.Config.Labels, State: c.State.Status, Created: made.Unix()})
	}
	s.summaries, _ = json.Marshal(all) // plain data
}

// set gives a container another state, of which no event tells.
func (s *scripted) set(i int, state container.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers[i].State = &state
	s.summarise()
}

// add makes a container, which is the last and was not started.
func (s *scripted) add(name string, config *container.Config) (id string) {
	s.mu.Lock()
	i := len(s.containers)
	id = fmt.Sprintf("%064x", i)
	s.containers = append(s.containers, container.InspectResponse{ID: id, Name: "/" + name, Config: config, Created: time.Now().Format(time.RFC3339Nano)})
	s.mu.Unlock()
	s.set(i, container.State{Status: container.StateCreated})
	return id
}

// clear takes all containers away, of which no event tells.
func (s *scripted) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.containers = nil
	s.summarise()
}

var lookPath = regexp.MustCompile(`^/v[0-9.]+/containers/([^/]+)/json$`)

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/_ping"):
	case strings.HasSuffix(r.URL.Path, "/containers/json"):
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = w.Write(s.summaries)
	case strings.HasSuffix(r.URL.Path, "/containers/create"):
		w.WriteHeader(http.StatusCreated)
		var config container.Config
		if err := json.NewDecoder(r.Body).Decode(&config); err != nil {
			panic(err)
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"Id": s.add(r.URL.Query().Get("name"), &config)})
	case strings.HasSuffix(r.URL.Path, "/start"):
		s.set(len(s.containers)-1, container.State{Status: container.StateRunning, Running: true, StartedAt: time.Now().Format(time.RFC3339Nano)})
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(r.URL.Path, "/info"):
		_ = json.NewEncoder(w).Encode(system.Info{NCPU: 4, MemTotal: 8 << 30})
	case strings.Contains(r.URL.Path, "/images/") || strings.Contains(r.URL.Path, "/networks/"):
		_, _ = w.Write([]byte(`{"Id":"sha256:1","Options":{"com.docker.network.bridge.enable_icc":"false"}}`))
	case strings.HasSuffix(r.URL.Path, "/events"):
		w.(http.Flusher).Flush()
		for {
			select {
			case m := <-s.events:
				_ = json.NewEncoder(w).Encode(m)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	case lookPath.MatchString(r.URL.Path):
		s.looks.Add(1)
		name := lookPath.FindStringSubmatch(r.URL.Path)[1]
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.containers {
			if c.ID == name || c.Name == "/"+name {
				_ = json.NewEncoder(w).Encode(c)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	default:
		w.WriteHeader(http.StatusNotImplemented)
	}
}

// open returns a launcher on the scripted engine.
func (s *scripted) open(t testing.TB) *dockerlauncher.Launcher {
	t.Helper()
	return openOn(t, s, dockerlauncher.Config{})
}

// openOn returns a launcher on an engine whose API is a handler.
func openOn(t testing.TB, engine http.Handler, cfg dockerlauncher.Config) *dockerlauncher.Launcher {
	t.Helper()
	server := httptest.NewServer(engine)
	t.Cleanup(server.Close)
	c, err := client.New(client.WithHost("tcp://" + strings.TrimPrefix(server.URL, "http://")))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Client = c
	l, err := dockerlauncher.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestManyContainers: 500 containers are listed whole and in order; a second
// list looks at none of them again, and of a change only at the one that changed.
func TestManyContainers(t *testing.T) {
	const n = 500
	s := newScripted(n)
	l := s.open(t)
	count := func() int {
		t.Helper()
		var ids []launcher.ID
		for st, err := range l.List(t.Context(), launcher.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, st.ID)
		}
		if !slices.IsSorted(ids) {
			t.Error("the list is not in the order of IDs")
		}
		return len(ids)
	}
	if got, looks := count(), s.looks.Load(); got != n || looks != n {
		t.Errorf("a first list has %d, after %d looks; want %d of each", got, looks, n)
	}
	if got, looks := count(), s.looks.Load(); got != n || looks != n {
		t.Errorf("a second list has %d, after %d looks more; want %d after none", got, looks-n, n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told, synced := 0, false
	for st, err := range l.Watch(ctx, launcher.Filter{}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case st.Synced():
			synced = true
			go func() {
				s.events <- events.Message{Type: events.ContainerEventType, Action: events.ActionKill, Actor: events.Actor{
					ID: s.containers[42].ID, Attributes: map[string]string{"atelier.id": "w-0042"},
				}}
			}()
		case synced:
			if st.ID != "w-0042" || st.Phase != launcher.Stopping {
				t.Errorf("a signal to w-0042 is told as %+v", st)
			}
			if looks := s.looks.Load() - n; looks > 2 {
				t.Errorf("for one change there were %d looks; want its own, and at its headstone", looks)
			}
			if told != n {
				t.Errorf("before the mark the watch told %d; want %d", told, n)
			}
			return
		default:
			told++
		}
	}
}

// TestManyRealContainers: what one process has launched on the real engine,
// another lists and watches whole. ATELIER_CONTAINERS is how many.
func TestManyRealContainers(t *testing.T) {
	dockertest.Engine(t)
	n := number(t, "ATELIER_CONTAINERS", 20)
	one := open(t, t.TempDir())
	id := named(t, one)
	var group errgroup.Group
	group.SetLimit(4)
	for i := range n {
		group.Go(func() error {
			_, err := one.Launch(t.Context(), launcher.Workload{
				ID: id(strconv.Itoa(i)), Owner: "many", Image: dockertest.Image, Command: []string{"wait"}, Labels: map[string]string{"test": string(id(""))},
			})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	other := open(t, t.TempDir())
	which := launcher.Filter{Labels: map[string]string{"test": string(id(""))}}
	for _, nth := range []string{"first", "second"} {
		begun, listed := time.Now(), 0
		for s, err := range other.List(t.Context(), which) {
			if err != nil {
				t.Fatal(err)
			}
			if s.Phase != launcher.Running {
				t.Errorf("%s is %s", s.ID, s.Phase)
			}
			listed++
		}
		if listed != n {
			t.Errorf("the %s list has %d of %d", nth, listed, n)
		}
		t.Logf("the %s list of %d: %v", nth, n, time.Since(begun).Round(time.Millisecond))
	}
	begun, told := time.Now(), 0
	for s, err := range other.Watch(t.Context(), which) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Synced() {
			break
		}
		told++
	}
	if told != n {
		t.Errorf("the watch tells %d of %d", told, n)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	t.Logf("a watch of %d, until it is in step: %v; heap of both processes %d KiB", n, time.Since(begun).Round(time.Millisecond), m.HeapAlloc>>10)
}

// number is a variable of the environment, or what it is without.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q", name, text)
	}
	return n
}

// BenchmarkList500 is a list of 500 containers: the first one, which looks at
// each, and those after it.
func BenchmarkList500(b *testing.B) {
	s := newScripted(500)
	list := func(b *testing.B, l *dockerlauncher.Launcher) {
		n := 0
		for _, err := range l.List(b.Context(), launcher.Filter{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 500 {
			b.Fatal(n)
		}
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			l := s.open(b)
			b.StartTimer()
			list(b, l)
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		l := s.open(b)
		list(b, l)
		for b.Loop() {
			list(b, l)
		}
	})
	b.Run("watch", func(b *testing.B) {
		l := s.open(b)
		list(b, l)
		for b.Loop() {
			for st, err := range l.Watch(b.Context(), launcher.Filter{}) {
				if err != nil {
					b.Fatal(err)
				}
				if st.Synced() {
					break
				}
			}
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/500, "heap-bytes/container")
	})
}

// TestStartBesideDockerRun: starting a pulled image takes at most 1.2 times
// what docker run takes for the same container, over many starts of each in
// turns. ATELIER_STARTS is how many.
func TestStartBesideDockerRun(t *testing.T) {
	dockertest.Engine(t)
	if _, err := exec.LookPath("docker"); err != nil {
		realtest.Missing(t, "there is no docker command here to compare with")
	}
	starts := number(t, "ATELIER_STARTS", 25)
	l := open(t, t.TempDir())
	id := named(t, l)
	warm, s := says(t, l, launcher.Workload{ID: id("warm"), Owner: "a", Image: dockertest.Image, Command: []string{"say", "warm"}})
	if warm != "warm\n" {
		t.Fatalf("%q, %+v", warm, s)
	}
	var ours, theirs []time.Duration
	for i := range starts {
		w := launcher.Workload{
			ID: id(fmt.Sprintf("ours-%d", i)), Owner: "a", Image: dockertest.Image, Command: []string{"wait"},
			Resources: launcher.Resources{MilliCPU: 1000, MemoryMiB: 256}, Ports: []launcher.Port{{Name: "http", Number: 8787}},
		}
		begun := time.Now()
		if _, err := l.Launch(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		ours = append(ours, time.Since(begun))
		if err := l.Stop(t.Context(), w.ID, launcher.StopOptions{Signal: "SIGKILL", Forget: true}); err != nil {
			t.Fatal(err)
		}
		await(t, "it is gone", func() bool { return l.Stop(t.Context(), w.ID, launcher.StopOptions{Forget: true}) != nil })

		name := string(id(fmt.Sprintf("theirs-%d", i)))
		begun = time.Now()
		out, err := exec.Command("docker", "run", "--detach", "--name", name, "--init", "--network", "atelier", "--cpus", "1", "--memory", "256m",
			"--memory-swap", "256m", "--pids-limit", "4096", "--log-driver", "local", "--publish", "127.0.0.1::8787", dockertest.Image, "wait").CombinedOutput()
		theirs = append(theirs, time.Since(begun))
		if err != nil {
			t.Fatalf("docker run: %v\n%s", err, out)
		}
		if out, err := exec.Command("docker", "rm", "--force", name).CombinedOutput(); err != nil {
			t.Fatalf("docker rm: %v\n%s", err, out)
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	at := func(all []time.Duration, share int) time.Duration { return all[(len(all)-1)*share/100] }
	for _, share := range []int{50, 95} {
		a, b := at(ours, share), at(theirs, share)
		t.Logf("p%d over %d starts: %v, docker run %v, ratio %.2f", share, starts, a.Round(time.Millisecond), b.Round(time.Millisecond), float64(a)/float64(b))
		if share == 50 && float64(a) > 1.2*float64(b) {
			t.Errorf("the median start takes %v, docker run %v: more than 1.2 times as long", a, b)
		}
	}
}
