package sagemakerdomain

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// Aliases are what an [AdoptRequest] names of SageMaker's, whose case does not matter, with names
// of ours for them.
type aliases struct {
	field string            // "Users"
	given map[string]string // SageMaker's names as the caller has them, by the same in lower case
	names map[string]string // ours, as far as they are right, by SageMaker's in lower case
	used  map[string]bool   // the names of SageMaker's that it was asked for, in lower case
}

// readNames reads the request's names, and blocks what is wrong with them by itself: all of it.
func (a *adoption) readNames(q AdoptRequest, ours *present) {
	a.people = a.readAliases("Users", ThingProfile, namePattern, q.Users, "user", func(name string) error {
		if ours != nil && ours.names[name].Name != "" { // who may have another login
			return nil
		}
		return errors.Join(domain.CheckOnboard(domain.OnboardRequest{User: name})...)
	})
	a.included = aliases{field: "Include", given: map[string]string{}, used: map[string]bool{}}
	for _, name := range q.Include {
		a.included.given[strings.ToLower(name)] = quoted(namePattern, name)
	}
	a.pictures = a.readAliases("Images", domain.ThingImage, imagePattern, q.Images, "image", func(name string) error { return domain.CheckName("image", name) })
}

func (a *adoption) readAliases(field string, thing domain.Thing, theirs *regexp.Regexp, m map[string]string, kind string, check func(string) error) aliases {
	n := aliases{field: field, given: map[string]string{}, names: map[string]string{}, used: map[string]bool{}}
	of := map[string]string{} // SageMaker's by ours
	wrong := func(key, format string, args ...any) {
		a.refuse(thing, quoted(theirs, key), []error{refusal.New(domain.ErrInvalid, format, args...)})
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		low, name := strings.ToLower(key), m[key]
		switch other, there := n.given[low]; {
		case there:
			wrong(key, "%s has it as %s, too, whose case does not matter: leave one out", field, other)
			delete(n.names, low)
			continue
		case of[name] != "":
			wrong(key, "%s has %s and %s as one %s, %s: give each another name", field, of[name], quoted(theirs, key), kind, name)
			delete(n.names, strings.ToLower(of[name]))
		default:
			if err := check(name); err != nil {
				wrong(key, "%s: %s", field, strings.ReplaceAll(err.Error(), "\n", "; "))
			} else {
				n.names[low], of[name] = name, key
			}
		}
		n.given[low] = quoted(theirs, key)
	}
	return n
}

// of is the name that the request has for one of SageMaker's; ok is false if it has one that
// is refused.
func (n aliases) of(theirs string) (name string, ok bool) {
	low := strings.ToLower(theirs)
	if n.used != nil {
		n.used[low] = true
	}
	return n.names[low], n.names[low] != "" || n.given[low] == ""
}

// has reports whether the request names one of SageMaker's.
func (n aliases) has(theirs string) bool {
	n.of(theirs)
	return n.given[strings.ToLower(theirs)] != ""
}

// unused tells of what the request names and SageMaker does not have: no block, since
// the same request has to be good after a profile is gone.
func (a *adoption) unused(n aliases, thing domain.Thing) {
	for _, low := range slices.Sorted(maps.Keys(n.given)) {
		if !n.used[low] {
			a.differ(thing, n.given[low], "SageMaker has none of this name, which %s names: it is spelt wrong, or gone", n.field)
		}
	}
}

// quoted keeps a caller's text from breaking a line.
func quoted(pattern *regexp.Regexp, name string) string {
	if len(name) <= maxName && pattern.MatchString(name) {
		return name
	}
	return fmt.Sprintf("%.70q", name)
}
