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

const (
	// firstUID is the first uid given, the one SageMaker's documentation shows
	// for the first user profile of a domain. It is above the 65,536 that
	// images and their distributions give to accounts of their own.
	firstUID = 200001
	// lastUID is the last. Linux has two more bits' worth, but tools that take
	// a uid for a signed number do not.
	lastUID = 1<<31 - 2
)

// A ledger is the account of the uids of a domain's users, which are their gids,
// too, and of the gids of its projects: one sequence, so that no two of them are
// equal; on an external file system it is of projects alone. It outlives the domain: one created again under the name goes on where
// the earlier one stopped.
//
// A number is taken by raising Next, by compare-and-swap, before it is written
// into the user's or project's record. A crash between the two loses a number,
// which is cheap, and never gives one twice. These records are never deleted, so
// that whoever comes back finds their own.
type ledger struct {
	Domain string
	// Next is the lowest number that was never given.
	Next uint32
}

// ensureUID returns the user with a uid, and records it.
func (d *Domain) ensureUID(ctx context.Context, r record, u User) (User, error) {
	if u.UID != 0 {
		return u, nil
	}
	if err := d.openLedger(ctx, r); err != nil {
		return User{}, err
	}
	u, err := d.users.Get(ctx, u.Name)
	if err != nil || u.UID != 0 { // as the file system remembers
		return u, err
	}
	uid, err := d.takeID(ctx, "onboard")
	if err != nil {
		return User{}, err
	}
	return d.users.Update(ctx, u.Name, func(u *User) error {
		if u.UID != 0 { // another call was faster; this uid is nobody's
			return store.ErrUnchanged
		}
		u.UID, u.GID = uid, uid
		return nil
	})
}

// firstID is the first number of the domain's ledger.
func (r record) firstID() uint32 {
	if r.External.none() {
		return firstUID
	}
	return firstExternalGID
}

// homeGID is the group of a home's directory that is made, or nil for the user's own.
func (r record) homeGID() *uint32 {
	if r.External.none() {
		return nil
	}
	return &r.External.HomeGID
}

// homeOwner is the key of the tag that tells the domain's homes from those of other domains over
// an external file system; a file system of the domain's own has no others.
func (r record) homeOwner() string {
	if r.External.none() {
		return ""
	}
	return TagDomain
}

// takeID takes the next number of the ledger, for one user or project.
func (d *Domain) takeID(ctx context.Context, op string) (id uint32, err error) {
	_, err = d.client.ledgers.Update(ctx, d.name, func(l *ledger) error {
		if l.Next > lastUID {
			return &Error{Op: op, Name: d.name, Kind: ErrQuota, Err: errors.New("every uid has been given")}
		}
		id = l.Next
		l.Next++
		return nil
	})
	return id, err
}

// openLedger makes sure that there is a ledger. A new one knows of the homes on
// the file system: those of an earlier domain of the name, whose records were
// lost.
func (d *Domain) openLedger(ctx context.Context, r record) error {
	_, err := d.client.ledgers.Get(ctx, d.name)
	if errors.Is(err, store.ErrNotFound) {
		return d.takeStock(ctx, r)
	}
	return err
}

// takeStock raises the ledger above every uid and gid that the file system
// shows, by homes and shared directories or by the mark that deleted ones left.
// Users who have a home there and no record get one, as offboarded, with their
// uid; projects likewise, as deleted, with their gid.
func (d *Domain) takeStock(ctx context.Context, r record) error {
	d.client.report(Progress{Domain: d.name, Step: "uid", Resource: r.FileSystem, State: "taking stock"})
	next, err := d.markedUID(ctx, r)
	if err != nil {
		return err
	}
	for p, err := range d.client.efsFor(d.name, "", "uid").AccessPoints(ctx, r.FileSystem) {
		if err != nil {
			return err
		}
		if id := max(p.UID, p.OwnerGID); id >= next && id <= lastUID {
			next = id + 1
		}
		if dir := p.SharedDirectory(); p.Tags[TagDomain] == d.name && CheckName("project", p.Shared) == nil &&
			dir.GID >= r.firstID() && dir.GID <= lastUID {
			if err := d.rememberProject(ctx, dir, p.Shared); err != nil {
				return err
			}
		}
		if p.Tags[TagDomain] != d.name || CheckName("user", p.User) != nil ||
			p.UID == 0 || p.GID != p.UID || p.Path != fmt.Sprintf("/%d", p.UID) {
			continue // not a home of ours
		}
		home := efs.Home{FileSystem: p.FileSystem, AccessPoint: p.ID, Path: p.Path, UID: p.UID, GID: p.GID}
		if err := d.remember(ctx, p.User, home); err != nil {
			return err
		}
	}
	err = d.client.ledgers.Create(ctx, d.name, ledger{Domain: d.name, Next: next})
	if errors.Is(err, store.ErrConflict) {
		_, err = d.client.ledgers.Update(ctx, d.name, func(l *ledger) error {
			l.Next = max(l.Next, next)
			return nil
		})
	}
	return err
}

