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

// A User is a person of a domain.
type User struct {
	// Name is the user's name, for ever: whoever is onboarded under it gets
	// its uid and home.
	Name string
	// Login is the user's name in operating systems: of the account on a Workbench
	// host, and USER in sessions. It is never empty: without another it is Name.
	Login string `json:",omitempty"`
	// UID and GID are the numeric identity, equal to each other and of no
	// other user. Zero until onboarding has come to it.
	UID uint32
	GID uint32
	// Groups are the groups whose policies apply.
	Groups []string `json:",omitempty"`
	// Home is the persistent directory. Zero until onboarding has come to it,
	// and after it was deleted.
	Home efs.Home
	// Deletion is how far the deletion of the home has come, if there was one.
	Deletion HomeDeletion `json:",omitzero"`
	// Onboarded is when onboarding last ended; zero while it has not.
	Onboarded time.Time `json:",omitzero"`
	// Offboarded is when the user was last offboarded; zero if since then
	// onboarded again.
	Offboarded time.Time `json:",omitzero"`
}

// OnboardRequest names who joins a domain.
type OnboardRequest struct {
	// User is the name, unique in the domain: 1 to 20 of a-z, 0-9 and hyphen,
	// beginning with a letter. Required.
	User string
	// Login is the name that the user has in operating systems: what the account on
	// a Workbench host is called, which has to be what they sign in as there, and
	// USER and LOGNAME in sessions, where their home is at /home/ and it. 1 to 32 of
	// a-z, 0-9, dot, underscore and hyphen, beginning with a letter or an underscore
	// ("jane.doe"); no name that Linux has for itself, such as root; none that begins
	// with "project-" or "group-", as Unix groups of the domain do; and neither the
	// name nor the login, now or ever before, of another user. Empty is the one that
	// the user has and, for a new one, User.
	Login string
	// Groups are the user's groups, by names of the same form. They need no
	// definition beforehand.
	Groups []string
	// UID is the uid that the user has on an external file system, as its keeper gave
	// it: there it is required, from 65,536 on, above what images and Linux have for
	// accounts of their own, and no other user's; whether it is theirs cannot be
	// checked. Elsewhere it is 0: the domain gives one itself.
	UID uint32
}

func (q OnboardRequest) problems() problems {
	var wrong problems
	wrong.add("name", ErrInvalid, CheckName("user", q.User))
	if q.Login != "" {
		wrong.add("login", ErrInvalid, checkLogin(q.Login))
	}
	checkGroups(q.Groups, &wrong)
	if q.UID != 0 && q.UID < firstPersonUID || q.UID > lastUID {
		wrong.add("uid", ErrInvalid, fmt.Errorf("uid %d: want %d to %d", q.UID, firstPersonUID, lastUID))
	}
	return wrong
}

// CheckOnboard returns everything for which [Domain.Onboard] would refuse q whoever else is
// there, each an error of a [Kind] and of one sentence: names, groups and the uid. Without
// a Login the name has to be one, as of a user who is new. It is for programs that make
// such requests from others' users.
func CheckOnboard(q OnboardRequest) (refusals []error) {
	wrong := q.problems()
	if CheckName("user", q.User) == nil {
		wrong.add("login", ErrInvalid, q.checkOwnLogin())
	}
	return wrong
}

// checkGroups reports what is wrong with a list of groups.
func checkGroups(groups []string, wrong *problems) {
	for _, g := range groups {
		wrong.add("name", ErrInvalid, CheckName("group", g))
	}
	for _, g := range repeated(groups) {
		wrong.add("name", ErrInvalid, fmt.Errorf("group %.40q is listed twice", g))
	}
}

