package behave_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
)

// The actions that the contract uses are tested by it; these are what it does
// not: how a command is read, and how it fails.
func TestCommand(t *testing.T) {
	for name, c := range map[string]struct {
		command string
		code    int
		output  string
	}{
		"Empty":         {"", 0, ""},
		"Sequence":      {"say a ; ; say b ;", 0, "a\nb\n"},
		"EndsAtExit":    {"say a ; exit 4 ; say b", 4, "a\n"},
		"EndsAtFailure": {"read /absent ; say b", 1, "read /absent: open /absent: no such file or directory\n"},
		"UnknownAction": {"dance ; say b", 64, "dance: no such action: see the documentation of package behave\n"},
		"WrongCount":    {"exit", 64, "exit: no such action: see the documentation of package behave\n"},
		"NoNumber":      {"exit x", 64, "exit x: strconv.Atoi: parsing \"x\": invalid syntax\n"},
		"NoDuration":    {"spin 1", 64, "spin 1: time: missing unit in duration \"1\"\n"},
		"NoPort":        {"serve 0", 1, "serve 0: listen tcp 0.0.0.0:0: port 0: want 1 to 65535\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, err := fakelauncher.New(fakelauncher.Config{
					Images: fakelauncher.Programs(map[string]fakelauncher.Program{"behave": behave.Program}),
				})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				w := launcher.Workload{ID: "a", Owner: "alice", Image: "behave", Command: strings.Fields(c.command)}
				if _, err := l.Launch(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				s, err := launcher.Wait(t.Context(), l, "a", func(s launcher.Status) bool { return s.Phase == launcher.Exited })
				if err != nil || s.ExitCode != c.code {
					t.Errorf("%q exited with %+v, %v; want code %d", c.command, s, err, c.code)
				}
				r, err := l.Logs(t.Context(), "a", launcher.LogOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(r); string(got) != c.output || err != nil {
					t.Errorf("%q wrote %q, %v; want %q", c.command, got, err, c.output)
				}
			})
		})
	}
}
