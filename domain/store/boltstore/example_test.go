package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/boltstore"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "atelier.bolt")

	s, err := boltstore.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	notes := store.NewTable[string](s, "notes")
	fmt.Println(notes.Create(ctx, "a", "this survives"))

	// One process at a time, and once.
	_, err = boltstore.Open(path)
	fmt.Println(errors.Is(err, boltstore.ErrInUse))

	// The next process.
	if err := s.Close(); err != nil {
		fmt.Println(err)
		return
	}
	s, err = boltstore.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println(store.NewTable[string](s, "notes").Get(ctx, "a"))
	// Output:
	// <nil>
	// true
	// this survives <nil>
}
