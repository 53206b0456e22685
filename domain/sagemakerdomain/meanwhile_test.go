package sagemakerdomain_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
)

// meanwhile is a client that others come between: what happens is done before each call of
// AWS, of which it is told the name and the input.
func (w *world) meanwhile(happens func(call string, in any)) *sagemakerdomain.Client {
	w.Helper()
	cfg := w.cloud.Config()
	cfg.APIOptions = append(slices.Clone(cfg.APIOptions), func(s *middleware.Stack) error {
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("meanwhile", func(
			ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
		) (middleware.InitializeOutput, middleware.Metadata, error) {
			happens(awsmiddleware.GetOperationName(ctx), in.Parameters)
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
	})
	c, err := sagemakerdomain.NewFromConfig(cfg, sagemakerdomain.Config{})
	w.must(err)
	return c
}

// before has something happen once, before a call, and before it only after another.
func before(call, after string, happens func()) func(string, any) {
	var seen, done atomic.Bool
	seen.Store(after == "")
	return func(name string, _ any) {
		if name == after {
			seen.Store(true)
		}
		if name == call && seen.Load() && done.CompareAndSwap(false, true) {
			happens()
		}
	}
}

// runs checks that an app was not ended.
func (w *world) runs(id sagemakerdomain.AppID) {
	w.Helper()
	if s := w.status(id); s != "Pending" && s != "InService" {
		w.Errorf("%s is %s", id, s)
	}
}

// What nobody has allowed to go stays, also what is begun after the look that found nothing.
func TestWhatIsBegunMeanwhileStays(t *testing.T) {
	for name, end := range map[string]func(w *world, d sagemakerdomain.Description, begin func() sagemakerdomain.AppID) error{
		"RestartServer": func(w *world, d sagemakerdomain.Description, begin func() sagemakerdomain.AppID) error {
			return w.meanwhile(before("AddTags", "", func() { begin() })).RestartServer(w.Context(), sagemakerdomain.RestartRequest{Domain: d.ID})
		},
		"UpdateDomain": func(w *world, d sagemakerdomain.Description, begin func() sagemakerdomain.AppID) error {
			_, err := w.meanwhile(before("AddTags", "", func() { begin() })).UpdateDomain(w.Context(), sagemakerdomain.UpdateDomainRequest{Domain: d.ID, WorkbenchInstance: "ml.c5.4xlarge"})
			return err
		},
		"UpdateDomain without a subnet": func(w *world, d sagemakerdomain.Description, begin func() sagemakerdomain.AppID) error {
			_, err := w.meanwhile(before("AddTags", "", func() { begin() })).UpdateDomain(w.Context(), sagemakerdomain.UpdateDomainRequest{Domain: d.ID, Subnets: d.Subnets[:1]})
			return err
		},
		// SageMaker itself makes the server again where its role may, and people come back.
		"UpdateDomain after the update": func(w *world, d sagemakerdomain.Description, begin func() sagemakerdomain.AppID) error {
			_, err := w.meanwhile(before("ListApps", "UpdateDomain", func() {
				_, err := w.sm.CreateApp(w.Context(), &awssagemaker.CreateAppInput{
					DomainId: &d.ID, UserProfileName: aws.String("domain-shared"), AppType: types.AppTypeRStudioServerPro, AppName: aws.String("default"),
				})
				w.must(err)
				time.Sleep(3 * time.Minute)
				begin()
			})).UpdateDomain(w.Context(), sagemakerdomain.UpdateDomainRequest{Domain: d.ID, WorkbenchInstance: "ml.c5.4xlarge"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, slow())
				d := w.domain()
				w.profile(d.ID, "alice")
				var session sagemakerdomain.AppID
				err := end(w, d, func() sagemakerdomain.AppID {
					session = w.session(d.ID, "alice")
					time.Sleep(10 * time.Second) // until lists show it
					return session
				})
				w.is(err, domain.ErrState)
				if session.Name == "" {
					t.Fatal("nothing was begun")
				}
				w.runs(session)
				about, err := w.client().Describe(t.Context(), d.ID)
				w.must(err)
				if !about.RestartDue {
					t.Error("that the server is to be made again is forgotten")
				}
			})
		})
	}
}

