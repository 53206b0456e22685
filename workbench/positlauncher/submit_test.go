package positlauncher_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A job that cannot be is refused with everything that is wrong with it, and then there
// is no session.
func TestRefusedJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{Policy: domain.Policy{Types: []string{"m5.*"}}})
		l := serve(t, w, positlauncher.Config{})
		other := 12345
		privileged := 80
		for name, c := range map[string]struct {
			job  wire.Job
			want []string
		}{
			"Nothing":    {wire.Job{}, []string{"a command or an exe"}},
			"Both":       {wire.Job{Command: "a", Exe: "b"}, []string{"not both"}},
			"Image":      {wire.Job{Exe: "say", Container: &wire.Container{Image: "absent"}}, []string{`image "absent"`, `"jobs"`}},
			"Uid":        {wire.Job{Exe: "say", Container: &wire.Container{RunAsUserID: &other}}, []string{"run as user 12345", "is 200001", "launcher-sessions-create-container-user=0"}},
			"Gid":        {wire.Job{Exe: "say", Container: &wire.Container{RunAsGroupID: &other}}, []string{"run as group 12345"}},
			"Capability": {wire.Job{Exe: "say", Container: &wire.Container{CapabilitiesAdd: []string{"SYS_ADMIN"}}}, []string{"SYS_ADMIN"}},
			"Type":       {wire.Job{Exe: "say", ResourceProfile: "r5.large"}, []string{"r5.large"}},
			"Profile":    {wire.Job{Exe: "say", ResourceProfile: "huge"}, []string{"huge"}},
			"Limit":      {wire.Job{Exe: "say", ResourceLimits: []wire.Limit{{Type: "cpuCount", Value: "many"}, {Type: "disk", Value: "1"}}}, []string{`cpuCount="many"`, `"disk"`}},
			"CPUTime":    {wire.Job{Exe: "say", ResourceLimits: []wire.Limit{{Type: "cpuTime", Value: "60"}}}, []string{"cpuTime", "leave it out"}},
			"TooLarge":   {wire.Job{Exe: "say", ResourceLimits: []wire.Limit{{Type: "cpuCount", Value: "1000"}}}, []string{"1000 vCPU"}},
			"Constraint": {wire.Job{Exe: "say", PlacementConstraints: []wire.Constraint{{Name: "zone", Value: "a"}, {Name: "market", Value: "black"}}}, []string{`"zone"`, `market="black"`, "spot"}},
			"Port":       {wire.Job{Exe: "say", ExposedPorts: []wire.Port{{TargetPort: 0}, {TargetPort: 8787, Protocol: "UDP"}}}, []string{"port 0", "UDP"}},
			"Published":  {wire.Job{Exe: "say", ExposedPorts: []wire.Port{{TargetPort: 8787, PublishedPort: &privileged}}}, []string{"published at 80", "1024"}},
			"Variable":   {wire.Job{Exe: "say", Environment: []wire.Env{{Name: "A=B", Value: "c"}}}, []string{"environment variable 1 of 1"}},
			"Mount":      {wire.Job{Exe: "say", Mounts: []wire.Mount{{MountPath: "/etc"}}}, []string{`mount "/etc"`, "/projects/"}},
			"OthersHome": {wire.Job{Exe: "say", Mounts: []wire.Mount{{MountPath: "/home/alice", MountSource: wire.MountSource{Type: "nfs", Source: json.RawMessage(`{"path":"/home/bob"}`)}}}}, []string{"/home/bob", "the user's own"}},
			"ReadOnly": {wire.Job{Exe: "say", Mounts: []wire.Mount{{MountPath: "/home/alice", ReadOnly: true}, {MountPath: "/projects/genome", ReadOnly: true}}},
				[]string{`mount "/home/alice": read-only`, `mount "/projects/genome": read-only`}},
			"Queue":       {wire.Job{Exe: "say", Queues: []string{"long"}}, []string{`"long"`}},
			"Init":        {wire.Job{Exe: "say", InitContainers: []wire.InitContainer{{Name: "x"}}}, []string{"init containers"}},
			"Config":      {wire.Job{Exe: "say", Config: []wire.Setting{{Name: "x"}}}, []string{`config "x"`}},
			"Dir":         {wire.Job{Exe: "say", WorkingDirectory: "work"}, []string{`"work"`, "absolute"}},
			"Everything":  {wire.Job{Queues: []string{"long"}, ResourceProfile: "custom", ExposedPorts: []wire.Port{{TargetPort: 70000}}}, []string{"a command or an exe", `"long"`, "70000"}},
			"ManyOfOne":   {wire.Job{Exe: "say", ExposedPorts: []wire.Port{{TargetPort: 8787}, {TargetPort: 8787}}}, []string{"twice"}},
			"NullInArgs":  {wire.Job{Exe: "say", Environment: []wire.Env{{Name: "A", Value: "a\x00b"}}}, []string{"NUL"}},
			"MountPolicy": {wire.Job{Exe: "say", Mounts: []wire.Mount{{MountPath: "/mnt/genomes"}}}, []string{"genomes"}},
			"Project":     {wire.Job{Exe: "say", Mounts: []wire.Mount{{MountPath: "/projects/genome"}}}, []string{"genome"}},
		} {
			m := l.ask(wire.SubmitJobRequest, map[string]any{"job": c.job})
			said, _ := m["errorMessage"].(string)
			if m["errorCode"] != float64(wire.InvalidRequest) {
				t.Errorf("%s: %v, want it refused", name, m)
			}
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("%s: %q does not say %q", name, said, want)
				}
			}
		}
		for name, user := range map[string]string{"Nobody": "", "Everybody": "*", "Path": "../alice", "Unknown": "carol"} {
			m := l.ask(wire.SubmitJobRequest, map[string]any{"username": "*", "job": wire.Job{User: user, Exe: "say"}})
			if m["errorCode"] != float64(wire.InvalidRequest) {
				t.Errorf("%s: %v, want it refused", name, m)
			}
		}
		for s, err := range w.Sessions.List(t.Context(), session.Filter{}) {
			t.Errorf("there is a session %s (%v)", s.ID, err)
		}
	})
}

