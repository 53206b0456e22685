package session_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
	"github.com/atelier-go/atelier/session"
)

// lab is a world with alice and bob in group "lab" and carol in none, in which
// sessions do what package behave can.
func lab(t *testing.T) *fake.World {
	t.Helper()
	return fake.New(t, fake.Config{
		Users:  map[string][]string{"alice": {"lab"}, "bob": {"lab"}, "carol": nil},
		Images: map[string]fakelauncher.Program{"tools": behave.Program},
	})
}

// says runs a session of a user to its end and returns what it wrote.
func says(t *testing.T, w *fake.World, id session.ID, user string, change func(*session.StartRequest), command ...string) (string, session.Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	q := session.StartRequest{ID: id, User: user, InstanceType: "t3.medium", Command: command, Kind: session.Kind{Name: "job"}}
	change(&q)
	_, err := w.Sessions.Start(ctx, q)
	check(t, err)
	s, err := w.Sessions.Wait(ctx, id, session.Stopped, session.Failed)
	check(t, err)
	log, err := w.Sessions.Logs(ctx, id, launcher.LogOptions{})
	check(t, err)
	defer log.Close()
	text, err := io.ReadAll(log)
	check(t, err)
	return string(text), s
}

// TestProject: two members of a group exchange files through a project, each in
// a session of their own; one who is no member is refused. The hosts are fakes,
// but keep owners, groups and modes as Linux does, set-group-ID included: that
// bob reads what alice wrote is due to the group, and that nobody else may enter,
// to its absence. What a Docker Engine makes of groups, its launcher's
// TestGroupsFolder tells.
func TestProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := lab(t)
		ctx := within(t, 10*time.Hour)
		alpha, err := w.Domain.CreateProject(ctx, domain.CreateProjectRequest{Name: "alpha", Groups: []string{"lab"}})
		check(t, err)
		with := func(q *session.StartRequest) { q.Projects = []string{"alpha"} }
		text, s := says(t, w, "writes", "alice", with, "write", "/projects/alpha/plan", "to share", ";", "id")
		if s.ExitCode != 0 || !slices.Equal(s.Projects, []string{"alpha"}) {
			t.Fatalf("alice writes: %q, %+v", text, s)
		}
		alice, err := w.Domain.User(ctx, "alice")
		check(t, err)
		if want := "groups=" + fmt.Sprint(alpha.GID); !strings.Contains(text, want) || !strings.Contains(text, "uid="+fmt.Sprint(alice.UID)) {
			t.Errorf("alice's session is %q, want her uid and %s", text, want)
		}
		if text, s := says(t, w, "reads", "bob", with, "read", "/projects/alpha/plan", ";", "write", "/projects/alpha/answer", "yes"); text != "to share" || s.ExitCode != 0 {
			t.Errorf("bob reads %q, %+v", text, s)
		}
		if text, _ := says(t, w, "answered", "alice", with, "read", "/projects/alpha/answer"); text != "yes" {
			t.Errorf("alice reads %q", text)
		}
		// Without asking for it, bob has neither directory nor group.
		if text, s := says(t, w, "without", "bob", func(*session.StartRequest) {}, "id", ";", "read", "/projects/alpha/plan"); s.ExitCode == 0 || strings.Contains(text, fmt.Sprint(alpha.GID)) {
			t.Errorf("without the project bob's session says %q, %+v", text, s)
		}
		q := session.StartRequest{ID: "refused", User: "carol", InstanceType: "t3.medium", Projects: []string{"alpha"}}
		_, err = w.Sessions.Start(ctx, q)
		fails(t, err, domain.ErrNotAllowed, "project alpha", "for members of lab")
		_, err = w.Sessions.Get(ctx, "refused")
		fails(t, err, session.ErrNotFound)
		// Nor would the directory let her in.
		who := launcher.User{UID: 200999, GID: 200999}
		dir, err := w.Cloud.Files(alpha.Directory.FileSystem)
		check(t, err)
		if _, err := dir.As(who).ReadFile("shared/alpha/plan"); err == nil {
			t.Error("a stranger enters the directory")
		}
		info, err := dir.Stat("shared/alpha/plan")
		check(t, err)
		if owner := info.Sys().(launcher.User); owner.UID != alice.UID || owner.GID != alpha.GID {
			t.Errorf("what alice wrote is %+v's", owner)
		}
	})
}

