package positlauncher

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// grace is how long a job that is asked to end may take before it is killed.
const grace = 30 * time.Second

// marketConstraint is the placement constraint by which a job says how its host may be
// bought.
const marketConstraint = "market"

var markets = map[string]launcher.Market{
	"on-demand": launcher.OnDemand, "spot": launcher.Spot, "spot-or-on-demand": launcher.SpotOrOnDemand,
}

// submit starts the session of a job and answers with the job.
func (s *server) submit(ctx context.Context, q wire.Request) (message, error) {
	if q.Job == nil {
		return nil, wire.Errorf(wire.InvalidRequest, "a job to submit is missing")
	}
	job := *q.Job
	if q.Username != wire.All && q.Username != "" {
		job.User = q.Username // whoever else the job names
	}
	start, err := s.translate(ctx, job)
	if err != nil {
		return nil, err
	}
	start.Order = order(q, "submitted through Workbench")
	s.board.hold(start.ID)
	defer s.board.release(start.ID)
	began, err := s.manager.Start(ctx, start)
	if err != nil {
		return nil, err
	}
	told, ok := s.board.put(began)
	if !ok {
		return nil, errNoJob(string(start.ID))
	}
	s.answer(q, &wire.JobState{Header: wire.Header{Type: wire.JobStateResponse}, Jobs: []wire.Job{told}})
	return nil, nil // it is answered, before its status is told of
}

// order is who asks for what a request asks, as the audit record is to have it.
func order(q wire.Request, why string) session.Order {
	by := cmp.Or(q.RequestUsername, q.Username)
	printable := func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}
	return session.Order{By: fmt.Sprintf("%.40s", strings.Map(printable, by)), Why: why}
}

// translate is a job as a session is asked for. It reports everything that is wrong
// with the job at once.
func (s *server) translate(ctx context.Context, job wire.Job) (session.StartRequest, error) {
	t := &translation{job: job}
	if job.User == "" || job.User == wire.All {
		return session.StartRequest{}, wire.Errorf(wire.InvalidRequest, "user %.40q: a job runs as one user", job.User)
	}
	cfg := s.config()
	member, err := s.manager.Domain().UserByLogin(ctx, job.User)
	if err != nil {
		return session.StartRequest{}, err
	}
	if job.ResourceProfile != "" && job.ResourceProfile != wire.CustomProfile {
		job.ResourceLimits = nil // the profile decides, and nothing else is told
	}
	kept, err := keepsake(job)
	if err != nil {
		return session.StartRequest{}, wire.Errorf(wire.InvalidRequest, "the job cannot be kept: %v", err)
	}
	r := session.StartRequest{
		ID: session.NewID(), User: member.Name, Dir: cleanDir(job.WorkingDirectory), Stdin: []byte(job.Stdin),
		OnInterruption: session.StaySuspended,
		Labels:         map[string]string{clusterLabel: cfg.Cluster},
		Annotations:    map[string]string{jobAnnotation: kept},
	}
	for image, err := range s.manager.Domain().Images(ctx) {
		if err != nil {
			return r, err
		}
		t.images = append(t.images, image)
	}
	about, err := s.manager.Domain().Describe(ctx)
	if err != nil {
		return r, err
	}
	t.policy = about.Policy
	r.Image = t.image()
	t.room(&r, cfg)
	r.Kind = t.kind()
	r.Entrypoint, r.Command = t.command()
	r.Env = t.environment()
	r.Projects, r.Mounts = t.mounts("/home/" + member.Login)
	t.identity(member)
	t.unsupported()
	if len(t.problems) > 0 {
		return r, wire.Errorf(wire.InvalidRequest, "%v", errors.Join(t.problems...))
	}
	return r, nil
}

// A translation is the making of a session's request from a job.
type translation struct {
	job      wire.Job
	images   []domain.Image // of the domain
	policy   domain.Policy  // likewise
	problems []error
}

func (t *translation) bad(format string, args ...any) {
	t.problems = append(t.problems, fmt.Errorf(format, args...))
}

// cleanDir is a working directory as sessions want it.
func cleanDir(dir string) string {
	if !path.IsAbs(dir) {
		return dir // none, or one that the session's manager refuses
	}
	return path.Clean(dir)
}