// The Launcher knows users by their logins: jobs are of the user who has it in the domain,
// whose home is by it, and are told again by it. Whose name in the domain another one is,
// and whose login one was, is nobody's.
func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{})
		if _, err := w.Domain.Onboard(t.Context(), domain.OnboardRequest{User: "alice", Login: "jane.doe"}); err != nil {
			t.Fatal(err)
		}
		l := serve(t, w, positlauncher.Config{MetricsInterval: -1})
		submit := func(user string) map[string]any {
			job := wire.Job{Exe: "env", Args: strings.Fields("HOME ; env USER ; env LOGNAME ; cwd")}
			job.Environment = []wire.Env{{Name: "USER", Value: "root"}, {Name: "LOGNAME", Value: "root"}}
			source, err := json.Marshal(map[string]string{"path": "/home/" + user})
			if err != nil {
				t.Fatal(err)
			}
			job.Mounts = []wire.Mount{{MountPath: "/home/" + user, MountSource: wire.MountSource{Type: "host", Source: source}}}
			job.WorkingDirectory = "/home/" + user
			return l.ask(wire.SubmitJobRequest, map[string]any{"username": user, "job": job})
		}
		m := submit("jane.doe")
		if m["jobs"] == nil {
			t.Fatalf("%v", m)
		}
		job := m["jobs"].([]any)[0].(map[string]any)
		id := session.ID(job["id"].(string))
		if s, err := w.Sessions.Wait(t.Context(), id, session.Stopped); err != nil || job["user"] != "jane.doe" || s.User != "alice" {
			t.Errorf("%v is %s's (%v)", job, s.User, err)
		}
		log, err := w.Sessions.Logs(t.Context(), id, launcher.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		if text, err := io.ReadAll(log); err != nil || string(text) != "/home/jane.doe\njane.doe\njane.doe\n/home/jane.doe\n" {
			t.Errorf("its process has %q (%v)", text, err)
		}
		for user, jobs := range map[string]int{"jane.doe": 1, "alice": 0, "*": 1} {
			told := l.ask(wire.JobStateRequest, map[string]any{"username": user, "jobId": "*"})["jobs"].([]any)
			if len(told) != jobs || jobs > 0 && told[0].(map[string]any)["user"] != "jane.doe" {
				t.Errorf("%s is told of %v", user, told)
			}
		}
		m = l.ask(wire.ClusterInfoRequest, map[string]any{"username": "jane.doe"})
		if images, _ := m["images"].([]any); len(images) != 1 {
			t.Errorf("jane.doe may have %v", m)
		}
		for _, name := range []string{"alice", "../bob", "a b", "{user}", "Jane.Doe", "root", "stranger"} {
			if m := submit(name); m["errorCode"] != float64(wire.InvalidRequest) || m["errorMessage"] == "" {
				t.Errorf("%s: %v", name, m)
			}
			if m := l.ask(wire.ClusterInfoRequest, map[string]any{"username": name}); m["errorCode"] != float64(wire.InvalidRequest) {
				t.Errorf("%s may have %v", name, m)
			}
		}
	})
}

