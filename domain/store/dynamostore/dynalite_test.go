package dynamostore_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/domain/store/storetest"
	"github.com/atelier-go/atelier/internal/dynalitetest"
)

// TestDynalite holds a Store to the contract over the wire.
func TestDynalite(t *testing.T) {
	cfg := dynalitetest.Start(t)
	var tables atomic.Int64
	names := map[store.Store]string{}
	open := func(t *testing.T, name string) store.Store {
		s, err := dynamostore.NewFromConfig(cfg, dynamostore.Config{Table: name})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.EnsureTable(t.Context()); err != nil {
			t.Fatal(err)
		}
		names[s] = name
		return s
	}
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T) store.Store { return open(t, fmt.Sprint("table", tables.Add(1))) },
		Reopen: func(t *testing.T, s store.Store) store.Store {
			return open(t, names[s])
		},
	})
}

// dropper loses the answers to the next calls that it is told to.
type dropper struct {
	drop atomic.Int64
}

func (d *dropper) Do(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultClient.Do(r)
	if err == nil && d.drop.Add(-1) >= 0 {
		answer.Body.Close()
		return nil, syscall.ECONNRESET
	}
	return answer, err
}

// TestDynaliteLosesAnswers has the SDK repeat requests over the wire whose answers
// were lost.
func TestDynaliteLosesAnswers(t *testing.T) {
	cfg := dynalitetest.Start(t)
	network := &dropper{}
	cfg.HTTPClient = network
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 10 * time.Millisecond })
	}
	s, err := dynamostore.NewFromConfig(cfg, dynamostore.Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	network.drop.Store(1)
	if err := s.EnsureTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	var version int64
	for _, value := range []string{"one", "two", "three"} {
		network.drop.Store(1)
		version = put(t, s, store.Record{Collection: "things", ID: "a", Version: version, Value: []byte(value)})
		network.drop.Store(1)
		if r, err := s.Get(t.Context(), "things", "a"); err != nil || r.Version != version || string(r.Value) != value {
			t.Errorf("at version %d: %+v, %v", version, r, err)
		}
	}
	network.drop.Store(1)
	err = s.Delete(t.Context(), "things", "a", version)
	if !errors.Is(err, dynamostore.ErrUnavailable) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("a Delete whose answer was lost: %v", err)
	}
	if err := s.Delete(t.Context(), "things", "a", version); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second Delete: %v", err)
	}
}
