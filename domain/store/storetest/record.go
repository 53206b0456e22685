package storetest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/store"
)

func testCreate(t *testing.T, s store.Store) {
	wantMissing(t, s, "things", "a")
	v := put(t, s, "things", "a", "one", 0)
	wantRecord(t, s, "things", "a", "one", v)

	_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "a", Value: []byte("two")})
	wantError(t, "Put at version 0 of what exists", err, store.ErrConflict)
	wantRecord(t, s, "things", "a", "one", v)
}

func testCompareAndSwap(t *testing.T, s store.Store) {
	swap := func(value string, version int64) error {
		_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "a", Version: version, Value: []byte(value)})
		return err
	}
	wantError(t, "Put at a version of what does not exist", swap("zero", 7), store.ErrConflict)
	wantMissing(t, s, "things", "a")

	first := put(t, s, "things", "a", "one", 0)
	second := put(t, s, "things", "a", "two", first)
	if first == second {
		t.Errorf("the version did not change with the value: %d", first)
	}
	wantRecord(t, s, "things", "a", "two", second)

	for _, version := range []int64{first, second + 1, -second, -1} {
		wantError(t, fmt.Sprintf("Put at version %d of a record at %d", version, second), swap("three", version), store.ErrConflict)
	}
	wantRecord(t, s, "things", "a", "two", second)

	third := put(t, s, "things", "a", "two", second)
	if third == second {
		t.Errorf("the version did not change with a Put of the same value: %d", third)
	}
	wantError(t, "Put at the version before", swap("three", second), store.ErrConflict)
	wantRecord(t, s, "things", "a", "two", third)
}

func testDelete(t *testing.T, s store.Store) {
	remove := func(version int64) error { return s.Delete(t.Context(), "things", "a", version) }
	for _, version := range []int64{0, 1} {
		wantError(t, fmt.Sprintf("Delete at version %d of what does not exist", version), remove(version), store.ErrNotFound)
	}
	first := put(t, s, "things", "a", "one", 0)
	second := put(t, s, "things", "a", "two", first)
	other := put(t, s, "things", "b", "other", 0)
	for _, version := range []int64{0, first, second + 100, -1} {
		wantError(t, fmt.Sprintf("Delete at version %d of a record at %d", version, second), remove(version), store.ErrConflict)
	}
	wantRecord(t, s, "things", "a", "two", second)

	if err := remove(second); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, s, "things", "a")
	wantRecord(t, s, "things", "b", "other", other)
	if got := ids(t, s.List(t.Context(), "things", "")); len(got) != 1 {
		t.Errorf("the list after a Delete is %q", got)
	}
	wantError(t, "second Delete", remove(second), store.ErrNotFound)
	_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "a", Version: second, Value: []byte("three")})
	wantError(t, "Put at the version that was deleted", err, store.ErrConflict)
	wantMissing(t, s, "things", "a")
}

func testVersions(t *testing.T, s store.Store) {
	seen := map[int64]string{}
	note := func(v int64, what string) {
		t.Helper()
		if before, ok := seen[v]; ok {
			t.Errorf("version %d of %s was the version of %s", v, what, before)
		}
		seen[v] = what
	}
	for life := range 4 {
		v := put(t, s, "things", "a", "same", 0)
		note(v, fmt.Sprintf("life %d, created", life))
		for change := range life { // a life is longer than those before
			v = put(t, s, "things", "a", "same", v)
			note(v, fmt.Sprintf("life %d, change %d", life, change))
		}
		if err := s.Delete(t.Context(), "things", "a", v); err != nil {
			t.Fatal(err)
		}
	}
	// Whoever remembers an earlier life cannot touch the present one.
	present := put(t, s, "things", "a", "same", 0)
	note(present, "the last life")
	for v, what := range seen {
		if v == present {
			continue
		}
		wantError(t, "Delete at a version of "+what, s.Delete(t.Context(), "things", "a", v), store.ErrConflict)
		_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "a", Version: v, Value: []byte("stale")})
		wantError(t, "Put at a version of "+what, err, store.ErrConflict)
	}
	wantRecord(t, s, "things", "a", "same", present)
}

