package dynamostore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func TestEnsureTable(t *testing.T) {
	inBubble(t, "makes it once", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		if _, err := w.store().Get(t.Context(), "things", "a"); !errors.Is(err, dynamostore.ErrNoTable) || !strings.Contains(err.Error(), "EnsureTable") {
			t.Errorf("without a table: %v", err)
		}
		var wg sync.WaitGroup
		for range 5 {
			s := w.store()
			wg.Go(func() {
				if err := s.EnsureTable(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := s.Get(t.Context(), "things", "a"); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("when it is ready: %v", err)
				}
			})
		}
		wg.Wait()
		began, before := time.Now(), len(w.Calls())
		if err := w.store().EnsureTable(t.Context()); err != nil || time.Since(began) > time.Second || len(w.Calls()) != before+1 {
			t.Errorf("again: %v, after %v", err, time.Since(began))
		}
		out, err := w.raw().DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: ptr(table)})
		if err != nil {
			t.Fatal(err)
		}
		if d := out.Table; d.BillingModeSummary.BillingMode != types.BillingModePayPerRequest || !aws.ToBool(d.DeletionProtectionEnabled) {
			t.Errorf("%+v", d)
		}
	})
	inBubble(t, "lost answer", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic(), Faults: []fakeaws.Fault{
			{Action: "dynamodb:CreateTable", Nth: 1, After: true}, {Action: "dynamodb:DescribeTable", Nth: 2},
		}})
		if err := w.store().EnsureTable(t.Context()); err != nil || w.Injected() != 2 {
			t.Error(err)
		}
	})
	inBubble(t, "context ends", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Delays{Table: time.Hour}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := w.store().EnsureTable(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		if n := w.called("dynamodb:DescribeTable"); n < 10 || n > 20 {
			t.Errorf("it was looked at %d times in a minute", n)
		}
		if _, err := w.store().Get(t.Context(), "things", "a"); !errors.Is(err, dynamostore.ErrNoTable) {
			t.Errorf("while it is made: %v", err)
		}
	})
	inBubble(t, "made by others", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Deny: []string{"dynamodb:CreateTable"}})
		if err := w.store().EnsureTable(t.Context()); !errors.Is(err, dynamostore.ErrDenied) {
			t.Errorf("without the right to make it: %v", err)
		}
	})
	inBubble(t, "made by others before", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		if err := w.unseen().EnsureTable(t.Context()); err != nil || w.called("dynamodb:CreateTable") != 1 {
			t.Error(err)
		}
	})
}

// A table with other keys is refused and left alone.
func TestWrongTable(t *testing.T) {
	for _, c := range []struct{ partition, sort string }{{"id", ""}, {"collection", ""}, {"id", "collection"}, {"collection", "name"}} {
		inBubble(t, c.partition+" "+c.sort, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{})
			in := &dynamodb.CreateTableInput{TableName: ptr(table), BillingMode: types.BillingModePayPerRequest}
			for i, name := range []string{c.partition, c.sort} {
				if name == "" {
					continue
				}
				in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: ptr(name), AttributeType: types.ScalarAttributeTypeS})
				in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: ptr(name), KeyType: []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i]})
			}
			if _, err := w.raw().CreateTable(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			err := w.store().EnsureTable(t.Context())
			if !errors.Is(err, dynamostore.ErrWrongTable) || !strings.Contains(err.Error(), "its keys are "+c.partition+" S HASH") {
				t.Error(err)
			}
		})
	}
}

// described is a table in some state, with our keys or another type of them.
type described struct {
	dynamostore.API
	status types.TableStatus
	kind   types.ScalarAttributeType
}

func (d described) DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	return &dynamodb.DescribeTableOutput{Table: &types.TableDescription{
		TableStatus:          d.status,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: ptr("collection"), AttributeType: d.kind}, {AttributeName: ptr("id"), AttributeType: d.kind}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: ptr("collection"), KeyType: types.KeyTypeHash}, {AttributeName: ptr("id"), KeyType: types.KeyTypeRange}},
	}}, nil
}

func TestTableStates(t *testing.T) {
	for _, c := range []struct {
		described
		want error
	}{
		{described{status: types.TableStatusActive, kind: types.ScalarAttributeTypeS}, nil},
		{described{status: types.TableStatusUpdating, kind: types.ScalarAttributeTypeS}, nil},
		{described{status: types.TableStatusDeleting, kind: types.ScalarAttributeTypeS}, dynamostore.ErrState},
		{described{status: types.TableStatusInaccessibleEncryptionCredentials, kind: types.ScalarAttributeTypeS}, dynamostore.ErrState},
		{described{status: types.TableStatusActive, kind: types.ScalarAttributeTypeB}, dynamostore.ErrWrongTable},
	} {
		s, err := dynamostore.New(c.described, dynamostore.Config{Table: table})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.EnsureTable(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s with keys of %s: %v, want %v", c.status, c.kind, err, c.want)
		}
	}
}