// A program that fails where the plugin asks it does not take the plugin with it.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, world(t, fake.Config{}), positlauncher.Config{MetricsInterval: -1, Reload: func(context.Context) (positlauncher.Config, error) {
			panic("out of order")
		}})
		if m := l.ask(wire.ConfigReloadRequest, nil); m["errorCode"] != float64(wire.Unknown) || m["errorMessage"] == "" {
			t.Errorf("%v", m)
		}
		l.submit(wire.Job{Exe: "say", Args: []string{"hello"}})
	})
}

// What a job asks for is what its session has.
func TestTranslation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{})
		profiles := []positlauncher.Profile{
			{Name: "small", DisplayName: "Small", Size: domain.Size{MilliCPU: 500, MemoryMiB: 1024}, Market: launcher.Spot},
			{Name: "whole", InstanceType: "m5.large"},
		}
		l := serve(t, w, positlauncher.Config{Profiles: profiles, Default: domain.Size{MilliCPU: 250, MemoryMiB: 512}})
		uid := 200001
		text := func(s session.Session) string {
			return fmt.Sprintf("%s %v %s %v %s %s %v", s.User, s.InstanceType, s.Size, s.Market, s.Image, s.Kind.Name, s.Kind.Ports)
		}
		for name, c := range map[string]struct {
			job  wire.Job
			want string
		}{
			"Default": {wire.Job{Exe: "say"}, "alice t3a.micro 0.25 vCPU, 0.5 GiB  jobs job []"},
			"Limits": {
				wire.Job{Exe: "say", ResourceProfile: "custom", ResourceLimits: []wire.Limit{{Type: "cpuCount", Value: "1.5"}, {Type: "memory", Value: "2000"}, {Type: "cpuTime", Value: "0"}}},
				"alice t3a.medium 1.5 vCPU, 1.86 GiB  jobs job []",
			},
			"Profile": {wire.Job{Exe: "say", ResourceProfile: "small"}, "alice t3a.small 0.5 vCPU, 1 GiB spot jobs job []"},
			"Whole":   {wire.Job{Exe: "say", ResourceProfile: "whole", ResourceLimits: []wire.Limit{{Type: "cpuCount", Value: "1"}}}, "alice m5.large 0 vCPU, 0 GiB  jobs job []"},
			"Market": {
				wire.Job{Exe: "say", ResourceProfile: "whole", PlacementConstraints: []wire.Constraint{{Name: "market", Value: "spot-or-on-demand"}}},
				"alice m5.large 0 vCPU, 0 GiB spot-or-on-demand jobs job []",
			},
			"Port": {
				wire.Job{Exe: "serve", Args: []string{"8787"}, User: "bob", Container: &wire.Container{Image: "jobs", RunAsUserID: &uid}, ExposedPorts: []wire.Port{{TargetPort: 8787, Protocol: "tcp"}}},
				"alice t3a.micro 0.25 vCPU, 0.5 GiB  jobs workbench [{p8787 8787 8787}]",
			},
			"Home": {
				wire.Job{Exe: "say", Mounts: []wire.Mount{{MountPath: "/home/alice/", MountSource: wire.MountSource{Type: "host", Source: json.RawMessage(`{"path":"/home/alice"}`)}}}},
				"alice t3a.micro 0.25 vCPU, 0.5 GiB  jobs job []",
			},
		} {
			s, err := w.Sessions.Get(t.Context(), session.ID(l.submit(c.job)))
			if err != nil {
				t.Fatal(err)
			}
			if got := text(s); got != c.want {
				t.Errorf("%s: %s\nwant %s", name, got, c.want)
			}
			if s.Last.By != "alice" || s.Labels["workbench-cluster"] != "EC2" {
				t.Errorf("%s: asked for by %q, labels %v", name, s.Last.By, s.Labels)
			}
		}
	})
}

