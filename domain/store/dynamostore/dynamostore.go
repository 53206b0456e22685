// Package dynamostore keeps records in a table of Amazon DynamoDB: a
// [store.Store] for many processes on many machines.
//
// # The table
//
// One table holds everything. Its partition key is the record's collection and
// its sort key the record's ID, so that a collection can be read in the order of
// its IDs; two further attributes hold the version and the value:
//
//	collection  S  partition key
//	id          S  sort key
//	version     N  a random number of 63 bits, another with every write
//	value       B  left out if it is empty
//
// [Store.EnsureTable] makes it. A table that was made by other means needs these
// two keys and nothing more: how it is billed, encrypted and backed up is up to
// whoever makes it. It must not be a replica of a global table that is written in
// two regions: conditions are judged in one region alone, and the last write wins.
//
// # Limits
//
// DynamoDB gives a partition 1000 write units and 3000 read units a second, of
// 1 KB a write and 4 KB a read
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html).
// A single record never gets more: a thousand writes a second if it is small, three
// if its value is of the largest size. A collection begins in one partition, with
// that much for all its records and 12 MB a second for its lists. Where it stays
// hot DynamoDB splits it between IDs, and each part has the limit to itself
// (https://aws.amazon.com/blogs/database/part-3-scaling-dynamodb-how-partitions-hot-keys-and-split-for-heat-impact-performance/).
// That does not help where every new ID follows all others, as one does that begins
// with the time. What is beyond a limit is [ErrThrottled] when the SDK has given
// up repeating it.
//
// Get, Put and Delete are one request each. List is one for each 1 MB it comes
// to, and reads the first of them whole also if the loop ends early. Its reads are
// strongly consistent, which costs a unit for each 4 KB of what it comes to
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html):
// 10,000 records of 1.5 KB are 15 MB, 15 requests and 3750 units each time, which is
// more than one partition gives in a second. What lists a collection again and again,
// as a [store.Mirror] does, pays that each time, whether anything has changed or not.
//
// # Lost answers
//
// A write whose answer is lost may have happened. The SDK repeats it, and
// DynamoDB then refuses the repetition because of the write that it repeats. A Put
// therefore chooses the new version itself and looks at what is there when
// its condition failed: its own version means that it has succeeded. If another has
// changed the record since, nobody can tell, and Put says so: [ErrUnavailable]
// rather than [store.ErrConflict], which would mean that nothing was written. Delete
// leaves nothing to be recognised by, so with it that is so whenever an
// answer was lost and the repetition is refused.
//
// One assumption is left: that DynamoDB does not carry out a request which ended
// without an answer after a later attempt was answered. A request to create a record
// could then bring it back after it was deleted.
//
// # Permissions
//
// [Store.Policy] has the IAM policies: what every program needs that keeps records, and
// apart from it what EnsureTable needs.
package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/atelier-go/atelier/domain/store"
)

// API is what a [Store] calls of DynamoDB. *dynamodb.Client of the AWS SDK
// implements it. What wraps one has to pass the options on: without them a Store
// cannot tell how often a write was attempted, and takes every conflict for
// [ErrUnavailable].
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)

	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

var _ API = (*dynamodb.Client)(nil)

// Config says which table a [Store] is over.
type Config struct {
	// Table is the table's name: 3 to 255 letters, digits and . _ -. Required.
	// Programs that name the same table of an account and region share its
	// records.
	Table string
}

// A Store keeps records in one table. It keeps no state of its own: any number of
// stores, in any number of processes, may be over the same table. All methods are
// safe for concurrent use.
//
// Beside the errors of [store.Store] its methods return an [*Error], and a
// context's error as it is. Whatever fails before DynamoDB has answered may have
// happened.
type Store struct {
	api   API
	table string
}

var _ store.Store = (*Store)(nil)

// NewFromConfig returns a Store that calls DynamoDB as cfg says: region,
// credentials, retries. It makes no call. Its error is [ErrInvalid].
func NewFromConfig(cfg aws.Config, c Config) (*Store, error) {
	if cfg.Region == "" {
		return nil, invalid("new", "", errors.New("the AWS config has no region"), c.validate())
	}
	return New(dynamodb.NewFromConfig(cfg), c)
}

// New returns a Store that calls api. It makes no call. Its error is [ErrInvalid].
func New(api API, c Config) (*Store, error) {
	var missing error
	if api == nil {
		missing = errors.New("api is nil")
	}
	if err := invalid("new", "", missing, c.validate()); err != nil {
		return nil, err
	}
	return &Store{api: api, table: c.Table}, nil
}

// tableName holds the names of tables
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html).
var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

func (c Config) validate() error {
	if !tableName.MatchString(c.Table) {
		return fmt.Errorf("table %.60q: want 3 to 255 letters, digits and . _ -", c.Table)
	}
	return nil
}

// Get returns a record by a strongly consistent read, or [store.ErrNotFound].
func (s *Store) Get(ctx context.Context, collection, id string) (store.Record, error) {
	if err := admit(ctx, store.Record{Collection: collection, ID: id}); err != nil {
		return store.Record{}, err
	}
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: key(collection, id), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return store.Record{}, s.failed(ctx, "get", at(collection, id), err)
	}
	if len(out.Item) == 0 {
		return store.Record{}, fmt.Errorf("%w: %q in %s", store.ErrNotFound, id, collection)
	}
	r, err := recordOf(out.Item)
	if err != nil {
		return store.Record{}, s.failed(ctx, "get", at(collection, id), err)
	}
	return r, nil
}

