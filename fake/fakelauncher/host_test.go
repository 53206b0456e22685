package fakelauncher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
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
			"cpu": {MilliCPU: 1001}, "memory": {MemoryMiB: 2049}, "gpus": {GPUs: 1}, "all": {},
		} {
			if _, err := l.Launch(t.Context(), sized("more-"+what, r)); !errors.Is(err, launcher.ErrCapacity) {
				t.Errorf("Launch beyond the room in %s = %v; want ErrCapacity", what, err)
			}
		}
		launch(t, l, sized("half", launcher.Resources{MilliCPU: 1000, MemoryMiB: 2048}))
		stop(t, l, "half")
		launch(t, l, sized("whole", launcher.Resources{}))
		if _, err := l.Launch(t.Context(), sized("little", launcher.Resources{MilliCPU: 1})); !errors.Is(err, launcher.ErrCapacity) {
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

func TestPanicIsAnExit(t *testing.T) {
	for name, p := range map[string]fakelauncher.Program{
		"Panic":  func(context.Context, *fakelauncher.Proc) int { panic("oh no") },
		"Goexit": func(context.Context, *fakelauncher.Proc) int { (&testing.T{}).SkipNow(); return 0 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHost(t, p, fakelauncher.Config{})
				launch(t, l, work("a"))
				if s := exited(t, l, "a"); s.ExitCode != 2 {
					t.Errorf("exit code %d; want 2", s.ExitCode)
				}
				if got := logs(t, l, "a"); !strings.Contains(got, "panic: ") || !strings.Contains(got, "host_test.go") {
					t.Errorf("the logs are %q; want the stack", got)
				}
			})
		})
	}
}

// What a program does after it was killed has no effect, even if it ignores
// its context for a while.
func TestDeadProgramHasNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := fakelauncher.NewDir()
		must(t, dir.Chmod("", 0o777))
		failures := map[string]error{}
		l := newHost(t, func(ctx context.Context, p *fakelauncher.Proc) int {
			time.Sleep(time.Hour)
			failures["WriteFile"] = p.WriteFile("/data/late", nil, 0o644)
			failures["ReadFile"] = second(p.ReadFile("/data/late"))
			failures["Stdout"] = second(p.Stdout.Write([]byte("late")))
			failures["Stdin"] = second(p.Stdin.Read(make([]byte, 1)))
			failures["Listen"] = second(p.Listen(80))
			if p.Allocate(1) {
				t.Error("a dead program may allocate")
			}
			return 0
		}, fakelauncher.Config{Mount: func(launcher.Mount) (*fakelauncher.Dir, error) { return dir, nil }})
		w := work("a")
		w.Mounts = []launcher.Mount{{Source: "data", Target: "/data"}}
		launch(t, l, w)
		synctest.Wait()
		if err := l.Stop(t.Context(), "a", launcher.StopOptions{Signal: "SIGKILL", Forget: true}); err != nil {
			t.Fatal(err)
		}
		l.Close() // waits for the program
		for what, err := range failures {
			if !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("%s of a dead program = %v; want os.ErrProcessDone", what, err)
			}
		}
		if entries, _ := dir.ReadDir(""); len(entries) > 0 || len(failures) != 5 {
			t.Errorf("a dead program left %v, failures %v", entries, failures)
		}
	})
}

func TestSignalTable(t *testing.T) {
	for signal, code := range map[string]int{"SIGHUP": 129, "SIGINT": 130, "SIGQUIT": 131, "SIGUSR1": 138, "SIGTERM": 143, "SIGWINCH": 137, "SIGCHLD": 137} {
		t.Run(signal, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHost(t, nil, fakelauncher.Config{})
				launch(t, l, work("a", "wait"))
				if err := l.Stop(t.Context(), "a", launcher.StopOptions{Signal: signal}); err != nil {
					t.Fatal(err)
				}
				if s := exited(t, l, "a"); s.ExitCode != code {
					t.Errorf("exit code %d; want %d", s.ExitCode, code)
				}
			})
		})
	}
	t.Run("Unknown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newHost(t, nil, fakelauncher.Config{})
			w := work("a", "wait")
			w.StopSignal = "SIGNAL"
			if _, err := l.Launch(t.Context(), w); !errors.Is(err, launcher.ErrInvalid) {
				t.Errorf("Launch with an unknown stop signal = %v; want ErrInvalid", err)
			}
			launch(t, l, work("b", "wait"))
			if err := l.Stop(t.Context(), "b", launcher.StopOptions{Signal: "SIGNAL"}); !errors.Is(err, launcher.ErrInvalid) {
				t.Errorf("Stop with an unknown signal = %v; want ErrInvalid", err)
			}
		})
	})
}

