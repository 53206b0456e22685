package fakelauncher_test

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

var (
	alice = launcher.User{UID: 1001, GID: 1001, Groups: []uint32{5000}}
	bob   = launcher.User{UID: 1002, GID: 1002, Groups: []uint32{5000}}
	carol = launcher.User{UID: 1003, GID: 1003}
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestDirFS(t *testing.T) {
	d := fakelauncher.NewDir()
	must(t,
		d.MkdirAll("a/b", 0o755),
		d.WriteFile("a/b/file", []byte("content"), 0o644),
		d.WriteFile("empty", nil, 0o600),
		d.Mkdir("dir", 0o700),
	)
	if err := fstest.TestFS(d.FS(), "a/b/file", "empty", "dir"); err != nil {
		t.Error(err)
	}
}

// The table of POSIX: who may do what with a file of each mode.
func TestDirPermissions(t *testing.T) {
	root := launcher.User{}
	for _, c := range []struct {
		mode        fs.FileMode
		user        launcher.User
		read, write bool
	}{
		{0o600, alice, true, true},
		{0o600, bob, false, false},
		{0o600, carol, false, false},
		{0o600, root, true, true},
		{0o640, bob, true, false}, // by a supplementary group
		{0o640, carol, false, false},
		{0o660, bob, true, true},
		{0o604, carol, true, false},
		{0o606, carol, true, true},
		{0o604, bob, false, false},   // the group's bits decide, not the others'
		{0o066, alice, false, false}, // the owner's bits decide
		{0o000, root, true, true},
	} {
		d := fakelauncher.NewDir()
		must(t, d.WriteFile("f", []byte("x"), 0o600), d.Chown("f", alice.UID, 5000), d.Chmod("f", c.mode))
		as := d.As(c.user)
		if _, err := as.ReadFile("f"); (err == nil) != c.read || err != nil && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("mode %04o, user %v: ReadFile = %v; want allowed %v", c.mode, c.user, err, c.read)
		}
		if err := as.WriteFile("f", nil, 0o600); (err == nil) != c.write || err != nil && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("mode %04o, user %v: WriteFile = %v; want allowed %v", c.mode, c.user, err, c.write)
		}
	}
}

// A home with mode 0700 is closed to others, whatever its files allow.
func TestDirHome(t *testing.T) {
	d := fakelauncher.NewDir()
	must(t, d.Mkdir("home", 0o700), d.Chown("home", alice.UID, alice.GID))
	must(t, d.As(alice).MkdirAll("home/work", 0o777), d.As(alice).WriteFile("home/work/file", []byte("mine"), 0o666))
	other := d.As(bob)
	for what, err := range map[string]error{
		"ReadDir":   second(other.ReadDir("home")),
		"Stat":      second(other.Stat("home/work")),
		"ReadFile":  second(other.ReadFile("home/work/file")),
		"Sub":       second(other.Sub("home/work")),
		"WriteFile": other.WriteFile("home/new", nil, 0o600),
		"Mkdir":     other.Mkdir("home/work/new", 0o700),
		"Remove":    other.Remove("home/work/file"),
		"RemoveAll": other.RemoveAll("home"),
		"Rename":    other.Rename("home/work", "home/gone"),
		"Chmod":     other.Chmod("home", 0o777),
		"Chown":     other.Chown("home", bob.UID, bob.GID),
	} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s of another's home = %v; want fs.ErrPermission", what, err)
		}
	}
	if data, err := d.As(alice).ReadFile("/home/work/../work/file"); string(data) != "mine" || err != nil {
		t.Errorf("the owner reads %q, %v", data, err)
	}
}

func second[T any](_ T, err error) error { return err }

// A project directory hands its group on, so that the group shares what is in it.
func TestDirSetGroupID(t *testing.T) {
	d := fakelauncher.NewDir()
	must(t, d.Mkdir("project", 0), d.Chown("project", 0, 5000), d.Chmod("project", 0o770|fs.ModeSetgid))
	must(t, d.As(alice).MkdirAll("project/sub", 0o770), d.As(alice).WriteFile("project/sub/file", []byte("ours"), 0o660))
	if data, err := d.As(bob).ReadFile("project/sub/file"); string(data) != "ours" || err != nil {
		t.Errorf("a member of the group reads %q, %v", data, err)
	}
	if _, err := d.As(carol).ReadDir("project"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("who is no member lists it: %v", err)
	}
	info, err := d.Stat("project/sub")
	must(t, err)
	if owner := info.Sys().(launcher.User); info.Mode()&fs.ModeSetgid == 0 || owner.UID != alice.UID || owner.GID != 5000 {
		t.Errorf("a directory made in it has mode %v and owner %v; want set-group-ID and the group", info.Mode(), owner)
	}
}

