package domain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
)

// maxProjects is how many projects a session may have. NFS tells a server of at
// most 16 groups of who asks (RFC 5531, appendix A).
const maxProjects = 10

// A Project is a directory on the domain's file system that members of groups
// share in their sessions.
//
// It belongs to a Unix group of its own, and so does whatever is made in it
// (mode 2770). Sessions enter it by being in that group, each as its own user:
// files keep their maker as owner, and whether other members may change one is
// up to its maker's umask; 002 lets them, 022 lets them read.
type Project struct {
	// Name is the project's name.
	Name string
	// GID is its Unix group: no user's, no other project's, and for ever that
	// of this name. Zero until creation has come to it.
	GID uint32
	// Groups are the groups whose members may have it, in order. None is
	// nobody.
	Groups []string `json:",omitempty"`
	// Directory is where its files are. Zero until creation has come to it.
	Directory efs.Shared
	// Created is when creation ended; zero while it has not.
	Created time.Time `json:",omitzero"`
}

// project is a project as it is stored. The record of one that was deleted is
// kept for its gid, as the files that have it are.
type project struct {
	Project
	// Deleted is since when there is no project of the name; zero while there
	// is.
	Deleted time.Time `json:",omitzero"`
	// Deleting is whether DeleteProject has begun and not ended.
	Deleting bool `json:",omitempty"`
	// Ends counts how often it was deleted, so that a creation that began
	// before does not end after.
	Ends int `json:",omitempty"`
}

// halfMade reports whether a creation has begun and not ended.
func (p project) halfMade() bool { return p.Deleted.IsZero() && p.Created.IsZero() }

func projectsCollection(domain string) string { return "domains/" + domain + "/projects" }

// CreateProjectRequest describes a project.
type CreateProjectRequest struct {
	// Name is unique in the domain: 1 to 20 of a-z, 0-9 and hyphen, beginning
	// with a letter. Required.
	Name string
	// Groups are the groups whose members may have it in their sessions, by
	// names of the same form. They need no definition beforehand. None is
	// nobody.
	Groups []string
}

// CreateProject makes a project: a gid that was and will be nobody else's, and
// an access point. Its directory, /shared/<name> on the domain's file system,
// is made when a session first has it. If the domain has no file system yet,
// that is made first, as the first onboarding does; see [Config.Progress].
//
// It is idempotent, and what a failure left half-way another call continues. A
// project that exists with other groups is [ErrConflict]:
// [Domain.SetProjectGroups] changes them. A project that was deleted, also with
// its domain, can be created again, for whatever groups, and has its gid and its
// files again. Only if the store was lost in between, after [Domain.DeleteProject],
// is the gid not known any more: the project then gets another, and its new
// members do not enter the old directory before an administrator gives it to
// that group.
//
// Names that make no sense are [ErrInvalid], before anything is done; a domain
// that is being deleted, or whose file system is gone, is [ErrState], and so is
// a project that is being deleted.
func (d *Domain) CreateProject(ctx context.Context, q CreateProjectRequest) (Project, error) {
	const op = "create project"
	name := d.name + "/" + printable(q.Name)
	var wrong problems
	wrong.add("name", ErrInvalid, checkName("project", q.Name))
	checkGroups(q.Groups, &wrong)
	if err := wrong.err(op, name); err != nil {
		return Project{}, err
	}
	p, err := d.createProject(ctx, op, q)
	if err != nil {
		return Project{}, fail(ctx, op, name, err)
	}
	d.client.log.InfoContext(ctx, "project created", "domain", d.name, "project", p.Name, "gid", p.GID)
	return p.Project, nil
}