// Onboard makes a person a user of the domain, with a uid that was and will be
// nobody else's and a home. The first onboarding of a domain also makes its
// file system with a mount target in every zone, which takes AWS a minute or
// two; see [Config.Progress].
//
// It is idempotent, and what a failure left half-way another call continues.
// Onboarding a user again sets their groups to those given, so give them all, and
// their login if one is given; onboarding one who was offboarded gives back their
// uid, login and home; an empty one if it was deleted. It may be called concurrently,
// for one user or many. It asks EFS about the home each time: call it when a person
// joins, not whenever one signs in.
//
// Change a login while the user has no sessions: those that run keep the one that they
// started with, those that are suspended have the new one, and the home at its place,
// when they are resumed, and Workbench knows its users, and finds their sessions, by it.
// Hosts rename the account once nobody is signed in as it. The login of before stays
// theirs alone, and they may have it again.
//
// Names that make no sense are [ErrInvalid], names that are another user's
// [ErrConflict], before anything is done; a domain that is being deleted, or whose
// file system is gone, is [ErrState], and so is a user whose home is being deleted.
func (d *Domain) Onboard(ctx context.Context, q OnboardRequest) (User, error) {
	const op = "onboard"
	name := d.name + "/" + printable(q.User)
	wrong := q.problems()
	unread := errors.Join(d.checkNames(ctx, q, &wrong), d.checkMember(ctx, q, &wrong))
	if err := wrong.err(op, name); err != nil {
		return User{}, err
	}
	if unread != nil {
		return User{}, fail(ctx, op, name, unread)
	}
	u, err := d.onboard(ctx, q)
	if err != nil {
		return User{}, fail(ctx, op, name, err)
	}
	d.client.log.InfoContext(ctx, "user onboarded", "domain", d.name, "user", u.Name, "login", u.Login, "uid", u.UID)
	return u, nil
}

func (d *Domain) onboard(ctx context.Context, q OnboardRequest) (User, error) {
	// The intent first: Delete looks for users after it has closed the domain,
	// and this looks whether it is closed after it has written the user. So at
	// least one of the two sees the other.
	if _, err := d.openRecord(ctx, "onboard"); err != nil {
		return User{}, err
	}
	if err := d.claimNames(ctx, q); err != nil {
		return User{}, err
	}
	u, err := d.intend(ctx, q)
	if err != nil {
		return User{}, err
	}
	homes := u.Deletion.Count
	r, err := d.openRecord(ctx, "onboard")
	if err != nil {
		return User{}, err
	}
	if r, err = d.ensureStorage(ctx, r); err != nil {
		return User{}, err
	}
	home, err := d.ensureHome(ctx, r, u)
	if err != nil {
		return User{}, err
	}
	return d.users.Update(ctx, q.User, func(u *User) error {
		if !u.Offboarded.IsZero() {
			return &Error{Op: "onboard", Name: d.name + "/" + u.Name, Kind: ErrState,
				Err: errors.New("the user was offboarded meanwhile; onboard again if that was not meant")}
		}
		if u.Deletion.Count != homes { // the access point found may be the old one's
			return &Error{Op: "onboard", Name: d.name + "/" + u.Name, Kind: ErrConflict,
				Err: errors.New("the user's home was deleted meanwhile; onboard again")}
		}
		if !u.Onboarded.IsZero() && u.Home == home {
			return store.ErrUnchanged
		}
		u.Home = home
		u.Onboarded = time.Now()
		return nil
	})
}

// checkMember adds what the domain, and the user who is there already, have against q.
func (d *Domain) checkMember(ctx context.Context, q OnboardRequest, wrong *problems) error {
	if CheckName("user", q.User) != nil {
		return nil //nolint:nilerr // it is told with the rest
	}
	r, err := d.load(ctx, "onboard")
	if err != nil {
		return err
	}
	wrong.add("uid", ErrInvalid, r.External.checkUID(q.UID))
	u, err := d.users.Get(ctx, q.User)
	if err == nil {
		u.admit(q, wrong)
	}
	return absent(err)
}

// admit adds what a user who is there already has against being onboarded by q.
func (u User) admit(q OnboardRequest, wrong *problems) {
	if u.Deletion.UnderWay() {
		wrong.add("home", ErrState, errors.New("the user's home is being deleted; finish that, and onboard them again for an empty one"))
	}
	if q.UID != 0 && u.UID != 0 && u.UID != q.UID {
		wrong.add("uid", ErrConflict, fmt.Errorf("the user has uid %d and the home of it, not %d; if this is another person, or one who was made anew, give them another name", u.UID, q.UID))
	}
}

