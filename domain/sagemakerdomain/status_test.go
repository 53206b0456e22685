package sagemakerdomain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// ok is that a call succeeds.
const ok = domain.Kind("")

// check compares the outcome of a call with its kind.
func (w *world) check(call string, err error, want domain.Kind) {
	w.Helper()
	if want == ok && err != nil || want != ok && !errors.Is(err, want) {
		w.Errorf("%s: got %v, want %q", call, err, want)
	}
}

const late = "SageMaker could not"

// domainStates bring a domain into a status.
var domainStates = map[types.DomainStatus]struct {
	faults []fakeaws.Fault
	bring  func(*world, string)
	// What the calls come to, in the order of domainCalls.
	want [11]domain.Kind
}{
	types.DomainStatusPending:   {nil, func(*world, string) { time.Sleep(3 * time.Second) }, [11]domain.Kind{ok, ok, ok, ok, ok, ok, ok, ok, domain.ErrState, ok, ok}},
	types.DomainStatusInService: {nil, (*world).inService, [11]domain.Kind{ok, ok, ok, ok, ok, ok, ok, ok, ok, ok, ok}},
	types.DomainStatusUpdating: {nil, func(w *world, id string) { w.inService(id); w.touch(id); time.Sleep(3 * time.Second) }, [11]domain.Kind{
		ok, ok, ok, ok, ok, ok, ok, ok, ok, ok, ok,
	}},
	types.DomainStatusDeleting: {nil, func(w *world, id string) { w.inService(id); w.remove(id); time.Sleep(3 * time.Second) }, [11]domain.Kind{
		ok /* another is made */, domain.ErrNotFound, ok, domain.ErrNotFound, domain.ErrNotFound, domain.ErrNotFound, domain.ErrNotFound, ok,
		domain.ErrState, ok, ok,
	}},
	types.DomainStatusFailed: {[]fakeaws.Fault{{Action: "sagemaker:CreateDomain", Nth: 1, Reason: late}}, (*world).still, [11]domain.Kind{
		domain.ErrState, domain.ErrState, ok, domain.ErrState, domain.ErrState, domain.ErrState, domain.ErrState, ok,
		domain.ErrState, ok, ok,
	}},
	types.DomainStatusUpdateFailed: {[]fakeaws.Fault{{Action: "sagemaker:UpdateDomain", Nth: 1, Reason: late}},
		func(w *world, id string) { w.inService(id); w.touch(id); w.still(id) }, [11]domain.Kind{domain.ErrState, ok, ok, ok, ok, ok, ok, ok, ok, ok, ok}},
	types.DomainStatusDeleteFailed: {[]fakeaws.Fault{{Action: "sagemaker:DeleteDomain", Nth: 1, Reason: late}},
		func(w *world, id string) { w.inService(id); w.remove(id); w.still(id) },
		[11]domain.Kind{domain.ErrState, domain.ErrState, ok, domain.ErrState, domain.ErrState, domain.ErrState, domain.ErrState, ok, domain.ErrState, ok, ok}},
}

// domainCalls are what can be done with a domain.
var domainCalls = [11]struct {
	name string
	call func(*world, *sagemakerdomain.Client, string) error
}{
	{"CreateDomain", func(w *world, c *sagemakerdomain.Client, _ string) error {
		_, err := c.CreateDomain(w.Context(), w.request())
		return err
	}},
	{"UpdateDomain", func(w *world, c *sagemakerdomain.Client, id string) error {
		_, err := c.UpdateDomain(w.Context(), sagemakerdomain.UpdateDomainRequest{Domain: id, PackageManagerURL: "https://packages.example.com"})
		return err
	}},
	{"DeleteDomain", func(w *world, c *sagemakerdomain.Client, id string) error {
		return c.DeleteDomain(w.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id})
	}},
	{"CreateProfile", func(w *world, c *sagemakerdomain.Client, id string) error {
		_, err := c.CreateProfile(w.Context(), sagemakerdomain.ProfileRequest{Domain: id, Name: "alice"})
		return err
	}},
	{"AttachImage", func(w *world, c *sagemakerdomain.Client, id string) error {
		w.imageOf("r-session", "2025.05")
		_, err := c.AttachImage(w.Context(), sagemakerdomain.AttachRequest{Domain: id, Image: "r-session"})
		return err
	}},
	{"DetachImage", func(w *world, c *sagemakerdomain.Client, id string) error {
		_, err := c.DetachImage(w.Context(), sagemakerdomain.DetachRequest{Domain: id, Image: "r-session"})
		return err
	}},
	{"RestartServer", func(w *world, c *sagemakerdomain.Client, id string) error {
		return c.RestartServer(w.Context(), sagemakerdomain.RestartRequest{Domain: id})
	}},
	{"Describe", func(w *world, c *sagemakerdomain.Client, id string) error {
		_, err := c.Describe(w.Context(), id)
		return err
	}},
	{"Adopt", func(w *world, c *sagemakerdomain.Client, id string) error {
		time.Sleep(5 * time.Second) // a read may be late, and what it finds is told, not waited for
		_, err := c.Adopt(w.Context(), w.domains(store.NewMemory()), sagemakerdomain.AdoptRequest{ID: id, Name: "research"})
		return err
	}},
	{"PreviewAdopt", func(w *world, c *sagemakerdomain.Client, id string) error {
		time.Sleep(5 * time.Second)
		would, err := c.PreviewAdopt(w.Context(), w.domains(store.NewMemory()), sagemakerdomain.AdoptRequest{ID: id, Name: "research"})
		if err == nil && w.domainStatus(id) != "" {
			w.blocked(id, would)
		}
		return err
	}},
	{"Diff", func(w *world, c *sagemakerdomain.Client, id string) error {
		// One of ours over the same, as Adopt made it before the status came.
		ours, err := w.domains(store.NewMemory()).Create(w.Context(), domain.CreateRequest{
			Name: "research", VPC: w.cloud.DefaultVPC(), Subnets: []string{w.cloud.Subnets()[0].ID},
			External: domain.External{Keeper: "SageMaker domain " + id, FileSystem: w.home},
		})
		w.must(err)
		before := w.domainStatus(id)
		differences, err := c.Diff(w.Context(), ours)
		if after := w.domainStatus(id); after != before {
			w.Fatalf("the domain was %s, and is %s", before, after)
		}
		if err == nil {
			w.blocked(id, differences)
		}
		return err
	}},
}