func (d *Domain) createProject(ctx context.Context, op string, q CreateProjectRequest) (project, error) {
	// The intent first, as in onboard: Delete looks for projects half-made.
	if _, err := d.openRecord(ctx, op); err != nil {
		return project{}, err
	}
	p, err := d.intendProject(ctx, op, q)
	if err != nil {
		return project{}, err
	}
	r, err := d.openRecord(ctx, op)
	if err != nil {
		return project{}, err
	}
	if r, err = d.ensureStorage(ctx, r); err != nil {
		return project{}, err
	}
	begun := p.Ends
	if p, err = d.ensureGID(ctx, r, p); err != nil {
		return project{}, gone(r, err)
	}
	d.client.report(Progress{Domain: d.name, Step: "project", Resource: p.Name})
	dir, err := d.client.efsFor(d.name, "", "project").EnsureShared(ctx, efs.SharedSpec{
		FileSystem: r.FileSystem, Name: p.Name, GID: p.GID, Tags: r.tags(),
	})
	if err != nil {
		return project{}, gone(r, err)
	}
	return d.projects.Update(ctx, q.Name, func(now *project) error {
		if now.Ends != begun || !now.Deleted.IsZero() {
			return &Error{Op: op, Name: d.name + "/" + now.Name, Kind: ErrState,
				Err: errors.New("the project was deleted meanwhile; create it again if that was not meant")}
		}
		if !now.Created.IsZero() && now.Directory == dir {
			return store.ErrUnchanged
		}
		now.Directory = dir
		if now.Created.IsZero() {
			now.Created = time.Now()
		}
		return nil
	})
}

// intendProject records that a project is to be created.
func (d *Domain) intendProject(ctx context.Context, op string, q CreateProjectRequest) (project, error) {
	groups := slices.Sorted(slices.Values(q.Groups))
	p := project{Project: Project{Name: q.Name, Groups: groups}}
	err := d.projects.Create(ctx, q.Name, p)
	if !errors.Is(err, store.ErrConflict) {
		return p, err
	}
	return d.projects.Update(ctx, q.Name, func(p *project) error {
		same := slices.Equal(p.Groups, groups)
		switch {
		case p.Deleting:
			return d.beingDeleted(op, p.Name)
		case p.Deleted.IsZero() && same:
			return store.ErrUnchanged
		case p.Deleted.IsZero() && !p.Created.IsZero():
			return &Error{Op: op, Name: d.name + "/" + p.Name, Kind: ErrConflict, Err: fmt.Errorf(
				"a project of this name exists for groups %q, not %q; change them with SetProjectGroups, or use another name", p.Groups, groups)}
		}
		p.Groups, p.Deleted, p.Created = groups, time.Time{}, time.Time{}
		return nil
	})
}

func (d *Domain) beingDeleted(op, name string) error {
	return &Error{Op: op, Name: d.name + "/" + name, Kind: ErrState,
		Err: errors.New("the project is being deleted; call DeleteProject again to finish that")}
}

// ensureGID returns the project with a gid, and records it. EFS does not keep
// two groups from having one, as it does with homes: stock is taken before.
func (d *Domain) ensureGID(ctx context.Context, r record, p project) (project, error) {
	if p.GID != 0 {
		return p, nil
	}
	if err := d.takeStock(ctx, r); err != nil {
		return project{}, err
	}
	p, err := d.projects.Get(ctx, p.Name)
	if err != nil || p.GID != 0 { // as the file system remembers
		return p, err
	}
	gid, err := d.takeID(ctx, "create project")
	if err != nil {
		return project{}, err
	}
	return d.projects.Update(ctx, p.Name, func(p *project) error {
		if p.GID != 0 { // another call was faster; this gid is nobody's
			return store.ErrUnchanged
		}
		p.GID = gid
		return nil
	})
}

// rememberProject records a project whose directory is on the file system, as a
// deleted one. A gid that the record has already stays.
func (d *Domain) rememberProject(ctx context.Context, dir efs.Shared, name string) error {
	err := d.projects.Create(ctx, name, project{
		Project: Project{Name: name, GID: dir.GID, Directory: dir}, Deleted: time.Now(),
	})
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	_, err = d.projects.Update(ctx, name, func(p *project) error {
		if p.GID != 0 {
			return store.ErrUnchanged
		}
		p.GID = dir.GID
		return nil
	})
	return err
}

// SetProjectGroups replaces the groups whose members may have a project. It
// holds for every start and resume from then on; sessions that run keep what
// they have. A project that is not there is [ErrNotFound], names that make no
// sense [ErrInvalid].
func (d *Domain) SetProjectGroups(ctx context.Context, name string, groups []string) error {
	const op = "set project groups"
	full := d.name + "/" + printable(name)
	var wrong problems
	wrong.add("name", ErrInvalid, checkName("project", name))
	checkGroups(groups, &wrong)
	if err := wrong.err(op, full); err != nil {
		return err
	}
	sorted := slices.Sorted(slices.Values(groups))
	_, err := d.projects.Update(ctx, name, func(p *project) error {
		switch {
		case !p.Deleted.IsZero():
			return store.ErrNotFound
		case slices.Equal(p.Groups, sorted):
			return store.ErrUnchanged
		}
		p.Groups = sorted
		return nil
	})
	if err == nil {
		d.client.log.InfoContext(ctx, op, "domain", d.name, "project", name)
	}
	return fail(ctx, op, full, d.noProject(name, err))
}

