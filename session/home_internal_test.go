package session

import (
	"context"
	"errors"
	"testing"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

// TestRemovalOvertaken: who is late with an attempt changes neither the next one
// nor one that has ended.
func TestRemovalOvertaken(t *testing.T) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	client, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	d, err := client.Create(ctx, domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID}})
	if err != nil {
		t.Fatal(err)
	}
	host, err := fakelauncher.New(fakelauncher.Config{Images: fakelauncher.Programs(nil)})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	m, err := New(d, host, Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Onboard(ctx, domain.OnboardRequest{User: "alice"})
	if err == nil {
		err = d.Offboard(ctx, "alice")
	}
	var u domain.User
	if err == nil {
		u, err = d.BeginHomeDeletion(ctx, "alice", "/200001", func(context.Context) error { return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	attempt := func(last int) removal {
		t.Helper()
		r, err := m.attemptRemoval(ctx, domain.Grant{Domain: "research", User: u}, last)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := attempt(0)
	if again := attempt(0); again.Attempt != 1 || !again.Asked.Equal(first.Asked) {
		t.Errorf("two calls that begin make %+v", again)
	}
	if err := m.endRemoval(ctx, first, launcher.ErrImage, "why"); err != nil {
		t.Fatal(err)
	}
	if err := m.removed(ctx, first); !errors.Is(err, errStale) {
		t.Errorf("what failed is called done: %v", err)
	}
	second := attempt(1)
	if second.Attempt != 2 || second.Root == first.Root || second.Root == (efs.Root{}) || second.Over {
		t.Errorf("the second attempt is %+v, the first was %+v", second, first)
	}
	if again := attempt(1); again.Attempt != 2 || !again.Asked.Equal(second.Asked) {
		t.Errorf("two calls that begin again make %+v", again)
	}
	if err := m.endRemoval(ctx, first, launcher.ErrImage, "late"); !errors.Is(err, errStale) {
		t.Errorf("a late end of the first attempt: %v", err)
	}
	now, err := m.removals().Get(ctx, "alice")
	if err != nil || now.Over || now.Root != second.Root {
		t.Errorf("recorded is %+v, %v", now, err)
	}
}
