package sagemakerdomain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/internal/refusal"
)

// planUsers plans a user for each profile.
func (a *adoption) planUsers(ctx context.Context, c *Client, q AdoptRequest, source Description, ours *present) error {
	profiles, err := c.wholeProfiles(ctx, q.ID)
	if err != nil {
		return err
	}
	byDefault := effective(source, Profile{})
	none := Effective{SecurityGroups: source.SecurityGroups, Images: source.Images} // which are told
	if source.RStudio == nil {
		none.Access = byDefault.Access // of what is not there
	}
	a.note(domain.ThingDomain, source.ID, "its settings are not taken over: %s", byDefault.notTaken(none))
	known := map[string]bool{}
	for _, p := range profiles {
		included := a.included.has(p.Name)
		name, taken := a.userOf(q, p, ours)
		switch {
		case name == "":
			known[taken] = taken != ""
			continue
		case known[name]:
			a.block(domain.ThingUser, name, "two profiles would be this user, %s is one of them: name them by AdoptRequest.Users", p.Name)
			continue
		}
		known[name] = true
		a.planUser(q, source, byDefault, p, name, included, ours)
	}
	a.unused(a.people, ThingProfile)
	a.unused(a.included, ThingProfile)
	if ours == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(ours.names)) {
		if !known[name] && ours.names[name].Offboarded.IsZero() {
			a.gone = append(a.gone, name)
			detail := "has no profile any more; home and records stay"
			if a.replaced[name] {
				detail = fmt.Sprintf("no profile has their uid, %d; home and records stay", ours.names[name].UID)
			}
			a.ends = append(a.ends, domain.Consequence{Fate: domain.Ends, Thing: domain.ThingUser, Name: name, Detail: detail})
		}
	}
	return nil
}

// planUser plans that a profile is a user; one without access to RStudio only if it is included.
func (a *adoption) planUser(q AdoptRequest, source Description, byDefault Effective, p Profile, name string, included bool, ours *present) {
	onboard := domain.OnboardRequest{User: name, UID: p.UID}
	var u domain.User // nobody yet, unless with the profile's uid
	if ours != nil {
		onboard.Login = ours.names[name].Login
		if u = ours.names[name]; u.UID != p.UID {
			u = domain.User{}
		}
	}
	// In a domain without RStudio nobody has access to it, and nobody was refused it.
	settings := effective(source, p)
	off := source.RStudio != nil && settings.Access == AccessOff && !included
	member := !u.Onboarded.IsZero() && u.Offboarded.IsZero()
	switch why := cannotJoin(onboard); {
	case why != "":
		a.differ(domain.ThingUser, name, "profile %s is left out: %s", p.Name, why)
		return
	case off && member:
		a.differ(domain.ThingUser, name, "has no access to RStudio there, by profile %s, and is a user here: offboard them, with Domain.Offboard, if that is not meant", p.Name)
		return
	case off && !u.Offboarded.IsZero(): // they agree
		a.stay(domain.ThingUser, name, "offboarded, and without access to RStudio by profile %s", p.Name)
		return
	case off:
		a.differ(domain.ThingUser, name, "profile %s has no access to RStudio: it is left out; name it in AdoptRequest.Include, if they are to have sessions here", p.Name)
		return
	case !u.Offboarded.IsZero():
		a.differ(domain.ThingUser, name, "was offboarded here, profile %s is there: onboard them, with uid %d, if that is not meant", p.Name, p.UID)
		return
	}
	if not := settings.notTaken(byDefault); not != "" {
		a.note(ThingProfile, p.Name, "its settings are not taken over: %s", not)
	}
	if member {
		a.stay(domain.ThingUser, name, "with uid %d, profile %s", p.UID, p.Name)
		return
	}
	if other := a.anothers(q.Name, name, p.UID); other.ID != "" {
		a.block(domain.ThingHome, other.Path, "is that of user %s of domain %s, and would be that of %s of %s: adopt under that name, with that name in Users, or delete access point %s (files stay)",
			other.User, other.Tags[domain.TagDomain], name, printable(q.Name), other.ID)
		return
	}
	onboard.Groups = u.Groups
	a.users = append(a.users, onboard)
	a.make(domain.ThingUser, name, "with uid %d, profile %s", p.UID, p.Name)
	if a.holder(q.Name, p.UID) == name {
		a.stay(domain.ThingAccessPoint, fmt.Sprintf("/%d", p.UID), "of the home of %s, found again", name)
	} else {
		a.make(domain.ThingAccessPoint, fmt.Sprintf("/%d", p.UID), "of the home of %s, entered as %d", name, p.UID)
	}
}

// cannotJoin says why a user cannot be onboarded, or nothing.
func cannotJoin(q domain.OnboardRequest) string {
	wrong := domain.CheckOnboard(q)
	if len(wrong) == 0 {
		return ""
	}
	why := strings.ReplaceAll(errors.Join(wrong...).Error(), "\n", "; ")
	if q.UID = 0; len(domain.CheckOnboard(q)) > 0 {
		why += "; name the user of this profile by AdoptRequest.Users"
	}
	return why
}

