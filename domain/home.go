package domain

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
)

// HomeDeletion is how far the deletion of a user's home has come. The zero
// value says that there was none.
type HomeDeletion struct {
	// Count is how many homes of the user were deleted. Each later one began
	// empty.
	Count int `json:",omitempty"`
	// Begun is when the deletion of the present home began. Zero if it did
	// not.
	Begun time.Time `json:",omitzero"`
	// Ended is when the home was gone: files, directory and access point.
	// Zero again once the user is onboarded again.
	Ended time.Time `json:",omitzero"`

	// Decided is whether the deletion will be carried out; until then it may
	// be withdrawn, by the call whose number Claim is.
	Decided bool  `json:",omitempty"`
	Claim   int64 `json:",omitempty"`
	// AccessPoint opens the file system for the deletion. Empty while nothing
	// does.
	AccessPoint string `json:",omitempty"`
}

// UnderWay reports whether a deletion has begun and not ended.
func (x HomeDeletion) UnderWay() bool { return !x.Begun.IsZero() && x.Ended.IsZero() }

// advice says what an offboarded user's home is, and how they come back.
func (x HomeDeletion) advice() string {
	switch {
	case x.UnderWay():
		return "their home is being deleted; finish that and onboard them again"
	case !x.Ended.IsZero():
		return "their home was deleted; onboard them again, with an empty one"
	}
	return "their home is kept, onboard them again"
}

// HomeDeletionRequest names a home to delete, and what is to remove its files.
type HomeDeletionRequest struct {
	// User is whose home it is. Required.
	User string
	// Path is the home's path on the file system, "/" and the uid, as the
	// caller knows it. Required: who means another home is stopped by it.
	Path string
	// Image is the name of an attached image that removes the files. Required.
	Image string
	// InstanceType is the EC2 or SageMaker name of the type it runs on. Empty
	// is the cheapest that has room.
	InstanceType string
}

// homeDeletionSize is the room that removing files takes. How many there are
// does not matter: what rm keeps in memory are the entries of directories,
// thousands at a time.
var homeDeletionSize = Size{MilliCPU: 1000, MemoryMiB: 512}

// AuthorizeHomeDeletion decides whether a user's home may be deleted, and on
// what the files are removed. It changes nothing and asks nobody but the store.
//
// A refusal is one error that lists every reason: a path that is not that of
// this user's home is [ErrInvalid]; one who is not offboarded, or has no home,
// [ErrState]; an unknown user or image [ErrNotFound]. Policies say what
// sessions may use and do not apply: an administrator names image and type.
//
// The grant is for a host of its own. Its User says how far an earlier
// deletion has come.
func (d *Domain) AuthorizeHomeDeletion(ctx context.Context, q HomeDeletionRequest) (Grant, error) {
	const op = "delete home"
	name := d.name + "/" + printable(q.User)
	rec, err := d.load(ctx, op)
	if err != nil {
		return Grant{}, err
	}
	var wrong problems
	wrong.add("domain", ErrState, rec.open())
	u, err := d.user(ctx, q.User, &wrong)
	if err == nil && u.Name != "" {
		err = d.mayDelete(ctx, rec, u, q.Path, &wrong)
	}
	if err != nil {
		return Grant{}, fail(ctx, op, name, err)
	}
	if q.Image == "" {
		wrong.add("image", ErrInvalid, errors.New("image is missing: want the name of an attached image that has sh, mv and rm"))
	}
	// What runs where is decided as for a session, of nobody and without policies.
	rec.Policy, rec.Groups, rec.Closing = Policy{}, nil, ""
	nobody := User{Name: "nobody", Onboarded: rec.Created}
	grant, more := decide(facts{domain: rec, user: &nobody, prices: prices{d.client.catalog, rec.Region}},
		Ask{User: nobody.Name, Image: q.Image, InstanceType: q.InstanceType, Size: homeDeletionSize})
	if q.Image != "" || rec.DefaultImage != "" {
		wrong = append(wrong, more...)
	}
	if err := wrong.err(op, name); err != nil {
		return Grant{}, err
	}
	grant.User, grant.Sharing = u, Exclusive
	return grant, nil
}

// user finds a user, or says why there is none; then it is zero.
func (d *Domain) user(ctx context.Context, name string, wrong *problems) (User, error) {
	if err := CheckName("user", name); err != nil {
		wrong.add("user", ErrInvalid, err)
		return User{}, nil
	}
	u, err := d.users.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		wrong.add("user", ErrNotFound, d.stranger(name, err))
		return User{}, nil
	}
	return u, err
}

