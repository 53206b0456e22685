// Storm replays the sign-ins of many users against a fleet of EC2 hosts in an
// account in memory, on virtual time, and tells how long they waited, what was
// bought for them and what that cost, beside what no launcher could do better.
//
//	go run ./examples/storm -sessions 1000 -seed 1
//	go run ./examples/storm -trace sessions.csv -svg storm.svg
//	go run ./examples/storm -sessions 100 -faults
//
// The account has the limits that AWS publishes, and delays that were measured
// there, drawn by the seed within 30% for each host. With -json it prints one
// object in the place of the table.
//
// With -trace the sessions are those of a CSV file with the header
//
//	user,start_s,end_s,vcpus,memory_mib,gpus
//
// and one line for each: who comes, from when to when in seconds from the beginning
// of the trace, and with how much. No host type has a GPU: gpus is 0.
//
// With -faults a fifth of the fleet's calls fail in the ways that AWS documents, one
// of three zones is sold out, three of a hundred hosts never come up, and at about
// every fiftieth call the process that runs the fleet is killed and another takes
// its place. The report then says why sessions failed, if some did.
//
// With -svg a picture is drawn: the hosts over time with the sessions on them, and
// the dollars spent so far beside the least that the room costs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/atelier-go/atelier/examples/internal/bubble"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

// Options say what is replayed.
type Options struct {
	// Scenario is "signin" or "weekday". With a Trace it is empty.
	Scenario string
	// Sessions are how many a scenario has, of Users.
	Sessions, Users int
	// Trace is a file with sessions, in the place of a scenario's; see [readTrace].
	// Empty is none.
	Trace string
	// Seed draws arrivals, sizes and delays.
	Seed uint64
	// Policy says who shares a host: "exclusive", "user" or "pool".
	Policy string
	// Overcommit is how many times over processors are given away.
	Overcommit float64
	// Warm keeps room free for what is likely to come.
	Warm bool
	// Faults makes it a bad day: calls fail, a zone is sold out, hosts never come up,
	// processes die.
	Faults bool
	// SVG is a file that a picture of the storm is written to. Empty is none.
	SVG string

	// change is made to the account, for tests. Nil is none.
	change func(*fakeaws.Config)
	// slow is how much later than it could the fleet finds a host up, for tests.
	slow time.Duration
}

var policies = map[string]launcher.Sharing{
	"exclusive": launcher.Exclusive, "user": launcher.PerOwner, "pool": launcher.Pool,
}

func (o Options) validate() error {
	var problems []error
	if o.Trace == "" {
		if o.Sessions < 1 || o.Users < 1 {
			problems = append(problems, fmt.Errorf("%d sessions of %d users: want at least one of each", o.Sessions, o.Users))
		}
		if _, ok := scenarios[o.Scenario]; !ok {
			problems = append(problems, fmt.Errorf("scenario %q: want signin or weekday", o.Scenario))
		}
	} else if o.Scenario != "" || o.Sessions != 0 || o.Users != 0 {
		problems = append(problems, fmt.Errorf("trace %s: it says who comes: leave out scenario, sessions and users", o.Trace))
	}
	if _, ok := policies[o.Policy]; !ok {
		problems = append(problems, fmt.Errorf("policy %q: want exclusive, user or pool", o.Policy))
	}
	if o.Overcommit < 1 || o.Overcommit > 10 {
		problems = append(problems, fmt.Errorf("overcommit %v: want 1 to 10", o.Overcommit))
	}
	return errors.Join(problems...)
}

func main() {
	flags := flag.NewFlagSet("storm", flag.ExitOnError)
	o, asJSON := options(flags, os.Args[1:])
	bubble.Run("storm", func(ctx context.Context, out io.Writer) error { return run(ctx, o, asJSON, out) })
}

// options reads the command line. The flags of a scenario have their defaults only
// without a trace.
func options(flags *flag.FlagSet, args []string) (o Options, asJSON bool) {
	flags.StringVar(&o.Scenario, "scenario", "signin", "signin: all at once, for an hour, or more if they are more than 25,000; weekday: over a working day")
	flags.IntVar(&o.Sessions, "sessions", 1000, "how many sessions there are")
	flags.IntVar(&o.Users, "users", 0, "of how many users; 0 is one for each session")
	flags.StringVar(&o.Trace, "trace", "", "play the sessions of this CSV `file` instead: user,start_s,end_s,vcpus,memory_mib,gpus")
	flags.Uint64Var(&o.Seed, "seed", 1, "draws arrivals, sizes, delays and faults")
	flags.StringVar(&o.Policy, "policy", "pool", "who shares a host: exclusive, user or pool")
	flags.Float64Var(&o.Overcommit, "overcommit", 1, "how many times over processors are given away")
	flags.BoolVar(&o.Warm, "warm", false, "keep room free for what is likely to come")
	flags.BoolVar(&o.Faults, "faults", false, "a fifth of the calls fail, a zone is sold out, hosts never come up, processes are killed")
	flags.StringVar(&o.SVG, "svg", "", "draw hosts, sessions and cost over time into this `file`")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	_ = flags.Parse(args) // the set says what happens to an error
	if o.Trace != "" {
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if !given["scenario"] {
			o.Scenario = ""
		}
		if !given["sessions"] {
			o.Sessions = 0
		}
	} else if o.Users == 0 {
		o.Users = o.Sessions
	}
	return o, asJSON
}

// sessions are those of the scenario or the file.
func (o Options) sessions() (trace []Visit, err error) {
	if o.Trace == "" {
		return scenarios[o.Scenario](o), nil
	}
	file, err := os.Open(o.Trace)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	if trace, err = readTrace(file); err != nil {
		return nil, fmt.Errorf("trace %s:\n%w", o.Trace, err)
	}
	return trace, nil
}

// run replays a storm, prints what came of it and draws it.
func run(ctx context.Context, o Options, asJSON bool, out io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	trace, err := o.sessions()
	if err != nil {
		return err
	}
	draw := func(picture) error { return nil }
	if o.SVG != "" {
		file, err := os.Create(o.SVG)
		if err != nil {
			return err // before the storm rather than after
		}
		defer func() { _ = file.Close() }() // for when nothing is drawn
		draw = func(p picture) error { return errors.Join(p.draw(file), file.Close()) }
	}
	report, picture, err := replay(ctx, o, trace)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		_, err = io.WriteString(out, o.describe()+"\n"+report.table())
	}
	return errors.Join(err, draw(picture))
}
