package positlauncher_test

import (
	"encoding/json"
	"io"
	"path"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// launcherMounts are the mounts of a user's job as the Launcher makes them of the
// launcher-mounts of a host whose shared storage is a project.
func launcherMounts(t *testing.T, w *fake.World, project, user string) (mounts []wire.Mount) {
	t.Helper()
	keys, err := workbench.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	c, err := workbench.Configuration{CallbackAddress: "http://10.0.0.5:8787", Keys: keys, SharedStorage: project}.For(t.Context(), w.Domain)
	if err != nil {
		t.Fatal(err)
	}
	files, err := c.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if path.Base(f.Path) != "launcher-mounts" {
			continue
		}
		for record := range strings.SplitSeq(strings.TrimSpace(string(f.Content)), "\n\n") {
			values := map[string]string{}
			for line := range strings.SplitSeq(record, "\n") {
				if key, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "#") {
					values[key] = strings.ReplaceAll(value, "{USER}", user)
				}
			}
			if len(values) == 0 { // a comment by itself
				continue
			}
			source, err := json.Marshal(map[string]string{"path": values["Path"]})
			if err != nil {
				t.Fatal(err)
			}
			mounts = append(mounts, wire.Mount{
				MountPath: values["MountPath"], ReadOnly: values["ReadOnly"] == "true", MountSource: wire.MountSource{Type: "host", Source: source},
			})
		}
	}
	if len(mounts) != 2 || mounts[0].MountPath != "/home/"+user || mounts[1].MountPath != "/projects/"+project {
		t.Fatalf("the mounts are %+v", mounts)
	}
	return mounts
}

// directory is a project's as a user has it on the Workbench host, whose account there
// has the groups of the user's projects.
func directory(t *testing.T, w *fake.World, p domain.Project, user string) *fakelauncher.Dir {
	t.Helper()
	root, err := w.Cloud.Files(p.Directory.FileSystem)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := root.Sub(strings.TrimPrefix(p.Directory.Path, "/"))
	if err != nil {
		t.Fatal(err)
	}
	for a, err := range workbench.Accounts(t.Context(), w.Domain) {
		if err != nil {
			t.Fatal(err)
		}
		if a.Name == user {
			who := launcher.User{UID: a.UID, GID: a.GID}
			for _, g := range a.Groups {
				if g.GID != 0 { // which no file has
					who.Groups = append(who.Groups, g.GID)
				}
			}
			return dir.As(who)
		}
	}
	t.Fatalf("the host has no account %s", user)
	return nil
}

// Sessions with the mounts of a host's configuration have its shared storage: what is
// written there in a session is on the host, and the other way round. Who is in none of
// the project's groups is refused, and has nothing of it on the host either.
func TestSharedStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{Users: map[string][]string{"alice": {"lab"}, "bob": {"lab"}, "carol": {"other"}}})
		common, err := w.Domain.CreateProject(t.Context(), domain.CreateProjectRequest{Name: "common", Groups: []string{"lab"}})
		if err != nil {
			t.Fatal(err)
		}
		l := serve(t, w, positlauncher.Config{})
		run := func(args ...string) string {
			t.Helper()
			id := l.submit(wire.Job{Exe: args[0], Args: args[1:], Mounts: launcherMounts(t, w, "common", "alice")})
			job := l.await(id, wire.Finished)
			log, err := w.Sessions.Logs(t.Context(), session.ID(id), launcher.LogOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			text, err := io.ReadAll(log)
			if err != nil || job["exitCode"] != float64(0) {
				t.Fatalf("%q: %v, it says %q (%v)", args, job, text, err)
			}
			return string(text)
		}
		run("write", "/projects/common/plan", "from a session")
		if text, err := directory(t, w, common, "alice").ReadFile("plan"); err != nil || string(text) != "from a session" {
			t.Errorf("on the host alice reads %q (%v)", text, err)
		}
		if err := directory(t, w, common, "bob").WriteFile("answer", []byte("from the host"), 0o640); err != nil {
			t.Fatal(err)
		}
		if text := run("read", "/projects/common/answer"); text != "from the host" {
			t.Errorf("in a session alice reads %q", text)
		}

		m := l.ask(wire.SubmitJobRequest, map[string]any{
			"username": "carol", "requestUsername": "carol", "job": wire.Job{Exe: "say", Args: []string{"hello"}, Mounts: launcherMounts(t, w, "common", "carol")},
		})
		if said, _ := m["errorMessage"].(string); !strings.Contains(said, "project common") || !strings.Contains(said, "lab") {
			t.Errorf("carol is answered %v", m)
		}
		if text, err := directory(t, w, common, "carol").ReadFile("answer"); err == nil {
			t.Errorf("on the host carol reads %q", text)
		}
	})
}

// Whether a mount may be written is the policy's to say: one that is read-only there is
// not written by a job that does not say so itself, and one that is not is refused to a
// job that wants it read-only, rather than given to be written.
func TestReadOnlyMount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{})
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		about, err := w.Domain.Describe(t.Context())
		check(err)
		files, err := efs.NewFromConfig(w.AWS, efs.Config{})
		check(err)
		other, err := files.EnsureFileSystem(t.Context(), efs.FileSystemSpec{Token: "another"})
		check(err)
		var subnets []efs.Subnet
		for _, s := range about.Subnets {
			subnets = append(subnets, efs.Subnet(s))
		}
		_, err = files.EnsureMountTargets(t.Context(), other.ID, subnets, []string{about.FileSystemSecurityGroup})
		check(err)
		dir, err := files.EnsureHome(t.Context(), efs.HomeSpec{FileSystem: other.ID, User: "data", UID: 300000, GID: 300000})
		check(err)
		may := func(readOnly bool) {
			t.Helper()
			check(w.Domain.SetPolicy(t.Context(), domain.Policy{Mounts: []domain.Mount{
				{Name: "data", Source: "/efs/" + other.ID + "." + dir.AccessPoint, ReadOnly: readOnly},
			}}))
		}
		l := serve(t, w, positlauncher.Config{})
		for _, c := range []struct {
			policy, job bool // read-only
			exit        float64
		}{{false, false, 0}, {true, false, 1}, {true, true, 1}} {
			may(c.policy)
			id := l.submit(wire.Job{Exe: "write", Args: []string{"/mnt/data/set", "numbers"}, Mounts: []wire.Mount{{MountPath: "/mnt/data", ReadOnly: c.job}}})
			if job := l.await(id, wire.Finished); job["exitCode"] != c.exit {
				t.Errorf("read-only in the policy: %t, in the job: %t: to write ends with %v, want %v", c.policy, c.job, job["exitCode"], c.exit)
			}
		}
		may(false)
		m := l.ask(wire.SubmitJobRequest, map[string]any{"job": wire.Job{Exe: "say", Mounts: []wire.Mount{{MountPath: "/mnt/data", ReadOnly: true}}}})
		if said, _ := m["errorMessage"].(string); m["errorCode"] != float64(wire.InvalidRequest) || !strings.Contains(said, `mount "/mnt/data": read-only`) {
			t.Errorf("what may be written is given as read-only: %v", m)
		}
	})
}