// blocked checks that what is listed of an adoption is blocked by the status of the domain
// where that keeps it from being adopted.
func (w *world) blocked(id string, list []domain.Consequence) {
	w.Helper()
	status := w.domainStatus(id)
	line := fmt.Sprintf("blocks: domain %s (it is %s", id, status)
	serves := status == types.DomainStatusInService || status == types.DomainStatusUpdating || status == types.DomainStatusUpdateFailed
	if strings.Contains(lines(list), line) == serves {
		w.Errorf("in status %s it lists\n%s", status, lines(list))
	}
}

// still waits until nothing is under way of a domain.
func (w *world) still(id string) {
	w.Helper()
	time.Sleep(3 * time.Second)
	w.settle(func() bool {
		switch w.domainStatus(id) {
		case types.DomainStatusPending, types.DomainStatusUpdating, types.DomainStatusDeleting, "":
			return false
		}
		return true
	})
	time.Sleep(3 * time.Second)
}

// touch updates a domain, and remove deletes it, by the API itself.
func (w *world) touch(id string) {
	w.Helper()
	_, err := w.sm.UpdateDomain(w.Context(), &awssagemaker.UpdateDomainInput{DomainId: &id})
	w.must(err)
}

func (w *world) remove(id string) {
	w.Helper()
	_, err := w.sm.DeleteApp(w.Context(), &awssagemaker.DeleteAppInput{DomainId: &id, AppType: types.AppTypeRStudioServerPro, AppName: new("default"), UserProfileName: new("domain-shared")})
	w.must(err)
	time.Sleep(3 * time.Minute)
	_, err = w.sm.DeleteDomain(w.Context(), &awssagemaker.DeleteDomainInput{DomainId: &id})
	w.must(err)
}

// Every status that the SDK knows of a domain, with every call.
func TestDomainStatuses(t *testing.T) {
	for _, status := range types.DomainStatus("").Values() {
		s, known := domainStates[status]
		if !known {
			t.Errorf("SageMaker has the status %s of domains: say what the calls do with it", status)
			continue
		}
		for i, c := range domainCalls {
			t.Run(fmt.Sprintf("%s/%s", status, c.name), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, slow(s.faults...))
					if c.name == "Diff" {
						w.home, _ = w.customFiles(w.group("files"))
					}
					id := w.raw(ours)
					s.bring(w, id)
					if got := w.domainStatus(id); got != status {
						t.Fatalf("the domain is %q", got)
					}
					w.check(c.name, c.call(w, w.client(), id), s.want[i])
				})
			})
		}
	}
}

