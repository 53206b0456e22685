package sagemakerdomain

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"

	"github.com/atelier-go/atelier/domain"
)

// SessionVersion is a version of Posit Workbench and of the session components that go with
// it: "2025.05.1+513.pro3".
type SessionVersion struct {
	Year, Month, Patch int
	// Build and Pro are the numbers after + and "pro".
	Build, Pro int
}

// sessionVersion also finds the version in the tag of an image, where + is not allowed and
// - stands for it.
var sessionVersion = regexp.MustCompile(`(?:^|[^0-9.])(\d{4})\.(\d{1,2})\.(\d{1,4})[+-](\d{1,6})\.pro(\d{1,4})(?:[^0-9]|$)`)

// ParseSessionVersion reads a version as Posit writes it, with + or, as tags of images
// have it, - before the build. The error is [domain.ErrInvalid].
func ParseSessionVersion(s string) (SessionVersion, error) {
	v, err := parseSessionVersion(s)
	if err != nil {
		return SessionVersion{}, &Error{Op: "parse session version", Kind: domain.ErrInvalid, Err: err}
	}
	return v, nil
}

func parseSessionVersion(s string) (SessionVersion, error) {
	v, ok := findSessionVersion(s)
	if digit := func(b byte) bool { return '0' <= b && b <= '9' }; !ok || len(sessionVersion.FindString(s)) != len(s) || !digit(s[0]) || !digit(s[len(s)-1]) {
		return SessionVersion{}, fmt.Errorf("%.60q: want YYYY.MM.P+NNN.proN", s)
	}
	return v, nil
}

// findSessionVersion finds a version in a text.
func findSessionVersion(s string) (SessionVersion, bool) {
	m := sessionVersion.FindStringSubmatch(s)
	if m == nil {
		return SessionVersion{}, false
	}
	var n [5]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // at most six digits
	}
	return SessionVersion{n[0], n[1], n[2], n[3], n[4]}, true
}

// Compare is negative if v is older than w, positive if it is newer, and zero if they are
// the same. It compares numbers: 2023.9 is older than 2023.12.
func (v SessionVersion) Compare(w SessionVersion) int {
	return cmp.Or(cmp.Compare(v.Year, w.Year), cmp.Compare(v.Month, w.Month), cmp.Compare(v.Patch, w.Patch), cmp.Compare(v.Build, w.Build), cmp.Compare(v.Pro, w.Pro))
}

// String formats v as Posit does.
func (v SessionVersion) String() string {
	return fmt.Sprintf("%d.%02d.%d+%d.pro%d", v.Year, v.Month, v.Patch, v.Build, v.Pro)
}
