// Package store defines where a domain's records live: small documents,
// changed by compare-and-swap.
//
// Everything this library must not lose goes through a [Store]: domains,
// users, uids, sessions, and what an EC2 launcher is about to buy. The
// interface is the least that a database, a table service and a file have in
// common. [NewMemory] keeps records in the process, and package boltstore in a
// file, for a program that is one process and begins again where it ended;
// package storetest is the contract every store passes.
//
// Two things are built on it once, for all packages: [Table] reads and changes
// records as JSON documents, and [Lease] lets one process at a time do a job.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// MaxValue is the size of the largest value a store accepts, in bytes. It
// leaves a record of any store room within DynamoDB's 400 KB item.
const MaxValue = 256 << 10

// maxKey is the length of the longest collection or ID, in bytes. Both
// together stay within every key limit of DynamoDB (2048 bytes for a partition
// key, 1024 for a sort key) and of bbolt (32 KiB).
const maxKey = 200

var (
	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("record not found")
	// ErrConflict: the record is not at the version the caller expected.
	// Read it again and decide anew.
	ErrConflict = errors.New("record was made or changed by another")
	// ErrCorrupt: a document that does not decode: an administrator has to look at
	// it. It is never skipped or overwritten.
	ErrCorrupt = errors.New("record makes no sense")
	// ErrInvalid: a key, value or lease that no store accepts. The error
	// names everything that is wrong with it.
	ErrInvalid = errors.New("invalid")
	// ErrUnusable: the store refuses this program, or is not there as the program was
	// told: an administrator corrects credentials or names. Until then calling again
	// does not help.
	ErrUnusable = errors.New("the store cannot be used")
)

// A Record is one document.
type Record struct {
	// Collection groups records that are listed together ("sessions").
	Collection string
	// ID names the record in its collection.
	ID string
	// Version is set by the store and differs after every change. It is
	// opaque: greater is not later. It never repeats for a key, also not after
	// the record was deleted and made anew. Zero means that the record does
	// not exist.
	Version int64
	// Value is the caller's, at most [MaxValue] bytes. Nil and empty are the
	// same.
	Value []byte
}

// A Store holds records. All methods are safe for concurrent use by many
// goroutines and, if the store says so, many processes. Each record is
// linearisable: a Put that returned is seen by every Get that begins later and
// every List whose iteration begins later. There is no order between different
// records.
//
// Values are copied: what a caller does to a slice it passed or received
// changes nothing in the store.
//
// Every method refuses keys that [Record.Validate] or [ValidateList] refuses.
// With a context that has ended, a method does nothing and returns the
// context's error. A Put or Delete that fails with anything but ErrConflict,
// ErrNotFound or ErrInvalid may have happened.
type Store interface {
	// Get returns a record, or ErrNotFound.
	Get(ctx context.Context, collection, id string) (Record, error)

	// Put writes r.Value if the record's present version is r.Version, zero
	// for "it does not exist", and returns the new version, also if the value
	// is what it was. Otherwise it is ErrConflict and nothing is written.
	Put(ctx context.Context, r Record) (version int64, err error)

	// Delete removes a record if its version is the one given; otherwise it
	// is ErrConflict. Deleting what does not exist is ErrNotFound.
	Delete(ctx context.Context, collection, id string, version int64) error

	// List yields the records of a collection whose ID is greater than after,
	// in the order of the bytes of their IDs. The ID after need not exist;
	// empty means from the first. It looks anew each time it is ranged over,
	// and the loop's body may use the store. It is complete or ends with an
	// error as its last element, the context's once that has ended. A record
	// that changes meanwhile is yielded in one of its versions; one that is
	// made or deleted meanwhile is yielded or not.
	List(ctx context.Context, collection, after string) iter.Seq2[Record, error]
}

// Validate reports why no store accepts r, as ErrInvalid: a collection or ID
// that is not 1 to 200 letters, digits and . _ / : -, beginning with a letter
// or digit, or a value above [MaxValue]. It does not look at the version.
// Stores call it in Get, Put and Delete.
func (r Record) Validate() error {
	return invalid(
		checkKey("collection", r.Collection),
		checkKey("id", r.ID),
		checkValue(r.Value),
	)
}

// ValidateList reports why no store accepts the arguments of a List, as
// ErrInvalid: a collection as in [Record.Validate], or an after that is
// neither empty nor an ID. Stores call it in List.
func ValidateList(collection, after string) error {
	problems := []error{checkKey("collection", collection)}
	if after != "" {
		problems = append(problems, checkKey("after", after))
	}
	return invalid(problems...)
}

// invalid joins problems under ErrInvalid; nil if there are none.
func invalid(problems ...error) error {
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func checkKey(what, key string) error {
	if key == "" {
		return fmt.Errorf("%s is empty", what)
	}
	if len(key) > maxKey {
		return fmt.Errorf("%s %.40q... has %d bytes: use at most %d", what, key, len(key), maxKey)
	}
	for i := range len(key) {
		c := key[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		punctuation := c == '.' || c == '_' || c == '/' || c == ':' || c == '-'
		if !alphanumeric && (i == 0 || !punctuation) {
			return fmt.Errorf("%s %q: use letters, digits and . _ / : -, and begin with a letter or digit", what, key)
		}
	}
	return nil
}

func checkValue(value []byte) error {
	if len(value) > MaxValue {
		return fmt.Errorf("value has %d bytes: use at most %d", len(value), MaxValue)
	}
	return nil
}
