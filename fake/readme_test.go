package fake_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/session"
)

func TestResumeOnABiggerInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // virtual: waiting costs nothing
		defer cancel()
		w := fake.New(t, fake.Config{AWS: fakeaws.Config{Delays: fakeaws.Realistic()}})

		_, err := w.Sessions.Start(ctx, session.StartRequest{
			ID: "analysis", User: "alice", InstanceType: "t3.medium",
		})
		if err != nil {
			t.Fatal(err) // says every reason why not, and whose turn it is
		}
		s, err := w.Sessions.Wait(ctx, "analysis", session.Running)
		if err != nil {
			t.Fatal(err)
		}
		small := s.Host

		if _, err := w.Sessions.Suspend(ctx, "analysis", session.Order{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Sessions.Wait(ctx, "analysis", session.Suspended); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Sessions.Resume(ctx, "analysis", session.ResumeRequest{InstanceType: "r5.4xlarge"}); err != nil {
			t.Fatal(err)
		}
		s, err = w.Sessions.Wait(ctx, "analysis", session.Running)
		if err != nil {
			t.Fatal(err)
		}
		if s.Host == small || s.InstanceType != "r5.4xlarge" {
			t.Errorf("resumed on %s, a %s", s.Host, s.InstanceType)
		}
	})
}

// TestReadme holds the README to this file: the code it shows is code that runs.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```go\n")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("the README shows no Go code")
	}
	if !strings.Contains(string(here), code) {
		t.Error("the README's code is not the test's in this file: change both")
	}
}