// image is the domain's name of the job's image, by which it may be named, or by the
// reference that it was attached by, or by digest.
func (t *translation) image() string {
	if t.job.Container == nil || t.job.Container.Image == "" {
		return ""
	}
	wanted := t.job.Container.Image
	var names []string
	for _, i := range t.images {
		if wanted == i.Name || wanted == i.Source || wanted == i.Reference.String() {
			return i.Name
		}
		names = append(names, i.Name)
	}
	t.bad("image %.200q: is not one of the domain; want one of %.40q", wanted, names)
	return ""
}

// room says on what a job runs, and with how much of it.
func (t *translation) room(r *session.StartRequest, cfg Config) {
	switch name := t.job.ResourceProfile; name {
	case "", wire.CustomProfile:
		if cfg.ProfilesOnly {
			t.bad("resource profile: limits of its own are not for a job here; want the name of a profile")
		}
		r.Size = t.limits(cfg.Default)
	default:
		p, ok := cfg.profile(name)
		if !ok {
			t.bad("resource profile %.60q: there is none of that name; want another, or %q with limits", name, wire.CustomProfile)
		}
		r.InstanceType, r.Size, r.Market = p.InstanceType, p.Size, p.Market
	}
	for _, c := range t.job.PlacementConstraints {
		market, ok := markets[string(c.Value)]
		switch {
		case c.Name != marketConstraint:
			t.bad("placement constraint %.60q: there is only %q", c.Name, marketConstraint)
		case !ok:
			t.bad("placement constraint %s=%.60q: want on-demand, spot or spot-or-on-demand", marketConstraint, string(c.Value))
		default:
			r.Market = market
		}
	}
}

// megabyte is the Launcher's unit of memory, in bytes.
const megabyte = 1_000_000

