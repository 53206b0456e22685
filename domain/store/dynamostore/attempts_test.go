package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// lost has the first call of an action happen and its answer get lost.
func lost(action string) fakeaws.Fault {
	return fakeaws.Fault{Action: action, Subject: table + "/things/a", Nth: 1, After: true}
}

// A Put whose answer is lost has succeeded once the SDK has repeated it.
func TestPutRecognisesItself(t *testing.T) {
	for _, name := range []string{"create", "change"} {
		inBubble(t, name, func(t *testing.T) {
			fault := lost("dynamodb:PutItem")
			if name == "change" {
				fault.Nth = 2
			}
			w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{fault}})
			s := w.ready()
			r := store.Record{Collection: "things", ID: "a", Value: []byte("one")}
			if name == "change" {
				r.Version = put(t, s, r)
			}
			r.Value = []byte("two")
			v := put(t, s, r)
			if got, err := s.Get(t.Context(), "things", "a"); err != nil || got.Version != v || string(got.Value) != "two" {
				t.Errorf("at version %d: %+v, %v", v, got, err)
			}
			if w.Injected() != 1 || w.called("dynamodb:PutItem") != fault.Nth+1 {
				t.Errorf("%d answers were lost, in %v", w.Injected(), w.Calls())
			}
		})
	}
}

// When another changed the record between two attempts, nobody can tell whether
// the first had an effect, unless that was answered.
func TestOvertaken(t *testing.T) {
	overwrite := func(ctx context.Context, s *dynamostore.Store, r store.Record) error { return second(s.Put(ctx, r)) }
	remove := func(ctx context.Context, s *dynamostore.Store, r store.Record) error {
		return s.Delete(ctx, r.Collection, r.ID, r.Version)
	}
	refused := fakeaws.Fault{Status: 500}
	answerLost := fakeaws.Fault{Status: 500, After: true}
	throttled := fakeaws.Fault{Status: 400, Code: "ThrottlingException"}
	for _, c := range []struct {
		name   string
		call   func(context.Context, *dynamostore.Store, store.Record) error
		fault  fakeaws.Fault
		create bool
		other  func(context.Context, *dynamostore.Store, store.Record) error
		want   error
	}{
		{"create, happened, overwritten", overwrite, answerLost, true, overwrite, dynamostore.ErrUnavailable},
		{"change, happened, overwritten", overwrite, answerLost, false, overwrite, dynamostore.ErrUnavailable},
		{"change, happened, deleted", overwrite, answerLost, false, remove, dynamostore.ErrUnavailable},
		{"create, did not happen, made", overwrite, refused, true, overwrite, dynamostore.ErrUnavailable},
		{"change, did not happen, overwritten", overwrite, refused, false, overwrite, dynamostore.ErrUnavailable},
		{"change, did not happen, deleted", overwrite, refused, false, remove, dynamostore.ErrUnavailable},
		{"create, refused, made", overwrite, throttled, true, overwrite, store.ErrConflict},
		{"change, refused, overwritten", overwrite, throttled, false, overwrite, store.ErrConflict},
		{"change, refused, deleted", overwrite, throttled, false, remove, store.ErrConflict},

		{"delete, happened", remove, answerLost, false, nil, dynamostore.ErrUnavailable},
		{"delete, happened, made anew", remove, answerLost, false, overwrite, dynamostore.ErrUnavailable},
		{"delete, did not happen, overwritten", remove, refused, false, overwrite, dynamostore.ErrUnavailable},
		{"delete, did not happen", remove, refused, false, nil, nil},
		{"delete, refused, overwritten", remove, throttled, false, overwrite, store.ErrConflict},
		{"delete, refused, deleted", remove, throttled, false, remove, store.ErrNotFound},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			// The first call of the kind makes the record, if it is a Put.
			for _, action := range []string{"dynamodb:PutItem", "dynamodb:DeleteItem"} {
				f := c.fault
				f.Action, f.Subject, f.Nth = action, table+"/things/a", 1
				if action == "dynamodb:PutItem" && !c.create {
					f.Nth = 2
				}
				if strings.HasPrefix(c.name, "delete") == (action == "dynamodb:DeleteItem") {
					c.fault = f
				}
			}
			w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{c.fault}})
			s := w.ready()
			r := store.Record{Collection: "things", ID: "a", Value: []byte("one")}
			if !c.create {
				r.Version = put(t, s, r)
			}
			var others sync.WaitGroup
			if c.other != nil {
				others.Go(func() { // between the attempts, which are a second apart
					time.Sleep(time.Nanosecond)
					present, err := s.Get(t.Context(), "things", "a")
					if errors.Is(err, store.ErrNotFound) {
						present, err = store.Record{Collection: "things", ID: "a"}, nil
					}
					if err == nil {
						present.Value = []byte("other")
						err = c.other(t.Context(), s, present)
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			err := c.call(t.Context(), s, r)
			if !errors.Is(err, c.want) || errors.Is(err, store.ErrConflict) != (c.want == store.ErrConflict) ||
				errors.Is(err, store.ErrNotFound) != (c.want == store.ErrNotFound) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			others.Wait()
			if w.Injected() != 1 {
				t.Errorf("%d faults were injected", w.Injected())
			}
		})
	}
}

