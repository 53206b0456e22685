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
// prints, and with -apply picks up, what has changed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store/boltstore"
	"github.com/atelier-go/atelier/examples/internal/bubble"
)

func main() {
	flags := flag.NewFlagSet("adopt", flag.ExitOnError)
	q := sagemakerdomain.AdoptRequest{}
	flags.StringVar(&q.ID, "domain", "", "SageMaker's id of the domain; without, it is shown on an account in memory")
	flags.StringVar(&q.Name, "name", "research", "the name of the domain that is made")
	flags.Func("user", "the user that a profile is, as `profile=name`, where the profile's name in lower case is none for a user; can be repeated", users(&q))
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

// users reads one -user.
func users(q *sagemakerdomain.AdoptRequest) func(string) error {
	return func(s string) error {
		profile, name, ok := strings.Cut(s, "=")
		if !ok || profile == "" || name == "" {
			return errors.New("want profile=name")
		}
		for given := range q.Users {
			if strings.EqualFold(given, profile) {
				return fmt.Errorf("profile %s is there twice", profile)
			}
		}
		if q.Users == nil {
			q.Users = map[string]string{}
		}
		q.Users[profile] = name
		return nil
	}
}

// adopt prints what adopting a domain would do, and does it if it is to be applied.
func adopt(ctx context.Context, out io.Writer, q sagemakerdomain.AdoptRequest, file string, apply bool) (err error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	records, err := boltstore.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, records.Close()) }()
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
	for _, line := range plan {
		fmt.Fprintln(out, line)
	}
	if !apply {
		return nil
	}
	if _, err := managed.Adopt(ctx, domains, q); err != nil {
		return err
	}
	fmt.Fprintf(out, "domain %s is adopted; the records are in %s\n", q.Name, file)
	return nil
}
