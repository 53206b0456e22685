package main

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestKilledProcess: what a process does once it was killed has no effect, though its
// successor works.
func TestKilledProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, err := fakeaws.New(fakeaws.Config{})
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Policy: "pool", Overcommit: 1, Faults: true}
		s := &storm{Options: o, cloud: cloud, census: newCensus()}
		if s.cfg, err = o.fleet(t.Context(), cloud, nil); err != nil {
			t.Fatal(err)
		}
		first, err := s.start()
		if err != nil {
			t.Fatal(err)
		}
		killed, record := mortal{s.cfg.Store, first}, store.Record{Collection: "c", ID: "a", Value: []byte("1")}
		version, err := killed.Put(t.Context(), record)
		if err != nil || first.alive() != nil {
			t.Fatalf("alive it fails: %v, %v", err, first.alive())
		}
		life, end := first.bind(t.Context())
		defer end()
		cloud.Crash()
		synctest.Wait()
		if life.Err() == nil {
			t.Error("what it does goes on")
		}
		second, err := s.start()
		if err != nil || second.alive() != nil {
			t.Fatalf("its successor is dead: %v, %v", err, second.alive())
		}
		for name, err := range map[string]error{
			"get":    func() error { _, err := killed.Get(t.Context(), "c", "a"); return err }(),
			"put":    func() error { _, err := killed.Put(t.Context(), store.Record{Collection: "c", ID: "b"}); return err }(),
			"delete": killed.Delete(t.Context(), "c", "a", version),
			"list": func() error {
				for _, err := range killed.List(t.Context(), "c", "") {
					return err
				}
				return nil
			}(),
		} {
			if !errors.Is(err, errKilled) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := (mortal{s.cfg.Store, second}).Get(t.Context(), "c", "a"); err != nil || string(got.Value) != "1" {
			t.Errorf("its successor reads %q, %v", got.Value, err)
		}
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
}
