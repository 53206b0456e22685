package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/storetest"
)

type account struct {
	Name    string
	Balance int
	Since   time.Time         `json:",omitzero"`
	Tags    map[string]string `json:",omitempty"`
	Limits  limits            `json:",omitzero"`
	Rules   []rule            `json:",omitempty"`
}

type limits struct {
	Daily int `json:",omitempty"`
}

type rule struct{ Allow string }

func accounts(t *testing.T, s store.Store) store.Table[account] {
	table := store.NewTable[account](s, "accounts")
	if err := table.Create(t.Context(), "a", account{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTable(t *testing.T) {
	ctx := t.Context()
	table := accounts(t, store.NewMemory())
	if _, err := table.Get(ctx, "b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of nothing is %v", err)
	}
	if err := table.Create(ctx, "a", account{Name: "other"}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("Create of what exists is %v", err)
	}
	// What Update returns is what Get does: without the monotonic clock.
	updated, err := table.Update(ctx, "a", func(a *account) error {
		a.Balance, a.Since, a.Tags = 7, time.Now(), map[string]string{}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := table.Get(ctx, "a")
	if err != nil || got.Name != "a" || got.Balance != 7 || got.Since != updated.Since || got.Tags != nil || updated.Tags != nil {
		t.Errorf("Update returned %+v, Get %+v, %v", updated, got, err)
	}
	if err := table.Create(ctx, "b", account{Name: "b"}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for a, err := range table.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, a.Name)
	}
	if !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("All is %q", names)
	}
	if err := table.Delete(ctx, "a"); err != nil {
		t.Error(err)
	}
	if err := table.Delete(ctx, "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("second Delete is %v", err)
	}
	called := false
	if _, err := table.Update(ctx, "a", func(*account) error { called = true; return nil }); !errors.Is(err, store.ErrNotFound) || called {
		t.Errorf("Update of nothing is %v, changed: %v", err, called)
	}
}

// Many writers lose nothing, although each does more than a counter could.
func TestTableUpdateIsAtomic(t *testing.T) {
	table := accounts(t, store.NewMemory())
	const writers, times = 16, 50
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for range times {
				if _, err := table.Update(t.Context(), "a", func(a *account) error {
					if a.Tags == nil {
						a.Tags = map[string]string{}
					}
					a.Tags[fmt.Sprint(n)] += "."
					a.Balance++
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := table.Get(t.Context(), "a")
	if err != nil || got.Balance != writers*times || len(got.Tags) != writers {
		t.Errorf("got %d and %d tags, %v", got.Balance, len(got.Tags), err)
	}
	for n, tag := range got.Tags {
		if len(tag) != times {
			t.Errorf("writer %s counted to %d", n, len(tag))
		}
	}
}

// overtaken is a store in which others change a record before each write to
// it, a number of times.
func overtaken(t *testing.T, s store.Store, times int) *storetest.Faulty {
	return &storetest.Faulty{Store: s, Next: func(call string) (time.Duration, storetest.Fault) {
		if call != "get" && times > 0 {
			times--
			r, err := s.Get(t.Context(), "accounts", "a")
			if err == nil {
				_, err = s.Put(t.Context(), r)
			}
			if err != nil {
				t.Error(err)
			}
		}
		return 0, storetest.None
	}}
}

func TestTableRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		accounts(t, s)
		for _, c := range []struct {
			times int
			want  error
		}{{0, nil}, {1, nil}, {9, nil}, {99, nil}, {100, store.ErrConflict}} {
			began := time.Now()
			calls := 0
			table := store.NewTable[account](overtaken(t, s, c.times), "accounts")
			_, err := table.Update(t.Context(), "a", func(a *account) error {
				calls++
				a.Balance++ // of a fresh document each time
				return nil
			})
			if !errors.Is(err, c.want) || calls != min(c.times+1, 100) {
				t.Errorf("overtaken %d times: %v after %d calls", c.times, err, calls)
			}
			if waited := time.Since(began); waited > 9*time.Second || c.times < 10 && waited > 0 {
				t.Errorf("overtaken %d times, it waited %v", c.times, waited)
			}
		}
		if a, err := store.NewTable[account](s, "accounts").Get(t.Context(), "a"); err != nil || a.Balance != 4 {
			t.Errorf("four updates made %d, %v", a.Balance, err)
		}
		checks := 0
		table := store.NewTable[account](overtaken(t, s, 3), "accounts")
		if err := table.DeleteIf(t.Context(), "a", func(account) error { checks++; return nil }); err != nil || checks != 4 {
			t.Errorf("DeleteIf is %v after %d checks", err, checks)
		}
	})
}

func TestTableRetryEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		accounts(t, s)
		table := store.NewTable[account](overtaken(t, s, 1000), "accounts")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := table.Update(ctx, "a", func(*account) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 50*time.Millisecond {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

// What the function returns ends the Update, also if it looks like the store's.
func TestTableUpdateEnds(t *testing.T) {
	ctx := t.Context()
	s := store.NewMemory()
	table := accounts(t, s)
	before, err := s.Get(ctx, "accounts", "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ returned error }{
		{errors.New("refused")}, {store.ErrConflict}, {store.ErrNotFound},
	} {
		calls := 0
		_, err := table.Update(ctx, "a", func(a *account) error { calls++; a.Balance = 9; return c.returned })
		if err != c.returned || calls != 1 {
			t.Errorf("Update is %v after %d calls, want %v", err, calls, c.returned)
		}
		calls = 0
		err = table.DeleteIf(ctx, "a", func(account) error { calls++; return c.returned })
		if err != c.returned || calls != 1 {
			t.Errorf("DeleteIf is %v after %d calls, want %v", err, calls, c.returned)
		}
	}
	got, err := table.Update(ctx, "a", func(a *account) error {
		a.Balance = 9
		return fmt.Errorf("enough: %w", store.ErrUnchanged)
	})
	if err != nil || got.Name != "a" || got.Balance != 0 {
		t.Errorf("an unchanged record is %+v, %v", got, err)
	}
	after, err := s.Get(ctx, "accounts", "a")
	if err != nil || after.Version != before.Version {
		t.Errorf("the record was written: version %d, then %d, %v", before.Version, after.Version, err)
	}
}

// Members that a program does not know survive its updates.
func TestTableKeepsUnknownMembers(t *testing.T) {
	for name, c := range map[string]struct{ old, want string }{
		"top level": {
			`{"Name":"a","Balance":1,"Colour":"red","Big":12345678901234567890}`,
			`{"Name":"a","Balance":2,"Colour":"red","Big":12345678901234567890}`,
		},
		"object": {
			`{"Name":"a","Balance":1,"Limits":{"Daily":5,"Weekly":[1,{"x":2}]}}`,
			`{"Name":"a","Balance":2,"Limits":{"Daily":5,"Weekly":[1,{"x":2}]}}`,
		},
		"object that was empty to it": {
			`{"Name":"set","Balance":1,"Limits":{"Weekly":30}}`,
			`{"Name":"set","Balance":2,"Limits":{"Daily":8,"Weekly":30}}`,
		},
		"removed by it": {
			`{"Name":"clear","Balance":1,"Since":"2024-01-02T03:04:05Z","Tags":{"a":"1","b":"2"},"Colour":"red"}`,
			`{"Name":"clear","Balance":2,"Tags":{"b":"2"},"Colour":"red"}`,
		},
		"arrays are replaced": {
			`{"Name":"a","Balance":1,"Rules":[{"Allow":"x","Deny":"y"}],"Colour":"red"}`,
			`{"Name":"a","Balance":2,"Rules":[{"Allow":"x"}],"Colour":"red"}`,
		},
		"another case": { // a decoder takes the last of two
			`{"name":"a","balance":1,"Colour":"red"}`,
			`{"Name":"a","Balance":2,"Colour":"red"}`,
		},
		"nothing unknown": {`{"Name":"a","Balance":1}`, `{"Name":"a","Balance":2}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := store.NewMemory()
			if _, err := s.Put(t.Context(), store.Record{Collection: "accounts", ID: "a", Value: []byte(c.old)}); err != nil {
				t.Fatal(err)
			}
			table := store.NewTable[account](s, "accounts")
			updated, err := table.Update(t.Context(), "a", func(a *account) error {
				a.Balance++
				switch a.Name {
				case "clear":
					a.Since = time.Time{}
					delete(a.Tags, "a")
				case "set":
					a.Limits.Daily = 8
				}
				return nil
			})
			if err != nil || updated.Balance != 2 {
				t.Fatalf("got %+v, %v", updated, err)
			}
			r, err := s.Get(t.Context(), "accounts", "a")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(parse(t, c.want), parse(t, string(r.Value))); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// parse reads JSON and keeps every digit of its numbers.
func parse(t *testing.T, document string) (v any) {
	d := json.NewDecoder(strings.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	return v
}

// A document that cannot be read is reported by every method but Delete, and
// not overwritten.
func TestTableUnreadable(t *testing.T) {
	ctx := t.Context()
	s := store.NewMemory()
	table := accounts(t, s)
	if _, err := s.Put(ctx, store.Record{Collection: "accounts", ID: "b", Value: []byte(`{"Balance":"much"}`)}); err != nil {
		t.Fatal(err)
	}
	if err := table.Create(ctx, "c", account{}); err != nil {
		t.Fatal(err)
	}
	never := func(*account) error { t.Error("it was changed"); return nil }
	_, get := table.Get(ctx, "b")
	_, update := table.Update(ctx, "b", never)
	deleteIf := table.DeleteIf(ctx, "b", func(account) error { t.Error("it was checked"); return nil })
	var all error
	elements := 0
	for _, all = range table.All(ctx) {
		elements++
	}
	for call, err := range map[string]error{"Get": get, "Update": update, "DeleteIf": deleteIf, "All": all} {
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); !ok || !strings.Contains(err.Error(), `"b" in accounts`) {
			t.Errorf("%s is %v", call, err)
		}
	}
	if elements != 2 {
		t.Errorf("All has %d elements, want one document and an error", elements)
	}
	if err := table.Delete(ctx, "b"); err != nil {
		t.Error(err)
	}
}

func TestTableErrors(t *testing.T) {
	ctx := t.Context()
	if err := store.NewTable[func()](store.NewMemory(), "things").Create(ctx, "a", nil); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("Create of a function is %v", err)
	}
	if err := store.NewTable[int](store.NewMemory(), "no such").Create(ctx, "a", 1); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("Create in a collection without a name is %v", err)
	}
	s := store.NewMemory()
	accounts(t, s)
	broken := store.NewTable[account](&storetest.Faulty{Store: s, Next: func(call string) (time.Duration, storetest.Fault) {
		if call == "get" {
			return 0, storetest.None
		}
		return 0, storetest.Refused
	}}, "accounts")
	if _, err := broken.Update(ctx, "a", func(*account) error { return nil }); !errors.Is(err, storetest.ErrFault) {
		t.Errorf("Update is %v", err)
	}
	if err := broken.Delete(ctx, "a"); !errors.Is(err, storetest.ErrFault) {
		t.Errorf("Delete is %v", err)
	}
	if err := broken.Create(ctx, "b", account{}); !errors.Is(err, storetest.ErrFault) {
		t.Errorf("Create is %v", err)
	}
}

func BenchmarkTableUpdate(b *testing.B) {
	table := store.NewTable[account](store.NewMemory(), "accounts")
	if err := table.Create(b.Context(), "a", account{Name: "a"}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := table.Update(b.Context(), "a", func(a *account) error { a.Balance++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
