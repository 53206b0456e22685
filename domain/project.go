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
	"github.com/atelier-go/atelier/instancetype"
)

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
	// Budget is what the sessions charged to it may cost in a calendar month in
	// UTC; see [Ask.ChargeTo]. Zero is no limit.
	Budget instancetype.Money `json:",omitempty"`
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
	// Budget is what the sessions charged to it may cost in a calendar month in
	// UTC. Zero is no limit.
	Budget instancetype.Money
}

// CreateProject makes a project: a gid that was and will be nobody else's, and
// an access point. Its directory, /shared/<name> on the domain's file system,
// is made when a session first has it. If the domain has no file system yet,
// that is made first, as the first onboarding does; see [Config.Progress].
//
// It is idempotent, and what a failure left half-way another call continues. A
// project that exists with other groups or another budget is [ErrConflict]:
// [Domain.SetProjectGroups] and [Domain.SetProjectBudget] change them. A project
// that was deleted, also with its domain, can be created again, for whatever groups
// and budget, and has its gid, its files and its [Account] again: what it spent in a
// month it has spent. Only if the store was lost in between, after [Domain.DeleteProject],
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
	wrong.add("name", ErrInvalid, CheckName("project", q.Name))
	checkGroups(q.Groups, &wrong)
	wrong.add("budget", ErrInvalid, checkProjectBudget(q.Budget))
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
	p := project{Project: Project{Name: q.Name, Groups: groups, Budget: q.Budget}}
	err := d.projects.Create(ctx, q.Name, p)
	if !errors.Is(err, store.ErrConflict) {
		return p, err
	}
	return d.projects.Update(ctx, q.Name, func(p *project) error {
		same := slices.Equal(p.Groups, groups) && p.Budget == q.Budget
		switch {
		case p.Deleting:
			return d.beingDeleted(op, p.Name)
		case p.Deleted.IsZero() && same:
			return store.ErrUnchanged
		case p.Deleted.IsZero() && !p.Created.IsZero():
			var wrong problems
			if !slices.Equal(p.Groups, groups) {
				wrong.add("groups", ErrConflict, fmt.Errorf("a project of this name exists for groups %q, not %q; change them with SetProjectGroups, or use another name", p.Groups, groups))
			}
			if p.Budget != q.Budget {
				wrong.add("budget", ErrConflict, fmt.Errorf("a project of this name exists with a budget of %v a month, not %v; change it with SetProjectBudget, or use another name", p.Budget, q.Budget))
			}
			return wrong.err(op, d.name+"/"+p.Name)
		}
		p.Groups, p.Budget, p.Deleted, p.Created = groups, q.Budget, time.Time{}, time.Time{}
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

// checkProjectBudget reports what is wrong with a project's budget, or nil.
func checkProjectBudget(budget instancetype.Money) error {
	if budget < 0 {
		return fmt.Errorf("project: budget %v a month may not be negative", budget)
	}
	return nil
}

// SetProjectGroups replaces the groups whose members may have a project. It
// holds for every start and resume from then on; sessions that run keep what
// they have. A project that is not there is [ErrNotFound], names that make no
// sense [ErrInvalid].
func (d *Domain) SetProjectGroups(ctx context.Context, name string, groups []string) error {
	const op = "set project groups"
	full := d.name + "/" + printable(name)
	var wrong problems
	wrong.add("name", ErrInvalid, CheckName("project", name))
	checkGroups(groups, &wrong)
	if err := wrong.err(op, full); err != nil {
		return err
	}
	sorted := slices.Sorted(slices.Values(groups))
	return d.changeProject(ctx, op, name, func(p *project) error {
		if slices.Equal(p.Groups, sorted) {
			return store.ErrUnchanged
		}
		p.Groups = sorted
		return nil
	})
}

// SetProjectBudget replaces what the sessions charged to a project may cost in a
// calendar month in UTC; zero is no limit. It holds for every start and resume from
// then on, and what the project has spent this month counts; sessions that run are
// left alone. A project that is not there is [ErrNotFound], a negative budget or a
// name that makes no sense [ErrInvalid].
func (d *Domain) SetProjectBudget(ctx context.Context, name string, budget instancetype.Money) error {
	const op = "set project budget"
	var wrong problems
	wrong.add("name", ErrInvalid, CheckName("project", name))
	wrong.add("budget", ErrInvalid, checkProjectBudget(budget))
	if err := wrong.err(op, d.name+"/"+printable(name)); err != nil {
		return err
	}
	return d.changeProject(ctx, op, name, func(p *project) error {
		if p.Budget == budget {
			return store.ErrUnchanged
		}
		p.Budget = budget
		return nil
	})
}

// changeProject changes what an administrator says of a project that is there.
func (d *Domain) changeProject(ctx context.Context, op, name string, change func(*project) error) error {
	_, err := d.projects.Update(ctx, name, func(p *project) error {
		if !p.Deleted.IsZero() {
			return store.ErrNotFound
		}
		return change(p)
	})
	if err == nil {
		d.client.log.InfoContext(ctx, op, "domain", d.name, "project", name)
	}
	return fail(ctx, op, d.name+"/"+name, d.noProject(name, err))
}

// DeleteProject ends a project: it deletes its access point, and nobody can
// start a session with it any more. Its files stay, for no method of a domain
// deletes files, and so does the gid that they have: [Domain.CreateProject] of
// the name brings both back, and nothing else ever gets the gid. Sessions that
// run keep the directory until they end. Its [Account] stays, too: sessions that run
// are charged to it when they end, and what was charged can still be read.
//
// After an error or a crash it can be called again and continues; a project
// that is not there, or no more, is [ErrNotFound].
func (d *Domain) DeleteProject(ctx context.Context, name string) error {
	const op = "delete project"
	full := d.name + "/" + printable(name)
	if err := CheckName("project", name); err != nil {
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
		if a.Shared == p.Name && a.Tags[TagDomain] == d.name && a.ID != p.Directory.AccessPoint {
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
	if err := CheckName("project", name); err != nil {
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
