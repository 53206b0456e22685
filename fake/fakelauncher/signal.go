package fakelauncher

import "slices"

const (
	sigterm = "SIGTERM"
	sigkill = "SIGKILL"
)

// ignoredByDefault reports whether a process that does not ask for a signal is
// left alone by it.
func ignoredByDefault(name string) bool {
	return slices.Contains([]string{"SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH"}, name)
}