// Two sessions on one file system: each has its own home and cannot enter the
// other's; the project they share by their group.
func TestHomesAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		efs := fakelauncher.NewDir()
		points := map[string]*fakelauncher.Dir{}
		for name, u := range map[string]launcher.User{"alice": alice, "bob": bob} {
			must(t, efs.Mkdir(name, 0o700), efs.Chown(name, u.UID, u.GID))
			home, err := efs.Sub(name)
			must(t, err)
			points[name] = home.As(u) // a forced identity, as an access point's
		}
		must(t, efs.Mkdir("project", 0), efs.Chown("project", 0, 5000), efs.Chmod("project", 0o770|fs.ModeSetgid))
		project, err := efs.Sub("project")
		must(t, err)
		points["project"], points["all"] = project, efs
		l := newHost(t, nil, fakelauncher.Config{Mount: func(m launcher.Mount) (*fakelauncher.Dir, error) { return points[m.Source], nil }})
		run := func(id string, u launcher.User, source, target string, command ...string) launcher.Status {
			w := work(id, command...)
			w.User, w.Mounts = u, []launcher.Mount{{Source: source, Target: target}}
			launch(t, l, w)
			return exited(t, l, w.ID)
		}
		// Forced identity: what root writes through alice's home is alice's.
		run("w1", launcher.User{}, "alice", "/home/alice", "write", "/home/alice/file", "secret")
		if info, err := efs.Stat("alice/file"); err != nil || info.Sys().(launcher.User).UID != alice.UID {
			t.Errorf("written through a forced identity: %v, %v", info, err)
		}
		if s := run("r1", bob, "all", "/efs", "read", "/efs/alice/file"); s.ExitCode == 0 {
			t.Errorf("bob reads alice's file: %q", logs(t, l, "r1"))
		}
		// Without one, the process's own identity and groups count.
		run("w2", alice, "project", "/project", "write", "/project/file", "ours")
		if s := run("r2", bob, "project", "/project", "read", "/project/file"); s.ExitCode != 0 || logs(t, l, "r2") != "ours" {
			t.Errorf("bob reads the project: code %d, %q", s.ExitCode, logs(t, l, "r2"))
		}
		if s := run("r3", carol, "project", "/project", "list", "/project"); s.ExitCode == 0 {
			t.Errorf("carol, who is no member, lists the project: %q", logs(t, l, "r3"))
		}
	})
}

func TestFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		l := newHost(t, func(_ context.Context, p *fakelauncher.Proc) int {
			defer close(done)
			for what, c := range map[string]struct {
				err  error
				want error
			}{
				"a file of the inner mount":     {p.WriteFile("/data/inner/f", nil, 0o644), nil},
				"a file of the outer mount":     {p.WriteFile("/data/f", nil, 0o644), nil},
				"a file beside the mounts":      {p.WriteFile("/database", nil, 0o644), fs.ErrPermission},
				"a read-only mount":             {p.WriteFile("/ro/f", nil, 0o644), fs.ErrPermission},
				"making the mount point":        {p.MkdirAll("/ro", 0o755), nil},
				"removing a mount point":        {p.Remove("/data/inner"), syscall.EBUSY},
				"renaming across mounts":        {p.Rename("/data/f", "/data/inner/g"), syscall.EXDEV},
				"renaming within one":           {p.Rename("/data/inner/f", "/data/inner/g"), nil},
				"a temporary file":              {p.WriteFile("/tmp/f", nil, 0o600), nil},
				"making a directory":            {p.Mkdir("/tmp/d", 0o700), nil},
				"changing its mode":             {p.Chmod("/tmp/d", 0o750), nil},
				"removing a whole directory":    {p.RemoveAll("/data/inner/absent"), nil},
				"changing a secret":             {p.WriteFile("/run/secrets/token", nil, 0o600), fs.ErrPermission},
				"removing a secret":             {p.Remove("/run/secrets/token"), fs.ErrPermission},
				"a missing file":                {second(p.Stat("/absent")), fs.ErrNotExist},
				"a secret":                      {second(p.ReadFile("/run/secrets/token")), nil},
				"the directory of mount points": {second(p.ReadDir("/data/inner")), nil},
			} {
				if !errors.Is(c.err, c.want) {
					t.Errorf("%s: %v; want %v", what, c.err, c.want)
				}
				if e, ok := errors.AsType[*fs.PathError](c.err); c.err != nil && (!ok || !strings.HasPrefix(e.Path, "/")) {
					t.Errorf("%s: error %v does not name the path in the container", what, c.err)
				}
			}
			return 0
		}, fakelauncher.Config{})
		w := work("a")
		w.User, w.Secrets = alice, map[string]string{"token": "hush"}
		w.Mounts = []launcher.Mount{{Source: "i", Target: "/data/inner"}, {Source: "o", Target: "/data"}, {Source: "r", Target: "/ro", ReadOnly: true}}
		launch(t, l, w)
		<-done
	})
}

