package launcher_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

func TestStopOptionsValidate(t *testing.T) {
	for _, o := range []launcher.StopOptions{{}, {Signal: "SIGINT", Grace: time.Second, Forget: true}, {Signal: "SIGKILL"}} {
		if err := o.Validate("a"); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	cases := map[string]struct {
		o   launcher.StopOptions
		say []string
	}{
		"Grace":   {launcher.StopOptions{Grace: -time.Second}, []string{"grace -1s"}},
		"Number":  {launcher.StopOptions{Signal: "9"}, []string{`signal "9"`, "SIGKILL"}},
		"Unknown": {launcher.StopOptions{Signal: "SIGNAL"}, []string{`signal "SIGNAL"`, "SIGTERM"}},
		"Case":    {launcher.StopOptions{Signal: "sigterm"}, []string{`signal "sigterm"`, "SIGTERM"}},
		"Both":    {launcher.StopOptions{Signal: "x", Grace: -1}, []string{`signal "x"`, "grace -1ns"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := c.o.Validate("a")
			var e *launcher.Error
			if !errors.As(err, &e) || e.Op != "stop" || e.ID != "a" || e.Kind != launcher.ErrInvalid {
				t.Fatalf("Validate() = %#v; want an Error of kind ErrInvalid that names the operation and the workload", err)
			}
			for _, word := range c.say {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("Validate() = %q; want it to name %q", err, word)
				}
			}
		})
	}
}

func TestSignalNumber(t *testing.T) {
	for name, want := range map[string]int{"SIGHUP": 1, "SIGKILL": 9, "SIGTERM": 15, "SIGWINCH": 28} {
		if n, ok := launcher.SignalNumber(name); n != want || !ok {
			t.Errorf("SignalNumber(%q) = %d, %v; want %d", name, n, ok, want)
		}
	}
	for _, name := range []string{"", "TERM", "SIGSTOP", "SIGRTMIN"} {
		if n, ok := launcher.SignalNumber(name); ok {
			t.Errorf("SignalNumber(%q) = %d; want none", name, n)
		}
	}
}
