package watch

import "testing"

// A loop that is left must not be fed for ever.
func TestChangesEarlyBreakFrees(t *testing.T) {
	var h Hub[string, int]
	h.Set("a", 1)
	for range h.Changes(t.Context(), func(string, int) bool { return true }) {
		if len(h.readers) != 1 {
			t.Fatalf("%d readers within the loop; want 1", len(h.readers))
		}
		break
	}
	if len(h.readers) != 0 {
		t.Errorf("%d readers after the loop; want none", len(h.readers))
	}
}