// mayDelete adds what is against deleting a user's home. The ledger has to
// have given the uid: a path that follows from anything else is nobody's home.
func (d *Domain) mayDelete(ctx context.Context, rec record, u User, path string, wrong *problems) error {
	if !rec.External.none() {
		wrong.add("home", ErrNotAllowed, fmt.Errorf("file system %s is kept by %s, and so are its homes: have it deleted there", rec.FileSystem, rec.External.Keeper))
		return nil
	}
	l, err := d.client.ledgers.Get(ctx, d.name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	wrong.add("path", ErrInvalid, u.checkPath(path))
	wrong.add("user", ErrState, u.checkLeft())
	switch {
	case u.UID == 0:
	case u.UID < firstUID || u.UID >= l.Next:
		wrong.add("ledger", ErrState, fmt.Errorf("user %s: uid %d is not one that the domain's ledger has given (%d up to %d); "+
			"an administrator has to look at the records", u.Name, u.UID, firstUID, l.Next))
	case u.Home != (efs.Home{}) && (u.Home.FileSystem != rec.FileSystem || u.Home.Path != u.homePath()):
		wrong.add("home", ErrState, fmt.Errorf("user %s: the home is %s on %s, and not %s on the domain's file system %s; "+
			"onboard and offboard them once more", u.Name, u.Home.Path, u.Home.FileSystem, u.homePath(), rec.FileSystem))
	}
	return nil
}

// homePath is where a user's home is, has been or will be.
func (u User) homePath() string { return "/" + strconv.FormatUint(uint64(u.UID), 10) }

// checkPath reports why a path is not that of the user's home.
func (u User) checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("path is missing: repeat the home's path, so that no other is deleted by mistake")
	case u.UID == 0:
		return nil // there is no home, which is said elsewhere
	case path != u.homePath():
		return fmt.Errorf("path %.40q: is not that of the home of %s; look it up, and who is meant", path, u.Name)
	}
	return nil
}

// checkLeft reports why a user may not lose the home.
func (u User) checkLeft() error {
	switch {
	case u.Offboarded.IsZero():
		return fmt.Errorf("user %s: is onboarded; offboard them first", u.Name)
	case u.UID == 0:
		return fmt.Errorf("user %s: has no home and never had one, as onboarding did not come to it", u.Name)
	}
	return nil
}

// BeginHomeDeletion records that a user's home is to be deleted and returns
// the user. From then on [Domain.Onboard] refuses them, and [Domain.CheckHome]
// whoever would still use the home; only then is ready asked whether somebody
// does. If ready returns an error, that is returned, and nothing has begun.
//
// It is for package session, whose DeleteHome is the call that deletes a home;
// it must be followed by [Domain.EnsureHomeDeletionAccess], the removal of the
// files and [Domain.FinishHomeDeletion]. It is idempotent: ready is not asked
// again once a deletion is decided. The user's state and path are checked as
// by [Domain.AuthorizeHomeDeletion]; that EFS has the uid's home as another
// user's is [ErrConflict].
func (d *Domain) BeginHomeDeletion(ctx context.Context, user, path string, ready func(context.Context) error) (User, error) {
	const op = "delete home"
	name := d.name + "/" + printable(user)
	if err := CheckName("user", user); err != nil {
		return User{}, &Error{Op: op, Name: name, Kind: ErrInvalid, Err: err}
	}
	const attempts = 10
	for range attempts {
		u, err := d.claimHome(ctx, op, user, path)
		if err != nil || u.Deletion.Decided || !u.Deletion.UnderWay() {
			return u, fail(ctx, op, name, d.stranger(user, err))
		}
		claim := u.Deletion.Claim
		// Delete closes the domain first and looks for deletions after; this
		// looks whether it is closed after it has written the claim.
		rec, err := d.load(ctx, op)
		if err == nil && rec.open() != nil {
			err = &Error{Op: op, Name: d.name, Kind: ErrState, Err: rec.open()}
		}
		var asked error // what ready says, which stays as it is
		if err == nil {
			asked = ready(ctx)
			err = asked
		}
		var home efs.Home
		if err == nil {
			home, err = d.provenHome(ctx, rec, u)
		}
		if ctx.Err() != nil {
			return User{}, ctx.Err() // it is claimed; the next call goes on
		}
		mine := true
		u, writeErr := d.users.Update(ctx, user, func(u *User) error {
			x := &u.Deletion
			switch mine = x.Claim == claim; {
			case x.Decided || !x.UnderWay() || !mine:
				return store.ErrUnchanged
			case err != nil:
				x.Begun = time.Time{}
			default:
				x.Decided = true
				u.Home = home
			}
			return nil
		})
		switch {
		case asked != nil:
			return User{}, asked // if this call's claim was not to be withdrawn, another's stands
		case err != nil:
			return User{}, fail(ctx, op, name, err)
		case writeErr != nil:
			return User{}, fail(ctx, op, name, writeErr)
		case u.Deletion.Decided:
			d.client.log.InfoContext(ctx, "deletion of a home begun", "domain", d.name, "user", user, "path", path)
			return u, nil
		case mine:
			return User{}, &Error{Op: op, Name: name, Kind: ErrConflict, Err: errors.New("another call ended it meanwhile; call again")}
		}
	}
	return User{}, &Error{Op: op, Name: name, Kind: ErrConflict, Err: errors.New("other calls delete it too; call again")}
}

