package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/atelier-go/atelier/domain/store"
)

// unordered are IDs whose order by bytes is not that of most collations.
var unordered = []string{
	"b", "a", "B", "A", "a1", "a10", "a2", "a-1", "a/1", "a.1", "a:1", "a_1", "aB", "ab", "0", "9", "Z", "z", "a0",
}

func testListOrder(t *testing.T, s store.Store) {
	if got := ids(t, s.List(t.Context(), "things", "")); len(got) != 0 {
		t.Errorf("an empty collection has %q", got)
	}
	list := s.List(t.Context(), "things", "")
	for _, id := range unordered {
		put(t, s, "things", id, id, 0)
		put(t, s, "thing", id, "other", 0)
	}
	want := slices.Sorted(slices.Values(unordered))
	for range 2 { // what List returned looks each time it is ranged over
		if got := ids(t, list); !slices.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
	put(t, s, "things", "a11", "a11", 0)
	for r, err := range list {
		if err != nil || string(r.Value) != r.ID || r.Collection != "things" || r.Version == 0 {
			t.Errorf("%s %s is listed with %q at version %d, %v", r.Collection, r.ID, r.Value, r.Version, err)
		}
	}
	if got := len(ids(t, list)); got != len(want)+1 {
		t.Errorf("%d records are listed, want %d", got, len(want)+1)
	}
}

func testListAfter(t *testing.T, s store.Store) {
	for _, id := range unordered {
		put(t, s, "things", id, id, 0)
	}
	all := slices.Sorted(slices.Values(unordered))
	for _, after := range append([]string{"00", "a11", "a1/", "zz", "M"}, all...) {
		var want []string
		for _, id := range all {
			if id > after {
				want = append(want, id)
			}
		}
		if got := ids(t, s.List(t.Context(), "things", after)); !slices.Equal(got, want) {
			t.Errorf("after %q: got %q\nwant %q", after, got, want)
		}
	}
}

// testListLarge lists more than one page of any service: DynamoDB's is 1 MB.
func testListLarge(t *testing.T, s store.Store) {
	const n = 12
	for i := range n {
		put(t, s, "things", fmt.Sprintf("%03d", i), strings.Repeat(fmt.Sprint(i%10), store.MaxValue), 0)
	}
	got := 0
	for r, err := range s.List(t.Context(), "things", "") {
		if err != nil {
			t.Fatal(err)
		}
		if r.ID != fmt.Sprintf("%03d", got) || string(r.Value) != strings.Repeat(fmt.Sprint(got%10), store.MaxValue) {
			t.Errorf("record %d is %s with %.10q of %d bytes", got, r.ID, r.Value, len(r.Value))
		}
		got++
	}
	if got != n {
		t.Errorf("%d records are listed, want %d", got, n)
	}
}

// testListBreak leaves lists half-way; a store that keeps something open for
// them runs out of it, or hangs.
func testListBreak(t *testing.T, s store.Store) {
	for i := range 10 {
		put(t, s, "things", fmt.Sprint(i), "one", 0)
	}
	for n := range 50 {
		left := n % 10
		for _, err := range s.List(t.Context(), "things", "") {
			if err != nil {
				t.Fatal(err)
			}
			if left--; left <= 0 {
				break
			}
		}
		put(t, s, "things", fmt.Sprintf("more%d", n), "one", 0)
	}
	if got := len(ids(t, s.List(t.Context(), "things", ""))); got != 60 {
		t.Errorf("%d records are listed, want 60", got)
	}
}

// testListAndChange uses the store from within the loop over a list.
func testListAndChange(t *testing.T, s store.Store) {
	for i := range 20 {
		put(t, s, "things", fmt.Sprintf("%03d", i), "one", 0)
	}
	n := 0
	for r, err := range s.List(t.Context(), "things", "") {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%2 == 0 {
			if err := s.Delete(t.Context(), r.Collection, r.ID, r.Version); err != nil {
				t.Fatal(err)
			}
		} else {
			wantRecord(t, s, r.Collection, r.ID, "two", put(t, s, r.Collection, r.ID, "two", r.Version))
		}
		if got := ids(t, s.List(t.Context(), "things", r.ID)); len(got) != 20-n {
			t.Errorf("a list within a list has %q after %s", got, r.ID)
		}
	}
	if n != 20 {
		t.Errorf("%d records were listed, want 20", n)
	}
	for r, err := range s.List(t.Context(), "things", "") {
		if err != nil || string(r.Value) != "two" {
			t.Errorf("%s is %q, %v", r.ID, r.Value, err)
		}
	}
}

// testListAndDelete deletes from within the loop what is still to come: each
// of that is yielded as it was, or not at all.
func testListAndDelete(t *testing.T, s store.Store) {
	versions := map[string]int64{}
	for i := range 20 {
		id := fmt.Sprintf("%03d", i)
		versions[id] = put(t, s, "things", id, id, 0)
	}
	for r, err := range s.List(t.Context(), "things", "") {
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := versions[r.ID]; !ok || r.Version != v || string(r.Value) != r.ID || r.Collection != "things" {
			t.Errorf("%s %q is listed with %q at version %d, which it never was", r.Collection, r.ID, r.Value, r.Version)
		}
		if r.ID != "000" {
			continue
		}
		for id, v := range versions {
			if err := s.Delete(t.Context(), "things", id, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := ids(t, s.List(t.Context(), "things", "")); len(got) != 0 {
		t.Errorf("everything was deleted, listed are %q", got)
	}
}

func testListContextEnded(t *testing.T, s store.Store) {
	for i := range 5 {
		put(t, s, "things", fmt.Sprint(i), "one", 0)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	elements := 0
	var last error
	for _, err := range s.List(ctx, "things", "") {
		last = err
		if elements++; elements == 2 {
			cancel()
		}
	}
	if elements != 3 || !errors.Is(last, context.Canceled) {
		t.Errorf("a list whose context ended at its second record had %d elements, the last with error %v", elements, last)
	}
}

// wantOnlyError checks that a list is one error of a kind.
func wantOnlyError(t *testing.T, what string, list iter.Seq2[store.Record, error], want error) {
	t.Helper()
	elements := 0
	var last error
	for _, err := range list {
		elements++
		last = err
	}
	if elements != 1 || !errors.Is(last, want) {
		t.Errorf("%s: %d elements, the last with error %v; want one with %v", what, elements, last, want)
	}
}

// testListDuringChanges lists while others create, change and delete: what is
// there all the time is in every list, once and in order.
func testListDuringChanges(t *testing.T, s store.Store) {
	const stable = 40
	for i := range stable {
		put(t, s, "things", fmt.Sprintf("%03d", i), "stable", 0)
	}
	stop := make(chan struct{})
	var changes atomic.Int64
	var changers sync.WaitGroup
	for n := range 3 {
		changers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%03d-%d", i*7%stable, n)
				v, err := s.Put(t.Context(), store.Record{Collection: "things", ID: id, Value: []byte("new")})
				if err == nil {
					v, err = s.Put(t.Context(), store.Record{Collection: "things", ID: id, Version: v, Value: []byte("changed")})
				}
				if err == nil {
					err = s.Delete(t.Context(), "things", id, v)
				}
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				changes.Add(3)
			}
		})
	}
	for lists := 0; lists < 20 || changes.Load() < 200 && !t.Failed(); lists++ {
		found, before := 0, ""
		for r, err := range s.List(t.Context(), "things", "") {
			if err != nil {
				t.Error(err)
				break
			}
			if r.ID <= before {
				t.Errorf("%s is listed after %s", r.ID, before)
			}
			before = r.ID
			switch value := string(r.Value); {
			case value == "stable" && len(r.ID) == 3:
				found++
			case len(r.ID) == 3 || value != "new" && value != "changed":
				t.Errorf("%s is listed with %q, which it never was", r.ID, value)
			}
		}
		if found != stable {
			t.Errorf("%d records were there all the time, %d are listed", stable, found)
		}
	}
	close(stop)
	changers.Wait()
}