// limits is the room of a job that gives limits of its own, with the default for those
// that it does not.
func (t *translation) limits(size domain.Size) domain.Size {
	for _, l := range t.job.ResourceLimits {
		value := string(l.Value)
		if value == "" {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || n < 0 || n > 1e9 || math.IsNaN(n) {
			t.bad("resource limit %.40s=%.40q: want a number", l.Type, value)
			continue
		}
		switch l.Type {
		case wire.CPUCount:
			size.MilliCPU = int64(math.Ceil(n * 1000))
		case wire.Memory:
			size.MemoryMiB = int64(math.Ceil(n * megabyte / (1 << 20)))
		case wire.NvidiaGPUs:
			size.GPUs = int64(math.Ceil(n))
		case wire.CPUTime, wire.MemorySwap:
			if n > 0 {
				t.bad("resource limit %s: cannot be held here; leave it out", l.Type)
			}
		default:
			if n > 0 {
				t.bad("resource limit %.40q: want %s, %s or %s", l.Type, wire.CPUCount, wire.Memory, wire.NvidiaGPUs)
			}
		}
	}
	return size
}

// kind is what sort of program a job is: one that serves its ports, or one that runs
// to its end.
func (t *translation) kind() session.Kind {
	k := session.Job()
	k.StopGrace = grace
	if len(t.job.ExposedPorts) > 0 {
		k = session.Kind{Name: "workbench", StopGrace: grace, SuspendGrace: grace}
	}
	for _, p := range t.job.ExposedPorts {
		host := p.TargetPort // so that who knows the one knows the other
		if p.PublishedPort != nil && *p.PublishedPort != 0 {
			host = *p.PublishedPort
		}
		if p.Protocol != "" && !strings.EqualFold(p.Protocol, "tcp") {
			t.bad("port %d: protocol %.20q is not supported; want TCP", p.TargetPort, p.Protocol)
		}
		if p.TargetPort < 1 || p.TargetPort > 65535 || host < 1024 || host > 65535 {
			t.bad("port %d, published at %d: want target ports from 1, published ones from 1024, to 65535", p.TargetPort, host)
		}
		k.Ports = append(k.Ports, launcher.Port{Name: portName(p.TargetPort), Number: p.TargetPort, HostPort: host})
	}
	if len(k.Ports) > 0 {
		k.Ready = session.Probe{Port: k.Ports[0].Name}
	}
	return k
}

// command is what a job runs, which takes the place of its image's entry point and
// command, as both SDKs have it.
func (t *translation) command() (entrypoint, args []string) {
	j := t.job
	switch {
	case (j.Command == "") == (j.Exe == ""):
		t.bad("a job has a command or an exe, and not both")
		return nil, nil
	case j.Exe != "":
		return []string{j.Exe}, j.Args
	}
	return []string{"/bin/sh", "-c"}, []string{strings.Join(append([]string{j.Command}, j.Args...), " ")}
}

// environment is that of a job, without what a session's manager sets.
func (t *translation) environment() map[string]string {
	env := map[string]string{}
	for i, e := range t.job.Environment {
		switch {
		case e.Name == "" || strings.ContainsAny(e.Name, "=\x00"): // which may be a secret, misplaced
			t.bad("environment variable %d of %d: its name is empty, or has an equals sign or a NUL", i+1, len(t.job.Environment))
		case e.Name != "HOME" && e.Name != "USER" && e.Name != "LOGNAME":
			env[e.Name] = string(e.Value)
		}
	}
	return env
}

// mounts are the domain's projects and mounts that a job asks for by the paths at
// which sessions have them. The home it has in any case.
//
// Whether one may be written the domain says. That a job does not ask for it to be
// read-only is no wish to write: it is what a request says that says nothing. A job that
// does ask for it is refused where it would be able to write.
func (t *translation) mounts(home string) (projects, others []string) {
	for _, m := range t.job.Mounts {
		at := path.Clean(m.MountPath)
		dir, name := path.Split(at)
		if m.ReadOnly && (at == home || dir == "/projects/" || dir == "/mnt/" && t.mayWrite(name)) {
			t.bad("mount %.80q: read-only: who may have it may write there; leave readOnly out, or have an administrator list a read-only mount in the domain's policy", m.MountPath)
		}
		switch {
		case at == home:
			if from := source(m); from != "" && path.Base(from) != t.job.User {
				t.bad("mount %.80q: of %.80q; the home there is the user's own", m.MountPath, from)
			}
		case dir == "/projects/":
			projects = append(projects, name)
		case dir == "/mnt/":
			others = append(others, name)
		default:
			t.bad("mount %.80q: want %s for the home, /projects/ and a project's name, or /mnt/ and the name of a mount of the domain's policy", m.MountPath, home)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(projects))), slices.Compact(slices.Sorted(slices.Values(others)))
}

// mayWrite reports whether a mount of the domain's policy may be written.
func (t *translation) mayWrite(mount string) bool {
	return slices.ContainsFunc(t.policy.Mounts, func(m domain.Mount) bool { return m.Name == mount && !m.ReadOnly })
}

// source is the path on a server or a host that a mount is of; empty if it has none.
func source(m wire.Mount) string {
	var from struct {
		Path string `json:"path"`
	}
	if json.Unmarshal(m.MountSource.Source, &from) != nil {
		return ""
	}
	return from.Path
}

// identity checks that who a job is to run as is the user: it does, whatever it asks.
func (t *translation) identity(u domain.User) {
	c := t.job.Container
	if c == nil {
		return
	}
	const advice = "the accounts of the Workbench host have to have the uids of the domain, and sessions run as their user (launcher-sessions-container-run-as-root=0, launcher-sessions-create-container-user=0)"
	for _, id := range []struct {
		what  string
		asked *int
		own   uint32
	}{{"user", c.RunAsUserID, u.UID}, {"group", c.RunAsGroupID, u.GID}} {
		if id.asked != nil && *id.asked != int(id.own) {
			t.bad("container: to run as %s %d, and %s is %d in the domain: %s", id.what, *id.asked, u.Name, id.own, advice)
		}
	}
	if len(c.CapabilitiesAdd) > 0 {
		t.bad("container: capabilities %.40q cannot be had", c.CapabilitiesAdd)
	}
}

// unsupported reports what this cluster does not have, and says so in its answer to
// who asks for its description.
func (t *translation) unsupported() {
	j := t.job
	if len(j.Queues) > 0 {
		t.bad("queues %.40q: there are none here", j.Queues)
	}
	if len(j.InitContainers) > 0 {
		t.bad("init containers: are not supported; put what they bring into the image")
	}
	for _, c := range j.Config {
		t.bad("config %.40q: there is none here", c.Name)
	}
}
