package store

import (
	"context"
	"testing"
)

// TestTwinsForget: what is gone is held by no twin.
func TestTwinsForget(t *testing.T) {
	ctx := context.Background()
	table := NewTable[int](NewMemory(), "things")
	mirror := NewMirror(table)
	twin := mirror.Twin()
	if err := table.Create(ctx, "a", 1); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Mirror[int]{mirror, twin} {
		if _, err := m.Update(ctx); err != nil || m.Len() != 1 {
			t.Fatalf("%d are there, %v", m.Len(), err)
		}
	}
	if err := table.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Mirror[int]{mirror, twin} {
		if _, err := m.Update(ctx); err != nil || m.Len() != 0 {
			t.Fatalf("%d are there, %v", m.Len(), err)
		}
	}
	if len(mirror.twins.documents) != 0 {
		t.Errorf("they still hold %v", mirror.twins.documents)
	}
}
