package dynamostore

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/atelier-go/atelier/domain/store"
)

// The attributes of an item.
const (
	attrCollection = "collection"
	attrID         = "id"
	attrVersion    = "version"
	attrValue      = "value"
)

// newVersion returns the version of a write: a random one, never zero and never
// the one it replaces.
//
// A counter would begin anew with a record that is deleted and made again, and
// could not tell whose write it counts. The time would repeat where two clocks
// differ. That of 2^63 numbers one comes that the record had before is possible:
// for someone who remembers one version while a million others are written, once
// in 10^13 times. It stays as unlikely when the table is restored to
// an earlier state, after which a counter would give the lost versions out again.
func newVersion(present int64) int64 {
	for {
		var random [8]byte
		_, _ = rand.Read(random[:]) // never fails
		version := int64(binary.BigEndian.Uint64(random[:]) >> 1)
		if version != 0 && version != present {
			return version
		}
	}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// key is the primary key of a record.
func key(collection, id string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{attrCollection: text(collection), attrID: text(id)}
}

// itemOf is a record as it is written.
func itemOf(r store.Record, version int64) map[string]types.AttributeValue {
	item := key(r.Collection, r.ID)
	item[attrVersion] = number(version)
	if len(r.Value) > 0 {
		item[attrValue] = &types.AttributeValueMemberB{Value: r.Value}
	}
	return item
}

// recordOf reads an item. One that no Store has written is [ErrWrongTable].
func recordOf(item map[string]types.AttributeValue) (store.Record, error) {
	collection, hasCollection := item[attrCollection].(*types.AttributeValueMemberS)
	id, hasID := item[attrID].(*types.AttributeValueMemberS)
	if !hasCollection || !hasID {
		return store.Record{}, problem(ErrWrongTable, "an item has no text as its %s and %s", attrCollection, attrID)
	}
	r := store.Record{Collection: collection.Value, ID: id.Value}
	foreign := func(what string) (store.Record, error) {
		return store.Record{}, problem(ErrWrongTable, "the item %q in %s has %s: no Store wrote it, delete it if it is not needed",
			r.ID, r.Collection, what)
	}
	n, ok := item[attrVersion].(*types.AttributeValueMemberN)
	if !ok {
		return foreign("no number as its " + attrVersion)
	}
	version, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil || version <= 0 {
		return foreign(attrVersion + " " + n.Value)
	}
	r.Version = version
	if value, ok := item[attrValue]; ok {
		b, ok := value.(*types.AttributeValueMemberB)
		if !ok {
			return foreign("a " + attrValue + " that is not binary")
		}
		r.Value = b.Value
	}
	return r, nil
}