// provenHome asks EFS whose home the uid's is: it keeps one access point for
// each, and has the last word, as the records of another domain of the name,
// in another store, may say that the uid is another's. It is [ErrConflict]
// then. An access point that is missing is made again.
func (d *Domain) provenHome(ctx context.Context, r record, u User) (efs.Home, error) {
	r, err := d.ensureStorage(ctx, r)
	if err != nil {
		return efs.Home{}, err
	}
	return d.client.efsFor(d.name, u.Name, "home").EnsureHome(ctx, efs.HomeSpec{
		FileSystem: r.FileSystem, User: u.Name, UID: u.UID, GID: u.GID, Tags: r.tags(),
	})
}

// claimHome records that a deletion is about to begin, under a number of its
// own.
func (d *Domain) claimHome(ctx context.Context, op, user, path string) (User, error) {
	return d.users.Update(ctx, user, func(u *User) error {
		var wrong problems
		wrong.add("path", ErrInvalid, u.checkPath(path))
		wrong.add("user", ErrState, u.checkLeft())
		if err := wrong.err(op, d.name+"/"+user); err != nil {
			return err
		}
		x := &u.Deletion
		if x.Decided || !x.Ended.IsZero() {
			return store.ErrUnchanged
		}
		if x.Begun.IsZero() {
			x.Begun = time.Now()
		}
		x.Claim++
		return nil
	})
}

// deleting returns the user as recorded now, whose home's deletion is decided,
// else [ErrState]. A later home of the user's is none that was begun with.
func (d *Domain) deleting(ctx context.Context, op string, begun User) (User, error) {
	u, err := d.User(ctx, begun.Name)
	if err == nil && (!u.Deletion.Decided || u.Deletion.Count != begun.Deletion.Count) {
		err = &Error{Op: op, Name: d.name + "/" + u.Name, Kind: ErrState,
			Err: errors.New("no deletion of that home is under way; begin it first")}
	}
	return u, err
}

// EnsureHomeDeletionAccess opens the domain's file system as root, for removing
// the files of a user whose home's deletion has begun, and who is as
// [Domain.BeginHomeDeletion] returned them; without that, or when that deletion
// has ended, it is [ErrState]. It is idempotent. [Domain.EndHomeDeletionAccess] and
// [Domain.FinishHomeDeletion] close it.
func (d *Domain) EnsureHomeDeletionAccess(ctx context.Context, begun User) (efs.Root, error) {
	const op = "delete home"
	user, name := begun.Name, d.name+"/"+printable(begun.Name)
	u, err := d.deleting(ctx, op, begun)
	if err != nil {
		return efs.Root{}, err
	}
	r, err := d.load(ctx, op)
	if err != nil {
		return efs.Root{}, err
	}
	if r, err = d.ensureStorage(ctx, r); err != nil {
		return efs.Root{}, fail(ctx, op, name, err)
	}
	client := d.client.efsFor(d.name, user, "home")
	root, err := client.EnsureRoot(ctx, efs.RootSpec{
		FileSystem: r.FileSystem, Purpose: "deletion-of-" + strconv.FormatUint(uint64(u.UID), 10), Tags: r.tags(),
	})
	if err != nil {
		return efs.Root{}, fail(ctx, op, name, err)
	}
	over := false
	_, err = d.users.Update(ctx, user, func(now *User) error {
		over = !now.Deletion.Decided || now.Deletion.Count != u.Deletion.Count
		if over || now.Deletion.AccessPoint == root.AccessPoint {
			return store.ErrUnchanged
		}
		now.Deletion.AccessPoint = root.AccessPoint
		return nil
	})
	if err == nil && over { // another call has finished, and this made it anew
		err = client.DeleteAccessPoint(ctx, root.AccessPoint)
		if err == nil {
			err = &Error{Op: op, Name: name, Kind: ErrState, Err: errors.New("another call has finished it; call again")}
		}
	}
	if err != nil {
		return efs.Root{}, fail(ctx, op, name, err)
	}
	return root, nil
}

