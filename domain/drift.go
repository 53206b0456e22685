package domain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/efs"
)

// DriftKind is a way in which the records of homes and projects and what EFS has
// differ.
type DriftKind string

const (
	// HomeMissing: a user has a home by the records, and EFS has no such access
	// point. Their sessions do not start.
	HomeMissing DriftKind = "home without an access point"
	// HomeDiffers: the access point of a home enters another directory, or as
	// somebody else, than is recorded.
	HomeDiffers DriftKind = "home and access point differ"
	// AccessPointUnrecorded: an access point has the domain's tag and is no home
	// and no project by the records: what an onboarding or a creation left that
	// was cut short, or what a record was lost of.
	AccessPointUnrecorded DriftKind = "access point without a home"
	// ProjectMissing: a project has a directory by the records, and EFS has no
	// such access point, or one for another group. Sessions with it do not start,
	// or do not enter it.
	ProjectMissing DriftKind = "project without its access point"
	// RootLeft: an access point opens the whole file system for the deletion of a
	// home that is not under way.
	RootLeft DriftKind = "access point of a deletion left"
)

// Drift is one difference between the records of homes and projects and what EFS
// has.
type Drift struct {
	Kind DriftKind
	// User and AccessPoint name what it is about. User is empty if it is not known.
	User, AccessPoint string
	// Detail says what is known of it, in a sentence.
	Detail string
	// Repair says what to call about it, in a sentence, and why that is safe.
	Repair string
}

// String is one line of a report.
func (d Drift) String() string {
	return fmt.Sprintf("%s (%s): %s; %s", d.Kind, strings.TrimSpace(d.User+" "+d.AccessPoint), d.Detail, d.Repair)
}

// Drift compares the records of the domain's homes and projects with the access
// points of its file system, and returns every difference with its safe repair: none deletes a
// file. It changes nothing. A domain without a file system has none. Access points
// of others on the file system, and those that are being made or deleted, are not
// looked at. EFS is asked before the records, so that a user who is onboarded
// meanwhile is not taken for one; one call of EFS for each thousand access points.
// The order is that of kinds, users and access points.
func (d *Domain) Drift(ctx context.Context) ([]Drift, error) {
	const op = "drift"
	r, err := d.load(ctx, op)
	if err != nil || r.FileSystem == "" {
		return nil, err
	}
	points := map[string]efs.AccessPoint{}
	for p, err := range d.client.efsFor(d.name, "", op).AccessPoints(ctx, r.FileSystem) {
		if err != nil {
			return nil, fail(ctx, op, d.name, err)
		}
		points[p.ID] = p
	}
	var found []Drift
	homes, roots, uids := map[string]bool{}, map[string]bool{}, map[string]uint32{}
	for u, err := range d.Users(ctx) {
		if err != nil {
			return nil, err
		}
		homes[u.Home.AccessPoint], roots[u.Deletion.AccessPoint], uids[u.Name] = true, true, u.UID
		p, exists := points[u.Home.AccessPoint]
		switch {
		case u.Home.AccessPoint == "" || u.Deletion.UnderWay() || !u.Offboarded.IsZero():
		case !exists:
			found = append(found, Drift{
				Kind: HomeMissing, User: u.Name, AccessPoint: u.Home.AccessPoint, Detail: "EFS does not have it; the directory " + u.Home.Path + " is not touched by that",
				Repair: "Onboard the user again, with their groups: it makes an access point for the same directory",
			})
		case p.Path != u.Home.Path || !p.Forced || p.UID != u.UID || p.GID != u.GID:
			found = append(found, Drift{
				Kind: HomeDiffers, User: u.Name, AccessPoint: p.ID,
				Detail: fmt.Sprintf("it enters %s as %d:%d, and %s as %d:%d is recorded", p.Path, p.UID, p.GID, u.Home.Path, u.UID, u.GID),
				Repair: "find out who made it; once that access point is deleted, which deletes no file, Onboard makes the right one",
			})
		}
	}
	projects := map[string]bool{}
	for p, err := range d.projects.All(ctx) {
		if err != nil {
			return nil, fail(ctx, op, d.name, err)
		}
		dir := p.Directory
		projects[dir.AccessPoint] = true
		if !p.Created.IsZero() && points[dir.AccessPoint].SharedDirectory() != dir {
			found = append(found, Drift{
				Kind: ProjectMissing, AccessPoint: dir.AccessPoint, Detail: fmt.Sprintf("EFS does not have it as %s of project %s and group %d; no file is touched by that", dir.Path, p.Name, p.GID),
				Repair: "create the project again, for its groups: that makes an access point for the same directory; one of the name that is another's has to be deleted before, which deletes no file",
			})
		}
	}
	for _, p := range points {
		switch {
		case p.Tags[TagDomain] != d.name || p.State != "available":
		case p.Root != "" && !roots[p.ID]:
			found = append(found, Drift{
				Kind: RootLeft, AccessPoint: p.ID, Detail: "it was made for the " + strings.ReplaceAll(p.Root, "-", " ") + ", and none is under way",
				Repair: "delete the access point, with efs.Client.DeleteAccessPoint: that deletes no file",
			})
		case p.Shared != "" && !projects[p.ID]:
			found = append(found, Drift{
				Kind: AccessPointUnrecorded, AccessPoint: p.ID, Detail: fmt.Sprintf("it opens the shared directory %s for group %d", p.Path, p.OwnerGID),
				Repair: "create the project: it takes on that directory; else delete the access point, which deletes no file",
			})
		case p.User != "" && !homes[p.ID]:
			found = append(found, Drift{
				Kind: AccessPointUnrecorded, User: p.User, AccessPoint: p.ID, Detail: fmt.Sprintf("it enters %s as %d:%d", p.Path, p.UID, p.GID),
				Repair: strayRepair(r, p, uids[p.User]),
			})
		}
	}
	slices.SortFunc(found, func(a, b Drift) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.User, b.User), strings.Compare(a.AccessPoint, b.AccessPoint))
	})
	return found, nil
}

// strayRepair says what to do about the access point of a home that no record has; uid is of the
// user whose name it bears, by the records, or zero.
func strayRepair(r record, p efs.AccessPoint, uid uint32) string {
	const remove = "delete the access point, which deletes no file"
	switch {
	case uid != 0 && uid != p.UID:
		return fmt.Sprintf("it is of whoever had the name before: user %s has uid %d and another home, and Onboard does not give them this one; once nobody is to have it, %s", p.User, uid, remove)
	case !r.External.none():
		return fmt.Sprintf("if uid %d is the user's, Onboard them with it: it takes on the home that EFS has; else %s", p.UID, remove)
	}
	return "Onboard the user: it takes on the home that EFS has for their uid; else " + remove
}
