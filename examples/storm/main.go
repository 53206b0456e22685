// Storm replays the sign-ins of many users against a fleet of EC2 hosts in an
// account in memory, on virtual time, and tells how long they waited, what was
// bought for them and what that cost, beside what no launcher could do better.
//
//	go run ./examples/storm -sessions 1000 -seed 1
//
// The account has the limits that AWS publishes, and delays that were measured
// there, drawn by the seed within 30% for each host. With -json it prints one
// object in the place of the table.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/atelier-go/atelier/examples/internal/bubble"
	"github.com/atelier-go/atelier/launcher"
)

// Options say what is replayed.
type Options struct {
	// Scenario is "signin" or "weekday".
	Scenario string
	// Sessions are how many there are, of Users.
	Sessions, Users int
	// Seed draws arrivals, sizes and delays.
	Seed uint64
	// Policy says who shares a host: "exclusive", "user" or "pool".
	Policy string
	// Overcommit is how many times over processors are given away.
	Overcommit float64
	// Warm keeps room free for what is likely to come.
	Warm bool
}

var policies = map[string]launcher.Sharing{
	"exclusive": launcher.Exclusive, "user": launcher.PerOwner, "pool": launcher.Pool,
}

func (o Options) validate() error {
	var problems []error
	if o.Sessions < 1 || o.Users < 1 {
		problems = append(problems, fmt.Errorf("%d sessions of %d users: want at least one of each", o.Sessions, o.Users))
	}
	if _, ok := scenarios[o.Scenario]; !ok {
		problems = append(problems, fmt.Errorf("scenario %q: want signin or weekday", o.Scenario))
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
	var o Options
	flags.StringVar(&o.Scenario, "scenario", "signin", "signin: all at once, for an hour; weekday: over a working day")
	flags.IntVar(&o.Sessions, "sessions", 1000, "how many sessions there are")
	flags.IntVar(&o.Users, "users", 0, "of how many users; 0 is one for each session")
	flags.Uint64Var(&o.Seed, "seed", 1, "draws arrivals, sizes and delays")
	flags.StringVar(&o.Policy, "policy", "pool", "who shares a host: exclusive, user or pool")
	flags.Float64Var(&o.Overcommit, "overcommit", 1, "how many times over processors are given away")
	flags.BoolVar(&o.Warm, "warm", false, "keep room free for what is likely to come")
	asJSON := flags.Bool("json", false, "print one JSON object")
	_ = flags.Parse(os.Args[1:]) // ExitOnError
	if o.Users == 0 {
		o.Users = o.Sessions
	}
	bubble.Main(func() int {
		if err := run(context.Background(), o, *asJSON, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "storm:", err)
			return 1
		}
		return 0
	})
}

// run replays a storm and prints what came of it.
func run(ctx context.Context, o Options, asJSON bool, out io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	trace := scenarios[o.Scenario](o)
	report, err := replay(ctx, o, trace)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	_, err = io.WriteString(out, describeMix()+"\n"+report.table())
	return err
}
