// Package bubble runs a program on virtual time.
//
// Inside a bubble (see package testing/synctest) time stands still while any
// goroutine has something to do and jumps to the next timer when none has: an
// example whose hosts take minutes to boot ends in milliseconds, with the same
// times every run. A bubble exists only inside a test, so Main makes one.
package bubble

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/synctest"
)

// Run is Main for an example that prints and may fail: with code 1, and with why on
// standard error, after the example's name.
func Run(name string, run func(ctx context.Context, out io.Writer) error) {
	Main(func() int {
		if err := run(context.Background(), os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			return 1
		}
		return 0
	})
}

// Main runs f in a bubble and exits the process with the code it returns. It
// never returns, and prints nothing of its own. Programs that have flags parse
// them before, with a flag set of their own.
func Main(f func() int) {
	os.Args = os.Args[:1] // the testing package reads flags of its own
	//lint:ignore SA1019 testing.Main is what starts a test outside go test
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "main",
		F: func(t *testing.T) {
			synctest.Test(t, func(*testing.T) { os.Exit(f()) })
		},
	}}, nil, nil)
}
