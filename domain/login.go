package domain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/atelier-go/atelier/domain/store"
)

// A login is the name that a user has in operating systems. Companies' people sign
// in as jane.doe, which no domain has for a name.

// loginPattern is what useradd takes, on Debian 12 and, as is assumed, with the
// patch by which Fedora and so Amazon Linux take dots; and no more of it than is no
// number and no path. 32 bytes is what utmp holds.
var loginPattern = regexp.MustCompile(`^[a-z_][a-z0-9._-]{0,31}$`)

// projectPrefix and groupPrefix begin the Unix groups of projects and of groups.
const (
	projectPrefix = "project-"
	groupPrefix   = "group-"
)

// UnixGroup is the name of the Unix group that p is to a Linux host: "project-" and
// its name. No user has it for a login.
func (p Project) UnixGroup() string { return projectPrefix + p.Name }

// UnixGroup is the name of the Unix group that a group of users, by its name, is to a
// Linux host: "group-" and that. No user has it for a login.
func UnixGroup(group string) string { return groupPrefix + group }

// systemNames are accounts and groups that Linux has without us: of Amazon Linux 2023
// and of Debian (/usr/share/base-passwd), of EC2's images, and of Posit's packages.
// Others than these a host refuses by itself: an account that it has is not taken.
var systemNames = strings.Fields(`
	root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody nogroup nfsnobody
	adm shutdown halt operator ftp dbus messagebus rpc rpcuser sshd ssh ssh_keys chrony tss polkitd tcpdump stapunpriv
	libstoragemgmt ec2-instance-connect ec2-user ssm-user admin ubuntu debian centos fedora _apt _chrony _ssh
	tty disk mem kmem wheel cdrom dialout floppy tape fax voice video audio lock users staff utmp utempter input kvm
	render sgx dip src shadow sasl plugdev netdev crontab sudo docker lxd syslog cgred
	rstudio-server rstudio-launcher rstudio-connect rstudio-pm`)

// checkLogin reports what is wrong with a login, or nil.
func checkLogin(login string) error {
	switch {
	case !loginPattern.MatchString(login):
		return fmt.Errorf("login %.40q: want 1 to 32 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or an underscore", login)
	case slices.Contains(systemNames, login), strings.HasPrefix(login, "systemd-"):
		return fmt.Errorf("login %s: is a name that Linux has for an account or a group of its own; want another", login)
	case strings.HasPrefix(login, projectPrefix), strings.HasPrefix(login, groupPrefix):
		return fmt.Errorf("login %s: names that begin with %s and %s are those of Unix groups, of projects and of groups; want another", login, projectPrefix, groupPrefix)
	}
	return nil
}

// UnmarshalJSON reads a user as the store has one. Of a record without a Login, as
// they were before there were any, it is the name.
func (u *User) UnmarshalJSON(text []byte) error {
	type plain User
	if err := json.Unmarshal(text, (*plain)(u)); err != nil {
		return err
	}
	u.Login = cmp.Or(u.Login, u.Name)
	return nil
}

// A claim says whose a name is, or a uid that another gave. Names and logins of a domain's
// users are claimed, each in a record of its own, before they are written into the user's. Who claims first has
// it, and has it for ever: records, accounts and files elsewhere go by it.
type claim struct{ Name, User string }

func claimsCollection(domain string) string { return "domains/" + domain + "/logins" }

// claimID is the ID of a claim's record: a login may begin with an underscore, which
// no ID does.
func claimID(name string) string { return "login:" + name }

// names are what a request claims, each once.
func (q OnboardRequest) names() []string {
	return slices.Compact([]string{q.User, cmp.Or(q.Login, q.User)})
}

// checkNames adds what other users have against q's names, and what is wrong with the
// user's name if it is to be the login, too.
func (d *Domain) checkNames(ctx context.Context, q OnboardRequest, wrong *problems) error {
	if CheckName("user", q.User) != nil || q.Login != "" && checkLogin(q.Login) != nil {
		return nil //nolint:nilerr // what it is to be is not known, and that is told
	}
	for _, name := range q.names() {
		holder, err := d.holder(ctx, name)
		if err != nil {
			return err
		}
		wrong.add("login", ErrConflict, q.contested(name, holder))
	}
	if q.UID != 0 {
		c, err := d.claims.Get(ctx, q.uidClaim())
		if absent(err) != nil {
			return err
		}
		wrong.add("uid", ErrConflict, q.contestedUID(c.User))
	}
	if q.Login != "" {
		return nil
	}
	_, err := d.users.Get(ctx, q.User)
	if !errors.Is(err, store.ErrNotFound) {
		return err // who is there already has a login
	}
	wrong.add("login", ErrInvalid, q.checkOwnLogin())
	return nil
}