// remember records a user whose home is on the file system. A uid that the
// record has already stays.
func (d *Domain) remember(ctx context.Context, user string, home efs.Home) error {
	err := d.users.Create(ctx, user, User{
		Name: user, Login: user, UID: home.UID, GID: home.GID, Home: home, Offboarded: time.Now(),
	})
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	_, err = d.users.Update(ctx, user, func(u *User) error {
		if u.UID != 0 {
			return store.ErrUnchanged
		}
		u.UID, u.GID, u.Home = home.UID, home.GID, home
		return nil
	})
	return err
}

// ensureHome gives the user a uid and the home that belongs to it.
//
// EFS has the last word: it keeps one access point for a uid. If that is
// another user's, records were lost or the file system is shared with a domain
// of the same name in another store; then stock is taken and the user, who has
// never had a home under this uid, gets another.
func (d *Domain) ensureHome(ctx context.Context, r record, u User) (home efs.Home, err error) {
	const attempts = 3
	for range attempts {
		if u, err = d.ensureUID(ctx, r, u); err != nil {
			return efs.Home{}, err
		}
		d.client.report(Progress{Domain: d.name, User: u.Name, Step: "home", Resource: fmt.Sprintf("/%d", u.UID)})
		home, err = d.client.efsFor(d.name, u.Name, "home").EnsureHome(ctx, efs.HomeSpec{
			FileSystem: r.FileSystem, User: u.Name, UID: u.UID, GID: u.GID, DirectoryGID: r.homeGID(), Tags: r.tags(), Owner: r.homeOwner(),
		})
		if !errors.Is(err, efs.ErrConflict) || !r.External.none() || u.Home != (efs.Home{}) || u.Deletion.Count > 0 {
			return home, gone(r, err)
		}
		taken := u.UID
		stockErr := d.takeStock(ctx, r)
		if stockErr == nil {
			u, stockErr = d.users.Update(ctx, u.Name, func(u *User) error {
				if u.UID != taken || u.Home != (efs.Home{}) {
					return store.ErrUnchanged
				}
				u.UID, u.GID = 0, 0
				return nil
			})
		}
		if stockErr != nil {
			return efs.Home{}, errors.Join(err, stockErr)
		}
	}
	return efs.Home{}, err
}

// tagLastUID, of a file system, is the last uid or gid that was given when a
// home or a project was deleted, or a later one.
const tagLastUID = tagPrefix + "last-uid"

// markUIDs leaves on the file system how far uids and gids have been given: the
// access point that showed it is about to go, and the records may be lost.
// Calls that cross may leave an older mark for as long as it takes the one
// that wrote it to look at the ledger again.
func (d *Domain) markUIDs(ctx context.Context, r record) error {
	if !r.External.none() { // whose tags are its keeper's
		return nil
	}
	client := d.client.efsFor(d.name, "", "uid")
	for marked := uint32(0); ; {
		l, err := d.client.ledgers.Get(ctx, d.name)
		if err != nil || l.Next == marked {
			return err
		}
		marked = l.Next
		tags := map[string]string{tagLastUID: strconv.FormatUint(uint64(l.Next-1), 10)}
		if err := client.TagFileSystem(ctx, r.FileSystem, tags); err != nil {
			return err
		}
	}
}

// markedUID is the first uid after those that the file system's mark says were
// given.
func (d *Domain) markedUID(ctx context.Context, r record) (uint32, error) {
	fs, err := d.client.efsFor(d.name, "", "uid").FileSystem(ctx, r.FileSystem)
	if err != nil {
		return 0, err
	}
	last, err := strconv.ParseUint(fs.Tags[tagLastUID], 10, 31)
	if err != nil || last > lastUID {
		return r.firstID(), nil //nolint:nilerr // there is no mark, or it is not ours
	}
	return max(r.firstID(), uint32(last)+1), nil
}
