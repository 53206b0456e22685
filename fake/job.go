package fake

import (
	"bufio"
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
//	count N TEXT      writes N lines, the number of each before the text, from 0
//	echo              copies standard input to standard output
//	env NAME          writes the value of an environment variable
//	cwd               writes the working directory
//	args TEXT...      writes each text as a line; the last action there can be
//	write FILE TEXT   makes or replaces a file
//	read FILE         writes the content of a file on standard output
//	allocate MIB      takes memory, until it ends
//	work DURATION     takes as long, such as 10m
//	wait              goes on until it is ended
//	ignore SIGNAL     ignores it from then on
//	serve PORT        reads a line of standard input, and sends it to whoever connects
//	                  to the port, until it is ended
//	exit CODE         ends
//
// A command of "/bin/sh", "-c" and a text is the words of the text.
//
// It ends with 0 after the last, and with 1 after one that fails, which it says
// on standard error. SIGTERM ends it as every program that asks for no signal:
// with 143.
func Job(ctx context.Context, p *fakelauncher.Proc) int {
	args := p.Args
	if len(args) == 3 && args[0] == "/bin/sh" && args[1] == "-c" {
		args = strings.Fields(args[2])
	}
	for len(args) > 0 {
		end := slices.Index(args, ";")
		if args[0] == "args" {
			end = -1
		}
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
	if verb == "args" {
		for _, a := range args {
			if _, err := fmt.Fprintln(p.Stdout, a); err != nil {
				return err
			}
		}
		return nil
	}
	switch fmt.Sprint(verb, " ", len(args)) {
	case "count 2":
		n, err := strconv.Atoi(args[0])
		for i := 0; i < n && err == nil; i++ {
			_, err = fmt.Fprintln(p.Stdout, i, args[1])
		}
		return err
	case "env 1":
		_, err := fmt.Fprintln(p.Stdout, p.Getenv(args[0]))
		return err
	case "cwd 0":
		_, err := fmt.Fprintln(p.Stdout, p.Dir)
		return err
	case "allocate 1":
		n, err := strconv.ParseInt(args[0], 10, 64)
		if err == nil && !p.Allocate(n) {
			return errors.New("there is not so much")
		}
		return err
	case "wait 0":
		<-ctx.Done()
		return ctx.Err()
	case "ignore 1":
		p.Signals(args[0]) // and nobody reads them
		return nil
	case "serve 1":
		return serve(ctx, p, args[0])
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

// serve sends a line of standard input to whoever connects to a port.
func serve(ctx context.Context, p *fakelauncher.Proc, port string) error {
	line, err := bufio.NewReader(p.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	listener, err := p.Listen(n)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		_, _ = io.WriteString(conn, line) // who goes before has not wanted it
		_ = conn.Close()
	}
}
