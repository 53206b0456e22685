package session_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// The story of one session: the same home and image on another type.
func TestStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("analysis")
		q.Labels = map[string]string{"project": "genome"}

		first := started(t, m, q)
		if first.Generation != 1 || first.InstanceType != "t3.medium" || !first.PriceKnown || first.PricePerHour <= 0 ||
			first.Host == "" || first.Endpoints["http"] == "" || first.StartedAt.IsZero() || first.Labels["project"] != "genome" {
			t.Errorf("running: %+v", first)
		}
		if echo(t, m, "analysis") != "hello" {
			t.Error("the session does not answer")
		}

		s, err := m.Suspend(t.Context(), "analysis", session.Order{})
		check(t, err)
		if s.State != session.Suspending || s.Deadline.IsZero() {
			t.Errorf("Suspend returned %+v", s)
		}
		s, err = m.Wait(t.Context(), "analysis", session.Suspended)
		check(t, err)
		if len(w.live()) != 0 || s.Endpoints != nil {
			t.Errorf("suspended with %v live, %+v", w.live(), s)
		}
		if _, err := m.Dial(t.Context(), "analysis", "http"); !errors.Is(err, session.ErrState) {
			t.Errorf("Dial of a suspended session = %v", err)
		}

		// The tag moves on; the session does not.
		_, err = w.domain.Attach(t.Context(), domain.AttachRequest{Name: "custom", Reference: "registry.example.com/custom:1", Default: true})
		check(t, err)
		s, err = m.Resume(t.Context(), "analysis", session.ResumeRequest{InstanceType: "ml.r5.4xlarge"})
		check(t, err)
		if s.State != session.Pending || s.Generation != 2 {
			t.Errorf("Resume returned %+v", s)
		}
		second, err := m.Wait(t.Context(), "analysis", session.Running)
		check(t, err)
		synctest.Wait()
		if second.InstanceType != "r5.4xlarge" || second.Reference != first.Reference || second.Image != first.Image || second.PricePerHour <= first.PricePerHour {
			t.Errorf("resumed: %+v", second)
		}
		if got := output(t, m, "analysis"); got != "0\n1\n" {
			t.Errorf("the home holds %q, want what both generations made", got)
		}

		_, err = m.Stop(t.Context(), "analysis", session.Order{})
		check(t, err)
		s, err = m.Wait(t.Context(), "analysis", session.Stopped)
		check(t, err)
		if s.EndedAt.IsZero() || s.Reason != "" || s.ExitCode != 0 {
			t.Errorf("stopped: %+v", s)
		}
		if got := w.live(); len(got) != 0 {
			t.Errorf("%v live after the end", got)
		}
	})
}

func output(t testing.TB, m *session.Manager, id session.ID) string {
	t.Helper()
	r, err := m.Logs(t.Context(), id, launcher.LogOptions{Stream: launcher.Stdout})
	check(t, err)
	defer r.Close()
	text, err := io.ReadAll(r)
	check(t, err)
	return string(text)
}

func echo(t testing.TB, m *session.Manager, id session.ID) string {
	t.Helper()
	c, err := m.Dial(t.Context(), id, "http")
	check(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "hello")
	check(t, err)
	text := make([]byte, 5)
	_, err = io.ReadFull(c, text)
	check(t, err)
	return string(text)
}

