package credentials_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/session/credentials"
)

// A program mounts the handler, and a session of a role asks it as the SDKs do.
func ExampleNewFromConfig() {
	const role = "arn:aws:iam::123456789012:role/reader"
	ctx := context.Background()
	tokens := make(chan string, 1)
	w, end, err := fake.Start(ctx, fake.Config{
		Policy:   domain.Policy{Roles: []string{role}},
		Sessions: session.Config{CredentialsURL: "https://portal.example.com/credentials"},
		Images: map[string]fakelauncher.Program{"ide": func(ctx context.Context, p *fakelauncher.Proc) int {
			token, err := p.ReadFile(p.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"))
			if err != nil {
				return 1
			}
			tokens <- string(token)
			return fake.IDE(ctx, p)
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	w.Cloud.AllowRole(role) // in AWS: the role's trust policy

	h, err := credentials.NewFromConfig(w.AWS, w.Sessions, credentials.Config{})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/credentials", h)

	if _, err := w.Sessions.Start(ctx, session.StartRequest{ID: "analysis", User: "alice", InstanceType: "t3.medium", Role: role}); err != nil {
		log.Fatal(err)
	}
	s, err := w.Sessions.Wait(ctx, "analysis", session.Running)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.State, "as", s.Role)
	for _, token := range []string{<-tokens, "a guess"} {
		r := httptest.NewRequest(http.MethodGet, "https://portal.example.com/credentials", http.NoBody)
		r.Header.Set("Authorization", token)
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, r)
		fmt.Println(answer.Code, answer.Body.Len() > 0)
	}
	fmt.Println(end())
	// Output:
	// running as arn:aws:iam::123456789012:role/reader
	// 200 true
	// 401 true
	// <nil>
}
