// Adopt moves nobody's data: it makes a domain of a domain that SageMaker manages, so
// that the same people open the same homes in sessions of both.
//
//	go run ./examples/adopt
//	go run ./examples/adopt -domain d-8uq7jfb3ghoe -name research -records domains.bolt
//	go run ./examples/adopt -domain d-8uq7jfb3ghoe -name research -user Jane-Doe-Contractor-7=jane -records domains.bolt -apply
//
// Without -domain it shows that on an account in memory: what would be made, that just that
// was made, line by line, and one file as RStudio and Studio Classic on SageMaker and a
// session of ours see it. With -domain it is an account of AWS, with the credentials and the region
// of the environment: it prints what would be made, and makes it with -apply. Run again it
// prints, and with -apply picks up, what has changed. It ends with 1 if something blocks the plan.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/boltstore"
	"github.com/atelier-go/atelier/examples/internal/bubble"
)

func main() {
	flags := flag.NewFlagSet("adopt", flag.ExitOnError)
	q := sagemakerdomain.AdoptRequest{}
	flags.StringVar(&q.ID, "domain", "", "SageMaker's id of the domain; without, it is shown on an account in memory")
	flags.StringVar(&q.Name, "name", "research", "the name of the domain that is made")
	flags.Func("user", "the user that a profile is, as `profile=name`, where the profile's name in lower case is none for a user; can be repeated", names(&q.Users, "profile=name"))
	flags.Func("include", "a `profile` without access to RStudio that becomes a user all the same; can be repeated", func(s string) error {
		q.Include = append(q.Include, s)
		return nil
	})
	flags.Func("image", "what an image of SageMaker's is called here, as `name=ours`; can be repeated", names(&q.Images, "name=ours"))
	flags.Func("type", "a `type` of instance that sessions may run on, such as t3.* or *; can be repeated; without, those of the account's quotas", func(s string) error {
		q.Policy.Types = append(q.Policy.Types, s)
		return nil
	})
	flags.Func("subnet", "a `subnet` that our hosts are in; can be repeated; without, all of SageMaker's", func(s string) error {
		q.Subnets = append(q.Subnets, s)
		return nil
	})
	records := flags.String("records", "domains.bolt", "the `file` of records of the program that runs the sessions. One process at a time opens it:\nend that program before, or have it adopt by itself")
	apply := flags.Bool("apply", false, "make what is printed")
	_ = flags.Parse(os.Args[1:]) // the set says what happens to an error
	if q.ID == "" {
		bubble.Run("adopt", run)
	}
	if err := adopt(context.Background(), os.Stdout, q, *records, *apply); err != nil {
		fmt.Fprintf(os.Stderr, "adopt: %v\n", err)
		os.Exit(1)
	}
}

// names reads one -user or -image.
func names(of *map[string]string, form string) func(string) error {
	return func(s string) error {
		theirs, ours, ok := strings.Cut(s, "=")
		if !ok || theirs == "" || ours == "" {
			return fmt.Errorf("want %s", form)
		}
		for given := range *of {
			if strings.EqualFold(given, theirs) {
				return fmt.Errorf("%s is there twice", theirs)
			}
		}
		if *of == nil {
			*of = map[string]string{}
		}
		(*of)[theirs] = ours
		return nil
	}
}

// adopt prints what adopting a domain would do, and does it if it is to be applied.
func adopt(ctx context.Context, out io.Writer, q sagemakerdomain.AdoptRequest, file string, apply bool) (err error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	records, end, err := recordsIn(out, file, apply)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return adoptWith(ctx, out, cfg, records, q, apply)
}

// recordsIn opens the file of records. For a mere preview no file is made: if there is none, it
// goes by records in memory, of which there are none.
func recordsIn(out io.Writer, file string, apply bool) (records store.Store, end func() error, err error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) && !apply {
		fmt.Fprintf(out, "there is no file %s: this is the plan for a domain without records\n", file)
		return store.NewMemory(), func() error { return nil }, nil
	}
	opened, err := boltstore.Open(file)
	if err != nil {
		return nil, nil, err
	}
	return opened, opened.Close, nil
}

func adoptWith(ctx context.Context, out io.Writer, cfg aws.Config, records store.Store, q sagemakerdomain.AdoptRequest, apply bool) error {
	domains, err := domain.NewFromConfig(cfg, domain.Config{Store: records})
	if err != nil {
		return err
	}
	managed, err := sagemakerdomain.NewFromConfig(cfg, sagemakerdomain.Config{})
	if err != nil {
		return err
	}
	plan, err := managed.PreviewAdopt(ctx, domains, q)
	if err != nil {
		return err
	}
	blocked := 0
	for _, line := range plan {
		fmt.Fprintln(out, line)
		if line.Fate == domain.Blocks {
			blocked++
		}
	}
	if blocked > 0 {
		return fmt.Errorf("blocked by %d of these lines: nothing is made", blocked)
	}
	if !apply {
		return nil
	}
	if _, err := managed.Adopt(ctx, domains, q); err != nil {
		return err
	}
	fmt.Fprintf(out, "domain %s is adopted\n", q.Name)
	return nil
}
