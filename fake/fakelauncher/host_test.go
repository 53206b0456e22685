package fakelauncher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
)

// newHost returns a host on which image "x" is p, or does what the command
// says if p is nil.
func newHost(t testing.TB, p fakelauncher.Program, cfg fakelauncher.Config) *fakelauncher.Launcher {
	t.Helper()
	if p == nil {
		p = behave.Program
	}
	if cfg.Images == nil {
		cfg.Images = fakelauncher.Programs(map[string]fakelauncher.Program{"x": p})
	}
	l, err := fakelauncher.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func work(id string, command ...string) launcher.Workload {
	return launcher.Workload{ID: launcher.ID(id), Owner: "alice", Image: "x", Command: command}
}

func launch(t *testing.T, l launcher.Launcher, w launcher.Workload) launcher.Status {
	t.Helper()
	s, err := l.Launch(t.Context(), w)
	if err != nil {
		t.Fatalf("Launch(%s) = %v", w.ID, err)
	}
	return s
}

func exited(t *testing.T, l launcher.Launcher, id launcher.ID) launcher.Status {
	t.Helper()
	s, err := launcher.Wait(t.Context(), l, id, func(s launcher.Status) bool { return s.Phase == launcher.Exited })
	if err != nil {
		t.Fatalf("waiting for the exit of %s: %v", id, err)
	}
	return s
}

func logs(t *testing.T, l launcher.Launcher, id launcher.ID) string {
	t.Helper()
	r, err := l.Logs(t.Context(), id, launcher.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func stop(t *testing.T, l launcher.Launcher, id launcher.ID) {
	t.Helper()
	if err := l.Stop(t.Context(), id, launcher.StopOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestNewInvalid(t *testing.T) {
	_, err := fakelauncher.New(fakelauncher.Config{
		Address: "host", Room: launcher.Resources{GPUs: -1}, FirstPort: 9, LastPort: 8, Delays: fakelauncher.Delays{Pull: -1},
	})
	if !errors.Is(err, launcher.ErrInvalid) {
		t.Fatalf("New = %v; want ErrInvalid", err)
	}
	for _, word := range []string{"images", "address", "room", "ports", "delays"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error %q does not name %s", err, word)
		}
	}
}

func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHost(t, nil, fakelauncher.Config{Room: launcher.Resources{MilliCPU: 2000, MemoryMiB: 4096}})
		if room, err := l.Room(t.Context()); err != nil || room.MemoryMiB != 4096 {
			t.Errorf("Room = %v, %v", room, err)
		}
		sized := func(id string, r launcher.Resources) launcher.Workload {
			w := work(id, "wait")
			w.Resources = r
			return w
		}
		launch(t, l, sized("half", launcher.Resources{MilliCPU: 1000, MemoryMiB: 2048}))
		for what, r := range map[string]launcher.Resources{
			"cpu": {MilliCPU: 2001}, "memory": {MemoryMiB: 2049}, "gpus": {GPUs: 1}, "all": {},
		} {
			if _, err := l.Launch(t.Context(), sized("more-"+what, r)); !errors.Is(err, launcher.ErrCapacity) {
				t.Errorf("Launch beyond the room in %s = %v; want ErrCapacity", what, err)
			}
		}
		launch(t, l, sized("half", launcher.Resources{MilliCPU: 1000, MemoryMiB: 2048}))
		launch(t, l, sized("shares", launcher.Resources{MilliCPU: 2000}))
		stop(t, l, "shares")
		stop(t, l, "half")
		launch(t, l, sized("whole", launcher.Resources{}))
		if _, err := l.Launch(t.Context(), sized("little", launcher.Resources{MemoryMiB: 1})); !errors.Is(err, launcher.ErrCapacity) {
			t.Errorf("Launch beside one that has the whole room = %v; want ErrCapacity", err)
		}
	})
}

func TestPorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHost(t, nil, fakelauncher.Config{Address: "10.0.0.7", FirstPort: 100, LastPort: 102})
		with := func(id string, ports ...launcher.Port) launcher.Workload {
			w := work(id, "wait")
			w.Ports = ports
			return w
		}
		s := launch(t, l, with("a", launcher.Port{Name: "any", Number: 1}, launcher.Port{Name: "fixed", Number: 2, HostPort: 100}))
		if s.Endpoints["fixed"] != "10.0.0.7:100" || s.Endpoints["any"] != "10.0.0.7:101" {
			t.Errorf("endpoints %v; want the fixed port 100 and the next for the other", s.Endpoints)
		}
		if _, err := l.Launch(t.Context(), with("b", launcher.Port{Name: "fixed", Number: 2, HostPort: 100})); !errors.Is(err, launcher.ErrCapacity) {
			t.Errorf("Launch with a taken host port = %v; want ErrCapacity", err)
		}
		if _, err := l.Launch(t.Context(), with("c", launcher.Port{Name: "p", Number: 1}, launcher.Port{Name: "q", Number: 2})); !errors.Is(err, launcher.ErrCapacity) {
			t.Errorf("Launch with more ports than are left = %v; want ErrCapacity", err)
		}
		stop(t, l, "a")
		launch(t, l, with("d", launcher.Port{Name: "p", Number: 1}, launcher.Port{Name: "q", Number: 2}, launcher.Port{Name: "r", Number: 3}))
	})
}

