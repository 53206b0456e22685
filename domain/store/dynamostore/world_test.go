package dynamostore_test

import (
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

const table = "records"

// world is an account.
type world struct {
	*fakeaws.Cloud
	t testing.TB
}

func newWorld(t testing.TB, cfg fakeaws.Config) *world {
	t.Helper()
	cloud, err := fakeaws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close() })
	return &world{cloud, t}
}

// store is one process's.
func (w *world) store() *dynamostore.Store {
	w.t.Helper()
	s, err := dynamostore.NewFromConfig(w.Config(), dynamostore.Config{Table: table})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// ready is a store whose table is there.
func (w *world) ready() *dynamostore.Store {
	w.t.Helper()
	s := w.store()
	if err := s.EnsureTable(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// unseen is a store whose table is there, in an account whose reads show nothing
// new for so long that EnsureTable would wait for it: another program has made it.
func (w *world) unseen() *dynamostore.Store {
	w.t.Helper()
	text := types.ScalarAttributeTypeS
	if _, err := w.raw().CreateTable(w.t.Context(), &dynamodb.CreateTableInput{
		TableName: ptr(table), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: ptr("id"), AttributeType: text}, {AttributeName: ptr("collection"), AttributeType: text},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: ptr("collection"), KeyType: types.KeyTypeHash}, {AttributeName: ptr("id"), KeyType: types.KeyTypeRange},
		},
	}); err != nil {
		w.t.Fatal(err)
	}
	return w.store()
}

// raw is DynamoDB as another program sees it.
func (w *world) raw() *dynamodb.Client { return dynamodb.NewFromConfig(w.Config()) }

// put writes a record that has to be written.
func put(t testing.TB, s store.Store, r store.Record) int64 {
	t.Helper()
	version, err := s.Put(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// called is how often an action was attempted.
func (w *world) called(action string) (n int) {
	for _, c := range w.Calls() {
		if c.Action == action {
			n++
		}
	}
	return n
}

// inBubble runs one subtest in a bubble of its own.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func second[T any](_ T, err error) error { return err }

func ptr(s string) *string { return aws.String(s) }
