package fake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"iter"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench"
)

var update = flag.Bool("update", false, "write the records of the present version, and what is read of them")

// present is the folder of the version that is not released yet. With its release it
// is renamed, and never written again.
const present = "testdata/records/unreleased"

// TestKeptRecords reads the records of every version with this one: all that its
// programs left in the store is told as it was then.
func TestKeptRecords(t *testing.T) {
	if *update {
		synctest.Test(t, func(t *testing.T) { keep(t, present) })
	}
	versions, err := filepath.Glob("testdata/records/*")
	if err != nil || !slices.Contains(versions, present) {
		t.Fatalf("there are %q, %v", versions, err)
	}
	for _, folder := range versions {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			got := told(t, load(t, filepath.Join(folder, "records.jsonl")))
			golden := filepath.Join(folder, "told.json")
			if *update && folder == present {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("records of an earlier program say something else now (-then +now):\n%s", diff)
			}
		})
	}
}

// keep has a program do all that leaves records, and writes those into a folder.
func keep(t *testing.T, folder string) {
	ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
	defer cancel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const role = "arn:aws:iam::123456789012:role/reader"
	records := &witness{Store: store.NewMemory(), collections: map[string]bool{}}
	w := fake.New(t, fake.Config{
		Store:  records,
		Users:  map[string][]string{"alice": {"staff"}, "bob": {"students"}, "carol": nil, "dave": nil},
		Groups: map[string]domain.Policy{"students": {Types: []string{"t3.*"}, SessionsPerUser: 2, Budget: 50 * instancetype.Dollar}},
		Policy: domain.Policy{
			Roles: []string{role}, Mounts: []domain.Mount{{Name: "data", Source: "/efs/fs-0123456789abcdef0.fsap-0123456789abcdef0", ReadOnly: true}},
			Idle: []domain.IdleRule{{After: 2 * time.Hour}}, MaxLifetime: 48 * time.Hour, Budget: 1000 * instancetype.Dollar,
		},
		Images:   map[string]fakelauncher.Program{"ide": fake.RStudio, "tools": fake.Maintenance, "job": fake.Job},
		Sessions: session.Config{CredentialsURL: "https://portal.example.com/credentials"},
		AWS:      fakeaws.Config{Delays: fakeaws.Realistic()},
	})
	w.Cloud.AllowRole(role)
	_, err := w.Domain.CreateProject(ctx, domain.CreateProjectRequest{Name: "genome", Groups: []string{"staff"}, Budget: 100 * instancetype.Dollar})
	check(err)
	_, err = w.Domain.Onboard(ctx, domain.OnboardRequest{User: "erin", Login: "erin.doe", Groups: []string{"staff"}})
	check(err)
	start := func(q session.StartRequest, want session.State) {
		t.Helper()
		q.Order = session.Order{ID: "start " + string(q.ID), By: "portal", Why: "asked by " + q.User}
		_, err := w.Sessions.Start(ctx, q)
		check(err)
		_, err = w.Sessions.Wait(ctx, q.ID, want)
		check(err)
	}
	start(session.StartRequest{
		ID: "analysis", User: "alice", InstanceType: "m5.xlarge", Alternatives: []string{"m5a.xlarge"}, Market: launcher.SpotOrOnDemand,
		OnInterruption: session.StaySuspended, Role: role, Projects: []string{"genome"}, ChargeTo: "genome",
		Size: domain.Size{MilliCPU: 1000, MemoryMiB: 2048}, Labels: map[string]string{"course": "ml"}, Env: map[string]string{"A": "b"},
		Annotations: map[string]string{"portal": "{\"tab\": 3}"}, Dir: "/projects/genome",
	}, session.Running)
	start(session.StartRequest{ID: "report", User: "alice", Image: "job", Kind: session.Job(), InstanceType: "t3.medium", Command: []string{"say", "done", ";", "exit", "3"}}, session.Stopped)
	start(session.StartRequest{ID: "thesis", User: "bob", InstanceType: "t3.medium"}, session.Running)
	start(session.StartRequest{ID: "old", User: "dave", InstanceType: "t3.medium"}, session.Running)
	_, err = w.Sessions.Keep(ctx, "analysis", time.Now().Add(12*time.Hour), session.Order{By: "alice", Why: "a long run"})
	check(err)
	check(w.Sessions.Report(ctx, "analysis", session.Evidence{Source: session.Traffic, Used: time.Now(), Detail: "GET /"}))
	_, err = w.Sessions.Suspend(ctx, "thesis", session.Order{By: "bob"})
	check(err)
	_, err = w.Sessions.Wait(ctx, "thesis", session.Suspended)
	check(err)
	_, err = w.Sessions.Start(ctx, session.StartRequest{ID: "refused", User: "bob", InstanceType: "p4d.24xlarge"})
	if err == nil {
		t.Fatal("bob is allowed what he is not")
	}
	check(w.Sessions.Offboard(ctx, "dave", session.Order{By: "admin"}))
	dave, err := w.Domain.User(ctx, "dave")
	check(err)
	check(w.Sessions.DeleteHome(ctx, session.DeleteHomeRequest{User: "dave", Path: dave.Home.Path, Image: "tools"}))
	check(w.Sessions.Delete(ctx, "old", session.Order{By: "admin"}))
	start(session.StartRequest{ID: "later", User: "carol", InstanceType: "t3.medium"}, session.Running)
	host, err := workbench.NewFromConfig(w.AWS, w.Domain, workbench.Config{})
	check(err)
	_, err = host.Deploy(ctx, workbench.DeployRequest{
		InstanceType: "m7i.xlarge", Access: []string{"10.0.0.0/8"}, URL: "https://workbench.example.com",
		Files:         []workbench.File{{Path: "/etc/rstudio/rserver.conf", Mode: 0o644, Owner: "root:root", Content: []byte("www-port=8787\n")}},
		Package:       workbench.Software{URL: "https://example.com/workbench.rpm", SHA256: strings.Repeat("0", 64)},
		Plugin:        workbench.Software{URL: "https://example.com/plugin", SHA256: strings.Repeat("1", 64), Path: "/opt/plugin"},
		Accounts:      []string{"/opt/plugin", "accounts"},
		License:       workbench.License{File: "arn:aws:secretsmanager:us-east-1:123456789012:secret:posit-AbCdEf"},
		SharedStorage: "genome",
		Policies:      map[string]string{"plugin": `{"Statement":[{"Effect":"Allow","Action":"dynamodb:Query","Resource":"*"}]}`},
	})
	check(err)

	var lines bytes.Buffer
	for _, collection := range slices.Sorted(maps.Keys(records.collections)) {
		for r, err := range records.List(ctx, collection, "") {
			check(err)
			line, err := json.Marshal(kept{r.Collection, r.ID, r.Value})
			check(err)
			lines.Write(append(line, '\n'))
		}
	}
	check(os.MkdirAll(folder, 0o755))
	check(os.WriteFile(filepath.Join(folder, "records.jsonl"), lines.Bytes(), 0o600))
}