// profileStates bring a user profile into a status; what CreateProfile, UpdateProfile,
// DeleteProfile and Profile come to.
var profileStates = map[types.UserProfileStatus]struct {
	fault fakeaws.Fault
	calls []string // by the API itself, after the creation
	still bool
	want  [4]domain.Kind
}{
	types.UserProfileStatusPending:      {want: [4]domain.Kind{ok, ok, ok, ok}},
	types.UserProfileStatusInService:    {still: true, want: [4]domain.Kind{ok, ok, ok, ok}},
	types.UserProfileStatusUpdating:     {calls: []string{"update"}, want: [4]domain.Kind{ok, ok, ok, ok}},
	types.UserProfileStatusDeleting:     {calls: []string{"delete"}, want: [4]domain.Kind{domain.ErrNotFound, domain.ErrNotFound, ok, ok}},
	types.UserProfileStatusFailed:       {fault: fakeaws.Fault{Action: "sagemaker:CreateUserProfile", Nth: 1, Reason: late}, still: true, want: [4]domain.Kind{domain.ErrState, domain.ErrState, ok, ok}},
	types.UserProfileStatusUpdateFailed: {fault: fakeaws.Fault{Action: "sagemaker:UpdateUserProfile", Nth: 1, Reason: late}, calls: []string{"update"}, still: true, want: [4]domain.Kind{domain.ErrState, ok, ok, ok}},
	types.UserProfileStatusDeleteFailed: {fault: fakeaws.Fault{Action: "sagemaker:DeleteUserProfile", Nth: 1, Reason: late}, calls: []string{"delete"}, still: true, want: [4]domain.Kind{domain.ErrState, domain.ErrState, ok, ok}},
}

func TestProfileStatuses(t *testing.T) {
	calls := [4]struct {
		name string
		call func(*world, *sagemakerdomain.Client, string) error
	}{
		{"CreateProfile", func(w *world, c *sagemakerdomain.Client, id string) error {
			_, err := c.CreateProfile(w.Context(), sagemakerdomain.ProfileRequest{Domain: id, Name: "alice"})
			return err
		}},
		{"UpdateProfile", func(w *world, c *sagemakerdomain.Client, id string) error {
			_, err := c.UpdateProfile(w.Context(), sagemakerdomain.ProfileRequest{Domain: id, Name: "alice", Access: sagemakerdomain.AccessAdmin})
			return err
		}},
		{"DeleteProfile", func(w *world, c *sagemakerdomain.Client, id string) error {
			return c.DeleteProfile(w.Context(), sagemakerdomain.DeleteProfileRequest{Domain: id, Name: "alice"})
		}},
		{"Profile", func(w *world, c *sagemakerdomain.Client, id string) error {
			_, err := c.Profile(w.Context(), id, "alice")
			return err
		}},
	}
	for _, status := range types.UserProfileStatus("").Values() {
		s, known := profileStates[status]
		if !known {
			t.Errorf("SageMaker has the status %s of user profiles: say what the calls do with it", status)
			continue
		}
		for i, c := range calls {
			t.Run(fmt.Sprintf("%s/%s", status, c.name), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					cfg := slow()
					if s.fault.Action != "" {
						cfg = slow(s.fault)
					}
					w := newWorld(t, cfg)
					id := w.domain().ID
					name := "alice"
					_, err := w.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &id, UserProfileName: &name})
					w.must(err)
					for _, call := range s.calls {
						time.Sleep(time.Minute)
						if call == "update" {
							_, err = w.sm.UpdateUserProfile(t.Context(), &awssagemaker.UpdateUserProfileInput{DomainId: &id, UserProfileName: &name})
						} else {
							_, err = w.sm.DeleteUserProfile(t.Context(), &awssagemaker.DeleteUserProfileInput{DomainId: &id, UserProfileName: &name})
						}
						w.must(err)
					}
					time.Sleep(3 * time.Second)
					if s.still {
						time.Sleep(time.Minute)
					}
					out, err := w.sm.DescribeUserProfile(t.Context(), &awssagemaker.DescribeUserProfileInput{DomainId: &id, UserProfileName: &name})
					w.must(err)
					if out.Status != status {
						t.Fatalf("the profile is %s", out.Status)
					}
					w.check(c.name, c.call(w, w.client(), id), s.want[i])
				})
			})
		}
	}
}

