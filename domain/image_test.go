package domain_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

const ecrImage = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/ide"

func (w *world) push(reference string, platforms ...string) string {
	w.t.Helper()
	digest, err := w.PushImage(reference, fakeaws.Image{Platforms: platforms, Size: 700 << 20})
	if err != nil {
		w.t.Fatal(err)
	}
	return digest
}

func attach(t testing.TB, d *domain.Domain, name, reference string) domain.Image {
	t.Helper()
	img, err := d.Attach(t.Context(), domain.AttachRequest{Name: name, Reference: reference})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func images(t testing.TB, d *domain.Domain) (names []string, standard string) {
	t.Helper()
	for i, err := range d.Images(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, i.Name)
		if i.Default {
			standard += i.Name
		}
	}
	return names, standard
}

func TestAttachResolvesAndMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		first := w.push("rocker/rstudio:4.5", "linux/amd64", "linux/arm64")
		w.push(ecrImage+":1", "linux/amd64")
		img := attach(t, d, "rstudio", "rocker/rstudio:4.5")
		if img.Reference.Digest != first || img.Source != "rocker/rstudio:4.5" || len(img.Platforms) != 2 || img.Size < 700<<20 || !img.Default {
			t.Errorf("%+v", img)
		}
		if img := attach(t, d, "ide", ecrImage+":1"); img.Default {
			t.Error("the second image became the default")
		}
		onboard(t, d, "alice")
		running, err := d.Authorize(ctx, domain.Ask{User: "alice", InstanceType: "t3.medium"})
		if err != nil {
			t.Fatal(err)
		}

		time.Sleep(time.Hour)
		second := w.push("rocker/rstudio:4.5", "linux/amd64")
		if g, err := d.Authorize(ctx, domain.Ask{User: "alice", InstanceType: "t3.medium"}); err != nil || g.Image.Reference.Digest != first {
			t.Errorf("a push alone changed what runs: %v, %v", g.Image.Reference, err)
		}
		moved := attach(t, d, "rstudio", "rocker/rstudio:4.5")
		if moved.Reference.Digest != second || !moved.Default || !moved.Attached.After(img.Attached) {
			t.Errorf("%+v", moved)
		}
		if g, err := d.Authorize(ctx, domain.Ask{User: "alice", InstanceType: "t3.medium"}); err != nil || g.Image.Reference.Digest != second {
			t.Errorf("a new session gets %v, %v", g.Image.Reference, err)
		}
		if g, err := d.Authorize(ctx, domain.Ask{User: "alice", Resume: &running}); err != nil || g.Image.Reference.Digest != first {
			t.Errorf("a resumed session gets %v, %v", g.Image.Reference, err)
		}
	})
}

func TestDetachAndDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		w.push("rocker/rstudio:4.5")
		attach(t, d, "rstudio", "rocker/rstudio:4.5")
		attach(t, d, "second", "rocker/rstudio:4.5")
		is(t, d.Detach(ctx, "rstudio"), domain.ErrState)
		is(t, d.Detach(ctx, "third"), domain.ErrNotFound)
		is(t, d.SetDefaultImage(ctx, "third"), domain.ErrNotFound)
		is(t, d.SetDefaultImage(ctx, "no/name"), domain.ErrInvalid)
		for range 2 {
			if err := d.SetDefaultImage(ctx, "second"); err != nil {
				t.Fatal(err)
			}
		}
		if names, standard := images(t, d); !slices.Equal(names, []string{"rstudio", "second"}) || standard != "second" {
			t.Errorf("images %v, default %q", names, standard)
		}
		if err := d.Detach(ctx, "rstudio"); err != nil {
			t.Fatal(err)
		}
		if err := d.Detach(ctx, "second"); err != nil {
			t.Errorf("the last image: %v", err)
		}
		if names, _ := images(t, d); names != nil {
			t.Errorf("images %v, want none", names)
		}
		if img, err := d.Attach(ctx, domain.AttachRequest{Name: "third", Reference: "rocker/rstudio:4.5", Default: true}); err != nil || !img.Default {
			t.Errorf("%+v, %v", img, err)
		}
		if img, err := d.Attach(ctx, domain.AttachRequest{Name: "fourth", Reference: "rocker/rstudio:4.5", Default: true}); err != nil || !img.Default {
			t.Errorf("%+v, %v", img, err)
		}
		if _, standard := images(t, d); standard != "fourth" {
			t.Errorf("default %q, want the fourth alone", standard)
		}
		for range d.Images(ctx) {
			break
		}
	})
}

func TestAttachBadInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		w.push("rocker/rstudio:4.5")
		w.push("example.com/windows:1", "windows/amd64")
		var text strings.Builder
		for _, c := range []struct {
			domain.AttachRequest
			kind domain.Kind
		}{
			{domain.AttachRequest{}, domain.ErrInvalid},
			{domain.AttachRequest{Name: "R Studio", Reference: "Rocker/RStudio"}, domain.ErrInvalid},
			{domain.AttachRequest{Name: "rstudio", Reference: "rocker/rstudio:4.6"}, domain.ErrNotFound},
			{domain.AttachRequest{Name: "windows", Reference: "example.com/windows:1"}, domain.ErrInvalid},
		} {
			_, err := d.Attach(ctx, c.AttachRequest)
			is(t, err, c.kind)
			fmt.Fprintf(&text, "%v\n\n", err)
		}
		golden(t, "attach-bad.golden", text.String())
		if names, _ := images(t, d); names != nil {
			t.Errorf("refused requests attached %v", names)
		}
	})
}

func TestSetPolicyBadInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		bad := domain.Policy{Types: []string{"t3.mediun", "*"}, Sharing: "all"}
		err := d.SetPolicy(ctx, bad)
		is(t, err, domain.ErrInvalid)
		text := err.Error() + "\n\n"
		err = d.SetGroupPolicy(ctx, "The Lab", &bad)
		is(t, err, domain.ErrInvalid)
		golden(t, "policy-bad.golden", text+err.Error()+"\n")
		is(t, d.SetGroupPolicy(ctx, "", nil), domain.ErrInvalid)
		if err := d.SetGroupPolicy(ctx, "lab", nil); err != nil {
			t.Errorf("removing what is not there: %v", err)
		}
		about, err := d.Describe(ctx)
		if err != nil || about.Policy.Types != nil || about.GroupPolicies != nil {
			t.Errorf("%+v, %v", about, err)
		}
	})
}

// TestAuthorizeReadsTheRecords is about what comes before the decision.
func TestAuthorizeReadsTheRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		w.push("rocker/rstudio:4.5")
		attach(t, d, "rstudio", "rocker/rstudio:4.5")
		alice := onboard(t, d, "alice", "lab")
		ask := domain.Ask{User: "alice", InstanceType: "ml.r5.large"}
		calls := len(w.Calls())
		grant, err := d.Authorize(ctx, ask)
		if err != nil {
			t.Fatal(err)
		}
		if grant.Domain != "research" || grant.User.Home != alice.Home || grant.Type.Name != "r5.large" ||
			!grant.PriceKnown || grant.PricePerHour.PerHour != 126_000 || grant.Sharing != domain.PerUser {
			t.Errorf("%+v", grant)
		}
		if n := len(w.Calls()) - calls; n != 0 {
			t.Errorf("deciding made %d calls to AWS", n)
		}
		_, err = d.Authorize(ctx, domain.Ask{User: "carol", InstanceType: "r5.large"})
		is(t, err, domain.ErrNotFound)

		if err := d.SetGroupPolicy(ctx, "lab", &domain.Policy{Types: []string{"t3.*"}, Sharing: domain.Exclusive}); err != nil {
			t.Fatal(err)
		}
		_, err = d.Authorize(ctx, ask)
		is(t, err, domain.ErrNotAllowed)
		ask.InstanceType = "t3.large"
		if grant, err := d.Authorize(ctx, ask); err != nil || grant.Group != "lab" || grant.Sharing != domain.Exclusive {
			t.Errorf("%+v, %v", grant, err)
		}
		if err := d.SetGroupPolicy(ctx, "lab", nil); err != nil {
			t.Fatal(err)
		}
		if err := d.SetPolicy(ctx, domain.Policy{MaxPricePerHour: 1}); err != nil {
			t.Fatal(err)
		}
		_, err = d.Authorize(ctx, ask)
		is(t, err, domain.ErrNotAllowed)
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		_, err = d.Authorize(ctx, ask)
		is(t, err, domain.ErrNotAllowed)
	})
}
