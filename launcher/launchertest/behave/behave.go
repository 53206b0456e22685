// Package behave is the one test image of package launchertest: a program that
// does what its command says.
//
// The command is a sequence of actions, separated by the word ";". They run in
// order until one fails:
//
//	exit N               ends with exit code N
//	say TEXT             writes a line on standard output
//	complain TEXT        writes a line on standard error
//	spam N               writes N bytes of every value on standard output
//	echo                 copies standard input to standard output
//	env NAME             writes an environment variable
//	cwd                  writes its working directory
//	id                   writes "uid=1 gid=2 groups=3,4", without groups "groups="
//	mark DIR             makes the first free directory of DIR/0, DIR/1, ...
//	list DIR             writes the names in DIR, one a line
//	read FILE            writes the content of a file
//	write FILE TEXT      makes or replaces a file
//	allocate MIB         takes memory, until the program ends
//	spin DURATION        computes on one core until it has had so much of its time ("200ms")
//	serve PORT           writes "serving", answers each connection with what it sends
//	trap SIGNAL CODE     writes "trapped", ends with CODE when the signal comes
//	ignore SIGNAL        writes "ignoring" and ignores the signal from then on
//	wait                 goes on until it is killed
//
// What fails says why on standard error and ends with exit code 1; what is not
// in this list ends with 64.
//
// [Program] is the image for launchers in memory, and [Main] the same in a
// process of its own, for engines: command behaved is its binary.
package behave

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

// Entrypoint is where an image for engines has the program, as its entry point.
const Entrypoint = "/behaved"

var _ fakelauncher.Program = Program

// Program is the test image for launchers in memory.
//
// A program in memory has no file: where the workload names [Entrypoint], it is left
// out of what is done.
func Program(ctx context.Context, p *fakelauncher.Proc) int {
	args := p.Args
	if len(args) > 0 && args[0] == Entrypoint {
		args = args[1:]
	}
	return run(ctx, process{system: inMemory{p}, args: args, stdin: p.Stdin, stdout: p.Stdout, stderr: p.Stderr, identity: identity(p.User)})
}

// process is a running test program.
type process struct {
	system
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	identity       string
}

// system is what a program asks of the machine it runs on. [fakelauncher.Proc]
// documents the methods, but for Getwd, which is package os's, and Spin, which keeps a core busy until the program
// has had so much of its time, and reports whether it lives on.
type system interface {
	Getenv(name string) string
	Getwd() (string, error)
	Signals(names ...string) <-chan string
	Allocate(mib int64) bool
	Spin(ctx context.Context, d time.Duration) bool
	Listen(port int) (net.Listener, error)
	ReadFile(name string) ([]byte, error)
	WriteFile(name string, data []byte, perm fs.FileMode) error
	ReadDir(name string) ([]fs.DirEntry, error)
	Mkdir(name string, perm fs.FileMode) error
}

// inMemory is the machine of a program that is a function.
type inMemory struct{ *fakelauncher.Proc }

func (m inMemory) Getwd() (string, error) { return m.Dir, nil }

func (m inMemory) Spin(ctx context.Context, d time.Duration) bool {
	cores := m.Use(1)
	defer m.Use(0)
	return cores > 0 && pace.Sleep(ctx, time.Duration(float64(d)/cores)) == nil
}

func run(ctx context.Context, p process) int {
	for action := range actions(p.args) {
		code, ended, err := do(ctx, p, action)
		if err != nil {
			fmt.Fprintf(p.stderr, "%s: %v\n", strings.Join(action, " "), err)
			return code
		}
		if ended {
			return code
		}
	}
	return 0
}

// Pattern returns the n bytes that "spam n" writes.
func Pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// actions splits a command at its separators.
func actions(args []string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for len(args) > 0 {
			end := slices.Index(args, ";")
			if end < 0 {
				end = len(args)
			}
			if end > 0 && !yield(args[:end]) {
				return
			}
			args = args[min(end+1, len(args)):]
		}
	}
}

