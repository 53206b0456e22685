package store_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/atelier-go/atelier/domain/store"
)

func ExampleNewMemory() {
	ctx := context.Background()
	s := store.NewMemory()

	version, err := s.Put(ctx, store.Record{Collection: "notes", ID: "a", Value: []byte("one")})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Whoever has not seen the latest version cannot overwrite it.
	_, err = s.Put(ctx, store.Record{Collection: "notes", ID: "a", Value: []byte("two")})
	fmt.Println(errors.Is(err, store.ErrConflict))
	_, err = s.Put(ctx, store.Record{Collection: "notes", ID: "a", Value: []byte("two"), Version: version})
	fmt.Println(err)

	for r, err := range s.List(ctx, "notes", "") {
		fmt.Printf("%s %s %v\n", r.ID, r.Value, err)
	}
	// Output:
	// true
	// <nil>
	// a two <nil>
}

func ExampleNewTable() {
	type user struct {
		Name string
		UID  int
	}
	ctx := context.Background()
	users := store.NewTable[user](store.NewMemory(), "research/users")

	if err := users.Create(ctx, "alice", user{Name: "alice"}); err != nil {
		fmt.Println(err)
		return
	}
	alice, err := users.Update(ctx, "alice", func(u *user) error {
		if u.UID != 0 {
			return store.ErrUnchanged
		}
		u.UID = 10000
		return nil
	})
	fmt.Println(alice, err)
	fmt.Println(users.Create(ctx, "alice", user{}))
	// Output:
	// {alice 10000} <nil>
	// record was made or changed by another: "alice" in research/users
}

func ExampleLease_Hold() {
	s := store.NewMemory()
	lease := store.Lease{Name: "research/sweep", Holder: "portal-1", TTL: 15 * time.Second}
	for range 2 {
		err := lease.Hold(context.Background(), s, func(ctx context.Context, term store.Term) error {
			if err := term.Check(ctx); err != nil { // right before a side effect
				return err
			}
			fmt.Println("sweeping, epoch", term.Epoch())
			return nil
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// sweeping, epoch 1
	// sweeping, epoch 2
}
