package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/domain/store/storetest"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func TestStore(t *testing.T) {
	worlds := map[*dynamostore.Store]*world{}
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T) store.Store {
			// Reads that are not strongly consistent see nothing of the test.
			w := newWorld(t, fakeaws.Config{Delays: fakeaws.Delays{Visible: time.Hour}})
			s := w.unseen()
			worlds[s] = w
			return s
		},
		Reopen: func(_ *testing.T, s store.Store) store.Store {
			w := worlds[s.(*dynamostore.Store)]
			w.Crash()
			next := w.store()
			worlds[next] = w
			return next
		},
	})
}

// Two processes over one table are one store.
func TestTwoProcesses(t *testing.T) {
	w := newWorld(t, fakeaws.Config{})
	one, two := w.ready(), w.ready()
	v := put(t, one, store.Record{Collection: "things", ID: "a", Value: []byte("one")})
	next := put(t, two, store.Record{Collection: "things", ID: "a", Version: v, Value: []byte("two")})
	if _, err := one.Put(t.Context(), store.Record{Collection: "things", ID: "a", Version: v}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a Put at the version before: %v", err)
	}
	r, err := one.Get(t.Context(), "things", "a")
	if err != nil || r.Version != next || string(r.Value) != "two" {
		t.Errorf("%+v, %v", r, err)
	}
}

// A list is read page by page, and no further than its loop goes.
func TestListPages(t *testing.T) {
	w := newWorld(t, fakeaws.Config{})
	s := w.ready()
	var want []string
	for i := range 13 {
		r := store.Record{Collection: "things", ID: fmt.Sprintf("%03d", i), Value: make([]byte, store.MaxValue)}
		put(t, s, r)
		want = append(want, r.ID)
	}
	for _, c := range []struct {
		after       string
		loop, pages int
	}{
		{"", 13, 4}, {"", 1, 1}, {"", 4, 1}, {"", 5, 2}, {"003", 9, 3}, {"008", 4, 2}, {"012", 0, 1},
	} {
		before := w.called("dynamodb:Query")
		var got []string
		for r, err := range s.List(t.Context(), "things", c.after) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, r.ID); len(got) == c.loop && c.loop < 13 && c.after == "" {
				break
			}
		}
		from := 0
		if c.after != "" {
			from = slices.Index(want, c.after) + 1
		}
		if !slices.Equal(got, want[from:from+c.loop]) {
			t.Errorf("after %q: %q", c.after, got)
		}
		if pages := w.called("dynamodb:Query") - before; pages != c.pages {
			t.Errorf("%d records after %q took %d pages, want %d", c.loop, c.after, pages, c.pages)
		}
	}
}

// What another program wrote into the table is reported, not skipped or overwritten.
func TestForeignItems(t *testing.T) {
	for name, item := range map[string]map[string]types.AttributeValue{
		"no version":   {},
		"text version": {"version": &types.AttributeValueMemberS{Value: "1"}},
		"fraction":     {"version": &types.AttributeValueMemberN{Value: "1.5"}},
		"zero":         {"version": &types.AttributeValueMemberN{Value: "0"}},
		"text value":   {"version": &types.AttributeValueMemberN{Value: "7"}, "value": &types.AttributeValueMemberS{Value: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{})
			s := w.ready()
			item["collection"], item["id"] = &types.AttributeValueMemberS{Value: "things"}, &types.AttributeValueMemberS{Value: "a"}
			if _, err := w.raw().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: ptr(table), Item: item}); err != nil {
				t.Fatal(err)
			}
			_, err := s.Get(t.Context(), "things", "a")
			if !errors.Is(err, dynamostore.ErrWrongTable) || !strings.Contains(err.Error(), `"a" in things`) {
				t.Errorf("Get: %v", err)
			}
			if _, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "a"}); !errors.Is(err, store.ErrConflict) {
				t.Errorf("Put: %v", err)
			}
			n := 0
			for _, err = range s.List(t.Context(), "things", "") {
				n++
			}
			if n != 1 || !errors.Is(err, dynamostore.ErrWrongTable) {
				t.Errorf("List: %d elements, %v", n, err)
			}
		})
	}
}

// An item is as the package documents it.
func TestItem(t *testing.T) {
	w := newWorld(t, fakeaws.Config{})
	s := w.ready()
	for _, value := range [][]byte{nil, {}, {0, 255}} {
		id := fmt.Sprint(len(value))
		r := store.Record{Collection: "things", ID: id, Value: value}
		if present, err := s.Get(t.Context(), "things", id); err == nil {
			r.Version = present.Version
		}
		v := put(t, s, r)
		key := map[string]types.AttributeValue{
			"collection": &types.AttributeValueMemberS{Value: "things"}, "id": &types.AttributeValueMemberS{Value: id},
		}
		out, err := w.raw().GetItem(t.Context(), &dynamodb.GetItemInput{TableName: ptr(table), Key: key})
		if err != nil {
			t.Fatal(err)
		}
		want := maps.Clone(key)
		want["version"] = &types.AttributeValueMemberN{Value: fmt.Sprint(v)}
		if len(value) > 0 {
			want["value"] = &types.AttributeValueMemberB{Value: value}
		}
		if !reflect.DeepEqual(out.Item, want) {
			t.Errorf("%v, want %v", out.Item, want)
		}
	}
}

// These are the actions that the package documents.
func TestActions(t *testing.T) {
	w := newWorld(t, fakeaws.Config{})
	s := w.ready()
	v := put(t, s, store.Record{Collection: "things", ID: "a"})
	for _, err := range s.List(t.Context(), "things", "") {
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Get(t.Context(), "things", "a"); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), "things", "a", v+1); !errors.Is(err, store.ErrConflict) {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), "things", "a", v); err != nil {
		t.Error(err)
	}
	var got []string
	for _, c := range w.Calls() {
		got = append(got, c.Action)
	}
	slices.Sort(got)
	want := "dynamodb:CreateTable dynamodb:DeleteItem dynamodb:DescribeTable dynamodb:GetItem dynamodb:PutItem dynamodb:Query"
	if got := strings.Join(slices.Compact(got), " "); got != want {
		t.Errorf("called are\n%s\nwant\n%s", got, want)
	}
}

// A context that ends while DynamoDB does not answer is what the call returns.
func TestContextEndsMeanwhile(t *testing.T) {
	for what, call := range map[string]func(context.Context, *dynamostore.Store) error{
		"Get": func(ctx context.Context, s *dynamostore.Store) error { return second(s.Get(ctx, "things", "a")) },
		"Put": func(ctx context.Context, s *dynamostore.Store) error {
			return second(s.Put(ctx, store.Record{Collection: "things", ID: "a"}))
		},
		"Delete": func(ctx context.Context, s *dynamostore.Store) error { return s.Delete(ctx, "things", "a", 1) },
		"Ensure": func(ctx context.Context, s *dynamostore.Store) error { return s.EnsureTable(ctx) },
		"List": func(ctx context.Context, s *dynamostore.Store) (err error) {
			for _, err = range s.List(ctx, "things", "") {
			}
			return err
		},
	} {
		inBubble(t, what, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Delays: fakeaws.Delays{Call: time.Minute}})
			s := w.ready()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if err := call(ctx, s); err != context.DeadlineExceeded || time.Since(began) != time.Second {
				t.Errorf("%v, after %v", err, time.Since(began))
			}
		})
	}
}
