package dockerlauncher_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

// named makes IDs that no earlier run has used, and clears them away.
func named(t testing.TB, l *dockerlauncher.Launcher) func(name string) launcher.ID {
	prefix := "t" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-"
	t.Cleanup(func() {
		for s, err := range l.List(context.Background(), launcher.Filter{}) { // the test's own has ended
			if err == nil && strings.HasPrefix(string(s.ID), prefix) {
				_ = l.Stop(context.Background(), s.ID, launcher.StopOptions{Signal: "SIGKILL", Forget: true})
			}
		}
		await(t, "its containers are gone", func() bool {
			for s, err := range l.List(context.Background(), launcher.Filter{}) {
				if err != nil || strings.HasPrefix(string(s.ID), prefix) {
					return false
				}
			}
			return true
		})
	})
	return func(name string) launcher.ID { return launcher.ID(prefix + name) }
}

// says runs a workload to its end and returns what it wrote.
func says(t testing.TB, l *dockerlauncher.Launcher, w launcher.Workload) (string, launcher.Status) {
	t.Helper()
	if _, err := l.Launch(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	s, err := launcher.Wait(t.Context(), l, w.ID, func(s launcher.Status) bool { return s.Phase == launcher.Exited })
	if err != nil {
		t.Fatal(err)
	}
	return logs(t, l, w.ID, launcher.LogOptions{}), s
}

// hostile is a workload that does what it must not get away with.
func hostile(id launcher.ID, act ...string) launcher.Workload {
	return launcher.Workload{
		ID: id, Owner: "mallory", Image: dockertest.Hostile, Command: act,
		User: launcher.User{UID: 10002, GID: 10002}, Resources: launcher.Resources{MilliCPU: 500, MemoryMiB: 128},
	}
}

// TestContainersDoNotReachEachOther: on the network that the launcher makes,
// and on one without its rule they do.
func TestContainersDoNotReachEachOther(t *testing.T) {
	e := dockertest.Engine(t)
	for _, rule := range []bool{true, false} {
		name := "WithRule"
		if !rule {
			name = "WithoutRule"
		}
		t.Run(name, func(t *testing.T) {
			l := open(t, t.TempDir(), func(c *dockerlauncher.Config) {
				c.Network, c.Bridge = "atelier-test-"+strings.ToLower(name), "atltest"+strconv.Itoa(len(name))
			})
			id := named(t, l)
			t.Cleanup(func() {
				_, _ = e.NetworkRemove(context.Background(), "atelier-test-"+strings.ToLower(name), client.NetworkRemoveOptions{})
			})
			if !rule { // the same network, but for what keeps them apart
				if _, err := e.NetworkCreate(t.Context(), "atelier-test-withoutrule", client.NetworkCreateOptions{
					Driver: "bridge", Options: map[string]string{"com.docker.network.bridge.name": "atltest11"},
				}); err != nil {
					t.Fatal(err)
				}
				_, err := l.Launch(t.Context(), hostile(id("refused"), "sleep"))
				if !errors.Is(err, launcher.ErrInvalid) || !strings.Contains(err.Error(), "reach each other") {
					t.Errorf("on a network that does not keep them apart: %v; want a refusal that says so", err)
				}
				connectOn(t, e, "atelier-test-withoutrule", "connected")
				return
			}
			if _, err := l.Launch(t.Context(), hostile(id("first"), "sleep")); err != nil { // makes the network
				t.Fatal(err)
			}
			connectOn(t, e, "atelier-test-withrule", "refused")
		})
	}
}

// connectOn runs a server and a client on a network and checks how that ends.
func connectOn(t *testing.T, e *client.Client, network, want string) {
	t.Helper()
	run := func(image string, command ...string) string {
		t.Helper()
		out, err := e.ContainerCreate(t.Context(), create(network, image, command))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, _ = e.ContainerRemove(context.Background(), out.ID, client.ContainerRemoveOptions{Force: true})
		})
		if _, err := e.ContainerStart(t.Context(), out.ID, client.ContainerStartOptions{}); err != nil {
			t.Fatal(err)
		}
		return out.ID
	}
	server := run(dockertest.Image, "serve", "8787")
	about, err := e.ContainerInspect(t.Context(), server, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	address := about.Container.NetworkSettings.Networks[network].IPAddress.String() + ":8787"
	got := ""
	await(t, "the outcome of "+address, func() bool {
		caller := run(dockertest.Hostile, "connect", address)
		wait := e.ContainerWait(t.Context(), caller, client.ContainerWaitOptions{})
		select {
		case <-wait.Result:
		case err := <-wait.Error:
			t.Fatal(err)
		}
		r, err := e.ContainerLogs(t.Context(), caller, client.ContainerLogsOptions{ShowStdout: true})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got = demux(t, r)
		// A server that does not listen yet is refused at once; a rule is silence.
		return want != "connected" || strings.HasPrefix(got, "connected")
	})
	if !strings.HasPrefix(got, want) {
		t.Errorf("from one container to another's %s: %q; want %q", address, got, want)
	}
}

