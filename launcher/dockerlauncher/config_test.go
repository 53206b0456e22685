package dockerlauncher_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

func TestConfig(t *testing.T) {
	l, err := dockerlauncher.New(dockerlauncher.Config{
		Address: "localhost", FirstPort: 100, LastPort: 99, SecretsDir: "run/secrets", Bridge: "a-bridge-with-a-long-name", GPUs: -1, MaxProcesses: -1,
		Client: &client.Client{}, DialEngine: func(context.Context) (net.Conn, error) { return nil, nil },
	})
	if !errors.Is(err, launcher.ErrInvalid) {
		t.Fatalf("New = %v, %v; want ErrInvalid", l, err)
	}
	for _, word := range []string{`"localhost"`, "100 to 99", `"run/secrets"`, `"a-bridge-with-a-long-name"`, "GPUs -1", "processes -1", "a client and a way to dial"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not name %s: %v", word, err)
		}
	}
}

// TestDialEngine: connections to an engine elsewhere are kept and shared, and
// closed with the launcher; one that cannot be opened is an engine that is away.
func TestDialEngine(t *testing.T) {
	engine := dockertest.Engine(t)
	var opened, open atomic.Int32
	dial := func(ctx context.Context) (net.Conn, error) {
		conn, err := engine.Dialer()(ctx)
		if err != nil {
			return nil, err
		}
		opened.Add(1)
		open.Add(1)
		return &counted{Conn: conn, closed: sync.OnceFunc(func() { open.Add(-1) })}, nil
	}
	l, err := dockerlauncher.New(dockerlauncher.Config{DialEngine: dial})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := l.Room(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("20 calls, one after another, opened %d connections", n)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	await(t, "every connection is closed", func() bool { return open.Load() == 0 })

	gone := errors.New("the tunnel is down")
	away, err := dockerlauncher.New(dockerlauncher.Config{DialEngine: func(context.Context) (net.Conn, error) { return nil, gone }})
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if _, err := away.Room(t.Context()); !errors.Is(err, launcher.ErrUnavailable) || !errors.Is(err, gone) {
		t.Errorf("Room = %v, want ErrUnavailable, and why", err)
	}
}

// A counted connection tells that it was closed.
type counted struct {
	net.Conn
	closed func()
}

func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

func TestBelow(t *testing.T) {
	find := dockerlauncher.Below("/efs", "/srv/shared/")
	for source, allowed := range map[string]bool{
		"/efs/fs-1.fsap-1": true, "/srv/shared/a/b": true,
		"/efs": false, "/efs/": false, "/efsx/a": false, "/efs/../etc": false, "/efs/a/../../etc": false,
		"efs/a": false, "/": false, "": false, "/etc/shadow": false, "/srv/shared": false, "/efs//a": false, "/efs/.": false,
	} {
		dir, err := find(t.Context(), launcher.Workload{}, launcher.Mount{Source: source})
		if (err == nil) != allowed || allowed && dir != source {
			t.Errorf("%q is found at %q, %v; want allowed %t", source, dir, err, allowed)
		}
	}
	if dir, err := dockerlauncher.Below()(t.Context(), launcher.Workload{}, launcher.Mount{Source: "/tmp/a"}); err == nil {
		t.Errorf("without a directory /tmp/a is found at %q", dir)
	}
}

func TestHomes(t *testing.T) {
	root := t.TempDir()
	find := dockerlauncher.Homes(root)
	me := launcher.Workload{User: launcher.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}}
	for range 2 { // made, and found
		dir, err := find(t.Context(), me, launcher.Mount{Source: "/efs/fs-1.fsap-2"})
		if want := filepath.Join(root, "fs-1.fsap-2"); err != nil || dir != want {
			t.Fatalf("the home is %q, %v; want %s", dir, err, want)
		}
	}
	info, err := os.Stat(filepath.Join(root, "fs-1.fsap-2"))
	if err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Errorf("the home is %v, %v; want a directory with mode 0700", info, err)
	}
	for _, source := range []string{"/efs/fs-1", "/efs/fs-1.fsap-2/..", "/efs/../fs-1.fsap-1", "/etc", "/efs/fs-1.fsap-1/x", ""} {
		if dir, err := find(t.Context(), me, launcher.Mount{Source: source}); err == nil {
			t.Errorf("%q is found at %q; want a refusal", source, dir)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "fs-1.fsap-9"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if dir, err := find(t.Context(), me, launcher.Mount{Source: "/efs/fs-1.fsap-9"}); err == nil {
		t.Errorf("a file is taken for the home %q", dir)
	}
	doomed := me
	doomed.Labels = map[string]string{"atelier.home": "alice"}
	if dir, err := find(t.Context(), doomed, launcher.Mount{Source: "/efs/fs-1.fsap-4"}); err == nil || !strings.Contains(err.Error(), "alice") {
		t.Errorf("the root of all homes is found at %q, %v: an empty folder, so that a home's removal succeeds and nothing goes", dir, err)
	}
	if os.Getuid() != 0 {
		_, err := find(t.Context(), launcher.Workload{User: launcher.User{UID: 10001}}, launcher.Mount{Source: "/efs/fs-1.fsap-3"})
		if err == nil || !strings.Contains(err.Error(), "root") {
			t.Errorf("another's home, made without root: %v; want a sentence that says so", err)
		}
	}
}

// TestNoEngine: what needs an engine says that there is none, and what can be
// told without one is told first.
func TestNoEngine(t *testing.T) {
	l := open(t, t.TempDir(), func(c *dockerlauncher.Config) { c.Client = nowhere(t) })
	w := launcher.Workload{ID: "a", Owner: "alice", Image: dockertest.Image}
	for what, err := range map[string]error{
		"Launch": second(l.Launch(t.Context(), w)), "Stop": l.Stop(t.Context(), "a", launcher.StopOptions{}),
		"List": first(l.List(t.Context(), launcher.Filter{})), "Watch": first(l.Watch(t.Context(), launcher.Filter{})),
		"Dial": second(l.Dial(t.Context(), "a", "http")), "Logs": second(l.Logs(t.Context(), "a", launcher.LogOptions{})),
		"Usage": second(l.Usage(t.Context(), "a")), "Room": second(l.Room(t.Context())), "Pull": l.Pull(t.Context(), dockertest.Image),
	} {
		if !errors.Is(err, launcher.ErrUnavailable) {
			t.Errorf("%s without an engine: %v; want ErrUnavailable", what, err)
		}
	}
	mounted := w
	mounted.Mounts = []launcher.Mount{{Source: "/etc", Target: "/etc"}, {Source: "/root", Target: "/root"}}
	_, err := l.Launch(t.Context(), mounted)
	if !errors.Is(err, launcher.ErrMount) || !strings.Contains(err.Error(), "/etc") || !strings.Contains(err.Error(), "/root") {
		t.Errorf("mounts that are not allowed: %v; want ErrMount with each", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Launch": second(l.Launch(t.Context(), w)), "Watch": first(l.Watch(t.Context(), launcher.Filter{}))} {
		if !errors.Is(err, launcher.ErrNotRunning) {
			t.Errorf("%s of a closed launcher: %v; want ErrNotRunning", what, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Pull(ctx, dockertest.Image); !errors.Is(err, context.Canceled) {
		t.Errorf("Pull with a cancelled context: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
