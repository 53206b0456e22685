package sagemakerdomain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain"
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
	a.stay(domain.ThingDomain, source.ID, "its settings are not taken over: %s", byDefault.notTaken(none))
	known := map[string]bool{}
	for _, p := range profiles {
		name, taken := a.userOf(q, p, ours)
		switch {
		case name == "":
			known[taken] = taken != ""
			continue
		case known[name]:
			a.block(domain.ThingUser, name, "two profiles would be this user, %s is one of them: name them by Users", p.Name)
			continue
		}
		known[name] = true
		onboard := domain.OnboardRequest{User: name, UID: p.UID}
		var u domain.User
		if ours != nil {
			u = ours.names[name]
			onboard.Login = u.Login
		}
		if why := cannotJoin(onboard); why != "" {
			a.differ(domain.ThingUser, name, "profile %s is left out: %s", p.Name, why)
			continue
		}
		if not := effective(source, p).notTaken(byDefault); not != "" {
			a.stay(ThingProfile, p.Name, "its settings are not taken over: %s", not)
		}
		if ours != nil {
			switch {
			case u.UID != p.UID: // there is none yet
			case !u.Offboarded.IsZero():
				a.differ(domain.ThingUser, name, "was offboarded here, profile %s is there: onboard them, with uid %d, if that is not meant", p.Name, p.UID)
				continue
			case !u.Onboarded.IsZero():
				a.stay(domain.ThingUser, name, "with uid %d, profile %s", p.UID, p.Name)
				continue
			}
			onboard.Groups = u.Groups
		}
		a.users = append(a.users, onboard)
		a.make(domain.ThingUser, name, "with uid %d, profile %s", p.UID, p.Name)
		a.make(domain.ThingAccessPoint, fmt.Sprintf("/%d", p.UID), "of the home of %s, entered as %d", name, p.UID)
	}
	if ours == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(ours.names)) {
		if !known[name] && ours.names[name].Offboarded.IsZero() {
			a.gone = append(a.gone, name)
			a.ends = append(a.ends, domain.Consequence{Fate: domain.Ends, Thing: domain.ThingUser, Name: name, Detail: "has no profile any more; home and records stay"})
		}
	}
	return nil
}

// cannotJoin says why a user cannot be onboarded, or nothing.
func cannotJoin(q domain.OnboardRequest) string {
	wrong := domain.CheckOnboard(q)
	if len(wrong) == 0 {
		return ""
	}
	why := strings.ReplaceAll(errors.Join(wrong...).Error(), "\n", "; ")
	if q.UID = 0; len(domain.CheckOnboard(q)) > 0 {
		why += "; name the user of this profile by Users"
	}
	return why
}

// checkHomes blocks what would open a home that a domain of ours has already, in another's
// name: the file system has one access point of ours for a uid.
func (a *adoption) checkHomes(name string) {
	asked := map[uint32]string{}
	for _, u := range a.users {
		asked[u.UID] = u.User
	}
	for _, p := range a.points {
		user, ok := asked[p.UID]
		of := p.Tags[domain.TagDomain]
		if ok && p.User != "" && (p.User != user || of != name) {
			a.block(domain.ThingHome, p.Path, "is that of user %s of domain %s, and would be that of %s of %s: adopt under that name, with that name in Users, or delete access point %s (files stay)",
				p.User, of, user, printable(name), p.ID)
		}
	}
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

// userOf is the name of the user that a profile is. If it is to be left out, it is empty
// and left is the user whom it keeps from being taken for gone, if there is one.
func (a *adoption) userOf(q AdoptRequest, p Profile, ours *present) (name, left string) {
	name = cmp.Or(a.holder(q.Name, p.UID), lookup(q.Users, p.Name), strings.ToLower(p.Name))
	if ours != nil {
		if u, ok := ours.users[p.UID]; ok && p.UID != 0 {
			name = u.Name // whoever has the uid is the profile's user, by whatever name
		}
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
		a.differ(domain.ThingUser, p.Name, "is left out: %v; name the user of this profile by Users", domain.CheckName("user", name))
		return "", ""
	}
	if ours == nil {
		return name, ""
	}
	if u, ok := ours.names[name]; ok && u.UID != 0 && u.UID != p.UID {
		a.differ(domain.ThingUser, name, "profile %s was made anew, with uid %d and the home /%d, which are not the user's, %d and %s: it is left out; name the user that it is by Users",
			p.Name, p.UID, p.UID, u.UID, u.Home.Path)
		return "", ""
	}
	return name, ""
}

// lookup finds what a map has for a name, whose case does not matter.
func lookup(m map[string]string, name string) string {
	for key, value := range m {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
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
