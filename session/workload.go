package session

import (
	"context"
	"maps"
	"strconv"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/launcher"
)

// The labels of a session's workloads.
const (
	labelPrefix     = "atelier."
	labelDomain     = labelPrefix + "domain"
	labelSession    = labelPrefix + "session"
	labelGeneration = labelPrefix + "generation"
)

// workload is what the launcher is asked to run for the present generation. It
// depends on nothing but the record, so that every process asks for the same.
func (r record) workload() launcher.Workload {
	g, q := r.Grant, r.Request
	env := map[string]string{}
	maps.Copy(env, q.Env)
	if r.Resumed.Clean {
		env[RStudioClean] = "1"
	}
	env["USER"], env["LOGNAME"] = g.User.Login, g.User.Login
	env["HOME"] = q.Kind.home(g.User.Login)
	labels := map[string]string{}
	maps.Copy(labels, q.Labels)
	labels[labelDomain] = g.Domain
	labels[labelSession] = string(r.ID)
	labels[labelGeneration] = strconv.Itoa(r.Generation)
	return launcher.Workload{
		ID:           r.workloadID(),
		Owner:        g.Domain + "/" + g.User.Name,
		Image:        g.Image.Reference.String(),
		Command:      q.Command,
		Entrypoint:   q.Entrypoint,
		Dir:          q.Dir,
		Env:          env,
		Role:         r.role(),
		Stdin:        q.Stdin,
		StopSignal:   q.Kind.StopSignal,
		User:         launcher.User{UID: g.User.UID, GID: g.User.GID, Groups: gids(g.Projects)},
		Mounts:       mounts(g, env["HOME"]),
		Ports:        q.Kind.Ports,
		Resources:    launcher.Resources(g.Size),
		InstanceType: g.Type.Name,
		Alternatives: g.AlternativeNames(),
		Market:       market(g.Market),
		Sharing:      sharing(g.Sharing),
		Labels:       labels,
	}
}

// Like returns what a launcher would be asked to run for a session of q in d, if
// that were started now, as far as others are like it: image, instance types,
// market, resources and sharing. A fleet that is to keep room for such sessions is
// told of them by it. Nothing is made, and the session needs no ID; that the user
// may not have it is the domain's error, as from [Manager.Start].
func Like(ctx context.Context, d *domain.Domain, q StartRequest) (launcher.Workload, error) {
	grant, err := d.Authorize(ctx, q.ask())
	if err != nil {
		return launcher.Workload{}, fail(ctx, "like", q.ID, err)
	}
	w := record{Request: q, Grant: grant}.workload()
	return launcher.Workload{
		Image: w.Image, InstanceType: w.InstanceType, Alternatives: w.Alternatives,
		Market: w.Market, Resources: w.Resources, Sharing: w.Sharing,
	}, nil
}

// Where a session has its projects and mounts: below these, by their names.
const (
	projectsDir = "/projects/"
	mountsDir   = "/mnt/"
)

// mounts are all that a session with a grant has: its home first.
func mounts(g domain.Grant, home string) []launcher.Mount {
	all := []launcher.Mount{mount(g.User.Home, home)}
	for _, p := range g.Projects {
		all = append(all, launcher.Mount{
			Source: source(p.Directory.FileSystem, p.Directory.AccessPoint), Target: projectsDir + p.Name, Group: p.GID,
		})
	}
	for _, m := range g.Mounts {
		all = append(all, launcher.Mount{Source: m.Source, Target: mountsDir + m.Name, ReadOnly: m.ReadOnly})
	}
	return all
}

// gids are the groups by which a session enters its projects.
func gids(projects []domain.Project) []uint32 {
	var all []uint32
	for _, p := range projects {
		all = append(all, p.GID)
	}
	return all
}

// mount is a home as a launcher's hosts understand it.
func mount(h efs.Home, target string) launcher.Mount {
	return launcher.Mount{Source: source(h.FileSystem, h.AccessPoint), Target: target}
}

// source is where the hosts' automounter mounts an access point.
func source(fileSystem, accessPoint string) string {
	return "/efs/" + fileSystem + "." + accessPoint
}

// sharing is a domain's rule in the launcher's words. What this version does
// not know shares with nobody.
func sharing(s domain.Sharing) launcher.Sharing {
	switch s {
	case domain.PerUser:
		return launcher.PerOwner
	case domain.Pool:
		return launcher.Pool
	}
	return launcher.Exclusive
}

// market is how a domain allows a host to be bought, in the launcher's words.
// What this version does not know is on demand, which AWS does not take back.
func market(m domain.Market) launcher.Market {
	switch m {
	case domain.Spot:
		return launcher.Spot
	case domain.SpotOrOnDemand:
		return launcher.SpotOrOnDemand
	}
	return launcher.OnDemand
}

// owner reads from a workload's labels whose it is.
func owner(s launcher.Status) (id ID, generation int, ok bool) {
	id = ID(s.Labels[labelSession])
	generation, err := strconv.Atoi(s.Labels[labelGeneration])
	return id, generation, err == nil && id.check() == nil
}

// reserved reports whether a label is this package's.
func reserved(label string) bool { return strings.HasPrefix(label, labelPrefix) }
