package session_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
)

// A session is started and dialled, suspended, and resumed on a bigger
// instance.
func ExampleNew() {
	ctx, cancel := context.WithCancel(context.Background())
	d, host, end := research(ctx)
	defer end()

	m, err := session.New(d, host, session.Config{})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()

	s, err := m.Start(ctx, session.StartRequest{ID: "analysis", User: "alice", InstanceType: "t3.medium"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.State)
	if s, err = m.Wait(ctx, "analysis", session.Running); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s on %s for %v an hour\n", s.State, s.InstanceType, s.PricePerHour)

	browser := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return m.Dial(ctx, "analysis", "http")
	}}}
	answer, err := browser.Get("http://analysis/")
	if err != nil {
		log.Fatal(err)
	}
	greeting, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	answer.Body.Close()
	fmt.Printf("%s\n", greeting)

	if _, err = m.Suspend(ctx, "analysis", session.Order{}); err != nil {
		log.Fatal(err)
	}
	if s, err = m.Wait(ctx, "analysis", session.Suspended); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.State)

	if _, err = m.Resume(ctx, "analysis", session.ResumeRequest{InstanceType: "r5.4xlarge"}); err != nil {
		log.Fatal(err)
	}
	if s, err = m.Wait(ctx, "analysis", session.Running); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s on %s, generation %d\n", s.State, s.InstanceType, s.Generation)

	cancel()
	fmt.Println(<-done)
	// Output:
	// pending
	// running on t3.medium for $0.0416 an hour
	// hello, alice
	// suspended
	// running on r5.4xlarge, generation 2
	// <nil>
}

// A user has left, and their home is deleted: named, and its path repeated.
func ExampleManager_DeleteHome() {
	ctx := context.Background()
	w, end, err := fake.Start(ctx, fake.Config{
		Images: map[string]fakelauncher.Program{"rstudio": fake.IDE, "tools": fake.Maintenance},
	})
	if err != nil {
		log.Fatal(err)
	}
	q := session.DeleteHomeRequest{User: "alice", Path: "/200002", Image: "tools"}
	fmt.Println(w.Sessions.DeleteHome(ctx, q))

	alice, err := w.Domain.User(ctx, "alice")
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Domain.Offboard(ctx, "alice"); err != nil {
		log.Fatal(err)
	}
	q.Path = alice.Home.Path
	fmt.Println(w.Sessions.DeleteHome(ctx, q))

	alice, err = w.Domain.User(ctx, "alice")
	fmt.Println(alice.Home.Path == "", !alice.Deletion.Ended.IsZero(), alice.UID, err)
	fmt.Println(end())
	// Output:
	// session: delete home: domain: delete home research/alice: invalid: path "/200002": is not that of the home of alice; look it up, and who is meant
	// user alice: is onboarded; offboard them first
	// <nil>
	// true true 200001 <nil>
	// <nil>
}

// A user leaves: what that would end is told before, and their home is kept.
func ExampleManager_Offboard() {
	ctx := context.Background()
	w, end, err := fake.Start(ctx, fake.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := w.Sessions.Start(ctx, session.StartRequest{ID: "analysis", User: "alice", InstanceType: "t3.medium"}); err != nil {
		log.Fatal(err)
	}
	if _, err := w.Sessions.Wait(ctx, "analysis", session.Running); err != nil {
		log.Fatal(err)
	}
	preview, err := w.Sessions.PreviewOffboard(ctx, "alice")
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range preview[:3] {
		fmt.Println(c.Fate, c.Thing, c.Name)
	}
	fmt.Println(w.Sessions.Offboard(ctx, "alice", session.Order{}))
	s, err := w.Sessions.Get(ctx, "analysis")
	fmt.Println(s.State, err)
	fmt.Println(end())
	// Output:
	// ends user alice
	// ends session analysis
	// stays home alice
	// <nil>
	// stopped <nil>
	// <nil>
}

// A portal turns an error into an HTTP status.
func ExampleStatusCode() {
	ctx := context.Background()
	d, host, end := research(ctx)
	defer end()
	m, err := session.New(d, host, session.Config{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = m.Get(ctx, "analysis")
	fmt.Println(session.StatusCode(err), err)
	// Output:
	// 404 session: get analysis: not found: the domain has no such session
}

// An ID that is made once and sent with each attempt makes a Start safe to
// repeat.
func ExampleNewID() {
	id := session.NewID()
	fmt.Println(strings.HasPrefix(string(id), "s-"), len(id), id != session.NewID())
	// Output: true 17 true
}

// A Kind of a caller's own begins with one that is nearly right.
func ExampleRStudio() {
	k := session.RStudio()
	fmt.Println(k.Name, "serves", k.Ports[0].Name, "on", k.Ports[0].Number, "and has", k.StopGrace, "to save")

	k.Name, k.StopGrace = "rstudio-large", 2*time.Minute
	fmt.Println(k.Name, "has", k.StopGrace)
	// Output:
	// rstudio serves http on 8787 and has 30s to save
	// rstudio-large has 2m0s
}

// research makes a domain with a user and an image, and a host that runs a
// program for it, all in memory.
func research(ctx context.Context) (d *domain.Domain, host *fakelauncher.Launcher, end func()) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		log.Fatal(err)
	}
	var subnets []string
	for _, s := range cloud.Subnets() {
		subnets = append(subnets, s.ID)
	}
	d, err = domains.Create(ctx, domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: subnets})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice"}); err != nil {
		log.Fatal(err)
	}
	const ref = "registry.example.com/rstudio:1"
	if _, err := cloud.PushImage(ref, fakeaws.Image{}); err != nil {
		log.Fatal(err)
	}
	if _, err := d.Attach(ctx, domain.AttachRequest{Name: "rstudio", Reference: ref}); err != nil {
		log.Fatal(err)
	}
	host, err = fakelauncher.New(fakelauncher.Config{
		Images: func(context.Context, string) (fakelauncher.Image, error) {
			return fakelauncher.Image{Program: greeter}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	return d, host, func() { host.Close(); cloud.Close() }
}

// greeter greets whoever asks by HTTP, and ends well when it is asked to.
func greeter(ctx context.Context, p *fakelauncher.Proc) int {
	asked := p.Signals("SIGTERM", "SIGUSR1")
	listener, err := p.Listen(8787)
	if err != nil {
		return 1
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "hello, %s", p.Getenv("USER"))
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	select {
	case signal := <-asked:
		if signal == "SIGUSR1" {
			return session.RStudioSaved
		}
	case <-ctx.Done():
	}
	return 0
}
