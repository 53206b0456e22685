package launcher

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SignalNumber returns the number of a signal that a workload can be sent,
// named as "SIGTERM" is, and whether there is such a signal. Numbers are
// Linux's on x86 and ARM, see signal(7): an engine adds 128 to name the exit
// code of what a signal ended. Real-time signals and those that only pause a
// process are not among them.
func SignalNumber(name string) (int, bool) {
	n, ok := signalNumbers()[name]
	return n, ok
}

func signalNumbers() map[string]int {
	return map[string]int{
		"SIGHUP": 1, "SIGINT": 2, "SIGQUIT": 3, "SIGABRT": 6, "SIGKILL": 9, "SIGUSR1": 10,
		"SIGUSR2": 12, "SIGPIPE": 13, "SIGALRM": 14, "SIGTERM": 15, "SIGCHLD": 17,
		"SIGCONT": 18, "SIGURG": 23, "SIGXCPU": 24, "SIGWINCH": 28,
	}
}

// checkSignal says what is wrong with the name of a signal. Empty is right.
func checkSignal(name string) error {
	if _, ok := SignalNumber(name); ok || name == "" {
		return nil
	}
	return fmt.Errorf("signal %.20q is unknown: want one of %s", name, strings.Join(slices.Sorted(maps.Keys(signalNumbers())), " "))
}

// Validate reports everything that is wrong with o, which the workload id is
// to be stopped with, as one [ErrInvalid] error that names each problem.
func (o StopOptions) Validate(id ID) error {
	problems := checkSignal(o.Signal)
	if o.Grace < 0 {
		problems = errors.Join(problems, fmt.Errorf("grace %v must not be negative", o.Grace))
	}
	if problems == nil {
		return nil
	}
	return &Error{Op: "stop", ID: id, Kind: ErrInvalid, Err: problems}
}
