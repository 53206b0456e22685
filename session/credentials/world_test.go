package credentials_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/session/credentials"
)

const (
	reader   = "arn:aws:iam::123456789012:role/data/reader"
	mountURL = "https://portal.example.com/credentials"
)

// world is a fake one whose sessions tell what they find in their containers.
type world struct {
	*fake.World
	t     *testing.T
	found chan found
}

// found is what a container has of its role.
type found struct{ url, token string }

func newWorld(t *testing.T, url string, cfg fakeaws.Config) *world {
	t.Helper()
	w := &world{t: t, found: make(chan found, 100)}
	w.World = fake.New(t, fake.Config{
		AWS: cfg, Images: map[string]fakelauncher.Program{"ide": w.program},
		Policy: domain.Policy{Roles: []string{reader}}, Sessions: session.Config{CredentialsURL: url},
	})
	w.Cloud.AllowRole(reader)
	return w
}

// program tells what it finds as an SDK would look for it, and serves until it is
// asked to end; it ends two seconds later.
func (w *world) program(ctx context.Context, p *fakelauncher.Proc) int {
	f := found{url: p.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")}
	if file := p.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		token, err := p.ReadFile(file)
		if err != nil {
			return 1
		}
		f.token = string(token)
	}
	w.found <- f
	code := fake.IDE(ctx, p)
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
	}
	return code
}

// start returns what the container of a session has when it runs.
func (w *world) start(id session.ID) found {
	w.t.Helper()
	if _, err := w.Sessions.Start(w.t.Context(), session.StartRequest{ID: id, User: "alice", InstanceType: "t3.medium", Role: reader}); err != nil {
		w.t.Fatal(err)
	}
	return w.runs(id)
}

func (w *world) runs(id session.ID) found {
	w.t.Helper()
	w.until(id, session.Running)
	return <-w.found
}

func (w *world) until(id session.ID, s session.State) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Hour)
	defer cancel()
	if _, err := w.Sessions.Wait(ctx, id, s); err != nil {
		w.t.Fatal(err)
	}
}

// api records what is asked of STS, and may change what it answers.
type api struct {
	credentials.API
	change func(*awssts.AssumeRoleOutput)
	before func(context.Context)

	mu    sync.Mutex
	asked []*awssts.AssumeRoleInput
}

func (a *api) AssumeRole(ctx context.Context, in *awssts.AssumeRoleInput, o ...func(*awssts.Options)) (*awssts.AssumeRoleOutput, error) {
	a.mu.Lock()
	a.asked = append(a.asked, in)
	a.mu.Unlock()
	if a.before != nil {
		a.before(ctx)
	}
	out, err := a.API.AssumeRole(ctx, in, o...)
	if err == nil && a.change != nil {
		a.change(out)
	}
	return out, err
}

func (a *api) calls() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

// server is a handler, what it asks of STS and what it logs.
type server struct {
	*credentials.Handler
	api *api
	log *bytes.Buffer
}

func (w *world) serve(c credentials.Config) server {
	w.t.Helper()
	s := server{api: &api{API: awssts.NewFromConfig(w.AWS)}, log: &bytes.Buffer{}}
	c.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h, err := credentials.New(s.api, w.Sessions, c)
	if err != nil {
		w.t.Fatal(err)
	}
	s.Handler = h
	return s
}

// response is all that an SDK reads of an answer.
type response struct {
	status                                          int
	head                                            http.Header
	AccessKeyId, SecretAccessKey, Token, Expiration string
	Code, Message                                   string
}

// ask asks as an SDK does.
func (s server) ask(ctx context.Context, token string) response {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, mountURL, http.NoBody)
	r.Header.Set("Authorization", token)
	return s.send(r)
}

func (s server) send(r *http.Request) response {
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	answer := response{status: rec.Code, head: rec.Header()}
	_ = json.Unmarshal(rec.Body.Bytes(), &answer) // an empty one is seen
	return answer
}

func policyOf(roles ...string) domain.Policy { return domain.Policy{Roles: roles} }