// openRecord reads the domain's record and refuses one that is being deleted.
func (d *Domain) openRecord(ctx context.Context, op string) (record, error) {
	r, err := d.load(ctx, op)
	if err != nil {
		return record{}, err
	}
	if err := r.open(); err != nil {
		return record{}, &Error{Op: op, Name: d.name, Kind: ErrState, Err: err}
	}
	return r, nil
}

// intend records that a user is to be onboarded.
func (d *Domain) intend(ctx context.Context, q OnboardRequest) (User, error) {
	groups := slices.Sorted(slices.Values(q.Groups))
	u := User{Name: q.User, Login: cmp.Or(q.Login, q.User), Groups: groups, UID: q.UID, GID: q.UID}
	err := d.users.Create(ctx, q.User, u)
	if !errors.Is(err, store.ErrConflict) {
		return u, err
	}
	return d.users.Update(ctx, q.User, func(u *User) error {
		var wrong problems
		u.admit(q, &wrong)
		if err := wrong.err("onboard", d.name+"/"+u.Name); err != nil {
			return err
		}
		login := cmp.Or(q.Login, u.Login)
		if u.Offboarded.IsZero() && slices.Equal(u.Groups, groups) && u.Login == login && (u.UID != 0 || q.UID == 0) {
			return store.ErrUnchanged
		}
		if !u.Offboarded.IsZero() {
			u.Onboarded, u.Offboarded = time.Time{}, time.Time{}
			u.Deletion.Begun, u.Deletion.Ended = time.Time{}, time.Time{}
		}
		u.Groups, u.Login = groups, login
		if u.UID == 0 {
			u.UID, u.GID = q.UID, q.UID
		}
		return nil
	})
}

// Offboard ends a user's membership: [Domain.Authorize] refuses them from now
// on, and [Domain.CheckHome] what of theirs waits to be launched. Sessions that
// run are not its concern: Offboard of package session's Manager ends them, too. Home, access point, uid and
// login are kept, and nobody else ever gets them; [Domain.Onboard] gives them back. The
// home of one who was offboarded can be deleted, by DeleteHome of package
// session's Manager. It is idempotent; a user who never was one is [ErrNotFound].
func (d *Domain) Offboard(ctx context.Context, user string) error {
	const op = "offboard"
	name := d.name + "/" + printable(user)
	if err := CheckName("user", user); err != nil {
		return &Error{Op: op, Name: name, Kind: ErrInvalid, Err: err}
	}
	_, err := d.users.Update(ctx, user, func(u *User) error {
		if !u.Offboarded.IsZero() {
			return store.ErrUnchanged
		}
		u.Offboarded = time.Now()
		return nil
	})
	if err == nil {
		d.client.log.InfoContext(ctx, "user offboarded", "domain", d.name, "user", user)
	}
	return fail(ctx, op, name, d.stranger(user, err))
}

// User returns a user, also one who was offboarded, or [ErrNotFound].
func (d *Domain) User(ctx context.Context, user string) (User, error) {
	const op = "user"
	name := d.name + "/" + printable(user)
	if err := CheckName("user", user); err != nil {
		return User{}, &Error{Op: op, Name: name, Kind: ErrInvalid, Err: err}
	}
	u, err := d.users.Get(ctx, user)
	return u, fail(ctx, op, name, d.stranger(user, err))
}

// Users yields every user of the domain in the order of their names, those
// included who were offboarded or whose onboarding has not ended. It is
// complete or ends with an error.
func (d *Domain) Users(ctx context.Context) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		for u, err := range d.users.All(ctx) {
			if !yield(u, fail(ctx, "users", d.name, err)) || err != nil {
				return
			}
		}
	}
}

// stranger says what it means that a user's record is not there.
func (d *Domain) stranger(user string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return unrecorded(fmt.Sprintf("user %s: is not and was never a user of the domain; check the name", user))
	}
	return err
}

// members returns the names of the users who are not offboarded, and of those
// whose home is being deleted.
func (d *Domain) members(ctx context.Context) (onboarded, deleting []string, err error) {
	for u, err := range d.users.All(ctx) {
		switch {
		case err != nil:
			return nil, nil, err
		case u.Offboarded.IsZero():
			onboarded = append(onboarded, u.Name)
		case u.Deletion.UnderWay():
			deleting = append(deleting, u.Name)
		}
	}
	return onboarded, deleting, nil
}
