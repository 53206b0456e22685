package workbench_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/workbench"
)

// What names a project or a group here is what names one in a domain, and so with logins.
func TestNamesAreTheDomains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, fakeaws.Config{})
		d := y.domain()
		for _, name := range []string{
			"a", "common", "a-1-", "_a", ".a", strings.Repeat("a", 32), strings.Repeat("a", 33), strings.Repeat("a", 20), strings.Repeat("a", 21), "1a", "-a", "A", "ä", "a b", "a/b", "../a", "a\n", "a.b", "a_b", "{USER}", "/projects/common",
		} {
			_, err := d.Project(t.Context(), name)
			want := !errors.Is(err, domain.ErrInvalid)
			c := minimal()
			c.SharedStorage = name
			if _, err := c.Files(); (err == nil) != want {
				t.Errorf("%q: the domain takes it: %t; a configuration: %v", name, want, err)
			}
			c = minimal()
			c.AdminGroup.Domain = name
			want = !errors.Is(d.SetGroupPolicy(t.Context(), name, nil), domain.ErrInvalid)
			if _, err := c.Files(); (err == nil) != want {
				t.Errorf("group %q: the domain takes it: %t; a configuration: %v", name, want, err)
			}
			c = minimal()
			c.Menus = append(c.Menus, c.Menus[0])
			c.Menus[1].User = name
			_, err = d.UserByLogin(t.Context(), name)
			want = !errors.Is(err, domain.ErrInvalid)
			if _, err := c.Files(); (err == nil) != want {
				t.Errorf("login %q: the domain takes it: %t; a configuration: %v", name, want, err)
			}
		}
	})
}

// userData is what the present instance was launched with.
func (y *yard) userData() string {
	y.Helper()
	d, err := y.client().Describe(y.Context())
	y.must(err)
	text := ""
	look := y.cloud.Network(func(m fakeaws.Machine, _ int) http.Handler {
		text = m.UserData
		return http.NotFoundHandler()
	})
	q, err := http.NewRequestWithContext(y.Context(), http.MethodGet, "http://"+d.Address+":8787/", nil)
	y.must(err)
	answer, err := look.RoundTrip(q)
	y.must(err)
	y.must(answer.Body.Close())
	return text
}

// The host has another project when it is replaced, is root in both until then,
// and the projects themselves are never touched.
func TestSharedStorage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		d := y.domain()
		common, err := d.Project(t.Context(), "common")
		y.must(err)
		other, err := d.CreateProject(t.Context(), domain.CreateProjectRequest{Name: "other", Groups: []string{"genomics"}})
		y.must(err)
		before := len(y.cloud.Calls())
		y.deploy()
		boots := func(p domain.Project) {
			t.Helper()
			for _, want := range []string{"STORAGE=" + p.Directory.AccessPoint + "\n", "STORAGE_PATH=/projects/" + p.Name + "\n"} {
				if text := strings.ReplaceAll(y.userData(), "\n   ", "\n"); !strings.Contains(text, want) {
					t.Errorf("the host boots without %q", want)
				}
			}
		}
		boots(common)
		q := y.request()
		q.SharedStorage = "other"
		deploy := func(points ...string) workbench.Deployed {
			t.Helper()
			done, err := y.client().Deploy(t.Context(), q)
			y.must(err)
			text := y.hostPolicy()
			for _, p := range []domain.Project{common, other} {
				want := strings.Contains(strings.Join(points, " "), p.Name)
				if got := strings.Contains(text, "access-point/"+p.Directory.AccessPoint+`"`); got != want {
					t.Errorf("the role has root access to %s: %t, want it to: %t", p.Name, got, want)
				}
			}
			return done
		}
		if done := deploy("common", "other"); len(done.ReplaceDue) != 1 || !strings.Contains(done.ReplaceDue[0], "shared storage") {
			t.Errorf("%+v: want it to be replaced", done)
		}
		boots(common)
		y.must(replaceAct(y))
		time.Sleep(2 * time.Minute)
		boots(other)
		if done := deploy("other"); done.ReplaceDue != nil {
			t.Errorf("%+v", done)
		}
		about, err := y.client().Describe(t.Context())
		y.must(err)
		if about.SharedStorage != "other" || about.Problems != nil {
			t.Errorf("%+v", about)
		}
		y.must(removeAllAct(y))
		for _, c := range y.cloud.Calls()[before:] {
			if strings.HasPrefix(c.Action, "elasticfilesystem:") {
				t.Errorf("%s is called", c.Action)
			}
		}
		points, err := awsefs.NewFromConfig(y.steady()).DescribeAccessPoints(t.Context(), &awsefs.DescribeAccessPointsInput{AccessPointId: aws.String(other.Directory.AccessPoint)})
		if err != nil || len(points.AccessPoints) != 1 {
			t.Errorf("the project's access point: %v, %v", points, err)
		}
	})
}

// A project that is not finished is waited for, and one that was deleted is told.
func TestSharedStorageIsNotThere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		late := domain.CreateProjectRequest{Name: "late", Groups: []string{"genomics"}}
		ctx, interrupt := context.WithCancel(t.Context())
		domains, err := domain.NewFromConfig(y.cloud.Config(), domain.Config{Store: y.store, Progress: func(domain.Progress) { interrupt() }})
		y.must(err)
		d, err := domains.Get(ctx, "research")
		y.must(err)
		if _, err := d.CreateProject(ctx, late); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, want it to be interrupted", err)
		}
		q := y.request()
		q.SharedStorage = "late"
		_, err = y.client().Deploy(t.Context(), q)
		y.is(err, domain.ErrState, "project late has not ended", "call CreateProject again")
		_, err = y.client().Describe(t.Context())
		y.is(err, domain.ErrNotFound)
		_, err = y.domain().CreateProject(t.Context(), late)
		y.must(err)
		_, err = y.client().Deploy(t.Context(), q)
		y.must(err)
		time.Sleep(2 * time.Minute)

		told := func() string {
			t.Helper()
			about, err := y.client().Describe(t.Context())
			y.must(err)
			return strings.Join(about.Problems, "\n")
		}
		if got := told(); got != "" {
			t.Errorf("with its project it says %q", got)
		}
		const want = "Project late, the shared storage, was deleted since the last Deploy"
		y.must(y.domain().DeleteProject(t.Context(), "late"))
		if got := told(); !strings.HasPrefix(got, want) {
			t.Errorf("without it says %q", got)
		}
		_, err = y.client().Deploy(t.Context(), q)
		y.is(err, domain.ErrInvalid, "no project late")
		_, err = y.domain().CreateProject(t.Context(), late)
		y.must(err)
		if got := told(); !strings.HasPrefix(got, want) {
			t.Errorf("with another of its name it says %q", got)
		}
		done, err := y.client().Deploy(t.Context(), q)
		y.must(err)
		if len(done.ReplaceDue) != 1 {
			t.Errorf("%+v: want it to be replaced", done)
		}
		y.must(replaceAct(y))
		time.Sleep(2 * time.Minute)
		if got := told(); got != "" {
			t.Errorf("in the end it says %q", got)
		}
	})
}
