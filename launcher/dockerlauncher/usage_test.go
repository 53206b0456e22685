package dockerlauncher_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

const (
	// sampleV1 is what Docker 20.10 answered on a machine with version 1 of
	// control groups, for a program that had taken 64 MiB, without what nobody
	// reads; inactive_file is made to differ from the total, as it does where a
	// container has control groups of its own.
	sampleV1 = `{"read":"2026-11-28T06:44:45.588861489Z","preread":"0001-01-01T00:00:00Z","pids_stats":{"current":4},
		"cpu_stats":{"cpu_usage":{"total_usage":97706353,"percpu_usage":[41100391,56605962],"usage_in_kernelmode":70000000,"usage_in_usermode":10000000},
			"system_cpu_usage":46307310000000,"online_cpus":2,"throttling_data":{"periods":6,"throttled_periods":0,"throttled_time":0}},
		"precpu_stats":{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0}},
		"memory_stats":{"usage":70578176,"max_usage":70578176,"stats":{"active_file":315392,"cache":1040384,"inactive_file":700416,
			"rss":68612096,"total_active_file":315392,"total_cache":1040384,"total_inactive_file":724992,"total_rss":68612096},"limit":268435456},
		"name":"/w-0000"}`
	// sampleV2 is the same with the names that version 2 has (statsV2 in
	// daemon/daemon_unix.go of moby); there, times are whole microseconds, and
	// those of each core are not told.
	sampleV2 = `{"read":"2026-11-28T06:44:45.588861489Z","preread":"0001-01-01T00:00:00Z","pids_stats":{"current":4,"limit":4096},
		"cpu_stats":{"cpu_usage":{"total_usage":97706000,"usage_in_kernelmode":70000000,"usage_in_usermode":27706000},
			"system_cpu_usage":46307310000000,"online_cpus":2,"throttling_data":{"periods":6,"throttled_periods":0,"throttled_time":0}},
		"memory_stats":{"usage":70578176,"stats":{"active_anon":4096,"active_file":315392,"anon":68612096,"file":1040384,
			"inactive_anon":68608000,"inactive_file":724992,"slab":180224,"sock":0},"limit":268435456},
		"name":"/w-0000","id":"0"}`
	// sampleNone is what an engine answers for a container that does not run.
	sampleNone = `{"read":"0001-01-01T00:00:00Z","preread":"0001-01-01T00:00:00Z","pids_stats":{},
		"cpu_stats":{"cpu_usage":{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0}},"memory_stats":{},"name":"/w-0000"}`
)

// TestUsageSamples: what engines tell of a container is read as it is meant, and
// what they cannot tell is not taken for nothing.
func TestUsageSamples(t *testing.T) {
	without := func(old, replacement string) string {
		if !strings.Contains(sampleV2, old) {
			t.Fatalf("there is no %s", old)
		}
		return strings.Replace(sampleV2, old, replacement, 1)
	}
	for name, c := range map[string]struct {
		status int
		answer string
		cpu    time.Duration
		memory int64
		kind   launcher.Kind
	}{
		"V1":            {200, sampleV1, 97706353, 70578176 - 724992, ""},
		"V2":            {200, sampleV2, 97706000, 70578176 - 724992, ""},
		"V2WithoutName": {200, without(`"inactive_file":724992,`, ""), 97706000, 70578176, ""},
		"CacheIsAll":    {200, without(`"inactive_file":724992`, `"inactive_file":70578176`), 97706000, 70578176, ""},
		"CacheIsMore":   {200, without(`"inactive_file":724992`, `"inactive_file":80000000`), 97706000, 70578176, ""},
		"Endless":       {200, without(`"total_usage":97706000`, `"total_usage":18446744073709551615`), 1<<63 - 1, 70578176 - 724992, ""},
		"JustEnded":     {200, sampleNone, 0, 0, launcher.ErrNotRunning},
		"NoMemory":      {200, without(`"usage":70578176`, `"usage":0`), 0, 0, launcher.ErrUnsupported},
		"NoCPU":         {200, without(`"total_usage":97706000`, `"total_usage":0`), 0, 0, launcher.ErrUnsupported},
		"BrokenOff":     {200, sampleV2[:300], 0, 0, launcher.ErrUnavailable},
		"Gone":          {404, `{"message":"No such container"}`, 0, 0, launcher.ErrNotFound},
		"Broken":        {500, `{"message":"no"}`, 0, 0, launcher.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(1)
			var asked []string
			l := openOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/stats") {
					s.ServeHTTP(w, r)
					return
				}
				_, of, _ := strings.Cut(r.URL.Path, "/containers/")
				asked = append(asked, of+"?"+r.URL.RawQuery)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.answer))
			}), dockerlauncher.Config{})
			u, err := l.Usage(t.Context(), "w-0000")
			want := launcher.Usage{
				StartedAt: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), At: time.Date(2026, 11, 28, 6, 44, 45, 588861489, time.UTC),
				CPU: c.cpu, MemoryBytes: c.memory,
			}
			if c.kind != "" {
				want = launcher.Usage{}
			}
			if u != want || (c.kind == "") != (err == nil) || err != nil && !errors.Is(err, c.kind) {
				t.Errorf("Usage = %+v, %v; want %+v, kind %q", u, err, want, c.kind)
			}
			// One sample of one container, for which the engine waits for no other.
			if want := fmt.Sprintf("%064x/stats?one-shot=true&stream=false", 0); len(asked) != 1 || asked[0] != want {
				t.Errorf("the engine was asked for %q; want %q", asked, want)
			}
		})
	}
}

