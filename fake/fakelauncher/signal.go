package fakelauncher

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	sigterm = "SIGTERM"
	sigkill = "SIGKILL"
)

// signalNumber returns the number of a signal on Linux (signal(7), x86 and
// ARM), by which an engine names the exit code of what it ended. Real-time
// signals and those that only stop a process are not among them.
func signalNumber(name string) (int, bool) {
	n, ok := signalNumbers()[name]
	return n, ok
}

func signalNumbers() map[string]int {
	return map[string]int{
		"SIGHUP": 1, "SIGINT": 2, "SIGQUIT": 3, "SIGABRT": 6, sigkill: 9, "SIGUSR1": 10,
		"SIGUSR2": 12, "SIGPIPE": 13, "SIGALRM": 14, sigterm: 15, "SIGCHLD": 17,
		"SIGCONT": 18, "SIGURG": 23, "SIGXCPU": 24, "SIGWINCH": 28,
	}
}

// ignoredByDefault reports whether a process that does not ask for a signal is
// left alone by it.
func ignoredByDefault(name string) bool {
	return slices.Contains([]string{"SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH"}, name)
}

// checkSignal says what is wrong with the name of a signal. Empty is right.
func checkSignal(name string) error {
	if _, ok := signalNumber(name); ok || name == "" {
		return nil
	}
	return fmt.Errorf("signal %q is unknown: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(signalNumbers())), " "))
}