// A crash ends everything at once, and nothing answers any more.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { breaks(t, (*fakelauncher.Launcher).Crash, false) })
}

// Behind a cut network the containers go on.
func TestSetReachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		breaks(t, func(l *fakelauncher.Launcher) { l.SetReachable(false) }, true)
	})
}

func breaks(t *testing.T, cut func(*fakelauncher.Launcher), survives bool) {
	l := newHost(t, nil, fakelauncher.Config{})
	w := work("a", "serve", "80")
	w.Ports = []launcher.Port{{Name: "http", Number: 80}}
	launch(t, l, w)
	synctest.Wait()
	c, err := l.Dial(t.Context(), "a", "http")
	must(t, err)
	r, err := l.Logs(t.Context(), "a", launcher.LogOptions{Follow: true})
	must(t, err)
	watched := make(chan error, 1)
	go func() {
		var last error
		for _, err := range l.Watch(t.Context(), launcher.Filter{}) {
			last = err
		}
		watched <- last
	}()
	read := make(chan error, 2)
	go func() { read <- second(r.Read(make([]byte, 1))) }()
	dialled := make(chan error, 1)
	go func() { dialled <- second(c.Read(make([]byte, 1))) }()
	synctest.Wait()
	cut(l)
	if err := <-dialled; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection ends with %v; want a reset", err)
	}
	_, listed := launcher.Get(t.Context(), l, "a")
	for what, err := range map[string]error{
		"Watch": <-watched, "the read of followed logs": <-read, "List": listed,
		"Launch": second(l.Launch(t.Context(), work("b", "wait"))),
		"Stop":   l.Stop(t.Context(), "a", launcher.StopOptions{}),
		"Dial":   second(l.Dial(t.Context(), "a", "http")),
		"Logs":   second(l.Logs(t.Context(), "a", launcher.LogOptions{})),
		"Pull":   l.Pull(t.Context(), "x"), "Room": second(l.Room(t.Context())),
	} {
		if !errors.Is(err, launcher.ErrUnavailable) {
			t.Errorf("%s = %v; want ErrUnavailable", what, err)
		}
	}
	time.Sleep(time.Hour)
	l.SetReachable(true)
	s, err := launcher.Get(t.Context(), l, "a")
	if !survives {
		if !errors.Is(err, launcher.ErrUnavailable) {
			t.Errorf("after a crash the host answers %+v, %v", s, err)
		}
		return
	}
	if err != nil || s.Phase != launcher.Running {
		t.Errorf("after the network came back it is %+v, %v; want it running", s, err)
	}
	c, err = l.Dial(t.Context(), "a", "http")
	must(t, err, second(io.WriteString(c, "hi")), second(io.ReadFull(c, make([]byte, 2))))
	c.Close()
}

func TestCloseWaitsForPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		returned := false
		l := newHost(t, func(ctx context.Context, _ *fakelauncher.Proc) int {
			<-ctx.Done()
			time.Sleep(time.Minute)
			returned = true
			return 0
		}, fakelauncher.Config{})
		launch(t, l, work("a"))
		l.Close()
		if !returned {
			t.Error("Close returned before the program")
		}
		l.Close()
	})
}

func TestDialNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHost(t, nil, fakelauncher.Config{})
		w := work("a", "wait")
		w.Ports = []launcher.Port{{Name: "http", Number: 80}}
		launch(t, l, w)
		if _, err := l.Dial(t.Context(), "a", "http"); !errors.Is(err, launcher.ErrUnavailable) || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial of a port nobody listens on = %v; want ErrUnavailable, refused", err)
		}
	})
}

func TestListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHost(t, func(ctx context.Context, p *fakelauncher.Proc) int {
			ln, err := p.Listen(80)
			must(t, err)
			if _, err := p.Listen(80); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("Listen on a taken port = %v; want EADDRINUSE", err)
			}
			if _, err := p.Listen(0); err == nil {
				t.Error("Listen on port 0 succeeded")
			}
			ln.Close()
			if _, err := ln.Accept(); err == nil {
				t.Error("Accept on a closed listener succeeded")
			}
			ln, err = p.Listen(80)
			must(t, err)
			<-ctx.Done()
			return 0
		}, fakelauncher.Config{})
		w := work("a")
		w.Ports = []launcher.Port{{Name: "http", Number: 80}}
		launch(t, l, w)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for n := 0; ; n++ {
			c, err := l.Dial(ctx, "a", "http")
			if err == nil {
				defer c.Close()
				continue
			}
			if n != 128 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with %d connections nobody accepts, Dial = %v; want it to wait from 128 on", n, err)
			}
			break
		}
	})
}
