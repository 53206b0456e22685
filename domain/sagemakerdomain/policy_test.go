package sagemakerdomain_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
)

// allowedBy are the actions that a policy allows.
func allowedBy(t testing.TB, text string) (actions []string) {
	t.Helper()
	var p struct{ Statement []struct{ Action []string } }
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Statement {
		actions = append(actions, s.Action...)
	}
	return actions
}

// What the calls of a whole life need is in the policies, and nothing that changes is in
// the reader's.
func TestPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow(failing))
		c := w.client()
		p := c.Policy()
		golden(t, "policy-administrator.golden", p.Administrator+"\n")
		golden(t, "policy-reader.golden", p.Reader+"\n")
		golden(t, "policy-adopter.golden", p.Adopter+"\n")
		steps := map[string]func(){
			p.Administrator: func() {
				d := w.domain()
				w.home = d.FileSystem
				w.profile(d.ID, "alice")
				w.session(d.ID, "alice")
				_, err := c.UpdateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: w.domain().ID, Name: w.profile(d.ID, "bob").Name, Access: sagemakerdomain.AccessAdmin})
				w.must(err)
				_, err = w.cloud.PushImage(ecr+"r:1", sessionImage)
				w.must(err)
				_, err = c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "r", Role: userRole})
				w.must(err)
				_, err = c.AddVersion(t.Context(), sagemakerdomain.AddVersionRequest{Image: "r", Base: ecr + "r:1"})
				w.must(err)
				_, err = c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "r", Restart: true, EndSessions: true})
				w.must(err)
				_, err = c.PresignedURL(t.Context(), sagemakerdomain.URLRequest{Domain: d.ID, Profile: "alice"})
				w.must(err)
			},
			p.Reader: func() {
				for d, err := range c.Domains(t.Context()) {
					w.must(err)
					_, err = c.Describe(t.Context(), d.ID)
					w.must(err)
					_, err = c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID})
					w.must(err)
					_, err = c.PreviewDeleteProfile(t.Context(), sagemakerdomain.DeleteProfileRequest{Domain: d.ID, Name: "alice"})
					w.must(err)
					_, err = c.Effective(t.Context(), d.ID, "alice")
					w.must(err)
					collect(t, c.Apps(t.Context(), sagemakerdomain.AppFilter{}))
					_, err = c.App(t.Context(), sagemakerdomain.AppID{Domain: d.ID, Profile: "domain-shared", Type: sagemakerdomain.RStudioServer, Name: "default"})
					w.must(err)
				}
				collect(t, c.ImageUses(t.Context(), "r", 0))
				collect(t, c.Versions(t.Context(), "r"))
				collect(t, c.Images(t.Context()))
				_, err := c.Quotas(t.Context())
				w.must(err)
				_, err = c.CheckDomain(t.Context(), w.request())
				w.must(err)
				for d, err := range c.Domains(t.Context()) {
					w.must(err)
					_, err = c.PreviewAdopt(t.Context(), w.domains(store.NewMemory()), sagemakerdomain.AdoptRequest{ID: d.ID, Name: "research"})
					w.must(err)
				}
			},
			p.Adopter: func() {
				to := w.domains(store.NewMemory())
				for d, err := range c.Domains(t.Context()) {
					w.must(err)
					ours, err := c.Adopt(t.Context(), to, sagemakerdomain.AdoptRequest{ID: d.ID, Name: "research"})
					w.must(err)
					_, err = c.Diff(t.Context(), ours)
					w.must(err)
					for u, err := range ours.Users(t.Context()) {
						w.must(err)
						w.must(ours.Offboard(t.Context(), u.Name))
					}
					w.must(to.Delete(t.Context(), "research"))
				}
			},
			"end": func() {
				for d, err := range c.Domains(t.Context()) {
					w.must(err)
					_, err = c.DetachImage(t.Context(), sagemakerdomain.DetachRequest{Domain: d.ID, Image: "r"})
					w.must(err)
					w.space(d.ID, "alice", "lab", "JupyterLab")
					time.Sleep(time.Minute)
					before := len(w.cloud.Calls())
					w.must(c.DeleteVersion(t.Context(), "r", 1))
					w.must(c.DeleteImage(t.Context(), "r"))
					w.must(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID, DeleteMountTargetsOf: w.home}))
					w.allows(p.Administrator, before)
				}
			},
		}
		for _, policy := range []string{p.Administrator, p.Reader, p.Adopter} {
			before := len(w.cloud.Calls())
			steps[policy]()
			w.allows(policy, before)
			time.Sleep(time.Minute)
		}
		steps["end"]()
		for _, action := range allowedBy(t, p.Reader) {
			_, name, _ := strings.Cut(action, ":")
			if !slices.ContainsFunc([]string{"Describe", "List", "Get", "BatchGet"}, func(s string) bool { return strings.HasPrefix(name, s) }) {
				t.Errorf("a reader may %s", action)
			}
		}
		for _, action := range allowedBy(t, p.Administrator) {
			if name, ours := strings.CutPrefix(action, "sagemaker:"); ours {
				if _, called := reflect.TypeFor[sagemakerdomain.API]().MethodByName(name); !called {
					t.Errorf("%s is allowed, and nothing calls it", action)
				}
			}
		}
	})
}

// allows checks that a policy allows what was called from a call on.
func (w *world) allows(policy string, from int) {
	w.Helper()
	allowed := allowedBy(w, policy)
	for _, c := range w.cloud.Calls()[from:] {
		if !slices.Contains(allowed, c.Action) && !strings.HasPrefix(c.Action, "rstudio:") && !strings.HasPrefix(c.Action, "registry:") {
			w.Errorf("%s is called, and not allowed", c.Action)
		}
	}
}