// kept is a record as it is kept.
type kept struct {
	Collection, ID string
	Value          json.RawMessage
}

// witness is a store that knows where something was written.
type witness struct {
	store.Store
	mu          sync.Mutex
	collections map[string]bool
}

func (s *witness) Put(ctx context.Context, r store.Record) (int64, error) {
	s.mu.Lock()
	s.collections[r.Collection] = true
	s.mu.Unlock()
	return s.Store.Put(ctx, r)
}

// load returns a store with the records of a file.
func load(t *testing.T, path string) store.Store {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := store.NewMemory()
	for lines := json.NewDecoder(f); ; {
		var r kept
		if err := lines.Decode(&r); errors.Is(err, io.EOF) {
			return s
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), store.Record{Collection: r.Collection, ID: r.ID, Value: r.Value}); err != nil {
			t.Fatal(err)
		}
	}
}

// told is all that this version reads of the domain, its sessions, its fleet and its
// Workbench.
func told(t *testing.T, s store.Store) []byte {
	t.Helper()
	ctx := t.Context()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	all := map[string]any{}
	must := func(what string, v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		all[what] = v
	}
	client, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	d, err := client.Get(ctx, "research")
	if err != nil {
		t.Fatal(err)
	}
	about, err := d.Describe(ctx)
	must("domain", about, err)
	collect(must, "groups", d.Groups(ctx))
	collect(must, "users", d.Users(ctx))
	collect(must, "images", d.Images(ctx))
	collect(must, "projects", d.Projects(ctx))
	collect(must, "accounts", d.Accounts(ctx))
	fleet, err := ec2launcher.NewFromConfig(cloud.Config(), ec2launcher.Config{
		Fleet: "research", Store: s, Subnets: []string{cloud.Subnets()[0].ID}, SecurityGroups: about.HostSecurityGroups(), Connect: fake.Connect(cloud),
	})
	if err != nil {
		t.Fatal(err)
	}
	collect(must, "hosts", fleet.Hosts(ctx))
	host, err := workbench.NewFromConfig(cloud.Config(), d, workbench.Config{HTTPClient: &http.Client{Transport: cloud.Network(func(fakeaws.Machine, int) http.Handler { return nil })}})
	if err != nil {
		t.Fatal(err)
	}
	if is, err := host.Describe(ctx); !errors.Is(err, domain.ErrNotFound) { // there may be none
		// Which another version of its scripts may be, and what is said of that.
		is.ReplaceDue = nil
		is.Problems = slices.DeleteFunc(is.Problems, func(p string) bool { return strings.Contains(p, "not as the last Deploy wants it") })
		must("workbench", is, err)
		removed, err := host.PreviewRemove(ctx, workbench.RemoveRequest{})
		must("workbench removed", removed, err)
	}
	m, err := session.New(d, fleet, session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	collect(must, "sessions", m.List(ctx, session.Filter{}))
	collect(must, "audit", m.Audit(ctx, session.AuditFilter{}))
	for s, err := range m.List(ctx, session.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		account, err := m.Explain(ctx, s.ID)
		must("explained "+string(s.ID), strings.Split(account.String(), "\n"), err)
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

func collect[T any](must func(string, any, error), what string, seq iter.Seq2[T, error]) {
	all := []T{}
	for v, err := range seq {
		if err != nil {
			must(what, nil, err)
		}
		all = append(all, v)
	}
	must(what, all, nil)
}
