package dockerlauncher_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/internal/realtest"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

// An ownEngine is a dockerd of the test's, in a network of its own, that can
// be ended and started again.
type ownEngine struct {
	*testing.T
	dir    string
	client *client.Client
	daemon *exec.Cmd
	log    *os.File
}

func newOwnEngine(t *testing.T) *ownEngine {
	t.Helper()
	shared := dockertest.Engine(t) // which says whether there are engines here at all
	if os.Getuid() != 0 {
		realtest.Missing(t, "an engine of the test's own needs root")
	}
	dir, err := os.MkdirTemp("/tmp", "engine-") //nolint:usetesting // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	e := &ownEngine{T: t, dir: dir}
	if e.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(e.log.Name())
			t.Logf("the engine's last words:\n%s", text[max(0, len(text)-4000):])
		}
		e.log.Close()
		os.RemoveAll(dir)
	})
	if e.client, err = client.New(client.WithHost("unix://" + dir + "/socket")); err != nil {
		t.Fatal(err)
	}
	e.start()
	t.Cleanup(func() {
		e.removeAll()
		e.end(syscall.SIGTERM)
	})
	// The test image, from the shared engine.
	saved, err := shared.ImageSave(t.Context(), []string{dockertest.Image})
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	loaded, err := e.client.ImageLoad(t.Context(), saved)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	if _, err := io.Copy(io.Discard, loaded); err != nil { // it is there when all is said
		t.Fatal(err)
	}
	return e
}

func (e *ownEngine) start() {
	e.Helper()
	e.daemon = exec.Command("unshare", "--net", "sh", "-c", `ip link set lo up && exec dockerd --live-restore `+strings.Join([]string{
		"--host=unix://" + e.dir + "/socket", "--data-root=" + e.dir + "/data", "--exec-root=" + e.dir + "/exec", "--pidfile=" + e.dir + "/pid",
	}, " "))
	e.daemon.Stdout, e.daemon.Stderr = e.log, e.log
	if err := e.daemon.Start(); err != nil {
		e.Fatal(err)
	}
	await(e, "the engine answers", func() bool {
		_, err := e.client.Ping(e.Context(), client.PingOptions{})
		return err == nil
	})
}

func (e *ownEngine) end(s syscall.Signal) {
	e.Helper()
	if err := e.daemon.Process.Signal(s); err != nil {
		e.Error(err)
	}
	_ = e.daemon.Wait()
	// The numbers that a killed engine leaves: the next would wait for what has
	// ended, or is a zombie where nobody collects them.
	text, err := os.ReadFile(e.dir + "/exec/containerd/containerd.pid")
	if pid, err2 := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && err2 == nil {
		await(e, "its containerd has ended", func() bool { return zombie(pid) })
	}
	_ = os.Remove(e.dir + "/exec/containerd/containerd.pid")
	_ = os.Remove(e.dir + "/pid")
}

func (e *ownEngine) removeAll() {
	ctx := context.Background() // a test's has ended in its cleanup
	all, err := e.client.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		e.Error(err)
	}
	for _, c := range all.Items {
		if _, err := e.client.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
			e.Error(err)
		}
	}
}

// A seen is what a watch has told, by workload.
type seen struct {
	mu   sync.Mutex
	last map[launcher.ID]launcher.Status
	err  error
}

func (s *seen) of(id launcher.ID) launcher.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[id]
}

func (s *seen) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// observe watches until the test ends.
func observe(t *testing.T, l *dockerlauncher.Launcher) *seen {
	o := &seen{last: map[launcher.ID]launcher.Status{}}
	go func() {
		for s, err := range l.Watch(t.Context(), launcher.Filter{}) {
			o.mu.Lock()
			o.last[s.ID], o.err = s, err
			o.mu.Unlock()
		}
	}()
	return o
}

// TestEngineRestarts: an engine that restarts, whether it ended well or was
// killed, loses nothing; while it is away, what is known is marked unknown; one
// that stays away ends the watch.
func TestEngineRestarts(t *testing.T) {
	e := newOwnEngine(t)
	l, err := dockerlauncher.New(dockerlauncher.Config{Client: e.client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	runs := launcher.Workload{ID: "runs", Owner: "alice", Image: dockertest.Image, Command: []string{"say", "begun", ";", "trap", "SIGTERM", "7"}}
	ends := launcher.Workload{ID: "ends", Owner: "alice", Image: dockertest.Image, Command: []string{"trap", "SIGUSR1", "3"}}
	o := observe(t, l)
	started := map[launcher.ID]launcher.Status{}
	for _, w := range []launcher.Workload{runs, ends} {
		if started[w.ID], err = l.Launch(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "both have begun", func() bool {
		return strings.Contains(logs(t, l, "runs", launcher.LogOptions{}), "trapped") && strings.Contains(logs(t, l, "ends", launcher.LogOptions{}), "trapped")
	})
	inspected, err := e.client.ContainerInspect(t.Context(), "ends", client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		e.end(how)
		await(t, "what runs is unknown", func() bool { return o.of("runs").Unknown })
		if s := o.of("runs"); s.Phase != launcher.Running {
			t.Errorf("without its engine it is told as %+v; want what was known", s)
		}
		if err := first(l.List(t.Context(), launcher.Filter{})); !errors.Is(err, launcher.ErrUnavailable) {
			t.Errorf("List without an engine: %v; want ErrUnavailable", err)
		}
		if i == 1 {
			// It ends while nobody looks: the program under the container's init.
			endBehind(t, inspected.Container.State.Pid)
		}
		e.start()
		await(t, "it is known again", func() bool { return !o.of("runs").Unknown })
		s := o.of("runs")
		if s.Phase != launcher.Running || !s.StartedAt.Equal(started["runs"].StartedAt) {
			t.Errorf("after a restart by %v it is %+v; want what was started, %+v", how, s, started["runs"])
		}
		if s, err := l.Launch(t.Context(), runs); err != nil || s.Phase != launcher.Running {
			t.Errorf("launched again after a restart by %v: %+v, %v", how, s, err)
		}
	}
	await(t, "the exit that nobody saw is told", func() bool { return o.of("ends").Phase == launcher.Exited })
	if s := o.of("ends"); s.ExitedAt.IsZero() {
		t.Errorf("it is told as %+v; want the time of its exit", s)
	}
	if got := logs(t, l, "runs", launcher.LogOptions{}); strings.Count(got, "begun") != 1 {
		t.Errorf("it wrote %q: it was started twice, or its logs are lost", got)
	}
	e.end(syscall.SIGKILL)
	defer e.start()
	await(t, "the watch has ended", func() bool { return o.ended() != nil })
	if err := o.ended(); !errors.Is(err, launcher.ErrUnavailable) {
		t.Errorf("the watch of an engine that is gone ended with %v; want ErrUnavailable", err)
	}
	if s := o.of("runs"); s.Phase == launcher.Exited {
		t.Errorf("what ran on an engine that is gone is told as %+v; want no exit", s)
	}
}

// first is the error of the first element.
func first(statuses func(func(launcher.Status, error) bool)) (err error) {
	for _, err = range statuses {
		return err
	}
	return nil
}

// endBehind ends a container's processes without its engine.
func endBehind(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "it has ended", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
}

func zombie(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || strings.Contains(string(text), ") Z ")
}
