package session_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/atelier-go/atelier/session"
)

// tree is what the tests of the command work on: homes with names of all
// sorts, and links that lead out of them.
func tree(t *testing.T) (root, outside string) {
	t.Helper()
	root, outside = t.TempDir(), t.TempDir()
	for _, name := range []string{
		filepath.Join(outside, "precious"),
		filepath.Join(root, "200002", "bob"),
		filepath.Join(root, "2000011", "longer"),
		filepath.Join(root, "shared", "genome", "reads"),
	} {
		check(t, os.MkdirAll(filepath.Dir(name), 0o700))
		check(t, os.WriteFile(name, []byte("kept"), 0o600))
	}
	fill(t, filepath.Join(root, "200001"), root, outside)
	return root, outside
}

// fill makes a home.
func fill(t *testing.T, home, root, outside string) {
	t.Helper()
	for _, name := range []string{
		"plain", "-rf", "--", " ", "a b", "new\nline", "*", "$(touch x)", "`id`", "'", `"`, `\`, "\xff\xfe", "ü", ".hidden", "..twodots", "#", "~", ";rm", "&",
	} {
		dir := filepath.Join(home, name)
		check(t, os.MkdirAll(dir, 0o700))
		check(t, os.WriteFile(filepath.Join(dir, name), nil, 0o400))
	}
	for link, target := range map[string]string{
		"out": outside, "file": filepath.Join(outside, "precious"), "up": "..", "root": "/", "bob": "../200002",
		"nowhere": "/nowhere", "-l": root, "absolute": filepath.Join(root, "shared"),
	} {
		check(t, os.Symlink(target, filepath.Join(home, link)))
	}
	check(t, os.Chmod(filepath.Join(home, "plain"), 0o500))
	if os.Getuid() != 0 { // who is not root cannot empty it
		check(t, os.Chmod(filepath.Join(home, "plain"), 0o700))
	}
}

// A shell is what runs the command's script in place of sh.
type shell []string

// shells are those there are, of which images have one or another.
func shells() map[string]shell {
	found := map[string]shell{"sh": {"sh"}}
	for _, s := range []shell{{"dash"}, {"bash"}, {"bash", "--posix"}, {"busybox", "sh"}, {"ksh"}, {"yash"}} {
		if _, err := exec.LookPath(s[0]); err == nil {
			found[strings.Join(s, " ")] = s
		}
	}
	return found
}

// removes runs the command with a real shell.
func (s shell) removes(t *testing.T, dir string, uid uint32) (code int, out string) {
	t.Helper()
	return s.run(t, session.DeleteHomeCommand(dir, uid))
}

func (s shell) run(t *testing.T, args []string) (code int, out string) {
	t.Helper()
	args = slices.Concat(s, args[1:])
	text, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(text)
	}
	check(t, err)
	return 0, string(text)
}

// kept fails unless everything but alice's home is as it was.
func kept(t *testing.T, root, outside string) {
	t.Helper()
	for _, name := range []string{
		filepath.Join(outside, "precious"), filepath.Join(root, "200002", "bob"),
		filepath.Join(root, "2000011", "longer"), filepath.Join(root, "shared", "genome", "reads"),
	} {
		if text, err := os.ReadFile(name); err != nil || string(text) != "kept" {
			t.Errorf("%s is %q, %v", name, text, err)
		}
	}
}

// left is what is in a directory.
func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantLeft(t *testing.T, root string) {
	t.Helper()
	if got, want := left(t, root), []string{"2000011", "200002", "shared"}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

// TestDeleteHomeCommand: a real shell removes one home, and nothing else.
func TestDeleteHomeCommand(t *testing.T) {
	t.Parallel()
	for name, sh := range shells() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sh.test(t)
		})
	}
}

func (s shell) test(t *testing.T) {
	t.Run("Home", func(t *testing.T) {
		root, outside := tree(t)
		for range 2 { // and again, as what is gone is gone
			if code, out := s.removes(t, root, 200001); code != 0 || out != "" {
				t.Fatalf("exit code %d, %q", code, out)
			}
			wantLeft(t, root)
			kept(t, root, outside)
		}
	})
	t.Run("OnlyAHalf", func(t *testing.T) { // an earlier run was ended while it removed
		root, outside := tree(t)
		check(t, os.Rename(filepath.Join(root, "200001"), filepath.Join(root, ".deleted-200001")))
		check(t, os.RemoveAll(filepath.Join(root, ".deleted-200001", "plain")))
		if code, out := s.removes(t, root, 200001); code != 0 {
			t.Fatalf("exit code %d, %q", code, out)
		}
		wantLeft(t, root)
		kept(t, root, outside)
	})
	t.Run("Both", func(t *testing.T) { // and a mount has made the home's directory again
		root, outside := tree(t)
		fill(t, filepath.Join(root, ".deleted-200001"), root, outside)
		if code, out := s.removes(t, root, 200001); code != 0 {
			t.Fatalf("exit code %d, %q", code, out)
		}
		wantLeft(t, root)
		kept(t, root, outside)
	})
	t.Run("ALink", func(t *testing.T) { // where the home should be: the link goes, not what it leads to
		root, outside := tree(t)
		check(t, os.RemoveAll(filepath.Join(root, "200001")))
		check(t, os.Symlink("200002", filepath.Join(root, "200001")))
		check(t, os.Symlink(outside, filepath.Join(root, ".deleted-200001")))
		if code, out := s.removes(t, root, 200001); code != 0 {
			t.Fatalf("exit code %d, %q", code, out)
		}
		wantLeft(t, root)
		kept(t, root, outside)
	})
	t.Run("NoDirectory", func(t *testing.T) {
		if code, out := s.removes(t, filepath.Join(t.TempDir(), "missing"), 200001); code == 0 {
			t.Errorf("what is not mounted was emptied: %q", out)
		}
	})
	t.Run("NoUID", func(t *testing.T) {
		root, outside := tree(t)
		for _, uid := range []string{"", "0", "00", ".", "..", "../x", "*", "shared", "-1", "/", "200001/plain", " 200001", "0200001", "$(id -u)", "200001\n"} {
			args := session.DeleteHomeCommand(root, 200001)
			args[len(args)-1] = uid
			if code, out := s.run(t, args); code != 64 {
				t.Errorf("uid %q: exit code %d, %q; want 64", uid, code, out)
			}
		}
		kept(t, root, outside)
		if got := left(t, root); !slices.Contains(got, "200001") {
			t.Errorf("left are %q", got)
		}
	})
}

// TestDeleteHomeCommandRenamesFirst: however soon the command is ended, the home
// is whole or is not there under its name.
func TestDeleteHomeCommandRenamesFirst(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	home := filepath.Join(root, "200001")
	const files = 8_000
	check(t, os.Mkdir(home, 0o700))
	for i := range files {
		check(t, os.WriteFile(filepath.Join(home, strconv.Itoa(i)), nil, 0o600))
	}
	var ended, between int
	for delay := time.Duration(0); ended == 0; delay += 2 * time.Millisecond {
		args := session.DeleteHomeCommand(root, 200001)
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it started dies with it, as in a container
		check(t, cmd.Start())
		kill := time.AfterFunc(delay, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		err := cmd.Wait()
		if kill.Stop() && err == nil {
			ended++
		}
		switch entries, err := os.ReadDir(home); {
		case err == nil && len(entries) != files:
			t.Fatalf("after %v the home is there with %d files of %d", delay, len(entries), files)
		case errors.Is(err, fs.ErrNotExist) && len(left(t, root)) > 0:
			between++
		}
	}
	if names := left(t, root); len(names) > 0 {
		t.Errorf("left are %q", names)
	}
	t.Logf("ended %d times between renaming and the end", between)
}
