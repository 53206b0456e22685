package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/session/proxy"
)

// A portal mounts the handler behind its own authentication, and users reach their
// own sessions.
func ExampleNew() {
	ctx := context.Background()
	w, end, err := fake.Start(ctx, fake.Config{})
	if err != nil {
		log.Fatal(err)
	}
	type user struct{} // the portal's own authentication keeps it in the context
	h, err := proxy.New(w.Sessions, proxy.Config{
		URL: "https://sessions.example.com/",
		Authorize: func(r *http.Request, s session.Session) error {
			if s.User != r.Context().Value(user{}) {
				return errors.New("not theirs")
			}
			return nil
		},
		Cookies: []string{"__Host-sessions"},
		Absent: func(w http.ResponseWriter, _ *http.Request, s session.Session) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, "your session is", s.State) // and here a button to resume it
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", h)

	if _, err := w.Sessions.Start(ctx, session.StartRequest{ID: "analysis", User: "alice", InstanceType: "t3.medium"}); err != nil {
		log.Fatal(err)
	}
	if _, err := w.Sessions.Wait(ctx, "analysis", session.Running); err != nil {
		log.Fatal(err)
	}
	get := func(name, path string) {
		r := httptest.NewRequestWithContext(context.WithValue(ctx, user{}, name), http.MethodGet, path, http.NoBody)
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, r)
		fmt.Print(name, " ", answer.Code, " ", answer.Body)
	}
	get("alice", "/analysis/")
	get("bob", "/analysis/")
	get("bob", "/nothing/")

	x, err := w.Sessions.Explain(ctx, "analysis")
	fmt.Println(x.Used.Source, x.Used.Detail, err)

	if _, err := w.Sessions.Suspend(ctx, "analysis", session.Order{}); err != nil {
		log.Fatal(err)
	}
	if _, err := w.Sessions.Wait(ctx, "analysis", session.Suspended); err != nil {
		log.Fatal(err)
	}
	get("alice", "/analysis/")
	fmt.Println(end())
	// Output:
	// alice 200 session of alice
	// bob 404 {"message":"there is no such session, or you may not enter it"}
	// bob 404 {"message":"there is no such session, or you may not enter it"}
	// traffic GET / <nil>
	// alice 503 your session is suspended
	// <nil>
}
