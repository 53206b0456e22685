package fake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
)

// Maintenance is a program that stands for an image with sh, mv and rm, of
// which it can one thing: [session.DeleteHomeCommand], with the same steps and
// exit codes. To every other command it answers as a shell that does not find
// it, with code 127. Files are removed one by one, so that it can be killed in
// between.
func Maintenance(ctx context.Context, p *fakelauncher.Proc) int {
	complain := func(code int, format string, args ...any) int {
		_, _ = fmt.Fprintf(p.Stderr, format+"\n", args...)
		return code
	}
	dir, uid, ok := deleteHomeArgs(p.Args)
	if !ok {
		return complain(127, "%q: not found; this image can do nothing but session.DeleteHomeCommand", p.Args)
	}
	home := path.Join(dir, uid)
	doomed := path.Join(dir, ".deleted-"+uid)
	exists := func(name string) bool {
		_, err := p.Stat(name)
		return !errors.Is(err, fs.ErrNotExist)
	}
	if info, err := p.Stat(dir); err != nil || !info.IsDir() {
		return complain(2, "cd: can't cd to %s", dir)
	}
	if exists(doomed) {
		if err := removeAll(ctx, p, doomed); err != nil {
			return complain(1, "rm: %v", err)
		}
	}
	if exists(home) {
		if err := p.Rename(home, doomed); err != nil {
			return complain(1, "mv: %v", err)
		}
		if err := removeAll(ctx, p, doomed); err != nil {
			return complain(1, "rm: %v", err)
		}
	}
	if exists(home) || exists(doomed) {
		return complain(1, "%s is still there", uid)
	}
	return 0
}

// deleteHomeArgs reads what a command is about, if it is
// [session.DeleteHomeCommand].
func deleteHomeArgs(args []string) (dir, uid string, ok bool) {
	if len(args) < 2 {
		return "", "", false
	}
	dir, uid = args[len(args)-2], args[len(args)-1]
	n, err := strconv.ParseUint(uid, 10, 32)
	return dir, uid, err == nil && slices.Equal(args, session.DeleteHomeCommand(dir, uint32(n)))
}

// removeAll is rm -rf: it goes on after what it cannot remove, and fails then.
func removeAll(ctx context.Context, p *fakelauncher.Proc, name string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	info, err := p.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var failures []error
	if info.IsDir() {
		entries, err := p.ReadDir(name)
		failures = append(failures, err)
		for _, e := range entries {
			failures = append(failures, removeAll(ctx, p, path.Join(name, e.Name())))
		}
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if err := p.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
