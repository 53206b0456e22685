package session_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
	"github.com/atelier-go/atelier/session"
)

// world is a domain "research" with alice and bob and the images "rstudio"
// (the default) and "custom", and one host on which everything runs that the
// program "behave" can.
type world struct {
	t      testing.TB
	cloud  *fakeaws.Cloud
	store  store.Store
	domain *domain.Domain
	host   *fakelauncher.Launcher
	guard  *guard // over host
}

// domainOn is the world's domain as a program with another store sees it.
func (w *world) domainOn(s store.Store) *domain.Domain {
	w.t.Helper()
	client, err := domain.NewFromConfig(w.cloud.Config(), domain.Config{Store: s})
	check(w.t, err)
	d, err := client.Get(context.Background(), "research")
	check(w.t, err)
	return d
}

// inBubble runs one subtest in a bubble of its own.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOn(t, fakelauncher.Config{})
}

func newWorldOn(t testing.TB, cfg fakelauncher.Config) *world {
	t.Helper()
	return newWorldAt(t, store.NewMemory(), cfg)
}

func newWorldAt(t testing.TB, s store.Store, cfg fakelauncher.Config) *world {
	t.Helper()
	ctx := t.Context()
	cloud, err := fakeaws.New(fakeaws.Config{})
	check(t, err)
	t.Cleanup(func() { cloud.Close() })
	w := &world{t: t, cloud: cloud, store: s}
	client, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: w.store})
	check(t, err)
	var subnets []string
	for _, s := range cloud.Subnets() {
		subnets = append(subnets, s.ID)
	}
	w.domain, err = client.Create(ctx, domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: subnets})
	check(t, err)
	for _, user := range []string{"alice", "bob"} {
		_, err := w.domain.Onboard(ctx, domain.OnboardRequest{User: user})
		check(t, err)
	}
	for _, name := range []string{"rstudio", "custom"} {
		ref := "registry.example.com/" + name + ":1"
		_, err := cloud.PushImage(ref, fakeaws.Image{Program: behave.Program})
		check(t, err)
		_, err = w.domain.Attach(ctx, domain.AttachRequest{Name: name, Reference: ref})
		check(t, err)
	}
	cfg.Images = func(context.Context, string) (fakelauncher.Image, error) {
		return fakelauncher.Image{Program: program, Command: []string{"ide"}}, nil
	}
	w.host, err = fakelauncher.New(cfg)
	check(t, err)
	t.Cleanup(func() { w.host.Close() })
	w.guard = &guard{Launcher: w.host, t: t}
	return w
}

// program is what runs in containers: for the command "ide" a session that
// makes a directory in its home, says what is there, answers on port 8787 and
// ends well when it is asked to, as RStudio's entrypoint does; else what package
// behave does. What it is sent it sends back, but for a probe.
func program(ctx context.Context, p *fakelauncher.Proc) int {
	if p.Args[0] != "ide" {
		return behave.Program(ctx, p)
	}
	asked := p.Signals("SIGTERM", "SIGUSR1")
	if p.Getenv(session.RStudioClean) == "1" { // it hangs, whatever it is asked
		<-ctx.Done()
		return 1
	}
	listener, err := p.Listen(8787)
	if err != nil {
		return 1
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				from := bufio.NewReader(c)
				if first, _ := from.Peek(4); string(first) == "GET " {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					return
				}
				_, _ = io.Copy(c, from)
			}()
		}
	}()
	home := *p
	home.Args = []string{"mark", p.Getenv("HOME"), ";", "list", p.Getenv("HOME")}
	if code := behave.Program(ctx, &home); code != 0 {
		return code
	}
	select {
	case signal := <-asked:
		if signal == "SIGUSR1" {
			return session.RStudioSaved
		}
		return 0
	case <-ctx.Done():
		return 1
	}
}

// run starts a manager over a launcher. What it returns ends it, and is called
// at the end of the test at the latest.
func (w *world) run(l launcher.Launcher, cfg session.Config) (m *session.Manager, end func()) {
	w.t.Helper()
	return w.runOn(w.domain, l, cfg)
}

func (w *world) runOn(d *domain.Domain, l launcher.Launcher, cfg session.Config) (m *session.Manager, end func()) {
	w.t.Helper()
	m, err := session.New(d, l, cfg)
	check(w.t, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run = %v", err)
		}
	})
	w.t.Cleanup(end)
	return m, end
}

// manager is run with nothing between it and the host.
func (w *world) manager() *session.Manager {
	w.t.Helper()
	m, _ := w.run(w.guard, session.Config{})
	return m
}

// live returns the workloads that have not exited.
func (w *world) live() (ids []launcher.ID) {
	w.t.Helper()
	for s, err := range w.host.List(context.Background(), launcher.Filter{}) {
		check(w.t, err)
		if s.Phase != launcher.Exited {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// guard fails the test when a session has two live containers.
type guard struct {
	launcher.Launcher
	t testing.TB

	mu       sync.Mutex
	launched []launcher.Workload
}

func (g *guard) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	s, err := g.Launcher.Launch(ctx, w)
	g.mu.Lock()
	g.launched = append(g.launched, w)
	g.mu.Unlock()
	g.audit()
	return s, err
}

func (g *guard) audit() {
	count := map[string]int{}
	for s, err := range g.List(context.Background(), launcher.Filter{}) {
		if err != nil {
			return
		}
		if id := s.Labels["atelier.session"]; s.Phase != launcher.Exited {
			if count[id]++; count[id] > 1 {
				g.t.Errorf("session %s has two live containers", id)
			}
		}
	}
}

// workloads returns what was launched, in order.
func (g *guard) workloads() []launcher.Workload {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]launcher.Workload(nil), g.launched...)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fails checks that an error is of a kind and says each of the words.
func fails(t testing.TB, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error %v; want %v", err, kind)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

// started returns a session that runs.
func started(t testing.TB, m *session.Manager, q session.StartRequest) session.Session {
	t.Helper()
	_, err := m.Start(t.Context(), q)
	check(t, err)
	s, err := m.Wait(t.Context(), q.ID, session.Running)
	check(t, err)
	synctest.Wait() // its program has come as far as it does by itself
	return s
}

// request asks for a session of a program that is ready at once and loses its memory.
func request(id session.ID) session.StartRequest {
	return session.StartRequest{ID: id, User: "alice", InstanceType: "t3.medium", Kind: plainKind()}
}

func plainKind() session.Kind {
	return session.Kind{
		Name: "plain", Ports: []launcher.Port{{Name: "http", Number: 8787}},
		StopGrace: 30 * time.Second, SuspendGrace: 30 * time.Second,
	}
}