// EndHomeDeletionAccess closes what [Domain.EnsureHomeDeletionAccess] opened, if
// that still is root. It is for a removal that failed and may be long until it
// is tried again. It is idempotent.
func (d *Domain) EndHomeDeletionAccess(ctx context.Context, user string, root efs.Root) error {
	const op = "delete home"
	name := d.name + "/" + printable(user)
	u, err := d.User(ctx, user)
	if err != nil || root.AccessPoint == "" || u.Deletion.AccessPoint != root.AccessPoint {
		return err
	}
	err = d.client.efsFor(d.name, user, "home").DeleteAccessPoint(ctx, root.AccessPoint)
	if err == nil {
		_, err = d.users.Update(ctx, user, func(u *User) error {
			if u.Deletion.AccessPoint != root.AccessPoint {
				return store.ErrUnchanged
			}
			u.Deletion.AccessPoint = ""
			return nil
		})
	}
	return fail(ctx, op, name, err)
}

// FinishHomeDeletion records that the files of a home are gone, after it has
// deleted the access points of the home and of the deletion. The user keeps
// the uid, which is nobody else's for ever; [Domain.Onboard] gives them an
// empty home. The user is as [Domain.BeginHomeDeletion] returned them, which
// says which of their homes it is. It is idempotent; without a deletion under
// way or ended it is [ErrState], and for another path [ErrInvalid].
//
// It believes that the files are gone: it is for package session alone, see
// [Domain.BeginHomeDeletion].
func (d *Domain) FinishHomeDeletion(ctx context.Context, begun User, path string) error {
	const op = "delete home"
	user, name := begun.Name, d.name+"/"+printable(begun.Name)
	u, err := d.User(ctx, user)
	switch {
	case err != nil:
		return err
	case u.checkPath(path) != nil:
		return &Error{Op: op, Name: name, Kind: ErrInvalid, Err: u.checkPath(path)}
	case u.Deletion.Count > begun.Deletion.Count:
		return nil // that home is gone, whatever may have come after it
	}
	if u, err = d.deleting(ctx, op, begun); err != nil {
		return err
	}
	r, err := d.load(ctx, op)
	if err == nil {
		err = d.markUIDs(ctx, r)
	}
	if err != nil {
		return fail(ctx, op, name, err)
	}
	client := d.client.efsFor(d.name, user, "home")
	// Those that the record named while the deletion was under way, and no
	// others: a later onboarding has made others.
	for _, id := range []string{u.Deletion.AccessPoint, u.Home.AccessPoint} {
		if id == "" {
			continue
		}
		if err := client.DeleteAccessPoint(ctx, id); err != nil {
			return fail(ctx, op, name, err)
		}
	}
	_, err = d.users.Update(ctx, user, func(now *User) error {
		if !now.Deletion.Decided || now.Deletion.Count != u.Deletion.Count {
			return store.ErrUnchanged // another call was faster
		}
		x := &now.Deletion
		x.Decided, x.AccessPoint = false, ""
		x.Ended = time.Now()
		x.Count++
		now.Home, now.Onboarded = efs.Home{}, time.Time{}
		return nil
	})
	if err == nil {
		d.client.log.InfoContext(ctx, "home deleted", "domain", d.name, "user", user, "path", path)
	}
	return fail(ctx, op, name, err)
}

// CheckHome reports whether the home in a grant is still its user's, or the user
// was offboarded since, or it is being or was deleted, which is [ErrState].
// Whoever is about to mount a
// home asks after it has recorded that it will; see [Domain.BeginHomeDeletion].
func (d *Domain) CheckHome(ctx context.Context, granted User) error {
	u, err := d.User(ctx, granted.Name)
	refuse := func(why string) error {
		return &Error{Op: "home", Name: d.name + "/" + u.Name, Kind: ErrState, Err: errors.New(why)}
	}
	switch {
	case err != nil:
		return err
	case u.Deletion.UnderWay() || u.Deletion.Count != granted.Deletion.Count:
		return refuse("the home is being deleted or was; onboard the user again, and start a new session")
	case !u.Offboarded.IsZero():
		return refuse("the user was offboarded; onboard them again, and start a new session")
	}
	return nil
}
