package domain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/domain/store"
)

// What is stored, and where: every domain in the collection "domains", its
// users, their claims of names and its projects in collections of their own, the
// uids and gids that they were given in "uids".
const (
	domainsCollection = "domains"
	ledgerCollection  = "uids"
)

func usersCollection(domain string) string { return "domains/" + domain + "/users" }

// record is a domain as it is stored. Policies and images are part of it, so
// that they change together: the default image is always an attached one.
type record struct {
	Name     string
	Region   string
	VPC      string
	Subnets  []Subnet // by zone and ID
	KMSKeyID string   `json:",omitempty"`
	Tags     map[string]string
	// External is zero if the file system is the domain's own.
	External External `json:",omitzero"`
	// FirstPolicy is what Create was called with; Policy is what holds.
	FirstPolicy  Policy
	Policy       Policy
	Groups       map[string]Policy
	Images       map[string]Image
	DefaultImage string
	// HostGroup and FileSystemGroup are security groups; empty until made.
	HostGroup       string
	FileSystemGroup string
	// FileSystem is the EFS file system, empty before the first user.
	FileSystem string
	// MountTargets is whether the file system can be reached from every zone.
	MountTargets bool
	// Occupants are in the network, and would break without it.
	Occupants []string `json:",omitempty"`
	Closing   closing  `json:",omitempty"`
	// Claim counts the calls of Delete that closed the domain.
	Claim   int64 `json:",omitempty"`
	Created time.Time
}

// closing is how far Delete has come.
type closing string

const (
	// closingClaimed: nobody can be onboarded; Delete looks for users.
	closingClaimed closing = "claimed"
	// closingRemoving: there is no user; Delete removes what is in AWS.
	closingRemoving closing = "removing"
)

// open reports why a domain cannot be used, or nil.
func (r record) open() error {
	if r.Closing == "" {
		return nil
	}
	return errors.New("the domain is being deleted; call Delete again to finish that")
}

// differences says in what a request is not the one that made r.
func (r record) differences(q CreateRequest, region string) []error {
	var found []error
	differ := func(what string, have, want any) {
		found = append(found, fmt.Errorf("%s is %v, not %v", what, have, want))
	}
	if r.Region != region {
		differ("its region", r.Region, region)
	}
	if r.VPC != q.VPC {
		differ("its VPC", r.VPC, q.VPC)
	}
	var ids []string
	for _, s := range r.Subnets {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	if want := slices.Sorted(slices.Values(q.Subnets)); !slices.Equal(ids, want) {
		differ("its subnets", ids, want)
	}
	if r.KMSKeyID != q.KMSKeyID {
		found = append(found, fmt.Errorf("its KMS key is %q, not %q", r.KMSKeyID, q.KMSKeyID))
	}
	found = append(found, r.External.differences(q.External)...)
	if !maps.Equal(r.Tags, q.Tags) {
		differ("its tags", r.Tags, q.Tags)
	}
	if !q.Policy.Equal(r.FirstPolicy) && !q.Policy.Equal(r.Policy) {
		found = append(found, errors.New("its policy is another; change it with SetPolicy"))
	}
	return found
}

// refusals are why a request is not met by the domain that exists.
func (r record) refusals(q CreateRequest, region string) (wrong problems) {
	if differ := r.differences(q, region); differ != nil {
		sentence := strings.ReplaceAll(errors.Join(differ...).Error(), "\n", "; ")
		wrong.add("name", ErrConflict, errors.New("a domain of this name exists and was made by another request: "+sentence))
	}
	wrong.add("domain", ErrState, r.open())
	return wrong
}

// load reads the domain's record.
func (d *Domain) load(ctx context.Context, op string) (record, error) {
	r, err := d.client.domains.Get(ctx, d.name)
	if err != nil {
		return record{}, fail(ctx, op, d.name, d.missing(err))
	}
	return r, nil
}

// change alters the record of a domain that is open.
func (d *Domain) change(ctx context.Context, op string, alter func(*record) error) error {
	_, err := d.client.domains.Update(ctx, d.name, func(r *record) error {
		if err := r.open(); err != nil {
			return &Error{Op: op, Name: d.name, Kind: ErrState, Err: err}
		}
		return alter(r)
	})
	if err == nil {
		d.client.log.InfoContext(ctx, op, "domain", d.name)
	}
	return fail(ctx, op, d.name, d.missing(err))
}

// missing says what it means that the record is not there.
func (d *Domain) missing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return unrecorded("the store has no domain of this name; check the name, or create it")
	}
	return err
}

// unrecorded says that something has no record, without the store's words.
type unrecorded string

func (u unrecorded) Error() string { return string(u) }

func (unrecorded) Unwrap() error { return store.ErrNotFound }