// A session that the domain suspends, as nobody uses it, is a job that has ended: the
// product starts another for it. So is one whose host AWS takes back.
func TestEndedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{Policy: domain.Policy{Idle: []domain.IdleRule{{After: time.Hour}}}})
		l := serve(t, w, positlauncher.Config{MetricsInterval: -1})
		id := l.submit(wire.Job{Exe: "serve", Args: []string{"8787"}, Stdin: "x\n", ExposedPorts: []wire.Port{{TargetPort: 8787}}})
		l.await(id, wire.Running)
		time.Sleep(2 * time.Hour)
		job := l.await(id, wire.Finished)
		if job["exitCode"] != float64(143) || !strings.Contains(job["statusMessage"].(string), "nobody has used it for 1h") {
			t.Errorf("idle, it is %v", job)
		}
		s, err := w.Sessions.Wait(t.Context(), session.ID(id), session.Stopped)
		if err != nil || s.Last.By != "workbench" {
			t.Errorf("its session is %s, asked by %q (%v); want it stopped", s.State, s.Last.By, err)
		}

		id = l.submit(wire.Job{Exe: "wait", PlacementConstraints: []wire.Constraint{{Name: "market", Value: "spot"}}})
		l.await(id, wire.Running)
		running, err := w.Sessions.Get(t.Context(), session.ID(id))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Cloud.Interrupt(running.Host); err != nil {
			t.Fatal(err)
		}
		if job := l.await(id, wire.Killed); job["statusCode"] != string(launcher.ErrInterrupted) {
			t.Errorf("interrupted, it is %v", job)
		}
		if _, err := w.Sessions.Wait(t.Context(), session.ID(id), session.Stopped); err != nil {
			t.Error(err)
		}
	})
}

// A job that this machine has a connection to is in use, whatever else is known of it.
func TestConnectedIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{Policy: domain.Policy{Idle: []domain.IdleRule{{After: time.Hour}}}})
		var mu sync.Mutex
		to := map[netip.AddrPort]bool{}
		c := positlauncher.Config{MetricsInterval: -1}.WithConnections(func() (map[netip.AddrPort]bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return maps.Clone(to), nil
		})
		l := serve(t, w, c)
		id := l.submit(wire.Job{Exe: "serve", Args: []string{"8787"}, Stdin: "x\n", ExposedPorts: []wire.Port{{TargetPort: 8787}}})
		l.await(id, wire.Running)
		s, err := w.Sessions.Get(t.Context(), session.ID(id))
		if err != nil {
			t.Fatal(err)
		}
		connect := func(yes bool) {
			mu.Lock()
			defer mu.Unlock()
			to[netip.MustParseAddrPort(s.Endpoints["p8787"])] = yes
		}
		connect(true)
		time.Sleep(3 * time.Hour)
		l.await(id, wire.Running)
		connect(false)
		time.Sleep(2 * time.Hour)
		l.await(id, wire.Finished)
	})
}

