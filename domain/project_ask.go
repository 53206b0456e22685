package domain

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/atelier-go/atelier/domain/store"
)

// maxProjects is how many projects a session may have. NFS tells a server of at
// most 16 groups of who asks (RFC 5531, appendix A).
const maxProjects = 10

// findProjects reads the projects that an ask names, as far as there are such.
func (d *Domain) findProjects(ctx context.Context, ask Ask) (map[string]Project, error) {
	found := map[string]Project{}
	names := ask.projects()
	names = names[:min(len(names), maxProjects)]
	if payer := ask.payer(); payer != "" {
		names = append(slices.Clone(names), payer)
	}
	for _, name := range names {
		if CheckName("project", name) != nil {
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

// payer is the name of the project that is to be charged, or empty: a resumed
// session's is the one it had.
func (a Ask) payer() string {
	if a.Resume == nil {
		return a.ChargeTo
	}
	return a.Resume.ChargeTo
}

// checkPayer finds the project that an ask is to be charged to, if its user may have
// it. What is wrong with one that the session is to have too has been told.
func (f facts) checkPayer(ask Ask, u User, wrong *problems) Project {
	name := ask.payer()
	if ask.Resume != nil && ask.ChargeTo != "" && ask.ChargeTo != name {
		had := "no project"
		if name != "" {
			had = "project " + name
		}
		wrong.add("resume", ErrInvalid, fmt.Errorf("resume: the session is charged to %s, and stays so; start a new one to charge project %.40q", had, ask.ChargeTo))
	}
	if name == "" {
		return Project{}
	}
	var refused problems
	p := f.checkProject(ask, name, u, &refused)
	wrong.addNew(refused)
	return p
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
		granted = append(granted, f.checkProject(ask, name, u, wrong))
	}
	return granted
}

// checkProject finds a project, if the user may have it.
func (f facts) checkProject(ask Ask, name string, u User, wrong *problems) Project {
	bad := func(kind Kind, format string, args ...any) { wrong.add("project", kind, fmt.Errorf(format, args...)) }
	if err := CheckName("project", name); err != nil {
		bad(ErrInvalid, "%w", err)
		return Project{}
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
	return p
}

// checkKept reports that a resumed session is asked to have others of something
// than it has.
func checkKept(ask Ask, what string, asked, has []string, wrong *problems) {
	if ask.Resume != nil && len(asked) > 0 && !slices.Equal(asked, has) {
		wrong.add("resume", ErrInvalid, fmt.Errorf("resume: the session has %s %q and keeps them; start a new one for %q", what, has, asked))
	}
}