// Put writes a record if its version is the present one; see [store.Store]. If an
// answer was lost and another has changed the record since, it is
// [ErrUnavailable].
func (s *Store) Put(ctx context.Context, r store.Record) (int64, error) {
	if err := admit(ctx, r); err != nil {
		return 0, err
	}
	version := newVersion(r.Version)
	in := &dynamodb.PutItemInput{
		TableName: &s.table, Item: itemOf(r, version),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if r.Version == 0 {
		in.ConditionExpression = aws.String("attribute_not_exists(#id)")
		in.ExpressionAttributeNames = map[string]string{"#id": attrID}
	} else {
		in.ConditionExpression = aws.String("#version = :version")
		in.ExpressionAttributeNames = map[string]string{"#version": attrVersion}
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":version": number(r.Version)}
	}
	var attempts trail
	_, err := s.api.PutItem(ctx, in, attempts.follow)
	refusal, refused := errors.AsType[*types.ConditionalCheckFailedException](err)
	switch {
	case err == nil:
		return version, nil
	case !refused:
		return 0, s.failed(ctx, "put", at(r.Collection, r.ID), err)
	case attempts.answered():
		return 0, conflict(r.Collection, r.ID)
	}
	present, err := s.present(ctx, refusal, r.Collection, r.ID)
	switch {
	case err != nil:
		return 0, err
	case present == version:
		return version, nil // an attempt before this one has written it
	}
	return 0, s.unknown("put", at(r.Collection, r.ID), refusal)
}

// Delete removes a record if its version is the one given; see [store.Store]. If
// an answer was lost and the repetition is refused, it is [ErrUnavailable].
func (s *Store) Delete(ctx context.Context, collection, id string, version int64) error {
	if err := admit(ctx, store.Record{Collection: collection, ID: id}); err != nil {
		return err
	}
	var attempts trail
	_, err := s.api.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &s.table, Key: key(collection, id),
		ConditionExpression:                 aws.String("#version = :version"),
		ExpressionAttributeNames:            map[string]string{"#version": attrVersion},
		ExpressionAttributeValues:           map[string]types.AttributeValue{":version": number(version)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, attempts.follow)
	refusal, refused := errors.AsType[*types.ConditionalCheckFailedException](err)
	switch {
	case err == nil:
		return nil
	case !refused:
		return s.failed(ctx, "delete", at(collection, id), err)
	case !attempts.answered():
		return s.unknown("delete", at(collection, id), refusal)
	}
	present, err := s.present(ctx, refusal, collection, id)
	switch {
	case err != nil:
		return err
	case present == 0:
		return fmt.Errorf("%w: %q in %s", store.ErrNotFound, id, collection)
	}
	return conflict(collection, id)
}

// present returns the version of a record whose condition failed, zero if there
// is none. DynamoDB tells it with the refusal if there is one. If it tells nothing
// the record is read: servers that only look like DynamoDB never tell.
func (s *Store) present(ctx context.Context, refusal *types.ConditionalCheckFailedException, collection, id string) (int64, error) {
	if len(refusal.Item) > 0 {
		r, err := recordOf(refusal.Item)
		if err != nil {
			return 0, s.failed(ctx, "read", at(collection, id), err)
		}
		return r.Version, nil
	}
	r, err := s.Get(ctx, collection, id)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return r.Version, err
}

// List yields the records of a collection in the order of their IDs, by strongly
// consistent reads of up to 1 MB each; see [store.Store]. "For type String, the
// results are stored in order of UTF-8 bytes"
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html).
func (s *Store) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		if err := store.ValidateList(collection, after); err != nil {
			yield(store.Record{}, err)
			return
		}
		in := &dynamodb.QueryInput{
			TableName: &s.table, ConsistentRead: aws.Bool(true),
			KeyConditionExpression:    aws.String("#collection = :collection"),
			ExpressionAttributeNames:  map[string]string{"#collection": attrCollection},
			ExpressionAttributeValues: map[string]types.AttributeValue{":collection": text(collection)},
		}
		if after != "" {
			*in.KeyConditionExpression += " AND #id > :after"
			in.ExpressionAttributeNames["#id"] = attrID
			in.ExpressionAttributeValues[":after"] = text(after)
		}
		for pages := dynamodb.NewQueryPaginator(s.api, in); pages.HasMorePages(); {
			if err := ctx.Err(); err != nil {
				yield(store.Record{}, err)
				return
			}
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(store.Record{}, s.failed(ctx, "list", collection, err))
				return
			}
			for _, item := range page.Items {
				r, err := recordOf(item)
				if err != nil {
					err = s.failed(ctx, "list", collection, err)
				}
				if ctx.Err() != nil {
					r, err = store.Record{}, ctx.Err()
				}
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// admit refuses calls with a context that has ended or a record that is not
// valid.
func admit(ctx context.Context, r store.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.Validate()
}

// at names a record in errors.
func at(collection, id string) string { return fmt.Sprintf("%q in %s", id, collection) }

func conflict(collection, id string) error {
	return fmt.Errorf("%w: %q in %s", store.ErrConflict, id, collection)
}
