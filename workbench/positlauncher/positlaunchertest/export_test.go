package positlaunchertest

import "testing"

// Clauses are the names of all clauses.
func Clauses() []string {
	var names []string
	for _, c := range clauses() {
		names = append(names, c.name)
	}
	return names
}

// Clause runs one clause, as Run does but with any testing.TB.
func (s Suite) Clause(t testing.TB, name string) {
	for _, c := range clauses() {
		if c.name == name {
			s.run(t, c)
			return
		}
	}
	t.Fatalf("there is no clause %q", name)
}