// A space that is made while the apps of its owner end stays, with its volume.
func TestSpaceMadeMeanwhileStays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		d := w.domain()
		w.profile(d.ID, "alice")
		w.session(d.ID, "alice")
		time.Sleep(time.Minute)
		c := w.meanwhile(before("DeleteApp", "", func() { w.space(d.ID, "alice", "lab", types.AppTypeJupyterLab) }))
		w.is(c.DeleteProfile(t.Context(), sagemakerdomain.DeleteProfileRequest{Domain: d.ID, Name: "alice"}), domain.ErrState, "it owns spaces: lab")
		if left := collect(t, c.Spaces(t.Context(), d.ID)); len(left) != 1 || left[0].Status != sagemakerdomain.InService {
			t.Errorf("spaces are %+v", left)
		}
		w.must(c.DeleteProfile(t.Context(), sagemakerdomain.DeleteProfileRequest{Domain: d.ID, Name: "alice", DeleteSpaces: true}))
	})
}

// What is begun while something is emptied that is to go is ended too, where that is allowed.
func TestWhatIsBegunMeanwhileEnds(t *testing.T) {
	lab := func(w *world, id string) {
		_, err := w.sm.CreateApp(w.Context(), &awssagemaker.CreateAppInput{
			DomainId: &id, SpaceName: aws.String("lab"), AppType: types.AppTypeJupyterLab, AppName: aws.String("late"),
		})
		w.must(err)
	}
	session := func(w *world, id string) { w.session(id, "alice") }
	for name, test := range map[string]struct {
		before string
		begin  func(*world, string)
		call   func(*sagemakerdomain.Client, context.Context, string) error
	}{
		"DeleteSpace": {"DeleteSpace", lab, func(c *sagemakerdomain.Client, ctx context.Context, id string) error {
			return c.DeleteSpace(ctx, id, "lab")
		}},
		"DeleteProfile": {"DeleteUserProfile", session, func(c *sagemakerdomain.Client, ctx context.Context, id string) error {
			return c.DeleteProfile(ctx, sagemakerdomain.DeleteProfileRequest{Domain: id, Name: "alice", DeleteSpaces: true})
		}},
		"DeleteDomain, in a space": {"DeleteSpace", lab, func(c *sagemakerdomain.Client, ctx context.Context, id string) error {
			return c.DeleteDomain(ctx, sagemakerdomain.DeleteDomainRequest{Domain: id})
		}},
		"DeleteDomain, before its server": {"the server", session, func(c *sagemakerdomain.Client, ctx context.Context, id string) error {
			return c.DeleteDomain(ctx, sagemakerdomain.DeleteDomainRequest{Domain: id})
		}},
		"RestartServer": {"the server", session, func(c *sagemakerdomain.Client, ctx context.Context, id string) error {
			return c.RestartServer(ctx, sagemakerdomain.RestartRequest{Domain: id, EndSessions: true})
		}},
		"UpdateDomain": {"the server", session, func(c *sagemakerdomain.Client, ctx context.Context, id string) error {
			_, err := c.UpdateDomain(ctx, sagemakerdomain.UpdateDomainRequest{Domain: id, WorkbenchInstance: "ml.c5.4xlarge", EndApps: true})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, slow())
				d := w.domain()
				w.profile(d.ID, "alice")
				w.space(d.ID, "alice", "lab", types.AppTypeJupyterLab)
				begun := false
				happens := before(test.before, "", func() { begun = true; test.begin(w, d.ID) })
				c := w.meanwhile(func(call string, in any) {
					if app, ok := in.(*awssagemaker.DeleteAppInput); ok && app.AppType == types.AppTypeRStudioServerPro {
						call = "the server"
					}
					happens(call, in)
				})
				w.must(test.call(c, t.Context(), d.ID))
				if !begun {
					t.Error("nothing was begun")
				}
			})
		})
	}
}

// What is begun again and again is given up, and says so.
func TestWhatIsBegunAgainAndAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		d := w.domain()
		w.profile(d.ID, "alice")
		c := w.meanwhile(func(call string, _ any) {
			if call == "DeleteUserProfile" {
				_, err := w.sm.CreateApp(t.Context(), &awssagemaker.CreateAppInput{
					DomainId: &d.ID, UserProfileName: aws.String("alice"), AppType: types.AppTypeJupyterServer, AppName: aws.String("default"),
				})
				w.must(err)
			}
		})
		before := w.calls("sagemaker:DeleteUserProfile")
		w.is(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID}), domain.ErrState, "as fast as it is emptied", "App(s) are associated with it")
		if n := w.calls("sagemaker:DeleteUserProfile") - before; n != 5 {
			t.Errorf("it was tried %d times", n)
		}
	})
}