// DeleteProject ends a project: it deletes its access point, and nobody can
// start a session with it any more. Its files stay, for no method of a domain
// deletes files, and so does the gid that they have: [Domain.CreateProject] of
// the name brings both back, and nothing else ever gets the gid. Sessions that
// run keep the directory until they end.
//
// After an error or a crash it can be called again and continues; a project
// that is not there, or no more, is [ErrNotFound].
func (d *Domain) DeleteProject(ctx context.Context, name string) error {
	const op = "delete project"
	full := d.name + "/" + printable(name)
	if err := checkName("project", name); err != nil {
		return &Error{Op: op, Name: full, Kind: ErrInvalid, Err: err}
	}
	r, err := d.load(ctx, op)
	if err != nil {
		return err
	}
	p, err := d.projects.Update(ctx, name, func(p *project) error {
		switch {
		case p.Deleting:
			return store.ErrUnchanged
		case !p.Deleted.IsZero():
			return store.ErrNotFound
		}
		p.Deleted, p.Deleting, p.Created = time.Now(), true, time.Time{}
		p.Ends++
		return nil
	})
	if err == nil {
		err = d.removeProject(ctx, r, p)
	}
	if err == nil {
		d.client.log.InfoContext(ctx, "project deleted", "domain", d.name, "project", name, "gid", p.GID)
	}
	return fail(ctx, op, full, d.noProject(name, err))
}

// removeProject deletes the access point of a project that is being deleted,
// and records that.
func (d *Domain) removeProject(ctx context.Context, r record, p project) error {
	r.FileSystem = cmp.Or(p.Directory.FileSystem, r.FileSystem)
	err := d.removeDirectory(ctx, r, p)
	if err != nil && !errors.Is(err, efs.ErrNotFound) { // the file system itself may be gone
		return err
	}
	_, err = d.projects.Update(ctx, p.Name, func(now *project) error {
		if !now.Deleting || now.Ends != p.Ends {
			return store.ErrUnchanged // another call was faster
		}
		now.Deleting, now.Directory = false, efs.Shared{}
		return nil
	})
	return err
}

