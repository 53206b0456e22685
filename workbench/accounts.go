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
	// Name is the user's, UID and GID are the domain's for them. The group of the
	// GID has the user's name.
	Name     string
	UID, GID uint32
	// Home is where the home is on every host: "/home/" and the name.
	Home string
	// AccessPoint is EFS's id of the home's access point. Mounting it for the first
	// time makes the directory.
	AccessPoint string
	// Groups are those of the projects that the user is in, by name.
	Groups []AccountGroup
}

// An AccountGroup is the group of a project as a Linux host knows one.
type AccountGroup struct {
	// Name is "project-" and the project's.
	Name string
	// GID is the domain's for the project.
	GID uint32
}

// String is the line by which a host's command tells the account, see
// [DeployRequest.Accounts]:
//
//	alice:200001:200001:/home/alice:fsap-0123456789abcdef0:project-genome=200007
func (a Account) String() string {
	var groups []string
	for _, g := range a.Groups {
		groups = append(groups, fmt.Sprintf("%s=%d", g.Name, g.GID))
	}
	return fmt.Sprintf("%s:%d:%d:%s:%s:%s", a.Name, a.UID, a.GID, a.Home, a.AccessPoint, strings.Join(groups, ","))
}

// Accounts yields the accounts of a domain's users in the order of their names:
// of those who are onboarded and not offboarded. It asks nobody but the domain's
// store, and is complete or ends with an error, the domain's.
//
// A program that runs on the Workbench host prints them, each on a line.
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
			if u.Onboarded.IsZero() || !u.Offboarded.IsZero() || u.UID == 0 || u.Home.AccessPoint == "" {
				continue
			}
			a := Account{Name: u.Name, UID: u.UID, GID: u.GID, Home: "/home/" + u.Name, AccessPoint: u.Home.AccessPoint}
			for _, p := range projects {
				if slices.ContainsFunc(p.Groups, func(g string) bool { return slices.Contains(u.Groups, g) }) {
					a.Groups = append(a.Groups, AccountGroup{"project-" + p.Name, p.GID})
				}
			}
			if !yield(a, nil) {
				return
			}
		}
	}
}
