package fakelauncher_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

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
				if got := logs(t, l, "a"); !strings.Contains(got, "panic: ") || !strings.Contains(got, "process_test.go") {
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
			if p.Allocate(1) || p.Use(1) != 0 {
				t.Error("a dead program may allocate, or compute")
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

// A working directory is where names that are not absolute are looked up. The engine
// makes one that is missing, as root's, or says why it cannot.
func TestWorkingDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := fakelauncher.NewDir()
		must(t, dir.Chmod("", 0o777))
		must(t, dir.WriteFile("file", nil, 0o644))
		told := make(chan error, 3)
		l := newHost(t, func(_ context.Context, p *fakelauncher.Proc) int {
			told <- p.WriteFile("name", nil, 0o644)
			info, err := p.Stat(".")
			if err != nil || info.Sys().(launcher.User).UID != 0 {
				t.Errorf("%s is %+v, %v; want root's", p.Dir, info, err)
			}
			told <- p.Rename("../f", "../g/../h")
			return 0
		}, fakelauncher.Config{Mount: func(launcher.Mount) (*fakelauncher.Dir, error) { return dir, nil }})
		for id, test := range map[launcher.ID]struct {
			dir  string
			want [2]error
		}{
			"image": {"", [2]error{fs.ErrPermission, fs.ErrNotExist}},
			"made":  {"/absent/work", [2]error{fs.ErrPermission, fs.ErrNotExist}},
			"mount": {"/data", [2]error{nil, fs.ErrNotExist}},
			"below": {"/data/sub", [2]error{fs.ErrPermission, nil}}, // whose directory is everybody's
			"there": {"/tmp", [2]error{nil, fs.ErrNotExist}},
		} {
			must(t, dir.WriteFile("f", nil, 0o644))
			w := work(string(id))
			w.User, w.Dir, w.Mounts = alice, test.dir, []launcher.Mount{{Source: "data", Target: "/data"}}
			launch(t, l, w)
			for _, want := range test.want {
				if err := <-told; !errors.Is(err, want) {
					t.Errorf("in %q: %v; want %v", test.dir, err, want)
				}
			}
		}
		for _, bad := range []string{"/data/file", "/ro/missing"} {
			w := work("bad")
			w.Dir, w.Mounts = bad, []launcher.Mount{{Source: "data", Target: "/data"}, {Source: "data", Target: "/ro", ReadOnly: true}}
			if _, err := l.Launch(t.Context(), w); !errors.Is(err, launcher.ErrUnavailable) || !strings.Contains(err.Error(), bad) {
				t.Errorf("in %s: %v", bad, err)
			}
		}
	})
}