// removeDirectory deletes the access points that a project has: the recorded
// one, and what a creation that was cut short may have made and not recorded.
func (d *Domain) removeDirectory(ctx context.Context, r record, p project) error {
	if r.FileSystem == "" || p.GID == 0 { // creation had not come to it
		return nil
	}
	if err := d.markUIDs(ctx, r); err != nil {
		return err
	}
	client := d.client.efsFor(d.name, "", "project")
	var ids []string
	if id := p.Directory.AccessPoint; id != "" {
		ids = append(ids, id)
	}
	for a, err := range client.AccessPoints(ctx, r.FileSystem) {
		if err != nil {
			return err
		}
		if a.Shared == p.Name && a.Tags[tagDomain] == d.name && a.ID != p.Directory.AccessPoint {
			ids = append(ids, a.ID)
		}
	}
	// What was found may be a later project's, if other calls were faster.
	now, err := d.projects.Get(ctx, p.Name)
	if err != nil || !now.Deleting || now.Ends != p.Ends {
		return err
	}
	for _, id := range ids {
		if err := client.DeleteAccessPoint(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// closeProjects ends the projects of a domain that is being deleted. Their
// access points stay, as those of homes do.
func (d *Domain) closeProjects(ctx context.Context, _ record) error {
	for p, err := range d.projects.All(ctx) {
		if err != nil {
			return err
		}
		if !p.Deleted.IsZero() {
			continue
		}
		_, err := d.projects.Update(ctx, p.Name, func(p *project) error {
			if !p.Deleted.IsZero() {
				return store.ErrUnchanged
			}
			p.Deleted, p.Created = time.Now(), time.Time{}
			p.Ends++
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Project returns a project, also one whose creation has not ended, or
// [ErrNotFound].
func (d *Domain) Project(ctx context.Context, name string) (Project, error) {
	const op = "project"
	full := d.name + "/" + printable(name)
	if err := checkName("project", name); err != nil {
		return Project{}, &Error{Op: op, Name: full, Kind: ErrInvalid, Err: err}
	}
	p, err := d.projects.Get(ctx, name)
	if err == nil && !p.Deleted.IsZero() {
		err = store.ErrNotFound
	}
	if err != nil {
		return Project{}, fail(ctx, op, full, d.noProject(name, err))
	}
	return p.Project, nil
}

// Projects yields the projects of the domain in the order of their names, those
// included whose creation has not ended. It is complete or ends with an error.
func (d *Domain) Projects(ctx context.Context) iter.Seq2[Project, error] {
	return func(yield func(Project, error) bool) {
		for p, err := range d.projects.All(ctx) {
			if err != nil {
				yield(Project{}, fail(ctx, "projects", d.name, err))
				return
			}
			if p.Deleted.IsZero() && !yield(p.Project, nil) {
				return
			}
		}
	}
}

// noProject says what it means that there is no project of a name.
func (d *Domain) noProject(name string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return unrecorded(fmt.Sprintf("project %s: the domain has none of this name; check it, or create the project", name))
	}
	return err
}

// findProjects reads the projects that an ask names, as far as there are such.
func (d *Domain) findProjects(ctx context.Context, ask Ask) (map[string]Project, error) {
	found := map[string]Project{}
	names := ask.projects()
	for _, name := range names[:min(len(names), maxProjects)] {
		if checkName("project", name) != nil {
			continue
		}
		p, err := d.projects.Get(ctx, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err == nil && p.Deleted.IsZero() {
			found[name] = p.Project
		}
	}
	return found, nil
}

// projects are the names of the projects that are wanted: a resumed session's
// are those it has.
func (a Ask) projects() []string {
	if a.Resume == nil {
		return a.Projects
	}
	return a.Resume.ProjectNames()
}

// ProjectNames returns the names of g's Projects, nil if there are none.
func (g Grant) ProjectNames() []string {
	var names []string
	for _, p := range g.Projects {
		names = append(names, p.Name)
	}
	return names
}

// checkProjects finds the projects of an ask, if its user may have each.
func (f facts) checkProjects(ask Ask, u User, wrong *problems) []Project {
	bad := func(kind Kind, format string, args ...any) { wrong.add("project", kind, fmt.Errorf(format, args...)) }
	names := ask.projects()
	checkKept(ask, "projects", ask.Projects, names, wrong)
	if n := len(names); n > maxProjects {
		bad(ErrInvalid, "%d projects, at most %d", n, maxProjects)
		return nil
	}
	for _, name := range repeated(names) {
		bad(ErrInvalid, "project %.40q is listed twice", name)
	}
	var granted []Project
	for _, name := range names {
		if err := checkName("project", name); err != nil {
			bad(ErrInvalid, "%w", err)
			continue
		}
		p, ok := f.projects[name]
		switch {
		case !ok && ask.Resume != nil:
			bad(ErrNotFound, "project %s: was deleted since, and the session keeps it; an administrator must create it again, or start a new session without", name)
		case !ok:
			bad(ErrNotFound, "project %s: the domain has none of this name; ask for another, or ask an administrator to create it", name)
		case p.Created.IsZero():
			bad(ErrState, "project %s: its creation has not ended; call CreateProject again to continue it", name)
		case f.user != nil && !slices.ContainsFunc(u.Groups, func(g string) bool { return slices.Contains(p.Groups, g) }):
			bad(ErrNotAllowed, "project %s: is for members of %s, and user %s is in %s; ask for none, or ask an administrator",
				name, enumerate(p.Groups, 5), u.Name, enumerate(u.Groups, 5))
		}
		granted = append(granted, p)
	}
	return granted
}

// checkKept reports that a resumed session is asked to have others of something
// than it has.
func checkKept(ask Ask, what string, asked, has []string, wrong *problems) {
	if ask.Resume != nil && len(asked) > 0 && !slices.Equal(asked, has) {
		wrong.add("resume", ErrInvalid, fmt.Errorf("resume: the session has %s %q and keeps them; start a new one for %q", what, has, asked))
	}
}