// What a container is given follows from the session and its grant.
func TestWorkload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		_, err := w.domain.Onboard(t.Context(), domain.OnboardRequest{User: "alice", Login: "alice.smith"})
		check(t, err)
		q := request("s1")
		q.Size = domain.Size{MilliCPU: 500, MemoryMiB: 1024}
		q.Env = map[string]string{"LANG": "C"}
		q.Labels = map[string]string{"team": "x"}
		q.Command = strings.Fields("id ; cwd ; env HOME ; env USER ; env LOGNAME ; env LANG ; echo ; wait")
		q.Dir = "/tmp/work"
		q.Stdin = []byte("input\n")
		q.Kind = session.Kind{Name: "shell", Home: "/mnt/{user}/home", StopSignal: "SIGINT"}
		started(t, m, q)
		alice, err := w.domain.User(t.Context(), "alice")
		check(t, err)
		got := w.guard.workloads()[0]
		if got.ID != "research.s1.1" || got.Owner != "research/alice" || got.InstanceType != "t3.medium" || got.StopSignal != "SIGINT" ||
			got.Resources != (launcher.Resources{MilliCPU: 500, MemoryMiB: 1024}) || got.Sharing != launcher.PerOwner || len(got.Ports) != 0 {
			t.Errorf("workload %+v", got)
		}
		if got.User.UID != alice.UID || got.User.GID != alice.GID || alice.UID == 0 {
			t.Errorf("workload of %+v, want alice's %d", got.User, alice.UID)
		}
		if !strings.Contains(got.Image, "@sha256:") {
			t.Errorf("image %q is not by digest", got.Image)
		}
		home := launcher.Mount{Source: "/efs/" + alice.Home.FileSystem + "." + alice.Home.AccessPoint, Target: "/mnt/alice.smith/home"}
		if len(got.Mounts) != 1 || got.Mounts[0] != home {
			t.Errorf("mounts %+v, want %+v", got.Mounts, home)
		}
		for k, v := range map[string]string{"atelier.domain": "research", "atelier.session": "s1", "atelier.generation": "1", "team": "x"} {
			if got.Labels[k] != v {
				t.Errorf("label %s = %q, want %q", k, got.Labels[k], v)
			}
		}
		if text := output(t, m, "s1"); !strings.HasSuffix(text, "/tmp/work\n/mnt/alice.smith/home\nalice.smith\nalice.smith\nC\ninput\n") {
			t.Errorf("the container saw %q", text)
		}
	})
}

func TestRefusedByState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Command = strings.Fields("ignore SIGTERM ; wait")
		s := started(t, m, q)
		// Asking for what is already so does nothing.
		same, err := m.Resume(t.Context(), "s1", session.ResumeRequest{InstanceType: "ml.t3.medium"})
		check(t, err)
		if same.Generation != s.Generation || same.State != session.Running {
			t.Errorf("Resume of a running session: %+v", same)
		}
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{InstanceType: "r5.4xlarge"})
		fails(t, err, session.ErrState, "t3.medium", "suspend it first")
		fails(t, m.Delete(t.Context(), "s1", session.Order{}), session.ErrState, "running", "stop it first")
		_, err = m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Suspend(t.Context(), "s1", session.Order{})
		fails(t, err, session.ErrState, "stopping")
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		fails(t, err, session.ErrState, "stopping", "new session")
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		s, err = m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		if s.State != session.Stopped {
			t.Errorf("Stop of a stopped session: %+v", s)
		}
		_, err = m.Wait(t.Context(), "s1", session.Running)
		fails(t, err, session.ErrState, "stopped", "exit code 137")
		if _, err := m.Stop(t.Context(), "none", session.Order{}); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Stop of an unknown session = %v", err)
		}
	})
}

func TestListAndWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		for _, id := range []session.ID{"b", "a", "c"} {
			q := request(id)
			q.Labels = map[string]string{"of": string(id)}
			if id == "c" {
				q.User = "bob"
			}
			started(t, m, q)
		}
		_, err := m.Suspend(t.Context(), "a", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "a", session.Suspended)
		check(t, err)
		for want, f := range map[string]session.Filter{
			"a b c": {},
			"a b":   {User: "alice"},
			"b c":   {States: []session.State{session.Running}},
			"b":     {User: "alice", States: []session.State{session.Running, session.Starting}},
			"c":     {Labels: map[string]string{"of": "c"}},
			"":      {Labels: map[string]string{"of": "d"}},
			" b c":  {After: "a"},
			" b":    {After: "a1", User: "alice"},
		} {
			var listed, watched []string
			for s, err := range m.List(t.Context(), f) {
				check(t, err)
				listed = append(listed, string(s.ID))
			}
			for s, err := range m.Watch(t.Context(), f) {
				check(t, err)
				if s.ID == "" {
					break
				}
				watched = append(watched, string(s.ID))
			}
			if got := strings.Join(listed, " "); got != strings.TrimSpace(want) || !slices.Equal(listed, watched) {
				t.Errorf("%+v: listed %v, watched %v, want %q", f, listed, watched, want)
			}
		}
		// Then come the changes.
		var seen []session.State
		_, err = m.Resume(t.Context(), "a", session.ResumeRequest{})
		check(t, err)
		for s, err := range m.Watch(t.Context(), session.Filter{}) {
			check(t, err)
			if s.ID == "a" {
				seen = append(seen, s.State)
				if s.State == session.Running {
					break
				}
			}
		}
		if seen[len(seen)-1] != session.Running {
			t.Errorf("watched %v", seen)
		}
	})
}