// TestProjectLost: a session whose project is lost while it is suspended is not
// resumed, and the refusal says so.
func TestProjectLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := within(t, 10*time.Hour)
		_, err := w.domain.Onboard(ctx, domain.OnboardRequest{User: "alice", Groups: []string{"lab"}})
		check(t, err)
		_, err = w.domain.CreateProject(ctx, domain.CreateProjectRequest{Name: "alpha", Groups: []string{"lab"}})
		check(t, err)
		m := w.manager()
		q := request("s1")
		q.Projects = []string{"alpha"}
		started(t, m, q)
		_, err = m.Suspend(ctx, "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(ctx, "s1", session.Suspended)
		check(t, err)
		check(t, w.domain.SetProjectGroups(ctx, "alpha", nil))
		_, err = m.Resume(ctx, "s1", session.ResumeRequest{})
		fails(t, err, domain.ErrNotAllowed, "project alpha", "for members of none")
		check(t, w.domain.SetProjectGroups(ctx, "alpha", []string{"lab"}))
		_, err = m.Resume(ctx, "s1", session.ResumeRequest{})
		check(t, err)
		s, err := m.Wait(ctx, "s1", session.Running)
		check(t, err)
		if !slices.Equal(s.Projects, []string{"alpha"}) {
			t.Errorf("resumed with %v", s.Projects)
		}
		launched := w.guard.workloads()
		if diff := cmp.Diff(launched[0].Mounts, launched[1].Mounts); diff != "" {
			t.Errorf("resumed with other mounts:\n%s", diff)
		}
	})
}

// TestMounts: a session has what the domain's policy lists, as it says it is, and
// nothing else. Of another file system hosts reach the mount targets whose
// security groups let them.
func TestMounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := lab(t)
		ctx := within(t, 10*time.Hour)
		about, err := w.Domain.Describe(ctx)
		check(t, err)
		files, err := efs.NewFromConfig(w.AWS, efs.Config{})
		check(t, err)
		other, err := files.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: "another"})
		check(t, err)
		var subnets []efs.Subnet
		for _, s := range about.Subnets {
			subnets = append(subnets, efs.Subnet(s))
		}
		_, err = files.EnsureMountTargets(ctx, other.ID, subnets, []string{about.FileSystemSecurityGroup})
		check(t, err)
		alice, err := w.Domain.User(ctx, "alice")
		check(t, err)
		dir, err := files.EnsureHome(ctx, efs.HomeSpec{FileSystem: other.ID, User: "data", UID: 300000, GID: 300000})
		check(t, err)

		with := func(q *session.StartRequest) { q.Mounts = []string{"data"} }
		q := session.StartRequest{ID: "refused", User: "alice", InstanceType: "t3.medium", Mounts: []string{"data"}}
		_, err = w.Sessions.Start(ctx, q)
		fails(t, err, domain.ErrNotAllowed, "mounts data", "Policy.Mounts")

		data := domain.Mount{Name: "data", Source: "/efs/" + other.ID + "." + dir.AccessPoint}
		check(t, w.Domain.SetPolicy(ctx, domain.Policy{Mounts: []domain.Mount{data}}))
		if text, s := says(t, w, "writes", "alice", with, "write", "/mnt/data/set", "numbers"); s.ExitCode != 0 || !slices.Equal(s.Mounts, []string{"data"}) {
			t.Fatalf("%q, %+v", text, s)
		}
		data.ReadOnly = true
		check(t, w.Domain.SetPolicy(ctx, domain.Policy{Mounts: []domain.Mount{data}}))
		if text, s := says(t, w, "reads", "bob", with, "read", "/mnt/data/set", ";", "write", "/mnt/data/set", "others"); text == "" || s.ExitCode == 0 || !strings.HasPrefix(text, "numbers") {
			t.Errorf("read-only: %q, %+v", text, s)
		}
		// A home is nobody else's, whatever the policy lists.
		data.Source = "/efs/" + alice.Home.FileSystem + "." + alice.Home.AccessPoint
		check(t, w.Domain.SetPolicy(ctx, domain.Policy{Mounts: []domain.Mount{data}}))
		q.User = "bob"
		_, err = w.Sessions.Start(ctx, q)
		fails(t, err, domain.ErrNotAllowed, "the domain's own file system")
		q.Mounts, q.Projects, q.Kind = []string{"data"}, []string{"alpha"}, session.Kind{Name: "odd", Home: "/mnt"}
		_, err = w.Sessions.Start(ctx, q)
		fails(t, err, session.ErrInvalid, "/mnt/ is where")
	})
}
