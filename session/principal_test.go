package session

import (
	"testing"
	"time"
)

// A container that may live is entitled, and no other, whatever the state says.
func TestEntitled(t *testing.T) {
	for _, s := range states() {
		for name, r := range map[string]record{
			"NotAsked": {State: s},
			"Asked":    {State: s, Asked: time.Now()},
			"Gone":     {State: s, Asked: time.Now(), Gone: true},
		} {
			want := name == "Asked" && (s == Starting || s == Running || s == Suspending || s == Stopping)
			if r.entitled() != want {
				t.Errorf("%s, %s: entitled %v", s, name, !want)
			}
		}
	}
}