// anothers is the access point that opens the home of a uid, if it is another user's or another
// domain's: the file system has one of ours for a uid.
func (a *adoption) anothers(of, user string, uid uint32) efs.AccessPoint {
	for _, p := range a.points {
		if p.User != "" && p.UID == uid && (p.User != user || p.Tags[domain.TagDomain] != of) {
			return p
		}
	}
	return efs.AccessPoint{}
}

// holder is the user of a domain whose home an access point opens as a uid, or nobody: the
// name outlives the records.
func (a *adoption) holder(of string, uid uint32) string {
	for _, p := range a.points {
		if p.UID == uid && uid != 0 && p.Tags[domain.TagDomain] == of {
			return p.User
		}
	}
	return ""
}

// homeOf is the access point of the home that a user of a domain had, or none.
func (a *adoption) homeOf(of, user string) efs.AccessPoint {
	for _, p := range a.points {
		if p.User == user && user != "" && p.Tags[domain.TagDomain] == of {
			return p
		}
	}
	return efs.AccessPoint{}
}

// userOf is the name of the user that a profile is. If it is to be left out, it is empty
// and left is the user whom it keeps from being taken for gone, if there is one.
func (a *adoption) userOf(q AdoptRequest, p Profile, ours *present) (name, left string) {
	wanted, ok := a.people.of(p.Name)
	held := a.holder(q.Name, p.UID)
	name = cmp.Or(held, wanted, strings.ToLower(p.Name))
	if ours != nil {
		if u, ok := ours.users[p.UID]; ok && p.UID != 0 {
			name = u.Name // whoever has the uid is the profile's user, by whatever name
		}
	}
	if !ok { // it blocks
		return "", name
	}
	if wanted != "" && wanted != name {
		a.differ(domain.ThingUser, name, "is the user that has uid %d of profile %s, and %s, which Users has for it, is not heeded: a user's name is for good", p.UID, p.Name, wanted)
	}
	switch {
	case p.Status == Deleting:
		a.differ(domain.ThingUser, name, "profile %s is being deleted", p.Name)
		return "", name
	case p.UID == 0:
		a.differ(domain.ThingUser, name, "profile %s has no uid yet: it is left out; adopt again when it has signed in", p.Name)
		return "", name
	case p.Status != InService && p.Status != Updating && p.Status != UpdateFailed:
		a.differ(domain.ThingUser, name, "profile %s is %s: it is left out", p.Name, p.Status)
		return "", name
	case domain.CheckName("user", name) != nil:
		a.differ(domain.ThingUser, p.Name, "is left out: %v; name the user of this profile by AdoptRequest.Users", domain.CheckName("user", name))
		return "", ""
	}
	var has efs.AccessPoint // of the user of this name, if it is another's than the profile
	if ours != nil && ours.names[name].UID != 0 {
		if u := ours.names[name]; u.UID != p.UID {
			has.UID, has.Path = u.UID, cmp.Or(u.Home.Path, fmt.Sprintf("/%d", u.UID))
		}
	} else if held == "" {
		has = a.homeOf(q.Name, name)
	}
	if has.UID != 0 {
		a.differ(domain.ThingUser, name, "profile %s has uid %d and the home /%d, and the user here has uid %d and %s: the profile was made anew, or another uid was given here; "+
			"it is left out: name a user for it, as AdoptRequest.Users: {%q: %q}", p.Name, p.UID, p.UID, has.UID, has.Path, p.Name, a.another(q.Name, name, ours))
		if a.replaced == nil {
			a.replaced = map[string]bool{}
		}
		a.replaced[name] = true
		return "", ""
	}
	return name, ""
}

// another is a name for a user of a domain who is not the one of a name.
func (a *adoption) another(of, name string, ours *present) string {
	const most = 20 // CheckName
	for n := 2; ; n++ {
		number := strconv.Itoa(n)
		other := name[:min(len(name), most-len(number))] + number
		if (ours == nil || ours.names[other].Name == "") && a.homeOf(of, other).UID == 0 {
			return other
		}
	}
}

// wholeProfiles returns the profiles of a domain in the order of their names. One that is
// gone before it is looked at is not among them.
func (c *Client) wholeProfiles(ctx context.Context, id string) (all []Profile, err error) {
	var names []string
	for s, err := range c.listProfiles(ctx, id) {
		if err != nil {
			return nil, err
		}
		names = append(names, s.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		p, err := c.profile(ctx, id, name)
		if kindOf(err) == domain.ErrNotFound {
			continue
		}
		if err != nil {
			return nil, refusal.Step("user profile "+name, err)
		}
		all = append(all, p)
	}
	return all, nil
}