// Images are pulled once a host, by size; who comes later waits for the same pull.
func TestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looked := 0
		l := newHost(t, nil, fakelauncher.Config{
			Images: func(context.Context, string) (fakelauncher.Image, error) {
				looked++
				return fakelauncher.Image{Program: behave.Program, SizeBytes: 2 << 30}, nil
			},
			Delays: fakelauncher.Delays{Pull: time.Minute, Start: time.Second},
		})
		begun := time.Now()
		if s := launch(t, l, work("a", "exit", "0")); s.Phase != launcher.Starting || !s.StartedAt.IsZero() {
			t.Errorf("while its image is pulled it is %+v; want starting", s)
		}
		time.Sleep(time.Minute)
		launch(t, l, work("b", "exit", "0"))
		for id, want := range map[launcher.ID]time.Duration{"a": 121 * time.Second, "b": 121 * time.Second} {
			if got := exited(t, l, id).StartedAt.Sub(begun); got != want {
				t.Errorf("%s began after %v; want %v", id, got, want)
			}
		}
		launch(t, l, work("c", "exit", "0"))
		if s := exited(t, l, "c"); s.StartedAt.Sub(s.QueuedAt) != time.Second {
			t.Errorf("with its image on the host it began after %v; want a second", s.StartedAt.Sub(s.QueuedAt))
		}
		if looked != 1 {
			t.Errorf("the image was looked up %d times; want once", looked)
		}
	})
}

func TestPull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHost(t, nil, fakelauncher.Config{Delays: fakelauncher.Delays{Pull: time.Minute}})
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		if err := l.Pull(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Pull = %v; want the context's error", err)
		}
		begun := time.Now()
		if err := l.Pull(t.Context(), "x"); err != nil || time.Since(begun) != 20*time.Second {
			t.Errorf("Pull again = %v after %v; want it to go on where it was", err, time.Since(begun))
		}
		if s := launch(t, l, work("a", "wait")); s.Phase != launcher.Running {
			t.Errorf("with its image pulled it is %s; want running at once", s.Phase)
		}
		if err := l.Pull(t.Context(), "absent"); !errors.Is(err, launcher.ErrImage) {
			t.Errorf("Pull of an absent image = %v; want ErrImage", err)
		}
	})
}

func TestImageErrors(t *testing.T) {
	for name, c := range map[string]struct {
		image fakelauncher.Image
		err   error
		want  error
	}{
		"Unknown":      {err: errors.New("no such image"), want: launcher.ErrImage},
		"KeepsKind":    {err: fmt.Errorf("registry: %w", launcher.ErrDenied), want: launcher.ErrDenied},
		"NoProgram":    {want: launcher.ErrImage},
		"Architecture": {image: fakelauncher.Image{Program: behave.Program, Architecture: "arm64"}, want: launcher.ErrImage},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHost(t, nil, fakelauncher.Config{
					Architecture: "amd64",
					Images:       func(context.Context, string) (fakelauncher.Image, error) { return c.image, c.err },
				})
				if _, err := l.Launch(t.Context(), work("a")); !errors.Is(err, c.want) {
					t.Errorf("Launch = %v; want %v", err, c.want)
				}
			})
		})
	}
}

func TestImageDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHost(t, nil, fakelauncher.Config{Images: func(context.Context, string) (fakelauncher.Image, error) {
			return fakelauncher.Image{
				Program: behave.Program, Command: []string{"env", "A", ";", "env", "B"},
				Env: map[string]string{"A": "image", "B": "image"},
			}, nil
		}})
		w := work("a")
		w.Env = map[string]string{"B": "workload"}
		launch(t, l, w)
		exited(t, l, "a")
		if got := logs(t, l, "a"); got != "image\nworkload\n" {
			t.Errorf("it wrote %q; want the image's command, and its environment beneath the workload's", got)
		}
	})
}
