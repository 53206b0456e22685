package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/atelier-go/atelier/domain"
)

// tellMade prints for each line of a plan that makes something what was made of it, and
// fails if a line came to nothing, if there is anything new in the records or in the account
// that no line names, or if what the account had has changed or gone.
func tellMade(out io.Writer, plan []domain.Consequence, records []string, before, after map[string]string) error {
	added, err := additions(before, after)
	if err != nil {
		return err
	}
	for _, what := range records {
		added[what] = "a record"
	}
	var wrong []error
	for _, line := range plan {
		if line.Fate != domain.Makes {
			continue
		}
		what := fmt.Sprintf("%s %s", line.Thing, line.Name)
		if added[what] == "" {
			wrong = append(wrong, fmt.Errorf("%s was planned and not made", what))
			continue
		}
		fmt.Fprintf(out, "  %s: %s\n", what, added[what])
		delete(added, what)
	}
	for _, what := range slices.Sorted(maps.Keys(added)) {
		wrong = append(wrong, fmt.Errorf("%s was made and not planned: %s", what, added[what]))
	}
	fmt.Fprintf(out, "  and of %d resources that were there none has changed\n", len(before))
	return errors.Join(wrong...)
}

// recordsOf are the records of a domain that was just made, by what a plan calls them.
func recordsOf(ctx context.Context, d *domain.Domain) ([]string, error) {
	records := []string{fmt.Sprintf("%s %s", domain.ThingDomain, d.Name())}
	about, err := d.Describe(ctx)
	if err != nil {
		return nil, err
	}
	if len(about.Policy.Types) > 0 {
		records = append(records, fmt.Sprintf("%s %s", domain.ThingPolicy, d.Name()))
	}
	for u, err := range d.Users(ctx) {
		if err != nil {
			return nil, err
		}
		records = append(records, fmt.Sprintf("%s %s", domain.ThingUser, u.Name))
	}
	for i, err := range d.Images(ctx) {
		if err != nil {
			return nil, err
		}
		records = append(records, fmt.Sprintf("%s %s", domain.ThingImage, i.Name))
	}
	return records, nil
}

// additions are what has come to an account, identifiers by what a plan calls them. It is an
// error if anything has changed or gone.
func additions(before, after map[string]string) (map[string]string, error) {
	var wrong []error
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if is, there := after[id]; !there || is != before[id] {
			wrong = append(wrong, fmt.Errorf("%s was %s and is %s", id, before[id], is))
		}
	}
	added := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if _, there := before[id]; there {
			continue
		}
		var described []json.RawMessage // first what the service's Describe answers
		var is struct {
			GroupName     string
			RootDirectory struct{ Path string }
		}
		err := json.Unmarshal([]byte(after[id]), &described)
		if err == nil && len(described) > 0 {
			err = json.Unmarshal(described[0], &is)
		}
		what := "resource " + id
		switch {
		case err != nil:
			return nil, err
		case is.GroupName != "":
			what = fmt.Sprintf("%s %s", domain.ThingSecurityGroup, is.GroupName)
		case is.RootDirectory.Path != "":
			what = fmt.Sprintf("%s %s", domain.ThingAccessPoint, is.RootDirectory.Path)
		}
		if other := added[what]; other != "" {
			wrong = append(wrong, fmt.Errorf("%s was made twice, %s and %s", what, other, id))
		}
		added[what] = id
	}
	return added, errors.Join(wrong...)
}