// Logs are kept with a session's last container, and only with that.
func TestLogsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("s1"))
		_, err := m.Suspend(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)
		time.Sleep(30 * time.Minute)
		if got := output(t, m, "s1"); got != "0\n" {
			t.Errorf("logs of a suspended session: %q", got)
		}
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
		time.Sleep(5 * time.Minute)
		if _, err := launcher.Get(t.Context(), w.host, "research.s1.1"); !errors.Is(err, launcher.ErrNotFound) {
			t.Errorf("the old generation is not forgotten: %v", err)
		}
	})
}

func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, end := w.run(w.guard, session.Config{})
		q := request("s1")
		q.Command = []string{"exit", "0"}
		_, err := m.Start(t.Context(), q)
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		check(t, m.Delete(t.Context(), "s1", session.Order{}))
		if _, err := m.Get(t.Context(), "s1"); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Get after Delete = %v", err)
		}
		for s := range m.List(t.Context(), session.Filter{}) {
			t.Errorf("listed after Delete: %+v", s)
		}
		fails(t, m.Delete(t.Context(), "s1", session.Order{}), session.ErrNotFound)
		// A request that was under way does not start it anew.
		_, err = m.Start(t.Context(), q)
		fails(t, err, session.ErrConflict, "deleted")
		time.Sleep(5 * time.Minute)
		for s, err := range w.host.List(t.Context(), launcher.Filter{}) {
			t.Errorf("the launcher still keeps %v, %v", s.ID, err)
		}
		end()
		time.Sleep(24 * time.Hour)
		m = w.manager()
		time.Sleep(time.Minute)
		if n := countRecords(t, w, "domains/research/sessions"); n != 0 {
			t.Errorf("%d records are left a day later", n)
		}
		_, err = m.Start(t.Context(), q)
		check(t, err)
	})
}

func countRecords(t testing.TB, w *world, collection string) (n int) {
	t.Helper()
	for _, err := range w.store.List(t.Context(), collection, "") {
		check(t, err)
		n++
	}
	return n
}

func TestNewID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		seen := map[session.ID]bool{}
		for range 20 {
			id := session.NewID()
			if seen[id] {
				t.Errorf("%s twice", id)
			}
			seen[id] = true
			_, err := m.Start(t.Context(), request(id))
			check(t, err)
		}
	})
}

// TestCached: what is known without asking the store, and only while something runs.
func TestCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, end := w.run(w.guard, session.Config{})
		if _, ok := m.Cached("s1"); ok {
			t.Error("a session that is not there is known")
		}
		started(t, m, request("s1"))
		got, ok := m.Cached("s1")
		want, err := m.Get(t.Context(), "s1")
		check(t, err)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("known is %v, other than stored (-stored +known):\n%s", ok, diff)
		}
		_, err = m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		check(t, m.Delete(t.Context(), "s1", session.Order{}))
		if s, ok := m.Cached("s1"); ok {
			t.Errorf("a session that was deleted is known as %+v", s)
		}
		started(t, m, request("s2"))
		end()
		if s, ok := m.Cached("s2"); ok {
			t.Errorf("nothing runs, and %+v is known", s)
		}
	})
}
