// Package golden holds what an example prints to what it printed before.
package golden

import (
	"context"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden file")

// Run runs an example in a bubble and compares what it prints with the file
// testdata/output.txt beside it.
func Run(t *testing.T, run func(context.Context, io.Writer) error) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		if err := run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		const file = "testdata/output.txt"
		if *update {
			if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}
