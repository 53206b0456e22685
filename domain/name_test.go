package domain

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
)

func FuzzName(f *testing.F) {
	for _, seed := range []string{
		"", "a", "alice", "a-name-of-20-letters", "a-name-of-21-letters-", "-a", "2a", "a/b", "..", "a b", "A", "é", "a\x00", "a\xff", "a\n",
	} {
		f.Add(seed)
	}
	grammar := regexp.MustCompile(`\A[a-z][a-z0-9-]{0,19}\z`)
	f.Fuzz(func(t *testing.T, name string) {
		err := CheckName("user", name)
		if got, want := err == nil, grammar.MatchString(name); got != want {
			t.Errorf("%q: %v, want valid: %t", name, err, want)
		}
		if shown := printable(name); strings.ContainsFunc(shown, unicode.IsControl) {
			t.Errorf("%q is shown as %q", name, shown)
		}
	})
}
