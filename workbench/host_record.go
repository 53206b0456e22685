package workbench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/refusal"
)

// workbenchesCollection holds a record for each Workbench, by its domain's name.
const workbenchesCollection = "workbenches"

// record is a Workbench as it is stored. What is about to be made is in it
// before AWS is asked.
type record struct {
	Domain  string
	Created time.Time
	// Want is what Deploy was last asked for.
	Want want
	// Subnet is where the interface is, and its zone where the volume is.
	Subnet domain.Subnet
	// Interface and Volume outlive instances.
	Interface made
	Volume    made
	// Storage is the access point of the project that is the shared storage, as the
	// last Deploy found it; empty without.
	Storage string `json:",omitempty"`
	// Group is the security group.
	Group string `json:",omitempty"`
	// Published is what was last written to the secret, or is about to be.
	Published publication
	// Read is the number of the publication that the host has read for certain, if
	// it did boot.
	Read int
	// Policies are the names of the caller's policies that the role may have.
	Policies []string `json:",omitempty"`
	// Serial counts what was given a token.
	Serial int
	// Buy is the instance that is being launched, nil if none is.
	Buy *purchase `json:",omitempty"`
	// Instance is the present one; without an ID there is none.
	Instance instance
	// Replacing is the instance whose replacement has begun and not ended.
	Replacing string `json:",omitempty"`
	// Removing is what Remove was asked for, nil if it was not, or has ended.
	Removing *removal `json:",omitempty"`
	// Removed is since when there is nothing but the volume; zero if there is.
	Removed time.Time `json:",omitzero"`
}

// made is something that is made once: the token it is made with and, when it
// is known, what it is.
type made struct {
	Token string    `json:",omitempty"`
	ID    string    `json:",omitempty"`
	At    time.Time `json:",omitzero"` // when the ID came to be known
	// Address is an interface's, GiB and Key are a volume's.
	Address string `json:",omitempty"`
	GiB     int32  `json:",omitempty"`
	Key     string `json:",omitempty"`
}

// publication is a version of the files.
type publication struct {
	Number int
	// Digest tells equal files.
	Digest string
}

// purchase is a request for an instance as it goes out, now and after a crash.
type purchase struct {
	Token     string
	At        time.Time
	AMI, Type string
	Root      string // device
	UserData  string
	Interface string
	Profile   string
	Tags      map[string]string
	// Boot tells equal ways of booting; Read is the publication at the time.
	Boot    string
	License License
	Storage string `json:",omitempty"`
	Read    int
}

// instance is one that was launched.
type instance struct {
	ID, Type, AMI, Boot string
	License             License `json:",omitzero"`
	Storage             string  `json:",omitempty"`
	Launched            time.Time
}

// removal is what a Remove does beside what it always does.
type removal struct {
	Volume string `json:",omitempty"` // to be deleted
}

// load returns the record, or that there is no Workbench.
func (c *Client) load(ctx context.Context) (record, error) {
	r, err := c.records.Get(ctx, c.domain.Name())
	if errors.Is(err, store.ErrNotFound) || err == nil && !r.Removed.IsZero() {
		return record{}, refusal.New(domain.ErrNotFound, "the domain has no Workbench host: call Deploy")
	}
	return r, err
}

// note changes the record.
func (c *Client) note(ctx context.Context, r *record, change func(*record)) error {
	now, err := c.records.Update(ctx, c.domain.Name(), func(r *record) error {
		change(r)
		return nil
	})
	if err == nil {
		*r = now
	}
	return err
}

// token is one that no other thing has had or will have, also of a Workbench
// that was there before under the same name. AWS takes up to 64 characters.
func (r *record) token(kind string) string {
	r.Serial++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s\x00%d", r.Domain, r.Created.UnixNano(), kind, r.Serial))
	return hex.EncodeToString(sum[:])
}

// version is the id of a publication as a version of the secret, which is what
// makes writing it again do nothing. It is another each time, since Secrets
// Manager does not make an earlier version the current one when it is written
// again.
func (r *record) version() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00publication\x00%d\x00%s", r.Domain, r.Created.UnixNano(), r.Published.Number, r.Published.Digest))
	return hex.EncodeToString(sum[:])
}