// TestUsageOfWhatDoesNotRun: the engine is not asked for samples of what has
// none, and what is not there yet is known.
func TestUsageOfWhatDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(2)
		pulling, starting := make(chan struct{}), make(chan struct{})
		l, end := openInBubble(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/stats"):
				t.Error("a sample is asked for")
			case strings.Contains(r.URL.Path, "/images/"):
				<-pulling
			case strings.HasSuffix(r.URL.Path, "/start"):
				<-starting
			}
			s.ServeHTTP(w, r)
		}))
		defer end()
		s.add("foreign", &container.Config{})
		refused := func(what string, id launcher.ID, kind launcher.Kind) {
			t.Helper()
			if u, err := l.Usage(t.Context(), id); !errors.Is(err, kind) {
				t.Errorf("%s: Usage = %+v, %v; want kind %q", what, u, err, kind)
			}
		}
		refused("exited", "w-0001", launcher.ErrNotRunning)
		refused("unknown", "absent", launcher.ErrNotFound)
		refused("another's container", "foreign", launcher.ErrNotFound)
		launched := make(chan error, 1)
		go func() {
			_, err := l.Launch(t.Context(), launcher.Workload{ID: "late", Owner: "bob", Image: "image:1"})
			launched <- err
		}()
		synctest.Wait()
		refused("its image is looked for", "late", launcher.ErrNotRunning)
		close(pulling)
		synctest.Wait()
		refused("its container was made", "late", launcher.ErrNotRunning)
		close(starting)
		if err := <-launched; err != nil {
			t.Error(err)
		}
	})
}

// TestHungUsage: an engine that does not answer is given up, and so it is by a
// caller.
func TestHungUsage(t *testing.T) {
	for _, path := range []string{"/stats", "w-0000/json"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(1)
				l, end := openInBubble(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, path) {
						if strings.HasSuffix(path, "/stats") { // it begins to answer
							_, _ = w.Write([]byte(sampleV1[:300]))
							w.(http.Flusher).Flush()
						}
						<-r.Context().Done()
						return
					}
					s.ServeHTTP(w, r)
				}))
				defer end()
				begun := time.Now()
				_, err := l.Usage(t.Context(), "w-0000")
				if !errors.Is(err, launcher.ErrUnavailable) || time.Since(begun) != 30*time.Second {
					t.Errorf("after %v: %v; want ErrUnavailable after 30s", time.Since(begun), err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := l.Usage(ctx, "w-0000"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, launcher.ErrUnavailable) {
					t.Errorf("when the caller has given up: %v; want the context's error", err)
				}
			})
		})
	}
}
