package dynamostore_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// Each policy allows the calls that are made, on the table, and nothing else.
func TestPolicy(t *testing.T) {
	cloud, err := fakeaws.New(fakeaws.Config{Region: "eu-central-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	s, err := dynamostore.NewFromConfig(cloud.Config(), dynamostore.Config{Table: "atelier"})
	if err != nil {
		t.Fatal(err)
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(document string, work func()) {
		t.Helper()
		before := len(cloud.Calls())
		work()
		var called []string
		for _, c := range cloud.Calls()[before:] {
			called = append(called, c.Action)
		}
		slices.Sort(called)
		called = slices.Compact(called)
		if actions, resources := allowed(t, document); !slices.Equal(actions, called) || !slices.Equal(resources, []string{"arn:aws:dynamodb:eu-central-1:*:table/atelier"}) {
			t.Errorf("%q was called; allowed is %q on %q", called, actions, resources)
		}
	}
	check(s.Policy().Setup, func() { ok(s.EnsureTable(t.Context())) })
	check(s.Policy().Records, func() {
		version, err := s.Put(t.Context(), store.Record{Collection: "notes", ID: "a", Value: []byte("one")})
		ok(err)
		_, err = s.Get(t.Context(), "notes", "a")
		ok(err)
		for _, err := range s.List(t.Context(), "notes", "") {
			ok(err)
		}
		ok(s.Delete(t.Context(), "notes", "a", version))
	})

	// What stands before the SDK's client does not say where the table is.
	wrapped, err := dynamostore.New(struct{ dynamostore.API }{dynamodb.NewFromConfig(cloud.Config())}, dynamostore.Config{Table: "atelier"})
	ok(err)
	if _, resources := allowed(t, wrapped.Policy().Records); !slices.Equal(resources, []string{"arn:aws:dynamodb:*:*:table/atelier"}) {
		t.Errorf("of a client that is wrapped: %q", resources)
	}
}

// allowed is what the one statement of a policy allows.
func allowed(t *testing.T, document string) (actions, resources []string) {
	t.Helper()
	var p struct {
		Statement []struct {
			Effect           string
			Action, Resource []string
		}
	}
	if err := json.Unmarshal([]byte(document), &p); err != nil || len(p.Statement) != 1 || p.Statement[0].Effect != "Allow" {
		t.Fatalf("%v: %s", err, document)
	}
	return p.Statement[0].Action, p.Statement[0].Resource
}