const (
	failed = 1
	usage  = 64 // EX_USAGE, sysexits(3)
)

// do carries out one action. It reports the exit code and whether the program
// ends with it; an error ends it always.
func do(ctx context.Context, p process, action []string) (code int, ended bool, err error) {
	verb, args := action[0], action[1:]
	want := map[string]int{
		"exit": 1, "say": 1, "complain": 1, "spam": 1, "echo": 0, "env": 1, "cwd": 0, "id": 0, "mark": 1, "list": 1,
		"read": 1, "write": 2, "allocate": 1, "spin": 1, "serve": 1, "trap": 2, "ignore": 1, "wait": 0,
	}
	if n, ok := want[verb]; !ok || n != len(args) {
		return usage, true, errors.New("no such action: see the documentation of package behave")
	}
	number, duration := 0, time.Duration(0)
	switch verb {
	case "exit", "spam", "allocate", "serve":
		number, err = strconv.Atoi(args[0])
	case "trap":
		number, err = strconv.Atoi(args[1])
	case "spin":
		duration, err = time.ParseDuration(args[0])
	}
	if err != nil {
		return usage, true, err
	}
	switch verb {
	case "exit":
		return number, true, nil
	case "say":
		_, err = fmt.Fprintln(p.stdout, args[0])
	case "complain":
		_, err = fmt.Fprintln(p.stderr, args[0])
	case "spam":
		_, err = p.stdout.Write(Pattern(number))
	case "echo":
		_, err = io.Copy(p.stdout, p.stdin)
	case "env":
		_, err = fmt.Fprintln(p.stdout, p.Getenv(args[0]))
	case "cwd":
		var dir string
		if dir, err = p.Getwd(); err == nil {
			_, err = fmt.Fprintln(p.stdout, dir)
		}
	case "id":
		_, err = fmt.Fprintln(p.stdout, p.identity)
	case "mark":
		err = mark(p, args[0])
	case "list":
		err = list(p, args[0])
	case "read":
		var data []byte
		if data, err = p.ReadFile(args[0]); err == nil {
			_, err = p.stdout.Write(data)
		}
	case "write":
		err = p.WriteFile(args[0], []byte(args[1]), 0o644)
	case "allocate":
		if !p.Allocate(int64(number)) {
			<-ctx.Done()
			return failed, true, nil
		}
	case "spin":
		if !p.Spin(ctx, duration) {
			return failed, true, nil
		}
	case "serve":
		err = serve(ctx, p, number)
	case "trap":
		signals := p.Signals(args[0])
		fmt.Fprintln(p.stdout, "trapped")
		select {
		case <-signals:
			return number, true, nil
		case <-ctx.Done():
			return failed, true, nil
		}
	case "ignore":
		p.Signals(args[0])
		_, err = fmt.Fprintln(p.stdout, "ignoring")
	case "wait":
		<-ctx.Done()
		return failed, true, nil
	}
	return failed, false, err
}

func identity(u launcher.User) string {
	groups := make([]string, len(u.Groups))
	for i, g := range u.Groups {
		groups[i] = fmt.Sprint(g)
	}
	return fmt.Sprintf("uid=%d gid=%d groups=%s", u.UID, u.GID, strings.Join(groups, ","))
}

func mark(p process, dir string) error {
	for i := 0; ; i++ {
		err := p.Mkdir(fmt.Sprintf("%s/%d", dir, i), 0o755)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}

func list(p process, dir string) error {
	entries, err := p.ReadDir(dir)
	for _, e := range entries {
		fmt.Fprintln(p.stdout, e.Name())
	}
	return err
}

// serve answers connections until the program is killed.
func serve(ctx context.Context, p process, port int) error {
	ln, err := p.Listen(port)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	fmt.Fprintln(p.stdout, "serving")
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c) // an end of either side is an end
		}()
	}
}
