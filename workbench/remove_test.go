package workbench_test

import (
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/workbench"
)

// A domain is not deleted under its Workbench, and may be once that is gone.
func TestDeleteDomainWithWorkbench(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.deploy()
		blocks := func() bool {
			t.Helper()
			found, err := y.domains().PreviewDelete(t.Context(), y.domain().Name())
			y.must(err)
			for _, c := range found {
				if c.Fate == domain.Blocks && c.Thing == domain.ThingOccupant {
					return true
				}
			}
			return false
		}
		if !blocks() {
			t.Error("nothing keeps it from being deleted")
		}
		y.must(y.client().Remove(t.Context(), workbench.RemoveRequest{}))
		if blocks() {
			t.Error("it is kept from being deleted by what is gone")
		}
	})
}

func TestPreviewRemove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		_, err := y.client().PreviewRemove(t.Context(), workbench.RemoveRequest{})
		y.is(err, domain.ErrNotFound)
		done := y.deploy()
		d, err := y.client().Describe(t.Context())
		y.must(err)
		var text strings.Builder
		for _, q := range []workbench.RemoveRequest{{}, {DeleteVolume: d.Volume}} {
			before := len(y.cloud.Calls())
			found, err := y.client().PreviewRemove(t.Context(), q)
			y.must(err)
			if len(y.cloud.Calls()) != before {
				t.Error("a preview asks AWS")
			}
			for _, f := range found {
				text.WriteString(f.String() + "\n")
			}
			text.WriteString("\n")
		}
		got := strings.NewReplacer(done.Instance, "INSTANCE", d.Interface, "INTERFACE", d.Volume, "VOLUME", done.Address, "ADDRESS").Replace(text.String())
		golden(t, "preview", got)
	})
}

// The disk is kept unless it is named, and then another Deploy takes it up.
func TestRemove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		bare := y.inventory()
		y.must(removeAct(y)) // there is none
		y.deploy()
		d, err := y.client().Describe(t.Context())
		y.must(err)
		y.is(y.client().Remove(t.Context(), workbench.RemoveRequest{DeleteVolume: "vol-0123456789abcdef0"}), domain.ErrInvalid, "is not the Workbench's, which is "+d.Volume)
		if len(y.live()) != 1 {
			t.Error("a refused Remove ends the instance")
		}
		y.must(removeAct(y))
		for _, err := range []error{restartAct(y), replaceAct(y)} {
			y.is(err, domain.ErrNotFound, "call Deploy")
		}
		found, err := y.client().PreviewRemove(t.Context(), workbench.RemoveRequest{DeleteVolume: d.Volume})
		y.must(err)
		if len(found) != 2 || found[0].Thing != workbench.ThingVolume || found[0].Fate != domain.Ends {
			t.Errorf("what is left is %v", found)
		}
		y.deploy()
		again, err := y.client().Describe(t.Context())
		y.must(err)
		if again.Volume != d.Volume || again.Problems != nil {
			t.Errorf("%+v does not have volume %s", again, d.Volume)
		}
		y.must(removeAct(y))
		y.must(y.client().Remove(t.Context(), workbench.RemoveRequest{DeleteVolume: d.Volume}))
		if got := y.inventory(); got != bare {
			t.Errorf("left is\n%s\nwant\n%s", got, bare)
		}
	})
}

// While something is half done, others wait for it.
func TestRemoveGoesFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow(fakeaws.Fault{Action: "ec2:DeleteSecurityGroup", Status: 403, Code: "UnauthorizedOperation", Nth: 1}))
		y.deploy()
		y.is(removeAct(y), domain.ErrDenied, "what Policy lists")
		for _, err := range []error{deployAct(nil)(y), restartAct(y), replaceAct(y)} {
			y.is(err, domain.ErrState, "Remove has begun and not ended")
		}
		d, err := y.client().Describe(t.Context())
		y.must(err)
		if !d.Removing || len(d.Problems) != 1 {
			t.Errorf("%+v", d)
		}
		y.must(removeAct(y))
	})
}

// A domain cannot be deleted under its Workbench.
func TestDomainOutlivesWorkbench(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.deploy()
		y.must(y.domain().Offboard(t.Context(), "alice"))
		y.is(y.domains().Delete(t.Context(), "research"), domain.ErrState)
		time.Sleep(time.Minute)
		y.must(removeAllAct(y))
		y.must(y.domains().Delete(t.Context(), "research"))
	})
}
