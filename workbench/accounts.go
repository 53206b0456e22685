package workbench

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain"
)

// An Account is a user of a domain as a Linux host knows one.
type Account struct {
	// Name is the user's login, UID and GID are the domain's for them. The group of
	// the GID has the same name.
	Name     string
	UID, GID uint32
	// Home is where the home is on every host: "/home/" and the login.
	Home string
	// AccessPoint is EFS's id of the home's access point. Mounting it for the first
	// time makes the directory.
	AccessPoint string
	// Groups are those of the projects that the user is in, by name, and then those
	// of the domain's that they are in, likewise.
	Groups []AccountGroup
}

// An AccountGroup is a project, or a group of a domain's users, as the Unix group that
// a Linux host knows it by.
type AccountGroup struct {
	// Name is that of [domain.Project.UnixGroup] or of [domain.UnixGroup].
	Name string
	// GID is the domain's for the project. Zero is that of a group of users: no file
	// has it, and each host gives it one of its own.
	GID uint32
}

// String is the line by which a host's command tells the account, see
// [DeployRequest.Accounts]:
//
//	jane.doe:200001:200001:/home/jane.doe:fsap-0123456789abcdef0:project-genome=200007,group-lab
func (a Account) String() string {
	var groups []string
	for _, g := range a.Groups {
		text := g.Name
		if g.GID != 0 {
			text += fmt.Sprintf("=%d", g.GID)
		}
		groups = append(groups, text)
	}
	return fmt.Sprintf("%s:%d:%d:%s:%s:%s", a.Name, a.UID, a.GID, a.Home, a.AccessPoint, strings.Join(groups, ","))
}

// hasAccount reports whether a user has an account on the host, with the Unix groups of
// their groups: whether they are onboarded, all of it, and not offboarded.
func hasAccount(u domain.User) bool {
	return !u.Onboarded.IsZero() && u.Offboarded.IsZero() && u.UID != 0 && u.Home.AccessPoint != ""
}

// Accounts yields the accounts of a domain's users in the order of their names in the
// domain: of those who are onboarded and not offboarded. It asks nobody but the
// domain's store, and is complete or ends with an error, the domain's.
//
// A program that runs on the Workbench host prints them, each on a line. The host makes
// those that it has not, renames the account of a user who has another login, unless
// somebody is signed in as it, which is tried again, and locks those of users who are
// not told of any more. Of groups that are named as those of projects and of the domain
// are, an account is in those that it is told to be in, and in no others; such names
// are not for groups of the host's own. Other groups stay as they are.
func Accounts(ctx context.Context, d *domain.Domain) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		var projects []domain.Project
		for p, err := range d.Projects(ctx) {
			if err != nil {
				yield(Account{}, err)
				return
			}
			if p.GID != 0 && !p.Created.IsZero() {
				projects = append(projects, p)
			}
		}
		for u, err := range d.Users(ctx) {
			if err != nil {
				yield(Account{}, err)
				return
			}
			if !hasAccount(u) {
				continue
			}
			a := Account{Name: u.Login, UID: u.UID, GID: u.GID, Home: "/home/" + u.Login, AccessPoint: u.Home.AccessPoint}
			for _, p := range projects {
				if slices.ContainsFunc(p.Groups, func(g string) bool { return slices.Contains(u.Groups, g) }) {
					a.Groups = append(a.Groups, AccountGroup{p.UnixGroup(), p.GID})
				}
			}
			for _, g := range u.Groups {
				a.Groups = append(a.Groups, AccountGroup{Name: domain.UnixGroup(g)})
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}
