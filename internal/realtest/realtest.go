// Package realtest is for tests of real components, that not every machine has.
package realtest

import (
	"os"
	"testing"
)

// Wanted reports whether components that tests need have to be there, rather than
// being needed by those tests only that are skipped without: ATELIER_REAL=1.
func Wanted() bool { return os.Getenv("ATELIER_REAL") != "" }

// Missing skips a test for want of something, or fails it where that has to be.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if Wanted() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