// checkOwnLogin reports why the name of a new user cannot be the login, too, if it is to be.
func (q OnboardRequest) checkOwnLogin() error {
	if q.Login != "" {
		return nil
	}
	if err := checkLogin(q.User); err != nil {
		return fmt.Errorf("user %s has no other login: %w, by Login", q.User, err)
	}
	return nil
}

// holder is the user whose name a name is, or whose login it is or was; empty if it is
// nobody's. Those who were onboarded before there were claims have their names.
func (d *Domain) holder(ctx context.Context, name string) (string, error) {
	c, err := d.claims.Get(ctx, claimID(name))
	if !errors.Is(err, store.ErrNotFound) || CheckName("user", name) != nil {
		return c.User, absent(err)
	}
	u, err := d.users.Get(ctx, name)
	return u.Name, absent(err)
}

// absent is err, or nil if that says that a record is not there.
func absent(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// contested says that a name of q's is another's, or nil.
func (q OnboardRequest) contested(name, holder string) error {
	switch {
	case holder == "" || holder == q.User:
		return nil
	case name == q.User:
		return fmt.Errorf("user %s: is or was the login of user %s; want another name", name, holder)
	}
	return fmt.Errorf("login %s: is or was the name or the login of user %s, and stays theirs; want another", name, holder)
}

// claimNames makes q's names the user's, or is [ErrConflict]: checkNames has looked,
// but others may have been faster since.
func (d *Domain) claimNames(ctx context.Context, q OnboardRequest) error {
	var wrong problems
	for _, name := range q.names() {
		holder, err := d.claim(ctx, claimID(name), claim{name, q.User})
		if err != nil {
			return err
		}
		wrong.add("login", ErrConflict, q.contested(name, holder))
	}
	if q.UID != 0 {
		holder, err := d.claim(ctx, q.uidClaim(), claim{strconv.FormatUint(uint64(q.UID), 10), q.User})
		if err != nil {
			return err
		}
		wrong.add("uid", ErrConflict, q.contestedUID(holder))
	}
	return wrong.err("onboard", d.name+"/"+q.User)
}

// claim claims something and returns whose it is: another's who was first, or the
// claimant's.
func (d *Domain) claim(ctx context.Context, id string, c claim) (holder string, err error) {
	err = d.claims.Create(ctx, id, c)
	if errors.Is(err, store.ErrConflict) {
		c, err = d.claims.Get(ctx, id)
	}
	return c.User, err
}

// uidClaim is the ID of the claim on a uid that another gives.
func (q OnboardRequest) uidClaim() string { return fmt.Sprintf("uid:%d", q.UID) }

// contestedUID says that q's uid is another's, or nil.
func (q OnboardRequest) contestedUID(holder string) error {
	if holder == "" || holder == q.User {
		return nil
	}
	return fmt.Errorf("uid %d: is that of user %s, and stays theirs", q.UID, holder)
}

// UserByLogin returns the user who has a login, also one who was offboarded, or
// [ErrNotFound]. A login that a user had before is nobody's.
func (d *Domain) UserByLogin(ctx context.Context, login string) (User, error) {
	const op = "user by login"
	name := fmt.Sprintf("%s/%.40q", d.name, login)
	if !loginPattern.MatchString(login) {
		return User{}, &Error{Op: op, Name: name, Kind: ErrInvalid, Err: checkLogin(login)}
	}
	holder, err := d.holder(ctx, login)
	var u User
	if err == nil && holder != "" {
		if u, err = d.users.Get(ctx, holder); err != nil {
			err = absent(err) // it was claimed, and nobody onboarded yet
		}
	}
	if err == nil && u.Login != login {
		err = unrecorded(fmt.Sprintf("login %s: no user of the domain has it; check it, or onboard who is to have it", login))
	}
	if err != nil {
		return User{}, fail(ctx, op, name, err)
	}
	return u, nil
}