func TestDirSticky(t *testing.T) {
	d := fakelauncher.NewDir()
	must(t, d.Mkdir("tmp", 0o777|fs.ModeSticky), d.As(alice).WriteFile("tmp/a", nil, 0o666))
	if err := d.As(bob).Remove("tmp/a"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("another removes a file of a sticky directory: %v", err)
	}
	if err := d.As(bob).Rename("tmp/a", "tmp/b"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("another renames a file of a sticky directory: %v", err)
	}
	must(t, d.As(alice).Remove("tmp/a"))
}

func TestDirOwnership(t *testing.T) {
	d := fakelauncher.NewDir()
	must(t, d.Chmod("/", 0o777), d.As(alice).WriteFile("f", nil, 0o644))
	if err := d.As(alice).Chown("f", bob.UID, alice.GID); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("an owner gives a file away: %v", err)
	}
	if err := d.As(alice).Chown("f", alice.UID, 7777); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("an owner gives a file to a foreign group: %v", err)
	}
	must(t, d.As(alice).Chown("f", alice.UID, 5000), d.As(alice).Chmod("f", 0o640))
}

func TestDirErrors(t *testing.T) {
	d := fakelauncher.NewDir()
	must(t, d.MkdirAll("dir/full", 0o755), d.WriteFile("file", []byte("x"), 0o644), d.Mkdir("empty", 0o755))
	for what, c := range map[string]struct {
		err  error
		want error
	}{
		"read a missing file":         {second(d.ReadFile("absent")), fs.ErrNotExist},
		"read a directory":            {second(d.ReadFile("dir")), syscall.EISDIR},
		"write a directory":           {d.WriteFile("dir", nil, 0o644), syscall.EISDIR},
		"write below a missing one":   {d.WriteFile("absent/file", nil, 0o644), fs.ErrNotExist},
		"write below a file":          {d.WriteFile("file/file", nil, 0o644), syscall.ENOTDIR},
		"list a file":                 {second(d.ReadDir("file")), syscall.ENOTDIR},
		"make what exists":            {d.Mkdir("dir", 0o755), fs.ErrExist},
		"make below a file":           {d.MkdirAll("file/dir", 0o755), syscall.ENOTDIR},
		"remove what is missing":      {d.Remove("absent"), fs.ErrNotExist},
		"remove a full directory":     {d.Remove("dir"), syscall.ENOTEMPTY},
		"remove the root":             {d.Remove("/"), syscall.EBUSY},
		"enter a file":                {second(d.Sub("file")), syscall.ENOTDIR},
		"rename what is missing":      {d.Rename("absent", "x"), fs.ErrNotExist},
		"rename into itself":          {d.Rename("dir", "dir/full/dir"), syscall.EINVAL},
		"rename onto a full one":      {d.Rename("empty", "dir"), syscall.ENOTEMPTY},
		"rename a file onto a dir":    {d.Rename("file", "empty"), syscall.EISDIR},
		"rename a dir onto a file":    {d.Rename("empty", "file"), syscall.ENOTDIR},
		"change a read-only one":      {d.ReadOnly().WriteFile("file", nil, 0o644), fs.ErrPermission},
		"change a read-only one's":    {d.ReadOnly().Chmod("file", 0o600), syscall.EROFS},
		"climb out":                   {second(d.ReadFile("../../absent")), fs.ErrNotExist},
		"a directory without a right": {d.As(carol).WriteFile("new", nil, 0o644), fs.ErrPermission},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v; want %v", what, c.err, c.want)
		}
		if _, ok := errors.AsType[*fs.PathError](c.err); !ok {
			t.Errorf("%s: %v is no *fs.PathError", what, c.err)
		}
	}
}

func TestDirViews(t *testing.T) {
	d := fakelauncher.NewDir()
	must(t, d.MkdirAll("a/b", 0o755))
	sub, err := d.Sub("a/b")
	must(t, err, sub.WriteFile("f", []byte("1"), 0o644), d.Rename("a", "c"), sub.WriteFile("f", []byte("2"), 0o644))
	if data, err := d.ReadFile("c/b/f"); string(data) != "2" || err != nil {
		t.Errorf("through the parent: %q, %v; want a Sub to stay with its directory", data, err)
	}
	must(t, d.RemoveAll("c"), d.RemoveAll("c"))
	if err := sub.WriteFile("f", nil, 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("writing into a removed directory: %v; want fs.ErrNotExist", err)
	}
	must(t, d.WriteFile("x", []byte("x"), 0o644), d.WriteFile("y", nil, 0o644), d.Rename("x", "y"))
	entries, err := d.ReadDir("")
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "y" {
		t.Errorf("after a rename onto a file: %v", entries)
	}
	data, err := d.ReadFile("y")
	must(t, err)
	data[0] = '!'
	if again, _ := d.ReadFile("y"); !slices.Equal(again, []byte("x")) {
		t.Errorf("a caller's change of what it read changed the file: %q", again)
	}
}