// Every status of an app, with the calls for one.
func TestAppStatuses(t *testing.T) {
	fails := fakeaws.Fault{Action: "sagemaker:CreateApp", Subject: "alice/JupyterServer/default", Nth: 1, Reason: late}
	states := map[types.AppStatus]struct {
		fault  fakeaws.Fault
		delete bool
		wait   time.Duration
	}{
		types.AppStatusPending:   {wait: 3 * time.Second},
		types.AppStatusInService: {wait: 3 * time.Minute},
		types.AppStatusDeleting:  {delete: true, wait: 3 * time.Second},
		types.AppStatusDeleted:   {delete: true, wait: 3 * time.Minute},
		types.AppStatusFailed:    {fault: fails, wait: 3 * time.Minute},
	}
	for _, status := range types.AppStatus("").Values() {
		s, known := states[status]
		if !known {
			t.Errorf("SageMaker has the status %s of apps: say what the calls do with it", status)
			continue
		}
		for _, call := range []string{"StartApp", "DeleteApp"} {
			t.Run(fmt.Sprintf("%s/%s", status, call), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					cfg := slow()
					if s.fault.Action != "" {
						cfg = slow(s.fault)
					}
					w := newWorld(t, cfg)
					id := w.domain().ID
					w.profile(id, "alice")
					app := sagemakerdomain.AppID{Domain: id, Profile: "alice", Type: sagemakerdomain.StudioClassic, Name: "default"}
					_, err := w.sm.CreateApp(t.Context(), &awssagemaker.CreateAppInput{DomainId: &id, UserProfileName: new("alice"), AppType: types.AppTypeJupyterServer, AppName: new("default")})
					w.must(err)
					if s.delete {
						time.Sleep(3 * time.Minute)
						_, err := w.sm.DeleteApp(t.Context(), &awssagemaker.DeleteAppInput{DomainId: &id, UserProfileName: new("alice"), AppType: types.AppTypeJupyterServer, AppName: new("default")})
						w.must(err)
					}
					time.Sleep(s.wait)
					if got := w.status(app); string(got) != string(status) {
						t.Fatalf("the app is %s", got)
					}
					if call == "DeleteApp" {
						w.must(w.client().DeleteApp(t.Context(), app))
						for a, err := range w.client().Apps(t.Context(), sagemakerdomain.AppFilter{Domain: id, Profile: "alice"}) {
							w.must(err)
							if a.Status != sagemakerdomain.Failed {
								t.Errorf("there is still %+v", a)
							}
						}
						return
					}
					a, err := w.client().StartApp(t.Context(), sagemakerdomain.StartAppRequest{AppID: app})
					w.must(err)
					if a.Status != sagemakerdomain.InService && a.Status != sagemakerdomain.Pending { // a read may be late
						t.Errorf("got %+v", a)
					}
				})
			})
		}
	}
}

// Every status of a space ends in its being deleted.
func TestSpaceStatuses(t *testing.T) {
	states := map[types.SpaceStatus]struct {
		fault fakeaws.Fault
		call  string // by the API itself, a minute after the creation
		wait  time.Duration
	}{
		types.SpaceStatusPending:      {wait: 3 * time.Second},
		types.SpaceStatusInService:    {wait: time.Minute},
		types.SpaceStatusUpdating:     {call: "update", wait: 3 * time.Second},
		types.SpaceStatusUpdateFailed: {fault: fakeaws.Fault{Action: "sagemaker:UpdateSpace", Reason: late}, call: "update", wait: time.Minute},
		types.SpaceStatusDeleting:     {call: "delete", wait: 3 * time.Second},
		types.SpaceStatusFailed:       {fault: fakeaws.Fault{Action: "sagemaker:CreateSpace", Reason: late}, wait: time.Minute},
		types.SpaceStatusDeleteFailed: {fault: fakeaws.Fault{Action: "sagemaker:DeleteSpace", Nth: 1, Reason: late}, call: "delete", wait: time.Minute},
	}
	for _, status := range types.SpaceStatus("").Values() {
		s, known := states[status]
		if !known {
			t.Errorf("SageMaker has the status %s of spaces: say what the calls do with it", status)
			continue
		}
		t.Run(string(status), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				cfg := slow()
				if s.fault.Action != "" {
					cfg = slow(s.fault)
				}
				w := newWorld(t, cfg)
				id := w.domain().ID
				_, err := w.sm.CreateSpace(t.Context(), &awssagemaker.CreateSpaceInput{DomainId: &id, SpaceName: new("lab")})
				w.must(err)
				if s.call != "" {
					time.Sleep(time.Minute)
				}
				switch s.call {
				case "update":
					_, err = w.sm.UpdateSpace(t.Context(), &awssagemaker.UpdateSpaceInput{DomainId: &id, SpaceName: new("lab"), SpaceDisplayName: new("Lab")})
				case "delete":
					_, err = w.sm.DeleteSpace(t.Context(), &awssagemaker.DeleteSpaceInput{DomainId: &id, SpaceName: new("lab")})
				}
				w.must(err)
				time.Sleep(s.wait)
				out, err := w.sm.DescribeSpace(t.Context(), &awssagemaker.DescribeSpaceInput{DomainId: &id, SpaceName: new("lab")})
				w.must(err)
				if out.Status != status {
					t.Fatalf("the space is %s", out.Status)
				}
				w.must(w.client().DeleteSpace(t.Context(), id, "lab"))
				if left := collect(t, w.client().Spaces(t.Context(), id)); len(left) != 0 {
					t.Errorf("there is still %+v", left)
				}
			})
		})
	}
}