// TestAnothersFolder: what belongs to one uid cannot be read by another, even
// if it is mounted; with the owner's uid it can.
func TestAnothersFolder(t *testing.T) {
	dockertest.Engine(t)
	root := t.TempDir()
	l := open(t, root, func(c *dockerlauncher.Config) { c.Mounts = dockerlauncher.Homes(root) })
	if os.Getuid() != 0 {
		t.Skip("giving a home to its user needs root")
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	id := named(t, l)
	home := launcher.Mount{Source: "/efs/fs-1.fsap-1", Target: "/home/alice"}
	work := func(name string, uid uint32, command ...string) launcher.Workload {
		return launcher.Workload{
			ID: id(name), Owner: name, Image: dockertest.Image, Command: command,
			User: launcher.User{UID: uid, GID: uid}, Mounts: []launcher.Mount{home},
		}
	}
	if text, s := says(t, l, work("alice", 10001, "write", "/home/alice/diary", "secret")); s.ExitCode != 0 {
		t.Fatalf("alice writes in her home: %q", text)
	}
	if text, s := says(t, l, work("mallory", 10002, "read", "/home/alice/diary")); s.ExitCode == 0 {
		t.Errorf("mallory reads alice's diary: %q", text)
	}
	if text, s := says(t, l, work("alice-again", 10001, "read", "/home/alice/diary")); text != "secret" {
		t.Errorf("alice reads her diary: %q, %+v", text, s)
	}
	info, err := os.Stat(filepath.Join(root, "fs-1.fsap-1"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the home is %v, %v; want mode 0700", info, err)
	}
}

// TestGroupsFolder: what is made in a folder of a group is the group's. Whoever
// has the group among their supplementary ones enters it, whatever their uid;
// who has not, does not, even if it is mounted.
func TestGroupsFolder(t *testing.T) {
	dockertest.Engine(t)
	root := t.TempDir()
	l := open(t, root, func(c *dockerlauncher.Config) { c.Mounts = dockerlauncher.Homes(root) })
	if os.Getuid() != 0 {
		t.Skip("giving a folder to a group needs root")
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	id := named(t, l)
	const gid = 10099
	work := func(name string, uid uint32, groups []uint32, command ...string) launcher.Workload {
		return launcher.Workload{
			ID: id(name), Owner: name, Image: dockertest.Image, Command: command,
			User:   launcher.User{UID: uid, GID: uid, Groups: groups},
			Mounts: []launcher.Mount{{Source: "/efs/fs-1.fsap-2", Target: "/projects/alpha", Group: gid}},
		}
	}
	if text, s := says(t, l, work("alice", 10001, []uint32{gid}, "write", "/projects/alpha/plan", "to share")); s.ExitCode != 0 {
		t.Fatalf("alice writes: %q", text)
	}
	if text, s := says(t, l, work("bob", 10002, []uint32{gid}, "read", "/projects/alpha/plan")); text != "to share" {
		t.Errorf("bob reads %q, %+v", text, s)
	}
	if text, s := says(t, l, work("carol", 10003, nil, "read", "/projects/alpha/plan")); s.ExitCode == 0 {
		t.Errorf("carol, who is not in the group, reads %q", text)
	}
	info, err := os.Stat(filepath.Join(root, "fs-1.fsap-2"))
	if err != nil || info.Mode().Perm() != 0o770 || info.Mode()&os.ModeSetgid == 0 {
		t.Errorf("the folder is %v, %v; want mode 2770", info.Mode(), err)
	}
	info, err = os.Stat(filepath.Join(root, "fs-1.fsap-2", "plan"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 10001 || owner.Gid != gid {
		t.Errorf("what alice wrote is %d:%d's; want 10001:%d", owner.Uid, owner.Gid, gid)
	}
}

// TestLimits: a session gets what it was given of processes, memory and disk,
// and no more; without the limit it gets more.
func TestLimits(t *testing.T) {
	dockertest.Engine(t)
	t.Run("ForkBomb", func(t *testing.T) {
		l := open(t, t.TempDir(), func(c *dockerlauncher.Config) { c.MaxProcesses = 50 })
		id := named(t, l)
		started := func(l *dockerlauncher.Launcher, name string) int {
			t.Helper()
			text, _ := says(t, l, hostile(id(name), "fork", "100"))
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(text, "started ")))
			if err != nil {
				t.Fatalf("the fork bomb says %q", text)
			}
			return n
		}
		if n := started(l, "bomb"); n >= 50 {
			t.Errorf("with at most 50 processes it started %d", n)
		}
		if n := started(open(t, t.TempDir()), "without"); n != 100 {
			t.Errorf("with the default it started %d of 100: the test proves nothing", n)
		}
	})
	t.Run("MemoryHog", func(t *testing.T) {
		l := open(t, t.TempDir())
		id := named(t, l)
		hog := launcher.Workload{ID: id("hog"), Owner: "a", Image: dockertest.Image, Command: []string{"allocate", "300"}, Resources: launcher.Resources{MilliCPU: 500, MemoryMiB: 128}}
		if _, s := says(t, l, hog); s.Reason != launcher.ErrOutOfMemory || s.ExitCode != 137 {
			t.Errorf("a hog of 300 in 128 MiB ended as %+v; want out of memory", s)
		}
		fits := hog
		fits.ID, fits.Resources.MemoryMiB = id("fits"), 512
		if _, s := says(t, l, fits); s.ExitCode != 0 {
			t.Errorf("300 in 512 MiB ended as %+v", s)
		}
		killed := launcher.Workload{ID: id("killed"), Owner: "a", Image: dockertest.Image, Command: []string{"wait"}}
		if _, err := l.Launch(t.Context(), killed); err != nil {
			t.Fatal(err)
		}
		if err := l.Stop(t.Context(), killed.ID, launcher.StopOptions{Signal: "SIGKILL"}); err != nil {
			t.Fatal(err)
		}
		s, err := launcher.Wait(t.Context(), l, killed.ID, func(s launcher.Status) bool { return s.Phase == launcher.Exited })
		if err != nil || s.ExitCode != 137 || s.Reason != "" {
			t.Errorf("what was killed ended as %+v, %v; want 137 without a reason", s, err)
		}
	})
	t.Run("FullDisk", func(t *testing.T) {
		l := open(t, t.TempDir(), func(c *dockerlauncher.Config) { c.DiskMiB = 20 })
		id := named(t, l)
		o := observe(t, l)
		for name, mib := range map[string]string{"full": "60", "modest": "5"} {
			if _, err := l.Launch(t.Context(), hostile(id(name), "fill", "/tmp/file", mib)); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "who fills the disk is killed", func() bool { return o.of(id("full")).Phase == launcher.Exited })
		if s := o.of(id("full")); s.Reason != launcher.ErrCapacity || !strings.Contains(s.Message, "20 MiB") {
			t.Errorf("who wrote 60 of 20 MiB ended as %+v; want a reason that says so", s)
		}
		if s := o.of(id("modest")); s.Phase != launcher.Running {
			t.Errorf("who wrote 5 of 20 MiB is %+v; want it running", s)
		}
	})
}

// TestSecretsAreNotShown: nothing that the engine shows of a container, running
// or exited, has a secret or the standard input in it, and what was kept on the
// host is empty once the container is gone.
func TestSecretsAreNotShown(t *testing.T) {
	e := dockertest.Engine(t)
	secrets := t.TempDir()
	l := open(t, t.TempDir(), func(c *dockerlauncher.Config) { c.SecretsDir = secrets })
	id := named(t, l)
	const secret, input = "correct-horse-battery", "staple-on-stdin"
	w := launcher.Workload{
		ID: id("a"), Owner: "alice", Image: dockertest.Image, Command: []string{"say", "ready", ";", "trap", "SIGTERM", "0"},
		User: launcher.User{UID: 10001, GID: 10001}, Secrets: map[string]string{"token": secret}, Stdin: []byte(input),
	}
	if _, err := l.Launch(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	hidden := func(when string) {
		t.Helper()
		out, err := e.ContainerInspect(t.Context(), string(w.ID), client.ContainerInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if text := string(out.Raw); strings.Contains(text, secret) || strings.Contains(text, input) {
			t.Errorf("%s, inspect shows a secret: %s", when, text)
		}
	}
	hidden("running")
	kept := filepath.Join(secrets, string(w.ID), "token")
	info, err := os.Stat(kept)
	if err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("the secret's file is %v, %v; want mode 0400", info, err)
	}
	other := w
	other.ID, other.Secrets, other.User.UID = id("b"), nil, 10002
	other.Command = []string{"read", "/run/secrets/token"}
	if text, s := says(t, l, other); s.ExitCode == 0 {
		t.Errorf("another container reads %q", text)
	}
	if err := l.Stop(t.Context(), w.ID, launcher.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := launcher.Wait(t.Context(), l, w.ID, func(s launcher.Status) bool { return s.Phase == launcher.Exited }); err != nil {
		t.Fatal(err)
	}
	hidden("exited")
	if err := l.Stop(t.Context(), w.ID, launcher.StopOptions{Forget: true}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(kept); err != nil || len(text) > 0 {
		t.Errorf("after its container was removed the secret's file is %q, %v; want it empty", text, err)
	}
}

// TestSecretsOfWhatNeverStarted: secrets do not outlive a container that could
// not be started, or that was stopped before it was.
func TestSecretsOfWhatNeverStarted(t *testing.T) {
	e := dockertest.Engine(t)
	secrets := t.TempDir()
	l := open(t, t.TempDir(), func(c *dockerlauncher.Config) { c.SecretsDir = secrets })
	id := named(t, l)
	emptied := func(id launcher.ID) {
		t.Helper()
		if text, err := os.ReadFile(filepath.Join(secrets, string(id), "token")); err != nil || len(text) > 0 {
			t.Errorf("the secret's file is %q, %v; want it empty", text, err)
		}
	}
	// The engine cannot start what is to have another's port.
	w := launcher.Workload{
		ID: id("first"), Owner: "alice", Image: dockertest.Image, Command: []string{"wait"},
		Ports: []launcher.Port{{Name: "http", Number: 8787, HostPort: 29787}},
	}
	if _, err := l.Launch(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	w.ID, w.Secrets = id("second"), map[string]string{"token": "horse"}
	if _, err := l.Launch(t.Context(), w); !errors.Is(err, launcher.ErrCapacity) {
		t.Errorf("with a port that is taken: %v", err)
	}
	emptied(w.ID)

	// Somebody has put the secret, and died.
	abandoned := func(w launcher.Workload) {
		t.Helper()
		dir := filepath.Join(secrets, string(w.ID))
		_, err := e.ContainerCreate(t.Context(), client.ContainerCreateOptions{
			Name: string(w.ID), Config: &container.Config{Image: dockertest.Image, Labels: map[string]string{
				"atelier.id": string(w.ID), "atelier.owner": "alice", "atelier.secrets": "token", "atelier.digest": w.Digest(),
			}},
			HostConfig: &container.HostConfig{Binds: []string{dir + ":/run/secrets"}},
		})
		if err := errors.Join(err, os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "token"), []byte("horse"), 0o400)); err != nil {
			t.Fatal(err)
		}
	}
	w.ID, w.Ports = id("half"), nil
	abandoned(w)
	if err := l.Stop(t.Context(), w.ID, launcher.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	emptied(w.ID)

	// Whoever takes it away to make another cannot make it.
	w.ID = id("again")
	abandoned(w)
	var made atomic.Int64
	full := open(t, t.TempDir(), func(c *dockerlauncher.Config) {
		var err error
		c.SecretsDir = secrets
		c.Client, err = client.New(client.FromEnv, client.WithHTTPRequestHook(func(r *http.Request) error {
			if strings.HasSuffix(r.URL.Path, "/containers/create") && made.Add(1) == 2 {
				return errors.New("no space left")
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
	})
	if _, err := full.Launch(t.Context(), w); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("with an engine that is full: %v", err)
	}
	await(t, "the secret is emptied", func() bool {
		file, err := os.Stat(filepath.Join(secrets, string(w.ID), "token"))
		return err == nil && file.Size() == 0
	})
	await(t, "what held its name is gone", func() bool {
		_, err := e.ContainerInspect(t.Context(), string(w.ID), client.ContainerInspectOptions{})
		return errdefs.IsNotFound(err)
	})
	if s, err := launcher.Get(t.Context(), l, w.ID); !errors.Is(err, launcher.ErrNotFound) {
		t.Errorf("there is %+v, %v", s, err)
	}
}

// TestVolumes: where a disk has a bound, an image does not declare its way
// around it.
func TestVolumes(t *testing.T) {
	e := dockertest.Engine(t)
	dir := t.TempDir()
	image := dockertest.Import(t, e, "atelier-test/volumes:1", `ENTRYPOINT ["/behaved"]`, "VOLUME /data/", "VOLUME /tmp")
	l := open(t, dir)
	id := named(t, l)
	w := launcher.Workload{ID: id("bounded"), Owner: "alice", Image: image, Command: []string{"exit", "0"}}
	if _, err := l.Launch(t.Context(), w); !errors.Is(err, launcher.ErrImage) || !strings.Contains(err.Error(), "(/data/, /tmp)") {
		t.Errorf("volumes that nobody bounds: %v", err)
	}
	for _, name := range []string{"data", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		w.Mounts = append(w.Mounts, launcher.Mount{Source: filepath.Join(dir, name), Target: "/" + name})
	}
	if _, err := l.Launch(t.Context(), w); err != nil {
		t.Errorf("with mounts in the volumes' place: %v", err)
	}
	free := open(t, dir, func(c *dockerlauncher.Config) { c.DiskMiB = -1 })
	if _, err := free.Launch(t.Context(), launcher.Workload{ID: id("free"), Owner: "alice", Image: image, Command: []string{"exit", "0"}}); err != nil {
		t.Errorf("without a bound: %v", err)
	}
}
