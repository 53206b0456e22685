package session

import (
	"crypto/rand"
	"fmt"
	"strings"
	"unicode/utf8"
)

// An ID names a session for ever in its domain: 1 to 20 lower-case letters,
// digits and hyphens, beginning with a letter. It becomes part of the names of
// containers, so it is checked strictly.
type ID string

// maxID is the longest ID. With a domain's name of as many characters and the
// generation it fits a container's name and a DNS label of 63.
const maxID = 20

// NewID returns a random ID, for callers who have none of their own. Two are
// equal with a probability of one in 2^75.
func NewID() ID {
	return ID("s-" + strings.ToLower(rand.Text()[:15]))
}

// check reports what is wrong with an ID, or nil.
func (id ID) check() error {
	s := string(id)
	var why string
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		why = "is empty"
	case strings.ContainsFunc(s, foreign):
		why = "has a character that is not allowed"
	case n > maxID:
		why = fmt.Sprintf("has %d characters", n)
	case s[0] < 'a':
		why = fmt.Sprintf("begins with %q", s[0])
	default:
		return nil
	}
	return fmt.Errorf("id %.40q %s: want 1 to %d of a-z, 0-9 and hyphen, beginning with a letter", s, why, maxID)
}

// foreign reports whether r may not be in an ID.
func foreign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
}

// printable is the ID in an error: cut and quoted unless it is a valid one.
func (id ID) printable() string {
	if id == "" || id.check() == nil {
		return string(id)
	}
	return fmt.Sprintf("%.40q", string(id))
}
