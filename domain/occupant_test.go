package domain_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// A domain is not deleted under what is in its network.
func TestOccupied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		for range 2 {
			if err := d.Occupy(t.Context(), "workbench"); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Occupy(t.Context(), "No Name"); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("by no name: %v", err)
		}
		before := len(w.Calls())
		if err := w.client().Delete(t.Context(), d.Name()); !errors.Is(err, domain.ErrState) || !strings.Contains(err.Error(), "workbench") {
			t.Errorf("Delete: %v", err)
		}
		if n := len(w.Calls()) - before; n != 0 {
			t.Errorf("AWS was called %d times", n)
		}
		found, err := w.client().PreviewDelete(t.Context(), d.Name())
		if err != nil || found[0].String() != "blocks: occupant workbench (is in the domain's network and would break: remove the workbench first)" {
			t.Errorf("the preview begins with %v (%v)", found[0], err)
		}
		for range 2 {
			if err := d.Vacate(t.Context(), "workbench"); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.client().Delete(t.Context(), d.Name()); err != nil {
			t.Errorf("Delete: %v", err)
		}
		if err := d.Occupy(t.Context(), "workbench"); !errors.Is(err, domain.ErrNotFound) {
			t.Errorf("of a domain that is no more: %v", err)
		}
	})
}
