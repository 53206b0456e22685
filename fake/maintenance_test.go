package fake_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// TestMaintenanceIsTheCommand compares the program with a real shell: the same
// end with the same exit code, from whatever was there.
func TestMaintenanceIsTheCommand(t *testing.T) {
	t.Parallel()
	const uid = 200001
	for name, c := range map[string]struct {
		files []string
		args  func(dir string) []string
	}{
		"a home":      {[]string{"200001/a", "200001/b/c/d", "200002/bob", ".deleted-200002/x"}, nil},
		"a half":      {[]string{".deleted-200001/b/c", "200002/bob"}, nil},
		"both":        {[]string{"200001/a", ".deleted-200001/b", "200002/bob"}, nil},
		"neither":     {[]string{"2000011/x", "shared/y"}, nil},
		"a file":      {[]string{"200001", ".deleted-200001", "200002/bob"}, nil},
		"not mounted": {[]string{"200001/a"}, func(dir string) []string { return session.DeleteHomeCommand(dir+"/missing", uid) }},
		"another command": {[]string{"200001/a"}, func(dir string) []string {
			args := session.DeleteHomeCommand(dir, uid)
			args[0] = "atelier-no-such-shell"
			return args
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := func(dir string) []string {
				if c.args != nil {
					return c.args(dir)
				}
				return session.DeleteHomeCommand(dir, uid)
			}
			real, dir := t.TempDir(), fakelauncher.NewDir()
			for _, f := range c.files {
				err := errors.Join(os.MkdirAll(filepath.Join(real, filepath.Dir(f)), 0o755), os.WriteFile(filepath.Join(real, f), nil, 0o600),
					dir.MkdirAll(path.Dir(f), 0o755), dir.WriteFile(f, nil, 0o600))
				if err != nil {
					t.Fatal(err)
				}
			}
			want := shell(t, args(real))
			if got := maintained(t, dir, args("/homes")); got != want {
				t.Errorf("exit code %d, a shell's is %d", got, want)
			}
			if got, want := walk(t, dir.FS()), walk(t, os.DirFS(real)); !slices.Equal(got, want) {
				t.Errorf("left are %q, by a shell %q", got, want)
			}
		})
	}
}

// shell runs a command as an engine does: what is not there is 127.
func shell(t *testing.T, args []string) int {
	t.Helper()
	err := exec.CommandContext(t.Context(), args[0], args[1:]...).Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if errors.Is(err, exec.ErrNotFound) {
		return 127
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// maintained runs a command in the fake image with dir mounted at /homes.
func maintained(t *testing.T, dir *fakelauncher.Dir, args []string) int {
	t.Helper()
	host, err := fakelauncher.New(fakelauncher.Config{
		Images: fakelauncher.Programs(map[string]fakelauncher.Program{"tools": fake.Maintenance}),
		Mount:  func(launcher.Mount) (*fakelauncher.Dir, error) { return dir, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	w := launcher.Workload{
		ID: "m", Owner: "o", Image: "tools", Command: args, Mounts: []launcher.Mount{{Source: "root", Target: "/homes"}},
	}
	if _, err := host.Launch(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	s, err := launcher.Wait(t.Context(), host, w.ID, func(s launcher.Status) bool { return s.Phase == launcher.Exited })
	if err != nil {
		t.Fatal(err)
	}
	return s.ExitCode
}

// walk lists everything in a file system.
func walk(t *testing.T, files fs.FS) (names []string) {
	t.Helper()
	err := fs.WalkDir(files, ".", func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
