package domain

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// maxMounts is how many mounts a session may have beside its home and projects.
const maxMounts = 10

// A Mount is a directory that sessions may have beside their home, by its name:
// users never write paths.
//
// Whoever puts one into a domain's policy vouches for it. That hosts reach
// another file system is for the caller to see to, and nothing here looks: it
// needs mount targets in the hosts' VPC, one in each of their zones, with a
// security group that lets NFS (TCP 2049) in from the hosts'; and a policy of
// that file system, if it has one, has to allow the hosts' role. What user and group may do there is up to its access point and modes:
// a session acts as its user, with the gids of its projects.
type Mount struct {
	// Name is what users ask for it by: 1 to 20 of a-z, 0-9 and hyphen,
	// beginning with a letter. Required.
	Name string
	// Source is what hosts mount: an access point of another EFS file system,
	// "/efs/<file system>.<access point>", or an absolute path of a directory
	// that the caller has prepared on every host and its launcher allows. The
	// domain's own file system is none of them: make a [Project] there.
	// Required in a domain's policy, and empty in a group's.
	Source string `json:",omitempty"`
	// ReadOnly forbids writing. It is for a domain's policy alone.
	ReadOnly bool `json:",omitempty"`
}

// efsSource is an access point as hosts understand it.
var efsSource = regexp.MustCompile(`^/efs/(fs-[0-9a-f]{8,40})\.fsap-[0-9a-f]{8,40}$`)

// checkSource reports why hosts mount no such source, or nil.
func checkSource(source string) error {
	switch {
	case efsSource.MatchString(source):
		return nil
	case !path.IsAbs(source) || path.Clean(source) != source || source == "/" || len(source) > 1024 ||
		source == "/efs" || strings.HasPrefix(source, "/efs/") || strings.ContainsFunc(source, unicode.IsControl):
		return fmt.Errorf("source %.80q: want /efs/<file system>.<access point>, or an absolute path below the root, without . or .. or a slash too many", source)
	}
	return nil
}

// mountNames are the names of mounts, in their order.
func mountNames(mounts []Mount) []string {
	var names []string
	for _, m := range mounts {
		names = append(names, m.Name)
	}
	return names
}

// mountProblems reports everything that makes no sense in the mounts of a
// domain's policy or, for a group, of its selection from them.
func (p Policy) mountProblems(ofGroup bool) []error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf("policy: "+format, args...)) }
	for _, m := range p.Mounts {
		if err := CheckName("mount", m.Name); err != nil {
			bad("%w", err)
		}
		if ofGroup {
			if m.Source != "" || m.ReadOnly {
				bad("mount %s: what it is, the domain's policy says: a group's has its name and nothing else", printable(m.Name))
			}
		} else if err := checkSource(m.Source); err != nil {
			bad("mount %s: %w", printable(m.Name), err)
		}
	}
	for _, name := range repeated(mountNames(p.Mounts)) {
		bad("mount %.40q is listed twice", name)
	}
	return found
}

// mounts are the names of the mounts that are wanted: a resumed session's are
// those it has.
func (a Ask) mounts() []string {
	if a.Resume == nil {
		return a.Mounts
	}
	return a.Resume.MountNames()
}

// MountNames returns the names of g's Mounts, nil if there are none.
func (g Grant) MountNames() []string { return mountNames(g.Mounts) }

// checkAskedMounts returns those of an ask that policies are to be asked about.
func checkAskedMounts(ask Ask, wrong *problems) []string {
	names := ask.mounts()
	checkKept(ask, "mounts", ask.Mounts, names, wrong)
	if n := len(names); n > maxMounts {
		wrong.add("mount", ErrInvalid, fmt.Errorf("%d mounts, at most %d", n, maxMounts))
		return nil
	}
	for _, name := range repeated(names) {
		wrong.add("mount", ErrInvalid, fmt.Errorf("mount %.40q is listed twice", name))
	}
	var good []string
	for _, name := range names {
		if err := CheckName("mount", name); err != nil {
			wrong.add("mount", ErrInvalid, err)
		} else if !slices.Contains(good, name) {
			good = append(good, name)
		}
	}
	return good
}

// findMounts returns what mounts are, as the domain's policy says now. One on
// the domain's own file system would open a home to others, or all of them.
func (f facts) findMounts(names []string, wrong *problems) []Mount {
	var found []Mount
	for _, name := range names {
		i := slices.IndexFunc(f.domain.Policy.Mounts, func(m Mount) bool { return m.Name == name })
		if i < 0 {
			continue // the domain's policy is against it, and says so
		}
		m := f.domain.Policy.Mounts[i]
		if on := efsSource.FindStringSubmatch(m.Source); on != nil && on[1] == f.domain.FileSystem {
			wrong.add("mount", ErrNotAllowed, fmt.Errorf("mount %s: is on the domain's own file system, where homes are; "+
				"ask for none, or ask an administrator to make a project of it", name))
		}
		found = append(found, m)
	}
	return found
}

const adviceMount = "ask for none, or ask an administrator to list it in Policy.Mounts"

// mountRefusals says what p has against mounts; none is consent.
func (p Policy) mountRefusals(names []string) []refusal {
	var found []refusal
	allowed := mountNames(p.Mounts)
	for _, name := range names {
		if len(allowed) > 0 && !slices.Contains(allowed, name) {
			found = append(found, refusal{fmt.Sprintf("mount %s: not among those allowed, %q", name, allowed), adviceList})
		}
	}
	return found
}

// noMounts is what a domain's policy without mounts has against a wish, or nil.
func (p Policy) noMounts(names []string) error {
	if len(names) == 0 || len(p.Mounts) > 0 {
		return nil
	}
	return errors.New("mounts " + strings.Join(names, ", ") + ": no mount is allowed (the domain's policy)")
}
