package workbench

import (
	"fmt"
	"regexp"

	"github.com/atelier-go/atelier/domain"
)

// A Group is a group of people, as one of the domain's or as one of the host's: one of
// the two. The zero value is none.
type Group struct {
	// Domain is the name of a group of the domain's users. On the host it is the Unix
	// group of [domain.UnixGroup], which whatever makes the accounts keeps as the
	// domain has it; see [Accounts].
	Domain string
	// Unix is the name of another group that the host knows: of its image, or of the
	// directory that it is joined to.
	Unix string
}

// String is what the host calls the group; empty for none.
func (g Group) String() string {
	if g.Domain != "" {
		return domain.UnixGroup(g.Domain)
	}
	return g.Unix
}

// unixGroup is what groups of hosts and directories are called, so far as no reader of a
// file might take it for something else. Those of Active Directory may have upper case,
// and the domain behind an @
// (https://docs.pagure.org/sssd.sssd/users/ad_provider.html).
var unixGroup = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9._@-]{0,63}$`)

// problems reports what is wrong with g, where none is not.
func (g Group) problems() []error {
	var found []error
	if g.Domain != "" && g.Unix != "" {
		found = append(found, fmt.Errorf("group %.40q of the domain and %.40q of the host: want one of them", g.Domain, g.Unix))
	}
	if g.Domain != "" && !nameInDomain.MatchString(g.Domain) {
		found = append(found, fmt.Errorf("group %.40q: want the name of a group of the domain: 1 to 20 of a-z, 0-9 and hyphen, beginning with a letter", g.Domain))
	}
	if g.Unix != "" && !unixGroup.MatchString(g.Unix) {
		found = append(found, fmt.Errorf("group %.40q: want the name of a Unix group: 1 to 64 letters, digits and . _ @ -, beginning with a letter or an underscore", g.Unix))
	}
	return found
}