// testKeysApart is about stores that make one key of collection and ID.
func testKeysApart(t *testing.T, s store.Store) {
	keys := []struct{ collection, id string }{
		{"a", "b/c"}, {"a/b", "c"}, {"a", "b"}, {"a/b", "b"}, {"a:b", "c"}, {"a", "b:c"},
		{"A", "b"}, {"a", "B"}, {"ab", "c"}, {"a", "bc"}, {"b", "a"}, {"a", "a"},
	}
	versions := map[int]int64{}
	for i, k := range keys {
		versions[i] = put(t, s, k.collection, k.id, fmt.Sprint(i), 0)
	}
	lists := map[string]int{}
	for i, k := range keys {
		wantRecord(t, s, k.collection, k.id, fmt.Sprint(i), versions[i])
		lists[k.collection]++
	}
	for collection, n := range lists {
		if got := ids(t, s.List(t.Context(), collection, "")); len(got) != n {
			t.Errorf("collection %s has %d records, listed are %q", collection, n, got)
		}
	}
	if err := s.Delete(t.Context(), "a", "b/c", versions[0]); err != nil {
		t.Fatal(err)
	}
	for i, k := range keys[1:] {
		wantRecord(t, s, k.collection, k.id, fmt.Sprint(i+1), versions[i+1])
	}
}

func testLimits(t *testing.T, s store.Store) {
	long := "Z" + strings.Repeat("9", 199)
	every := "0aZ._/:-"
	binary := make([]byte, 1024)
	for i := range binary {
		binary[i] = byte(i)
	}
	for _, key := range []string{"0", "a", "Z", long, every} {
		for what, value := range map[string]string{
			"empty":     "",
			"binary":    string(binary),
			"not UTF-8": "\xff\xfe\x00\xc3",
			"largest":   strings.Repeat("\x00\xff", store.MaxValue/2),
		} {
			v := put(t, s, key, key, value, 0)
			wantRecord(t, s, key, key, value, v)
			for r, err := range s.List(t.Context(), key, "") {
				if err != nil || r.Collection != key || r.ID != key || r.Version != v || string(r.Value) != value {
					t.Errorf("%s: listed as %s %s of %d bytes at version %d, %v", what, r.Collection, r.ID, len(r.Value), r.Version, err)
				}
			}
			if err := s.Delete(t.Context(), key, key, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "nil"}); err != nil {
		t.Errorf("Put of a nil value: %v", err)
	}
	r, err := s.Get(t.Context(), "things", "nil")
	if err != nil || len(r.Value) != 0 {
		t.Errorf("a nil value was read as %q, %v", r.Value, err)
	}
}

func testInvalid(t *testing.T, s store.Store) {
	for _, key := range []string{
		"", " ", ".", "-a", "/a", "_a", ":a", "a b", "a\n", "a\x00", "é", "a%", `a\b`, "a*", strings.Repeat("a", 201),
	} {
		what := fmt.Sprintf("key %.20q", key)
		for _, k := range []struct{ collection, id string }{{key, "a"}, {"things", key}} {
			_, err := s.Get(t.Context(), k.collection, k.id)
			wantError(t, "Get of "+what, err, store.ErrInvalid)
			_, err = s.Put(t.Context(), store.Record{Collection: k.collection, ID: k.id})
			wantError(t, "Put of "+what, err, store.ErrInvalid)
			wantError(t, "Delete of "+what, s.Delete(t.Context(), k.collection, k.id, 1), store.ErrInvalid)
		}
		wantOnlyError(t, "List of "+what, s.List(t.Context(), key, ""), store.ErrInvalid)
		if key != "" {
			wantOnlyError(t, "List after "+what, s.List(t.Context(), "things", key), store.ErrInvalid)
		}
	}
	_, err := s.Put(t.Context(), store.Record{Collection: "a b", ID: "c d", Value: make([]byte, store.MaxValue+1)})
	wantError(t, "Put of an invalid record", err, store.ErrInvalid)
	for _, problem := range []string{`"a b"`, `"c d"`, fmt.Sprint(store.MaxValue + 1)} {
		if err != nil && !strings.Contains(err.Error(), problem) {
			t.Errorf("%q does not tell of %s: every problem is to be reported at once", err, problem)
		}
	}
	v := put(t, s, "things", "a", "one", 0)
	_, err = s.Put(t.Context(), store.Record{Collection: "things", ID: "a", Version: v, Value: make([]byte, store.MaxValue+1)})
	wantError(t, "Put of too large a value", err, store.ErrInvalid)
	wantRecord(t, s, "things", "a", "one", v)
}

func testCopies(t *testing.T, s store.Store) {
	for i := range 4 { // a store may keep much in another way than little
		put(t, s, "more", fmt.Sprint(i), strings.Repeat("more", 4096), 0)
	}
	value := []byte("one")
	v, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "a", Value: value})
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(value []byte) { copy(value, bytes.Repeat([]byte{'x'}, len(value))) }
	spoil(value)
	wantRecord(t, s, "things", "a", "one", v)
	r, err := s.Get(t.Context(), "things", "a")
	if err != nil {
		t.Fatal(err)
	}
	spoil(r.Value)
	wantRecord(t, s, "things", "a", "one", v)
	for r, err := range s.List(t.Context(), "things", "") {
		if err != nil {
			t.Fatal(err)
		}
		spoil(r.Value)
	}
	wantRecord(t, s, "things", "a", "one", v)
}

