package faultlauncher

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/atelier-go/atelier/launcher"
)

// An Op is a method of a launcher.
type Op string

// The methods of [launcher.Launcher].
const (
	Launch Op = "launch"
	Stop   Op = "stop"
	List   Op = "list"
	Watch  Op = "watch"
	Dial   Op = "dial"
	Logs   Op = "logs"
	Usage  Op = "usage"
)

// A Fault is a failure to inject, as data. It strikes calls by what they are,
// not by when they come: whether a call is struck depends on the seed, its
// operation, its subject and its number among its like, so that a run replays
// however goroutines are scheduled. The zero value strikes every call before
// it has an effect, with [launcher.ErrUnavailable].
type Fault struct {
	// Op strikes only calls of one method. Empty strikes all.
	Op Op
	// ID strikes only calls that concern this workload: List and Watch do if
	// their filter names it alone. Empty strikes all.
	ID launcher.ID
	// Nth strikes only the n-th call of a method on a subject, from 1. Zero
	// strikes every one, or the share given by Rate.
	Nth int
	// Rate is the share of calls that are struck, above 0 to 1. Zero means all.
	Rate float64
	// Kind is the class of the error. Empty is [launcher.ErrUnavailable].
	Kind launcher.Kind
	// After lets the call take effect and loses the reply: what was asked is
	// done, but the caller gets the error. A List or Watch breaks off after
	// Elements; followed or not, Logs break off after Bytes; a dialled
	// connection is closed.
	After bool
	// Elements is how many elements a List or Watch yields before it breaks,
	// the mark of a Watch included. It counts only with After; one that ends
	// before keeps its end.
	Elements int
	// Bytes is how many bytes Logs give before they break. It counts only with
	// After; what ends before keeps its end.
	Bytes int64
}

// ErrInjected is in the chain of every error a [Fault] makes.
var ErrInjected = errors.New("an injected fault")

// validate reports everything wrong with f.
func (f Fault) validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if ops := []Op{"", Launch, Stop, List, Watch, Dial, Logs, Usage}; !slices.Contains(ops, f.Op) {
		bad("op %q: want one of %q", f.Op, ops)
	}
	if f.Nth < 0 {
		bad("nth is %d: want 1 for the first call, 0 for every", f.Nth)
	}
	if f.Rate < 0 || f.Rate > 1 {
		bad("rate is %v: want a share from 0 to 1", f.Rate)
	}
	if f.Elements < 0 || f.Bytes < 0 {
		bad("elements %d and bytes %d must not be negative", f.Elements, f.Bytes)
	}
	if !f.After && (f.Elements != 0 || f.Bytes != 0) {
		bad("elements %d and bytes %d count only with after", f.Elements, f.Bytes)
	}
	return errors.Join(problems...)
}

// call is one call of a method.
type call struct {
	op      Op
	id      launcher.ID // the workload concerned, if it is one
	subject string      // what calls are counted by
	n       int         // its number among the calls of op on the subject
}

// strikes reports whether f, the index-th of the faults, strikes a call.
func (f Fault) strikes(at call, seed uint64, index int) bool {
	return (f.Op == "" || f.Op == at.op) &&
		(f.ID == "" || f.ID == at.id) &&
		(f.Nth == 0 || f.Nth == at.n) &&
		(f.Rate == 0 || at.share(seed, index) < f.Rate)
}

// share is a number from 0 to below 1, the same for the same call.
func (c call) share(seed uint64, index int) float64 {
	h := fnv.New64a()
	var number [8]byte
	for _, n := range []uint64{seed, uint64(index), uint64(c.n)} {
		binary.BigEndian.PutUint64(number[:], n)
		h.Write(number[:])
	}
	h.Write([]byte(c.op + "\x00" + Op(c.subject)))
	// FNV mixes the last bytes poorly into the upper bits: finish as
	// SplitMix64 does.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}

// error is what the struck caller gets.
func (f Fault) error(at call) error {
	kind := f.Kind
	if kind == "" {
		kind = launcher.ErrUnavailable
	}
	return &launcher.Error{Op: string(at.op), ID: at.id, Kind: kind, Err: ErrInjected}
}