// A job that has ended is told of for as long as it is kept, and its session deleted
// then; one that runs is not, however old.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{})
		l := serve(t, w, positlauncher.Config{JobExpiry: time.Hour, MetricsInterval: -1})
		ended := l.submit(wire.Job{Exe: "say", Args: []string{"hello"}})
		runs := l.submit(wire.Job{Exe: "wait"})
		l.await(ended, wire.Finished)
		l.await(runs, wire.Running)
		jobs := func() int { return len(l.ask(wire.JobStateRequest, map[string]any{"jobId": "*"})["jobs"].([]any)) }
		time.Sleep(58 * time.Minute)
		if n := jobs(); n != 2 {
			t.Errorf("%d jobs within the hour", n)
		}
		time.Sleep(5 * time.Minute)
		if n := jobs(); n != 1 {
			t.Errorf("%d jobs after it", n)
		}
		if m := l.ask(wire.JobStateRequest, map[string]any{"jobId": ended}); m["errorCode"] != float64(wire.JobNotFound) {
			t.Errorf("the old one is %v", m)
		}
		if _, err := w.Sessions.Get(t.Context(), session.ID(ended)); err == nil {
			t.Error("its session is still there")
		}
	})
}

// A configuration that is read anew holds from then on, but for what a plugin keeps;
// one that makes no sense does not.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var next positlauncher.Config
		var failure error
		reload := func() (positlauncher.Config, error) { return next, failure }
		first := positlauncher.Config{Cluster: "EC2"}
		first.Reload = func(ctx context.Context) (positlauncher.Config, error) { return reload() }
		l := serve(t, world(t, fake.Config{}), first)
		ask := func() string {
			m := l.ask(wire.ConfigReloadRequest, nil)
			return fmt.Sprint(m["errorType"], " ", m["errorMessage"])
		}
		profiles := func() []any {
			return l.ask(wire.ClusterInfoRequest, nil)["resourceProfiles"].([]any)
		}
		failure = errors.New("no such file")
		if got := ask(); got != "1 no such file" {
			t.Error(got)
		}
		failure, next = nil, positlauncher.Config{Profiles: []positlauncher.Profile{{Name: "custom"}}, Reload: first.Reload}
		if got := ask(); !strings.HasPrefix(got, "2 ") {
			t.Error(got)
		}
		if n := len(profiles()); n < 10 {
			t.Errorf("%d profiles after what makes no sense", n)
		}
		next = positlauncher.Config{Cluster: "other", Profiles: []positlauncher.Profile{{Name: "small", InstanceType: "t3.small"}}, Reload: first.Reload}
		if got := ask(); got != "0 " {
			t.Error(got)
		}
		if got := profiles(); len(got) != 1 || got[0].(map[string]any)["name"] != "small" {
			t.Errorf("the profiles are %v", got)
		}
		if m := l.ask(wire.SubmitJobRequest, map[string]any{"job": wire.Job{Exe: "say", ResourceProfile: "small"}}); m["jobs"].([]any)[0].(map[string]any)["cluster"] != "EC2" {
			t.Errorf("%v", m)
		}
	})
}

func TestBadConfig(t *testing.T) {
	err := positlauncher.Serve(t.Context(), nil, nil, nil, positlauncher.Config{
		JobExpiry: -1, MaxMessage: -1, Profiles: []positlauncher.Profile{{}, {Name: "custom", InstanceType: "x"}, {Name: "a", InstanceType: "x"}, {Name: "a", InstanceType: "x"}},
	})
	for _, want := range []string{"cluster", "job expiry", "max message", `profile ""`, `profile "custom"`, `profile "a"`, "needs an instance type"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