func testContextEnded(t *testing.T, s store.Store) {
	v := put(t, s, "things", "a", "one", 0)
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, c := range []struct {
		ctx  context.Context
		want error
	}{{ended(t), context.Canceled}, {late, context.DeadlineExceeded}} {
		_, err := s.Get(c.ctx, "things", "a")
		wantError(t, "Get", err, c.want)
		_, err = s.Put(c.ctx, store.Record{Collection: "things", ID: "a", Version: v, Value: []byte("two")})
		wantError(t, "Put", err, c.want)
		_, err = s.Put(c.ctx, store.Record{Collection: "things", ID: "b", Value: []byte("two")})
		wantError(t, "Put of a new record", err, c.want)
		wantError(t, "Delete", s.Delete(c.ctx, "things", "a", v), c.want)
		wantOnlyError(t, "List", s.List(c.ctx, "things", ""), c.want)
		wantOnlyError(t, "List of an empty collection", s.List(c.ctx, "nothing", ""), c.want)
	}
	wantRecord(t, s, "things", "a", "one", v)
	wantMissing(t, s, "things", "b")
}

func testReopen(t *testing.T, h Harness) {
	s := h.New(t)
	const n = 20
	versions := make([]int64, n)
	id := func(i int) string { return fmt.Sprintf("%03d", i) }
	for i := range n {
		versions[i] = put(t, s, "things", id(i), "one", 0)
		if i%2 == 0 {
			versions[i] = put(t, s, "things", id(i), "two\x00\xff", versions[i])
		}
	}
	used := map[int64]bool{}
	for range 3 {
		v := put(t, s, "things", "gone", "x", 0)
		used[v] = true
		if err := s.Delete(t.Context(), "things", "gone", v); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		s = h.Reopen(t, s)
		for i := range n {
			value := "one"
			if i%2 == 0 {
				value = "two\x00\xff"
			}
			wantRecord(t, s, "things", id(i), value, versions[i])
		}
		if got := ids(t, s.List(t.Context(), "things", "")); len(got) != n {
			t.Errorf("%d records were written, listed are %q", n, got)
		}
		wantMissing(t, s, "things", "gone")
		v := put(t, s, "things", "gone", "x", 0)
		if used[v] {
			t.Errorf("version %d was used before the store was opened anew", v)
		}
		used[v] = true
		if err := s.Delete(t.Context(), "things", "gone", v); err != nil {
			t.Fatal(err)
		}
		versions[1] = put(t, s, "things", id(1), "one", versions[1])
	}
}
