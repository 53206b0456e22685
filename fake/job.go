package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
)

// Job is a program that stands for a job, for sessions of [session.Job]. Its
// command is what it does, actions separated by the word ";":
//
//	say TEXT          writes a line on standard output
//	complain TEXT     writes a line on standard error
//	echo              copies standard input to standard output
//	write FILE TEXT   makes or replaces a file
//	read FILE         writes the content of a file on standard output
//	work DURATION     takes as long, such as 10m
//	exit CODE         ends
//
// It ends with 0 after the last, and with 1 after one that fails, which it says
// on standard error. SIGTERM ends it as every program that asks for no signal:
// with 143.
func Job(ctx context.Context, p *fakelauncher.Proc) int {
	for args := p.Args; len(args) > 0; {
		end := slices.Index(args, ";")
		action, rest := args, []string(nil)
		if end >= 0 {
			action, rest = args[:end], args[end+1:]
		}
		args = rest
		if len(action) == 0 {
			continue
		}
		if len(action) == 2 && action[0] == "exit" {
			if code, err := strconv.Atoi(action[1]); err == nil {
				return code
			}
		}
		if err := act(ctx, p, action[0], action[1:]); err != nil {
			fmt.Fprintf(p.Stderr, "%s: %v\n", strings.Join(action, " "), err)
			return 1
		}
	}
	return 0
}

func act(ctx context.Context, p *fakelauncher.Proc, verb string, args []string) error {
	switch fmt.Sprint(verb, " ", len(args)) {
	case "say 1":
		_, err := fmt.Fprintln(p.Stdout, args[0])
		return err
	case "complain 1":
		_, err := fmt.Fprintln(p.Stderr, args[0])
		return err
	case "echo 0":
		_, err := io.Copy(p.Stdout, p.Stdin)
		return err
	case "write 2":
		return p.WriteFile(args[0], []byte(args[1]), 0o600)
	case "read 1":
		data, err := p.ReadFile(args[0])
		if err != nil {
			return err
		}
		_, err = p.Stdout.Write(data)
		return err
	case "work 1":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return err
		}
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("no such action: see the documentation of fake.Job")
}
