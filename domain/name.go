package domain

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxName is the longest name. Group names of 21 characters and more, and
// names with upper-case letters or spaces, are what broke other portals on
// their way into directories, file names and host names.
const maxName = 20

// CheckName reports what is wrong with a name, or nil; what says whose it is: a
// domain, user, group, project or image, which have names of one form: 1 to 20 of a-z,
// 0-9 and hyphen, beginning with a letter. Whether it is taken is not its concern. It is
// for programs that make such names from others.
func CheckName(what, name string) error {
	because := func(format string, args ...any) error {
		return fmt.Errorf("%s %.40q %s: want 1 to %d of a-z, 0-9 and hyphen, beginning with a letter",
			what, name, fmt.Sprintf(format, args...), maxName)
	}
	const letters, rest = "abcdefghijklmnopqrstuvwxyz", "0123456789-"
	var strange []string
	for _, r := range name {
		if q := fmt.Sprintf("%q", r); !strings.ContainsRune(letters+rest, r) && len(strange) < 4 &&
			!strings.Contains(strings.Join(strange, " "), q) {
			strange = append(strange, q)
		}
	}
	switch {
	case name == "":
		return because("is empty")
	case len(strange) > 0:
		return because("has %s", strings.Join(strange, ", "))
	case utf8.RuneCountInString(name) > maxName:
		return because("has %d characters", utf8.RuneCountInString(name))
	case !strings.ContainsRune(letters, rune(name[0])):
		return because("begins with %q", name[0])
	}
	return nil
}

// repeated returns the names that occur more than once, each once.
func repeated(names []string) []string {
	count := map[string]int{}
	var twice []string
	for _, n := range names {
		if count[n]++; count[n] == 2 {
			twice = append(twice, n)
		}
	}
	return twice
}

// enumerate lists up to most names for a message.
func enumerate(names []string, most int) string {
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// printable keeps a caller's text from breaking a message.
func printable(s string) string {
	if CheckName("name", s) == nil {
		return s
	}
	return fmt.Sprintf("%.40q", s)
}