// What others change while apps end for an update is not written back as it was.
func TestUpdateKeepsWhatIsChangedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		q := w.request()
		q.PackageManagerURL = "https://packages.example.com"
		d, err := w.client().CreateDomain(t.Context(), q)
		w.must(err)
		w.profile(d.ID, "alice")
		w.imageOf("one", "one")
		w.imageOf("two", "two")
		_, err = w.client().AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "one"})
		w.must(err)
		w.session(d.ID, "alice")
		c := w.meanwhile(before("DeleteApp", "", func() {
			_, err := w.client().AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "two"})
			w.must(err)
			_, err = w.sm.UpdateDomain(t.Context(), &awssagemaker.UpdateDomainInput{DomainId: &d.ID, DomainSettingsForUpdate: &types.DomainSettingsForUpdate{
				RStudioServerProDomainSettingsForUpdate: &types.RStudioServerProDomainSettingsForUpdate{
					DomainExecutionRoleArn: aws.String(serverRole), RStudioPackageManagerUrl: aws.String("https://new.example.com"),
				},
			}})
			w.must(err)
			w.still(d.ID)
		}))
		after, err := c.UpdateDomain(t.Context(), sagemakerdomain.UpdateDomainRequest{
			Domain: d.ID, SessionInstance: "ml.m5.large", ConnectURL: "https://other.example.com", EndApps: true,
		})
		w.must(err)
		if len(after.Images) != 2 || after.SessionInstance != "ml.m5.large" || after.RestartDue || after.RStudio.ConnectURL != "https://other.example.com" ||
			after.RStudio.PackageManagerURL != "https://new.example.com" {
			t.Errorf("got %+v, %+v", after, after.RStudio)
		}
	})
}

// An update and the list of images take turns in one Client.
func TestUpdateTakesItsTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		d := w.domain()
		w.imageOf("one", "one")
		var c *sagemakerdomain.Client
		var other sync.WaitGroup
		c = w.meanwhile(before("UpdateDomain", "", func() {
			other.Go(func() {
				_, err := c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "one"})
				if err != nil {
					t.Error(err)
				}
			})
			time.Sleep(time.Minute)
		}))
		_, err := c.UpdateDomain(t.Context(), sagemakerdomain.UpdateDomainRequest{Domain: d.ID, SessionInstance: "ml.m5.large"})
		other.Wait()
		w.must(err)
		time.Sleep(time.Minute)
		after, err := c.Describe(t.Context(), d.ID)
		w.must(err)
		if len(after.Images) != 1 || after.SessionInstance != "ml.m5.large" {
			t.Errorf("got %+v", after)
		}
	})
}

// Apps end at the same time, and not each after the one before.
func TestAppsEndTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := slow()
		cfg.Quotas = map[string]int{"RSessionGateway Apps running on ml.t3.medium instance": 100, "Maximum number of running Studio apps allowed per account": 100}
		w := newWorld(t, cfg)
		d := w.domain()
		w.profile(d.ID, "alice")
		for range 40 {
			w.session(d.ID, "alice")
		}
		time.Sleep(5 * time.Minute)
		for range 8 { // whose first look may be late
			session := w.session(d.ID, "alice")
			time.Sleep(5 * time.Minute)
			w.must(w.client().DeleteApp(t.Context(), session))
		}
		begun := time.Now()
		w.must(w.client().DeleteProfile(t.Context(), sagemakerdomain.DeleteProfileRequest{Domain: d.ID, Name: "alice"}))
		if took := time.Since(begun); took > 2*cfg.Delays.App {
			t.Errorf("40 sessions ended after %v", took)
		}
		if n := w.calls("sagemaker:DeleteApp"); n != 48 {
			t.Errorf("SageMaker was asked %d times", n)
		}
	})
}

// A domain that is adopted while it is emptied is not deleted, with everybody's files.
func TestAdoptedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		d := w.domain()
		w.profile(d.ID, "ada")
		c := w.meanwhile(before("DeleteUserProfile", "", func() {
			_, err := w.client().Adopt(t.Context(), w.domains(store.NewMemory()), sagemakerdomain.AdoptRequest{ID: d.ID, Name: "own"})
			w.must(err)
		}))
		w.is(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID, DeleteFileSystem: d.FileSystem}), domain.ErrState, "domain own of ours opens its homes")
		if got := w.domainStatus(d.ID); got != types.DomainStatusInService {
			t.Errorf("the domain is %q", got)
		}
		if _, kept := w.inventory()[d.FileSystem]; !kept {
			t.Error("the files are gone")
		}
	})
}
