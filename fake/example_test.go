package fake_test

import (
	"context"
	"fmt"
	"log"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/session"
)

// A test gets a world from New and has nothing to clean up.
func ExampleNew() {
	t := &exampleT{} // in a test, its *testing.T
	defer t.end()

	w := fake.New(t, fake.Config{
		Users:  map[string][]string{"carol": {"students"}},
		Policy: domain.Policy{Types: []string{"t3.*"}},
	})

	_, err := w.Sessions.Start(context.Background(), session.StartRequest{ID: "thesis", User: "carol", InstanceType: "p4d.24xlarge"})
	fmt.Println(session.StatusCode(err), err)
	// Output:
	// 403 session: start thesis: domain: authorize research/carol: not allowed: instance type p4d.24xlarge: not among those allowed, ["t3.*"] (the domain's policy)
}

// Programs that are no tests start a world and end it.
func ExampleStart() {
	ctx := context.Background()
	w, end, err := fake.Start(ctx, fake.Config{})
	if err != nil {
		log.Panic(err)
	}
	if _, err := w.Sessions.Start(ctx, session.StartRequest{ID: "analysis", User: "alice", InstanceType: "t3.medium"}); err != nil {
		log.Panic(err)
	}
	s, err := w.Sessions.Wait(ctx, "analysis", session.Running)
	fmt.Println(s.User, s.InstanceType, s.State, err)
	fmt.Println(end())
	// Output:
	// alice t3.medium running <nil>
	// <nil>
}

type exampleT struct{ cleanups []func() }

func (t *exampleT) Helper()                           {}
func (t *exampleT) Fatalf(format string, args ...any) { log.Panicf(format, args...) }
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
}