// TestLostAnswers has many processes add to one record and delete others while
// answers and requests get lost. Each has to know what became of what it
// wrote, or say that it does not know.
func TestLostAnswers(t *testing.T) {
	for seed := range uint64(20) {
		inBubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) {
			const writers, times = 6, 15
			var faults []fakeaws.Fault
			for _, action := range []string{"dynamodb:PutItem", "dynamodb:DeleteItem"} {
				faults = append(faults,
					fakeaws.Fault{Action: action, Subject: table + "/things/a", Rate: 0.2, After: true},
					fakeaws.Fault{Action: action, Subject: table + "/things/a", Rate: 0.1})
			}
			w := newWorld(t, fakeaws.Config{Seed: seed, Faults: faults, Delays: fakeaws.Delays{Call: 150 * time.Millisecond}})
			s := w.ready()
			var mu sync.Mutex
			outcome := map[string]error{} // by what was written
			var wg sync.WaitGroup
			for n := range writers {
				s, rnd := w.store(), rand.New(rand.NewPCG(seed, uint64(n)))
				wg.Go(func() {
					for i := range times {
						time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Second))))
						r, err := s.Get(t.Context(), "things", "a")
						if errors.Is(err, store.ErrNotFound) {
							r, err = store.Record{Collection: "things", ID: "a"}, nil
						}
						if err != nil {
							t.Error(err)
							return
						}
						mine := fmt.Sprintf("%d.%d ", n, i)
						r.Value = append(r.Value, mine...)
						_, err = s.Put(t.Context(), r)
						mu.Lock()
						outcome[mine] = err
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			r, err := s.Get(t.Context(), "things", "a")
			if err != nil {
				t.Fatal(err)
			}
			kinds := map[error]int{}
			for mine, err := range outcome {
				times := strings.Count(" "+string(r.Value), " "+mine)
				switch {
				case err == nil:
					kinds[nil]++
					if times != 1 {
						t.Errorf("%s was written and is there %d times", mine, times)
					}
				case errors.Is(err, store.ErrConflict):
					kinds[store.ErrConflict]++
					if times != 0 {
						t.Errorf("%s was in conflict and is there %d times", mine, times)
					}
				case errors.Is(err, dynamostore.ErrUnavailable):
					kinds[dynamostore.ErrUnavailable]++
					if times > 1 {
						t.Errorf("%s is there %d times", mine, times)
					}
				default:
					t.Error(err)
				}
			}
			if kinds[nil] < 10 || kinds[store.ErrConflict] < 1 || w.Injected() < 10 {
				t.Errorf("%v with %d faults: nothing was tested", kinds, w.Injected())
			}
		})
	}
}

// Of many who delete the same version one at most is told that it did.
func TestLostAnswersOfDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{
			{Action: "dynamodb:DeleteItem", Rate: 0.3, After: true}, {Action: "dynamodb:DeleteItem", Rate: 0.2},
		}})
		s := w.ready()
		totals := map[error]int{}
		for i := range 40 {
			id := fmt.Sprint(i)
			v := put(t, s, store.Record{Collection: "things", ID: id})
			var mu sync.Mutex
			kinds := map[error]int{}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					err := s.Delete(t.Context(), "things", id, v)
					mu.Lock()
					defer mu.Unlock()
					for _, kind := range []error{nil, store.ErrNotFound, store.ErrConflict, dynamostore.ErrUnavailable} {
						if errors.Is(err, kind) {
							kinds[kind]++
							totals[kind]++
						}
					}
				})
			}
			wg.Wait()
			if kinds[nil] > 1 || kinds[store.ErrConflict] > 0 || kinds[nil] == 0 && kinds[dynamostore.ErrUnavailable] == 0 {
				t.Errorf("record %s: %v", id, kinds)
			}
		}
		if totals[nil] < 5 || totals[store.ErrNotFound] < 5 || totals[dynamostore.ErrUnavailable] < 5 {
			t.Errorf("%v: nothing was tested", totals)
		}
	})
}

// When no attempt is answered it is not known what happened; and once the process
// has crashed, the next finds the record whole or not at all.
func TestNoAnswer(t *testing.T) {
	inBubble(t, "errors", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "dynamodb:PutItem", After: true}}})
		s := w.ready()
		_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "a", Value: []byte("one")})
		if err != nil { // the last attempt's answer is lost as well
			if !errors.Is(err, dynamostore.ErrUnavailable) || errors.Is(err, store.ErrConflict) {
				t.Error(err)
			}
		} else {
			t.Error("no answer came and Put succeeded")
		}
	})
	for _, after := range []bool{false, true} {
		inBubble(t, fmt.Sprint("crash, after is ", after), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "dynamodb:PutItem", Nth: 1, Crash: true, After: after}}})
			s := w.ready()
			_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "a", Value: []byte("one")})
			if !errors.Is(err, fakeaws.ErrCrashed) || !errors.Is(err, dynamostore.ErrUnavailable) {
				t.Error(err)
			}
			r, err := w.store().Get(t.Context(), "things", "a")
			if after && (err != nil || string(r.Value) != "one") || !after && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// deaf is a client that drops the options it is given.
type deaf struct{ dynamostore.API }

func (d deaf) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return d.API.PutItem(ctx, in)
}

func (d deaf) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error) {
	return d.API.DeleteItem(ctx, in)
}

// Where attempts cannot be followed no conflict is certain.
func TestOptionsAreDropped(t *testing.T) {
	w := newWorld(t, fakeaws.Config{})
	w.ready()
	s, err := dynamostore.New(deaf{w.raw()}, dynamostore.Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	v := put(t, s, store.Record{Collection: "things", ID: "a"})
	for _, err := range []error{
		second(s.Put(t.Context(), store.Record{Collection: "things", ID: "a"})),
		s.Delete(t.Context(), "things", "a", v+1),
	} {
		if !errors.Is(err, dynamostore.ErrUnavailable) || errors.Is(err, store.ErrConflict) {
			t.Error(err)
		}
	}
}
