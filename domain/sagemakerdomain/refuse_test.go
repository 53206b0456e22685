package sagemakerdomain_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// operations are what the errors of each method say has failed.
var operations = map[string]string{
	"AddVersion": "add image version", "Adopt": "adopt", "App": "describe app", "Apps": "list apps", "AttachImage": "attach image", "CheckDomain": "check domain",
	"CheckStart": "check start", "CreateDomain": "create domain", "CreateProfile": "create profile", "DeleteApp": "delete app", "DeleteDomain": "delete domain",
	"DeleteImage": "delete image", "DeleteProfile": "delete profile", "DeleteSpace": "delete space", "DeleteVersion": "delete image version", "Describe": "describe",
	"DetachImage": "detach image", "Diff": "diff", "Domains": "list domains", "Effective": "effective settings", "ImageUses": "image uses", "NFSGroups": "find NFS groups",
	"PresignedURL": "presigned URL", "PreviewAdopt": "preview adopt", "PreviewDelete": "preview delete", "PreviewDeleteProfile": "preview delete profile",
	"PreviewRestart": "preview restart", "PreviewUpdate": "preview update", "Profile": "describe profile", "Profiles": "list profiles", "Quotas": "quotas", "Images": "list images",
	"RegisterImage": "register image", "RestartServer": "restart server", "Spaces": "list spaces", "StartApp": "start app", "UpdateDomain": "update domain",
	"UpdateProfile": "update profile", "Versions": "list image versions",
}

// plausible are values for members of requests by which a call reaches AWS.
var plausible = map[string]any{
	"Domain": "d-none", "ID": "d-none", "Name": "alice", "Profile": "alice", "Image": "genomics", "Base": ecr + "genomics:1", "VPC": "vpc-1", "Role": userRole,
	"ExecutionRole": userRole, "DomainExecutionRole": serverRole, "Subnets": []string{"subnet-1"}, "Type": sagemakerdomain.StudioClassic,
}

// filled is a value of a type for an argument or a member of one: nothing, nonsense or what
// is plausible.
func filled(t reflect.Type, name, how string) reflect.Value {
	v := reflect.New(t).Elem()
	switch {
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			if t.Field(i).IsExported() {
				v.Field(i).Set(filled(t.Field(i).Type, t.Field(i).Name, how))
			}
		}
	case how == "nonsense" && t.Kind() == reflect.String:
		v.SetString("a b")
	case how == "plausible" && t.Kind() == reflect.Int32 && name == "":
		v.SetInt(1)
	case how == "plausible" && plausible[name] != nil:
		if p := reflect.ValueOf(plausible[name]); p.CanConvert(t) {
			v.Set(p.Convert(t))
		}
	case how == "plausible" && t == reflect.TypeFor[sagemakerdomain.AppType]():
		v.SetString(string(sagemakerdomain.StudioClassic))
	case how == "plausible" && t.Kind() == reflect.String && name == "":
		v.SetString("d-none") // the id of a domain, and the name of whatever
	}
	return v
}

// Whatever goes wrong, the error of a method says which has failed, for whom, and once.
func TestErrorsSayWhatFailed(t *testing.T) {
	for what, fault := range map[string]*fakeaws.Fault{
		"nothing": nil, "nonsense": nil, "plausible": nil,
		"denied": {Status: 403, Code: "AccessDeniedException"}, "refused": {Status: 400, Code: "ValidationException"},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				healthy := newWorld(t, fakeaws.Config{})
				to := healthy.domains(store.NewMemory())
				d, err := to.Create(t.Context(), domain.CreateRequest{Name: "own", VPC: healthy.cloud.DefaultVPC(), Subnets: []string{healthy.cloud.Subnets()[0].ID}})
				healthy.must(err)
				var faults []fakeaws.Fault
				how := what
				if fault != nil {
					how = "plausible"
					for _, service := range []string{"sagemaker", "ec2", "elasticfilesystem", "servicequotas", "license-manager"} {
						f := *fault
						f.Action = service + ":*"
						faults = append(faults, f)
					}
				}
				w := newWorld(t, fakeaws.Config{Faults: faults})
				client := reflect.ValueOf(w.client())
				failed := 0
				for i := range client.NumMethod() {
					method, call := client.Type().Method(i).Name, client.Method(i)
					if method == "Region" || method == "Policy" {
						continue
					}
					in := []reflect.Value{reflect.ValueOf(t.Context())}
					for n := 1; n < call.Type().NumIn(); n++ {
						switch of := call.Type().In(n); of {
						case reflect.TypeFor[*domain.Client]():
							in = append(in, reflect.ValueOf(to))
						case reflect.TypeFor[*domain.Domain]():
							in = append(in, reflect.ValueOf(d))
						default:
							in = append(in, filled(of, "", how))
						}
					}
					out := call.Call(in)
					last := out[len(out)-1]
					if last.Kind() == reflect.Func {
						for _, e := range last.Seq2() {
							last = e
						}
					}
					err, _ := reflect.TypeAssert[error](last)
					if err == nil {
						continue
					}
					failed++
					e, ok := err.(*sagemakerdomain.Error) // it itself, not one below
					if !ok || e.Op != operations[method] {
						t.Errorf("%s: %T: %v, want one of %q", method, err, err, operations[method])
						continue
					}
					if strings.Count(err.Error(), "sagemakerdomain: ") != 1 {
						t.Errorf("%s: %v", method, err)
					}
				}
				if failed < 20 {
					t.Errorf("only %d methods fail", failed)
				}
			})
		})
	}
	if n := reflect.TypeFor[*sagemakerdomain.Client]().NumMethod() - 2; n != len(operations) {
		t.Errorf("%d methods can fail, and %d are known here", n, len(operations))
	}
}

// All that is wrong with a request is one error, what it says by itself and what AWS is asked,
// and nothing is made.
func TestAllIsSaidAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.profile(d.ID, "ada")
		w.imageOf("genomics", "1")
		other := w.raw(func(in *awssagemaker.CreateDomainInput) { bare(in); in.DomainName = aws.String("theirs") })
		w.inService(other)
		time.Sleep(time.Minute)
		nobody := "arn:aws:iam::123456789012:role/nobody"
		subnet := w.cloud.Subnets()[0].ID
		lost := sagemakerdomain.CreateDomainRequest{
			Name: "research", VPC: "vpc-0000", Subnets: []string{subnet, subnet}, ExecutionRole: nobody, DomainExecutionRole: serverRole, KMSKey: "nope",
		}
		there := w.group("apps")
		time.Sleep(time.Minute)
		groups := []string{"x", "sg-0001", "sg-0002", "sg-0003", "sg-0003"}
		before := w.inventory()
		for _, test := range []struct {
			name string
			call func(context.Context) error
			want []string
		}{
			{"CreateProfile", func(ctx context.Context) error {
				_, err := c.CreateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "eve", SessionInstance: "ml.huge.large", SSOUser: "eve", SecurityGroups: groups, ExecutionRole: nobody})
				return err
			}, []string{`"ml.huge.large": SageMaker has no such type`, "people sign in to the domain by IAM", `security group "x"`, "sg-0003 is given twice", "sg-0001 does not exist", "5 security groups", "role/nobody does not exist"}},
			{"CreateProfile nowhere", func(ctx context.Context) error {
				_, err := c.CreateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: "d-none", Name: "eve", SessionInstance: "t3.medium", SecurityGroups: append(groups, there), ExecutionRole: nobody})
				return err
			}, []string{"EC2's name: want SageMaker's, ml.t3.medium", "there is no domain d-none in us-east-1", "Domains lists them", `security group "x"`, "sg-0001 does not exist", "role/nobody does not exist"}},
			{"UpdateProfile", func(ctx context.Context) error {
				_, err := c.UpdateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "eve", SessionInstance: "big", SecurityGroups: groups, ExecutionRole: nobody})
				return err
			}, []string{`"big": want a type as SageMaker names it`, "Profiles lists them", "5 security groups", "role/nobody does not exist"}},
			{"UpdateProfile of one", func(ctx context.Context) error {
				_, err := c.UpdateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "ada", SessionInstance: "big", Access: sagemakerdomain.AccessOff, SSOUser: "ada"})
				return err
			}, []string{`"big": want a type`, "can be given and not taken back", "people sign in to the domain by IAM"}},
			{"UpdateDomain", func(ctx context.Context) error {
				_, err := c.UpdateDomain(ctx, sagemakerdomain.UpdateDomainRequest{Domain: d.ID, SessionInstance: "big", NetworkType: "VpcOnly", SecurityGroups: groups, ExecutionRole: nobody})
				return err
			}, []string{`"big": want a type`, "for ever, since RStudio is on", `security group "x"`, "sg-0001 does not exist", "role/nobody does not exist"}},
			{"UpdateDomain nowhere", func(ctx context.Context) error {
				_, err := c.UpdateDomain(ctx, sagemakerdomain.UpdateDomainRequest{Domain: "d-none", SessionInstance: "big", Subnets: []string{"subnet-0000"}, DomainExecutionRole: nobody})
				return err
			}, []string{`"big": want a type`, "Domains lists them", "subnet-0000 does not exist", "role/nobody does not exist"}},
			{"AddVersion", func(ctx context.Context) error {
				_, err := c.AddVersion(ctx, sagemakerdomain.AddVersionRequest{Image: "missing", Base: ecr + "nothing:1", Aliases: []string{"x y", "ok", ".no"}})
				return err
			}, []string{`alias "x y"`, `alias ".no"`, "there is no image missing in us-east-1", "RegisterImage makes one", "container image"}},
			{"AttachImage", func(ctx context.Context) error {
				_, err := c.AttachImage(ctx, sagemakerdomain.AttachRequest{Domain: other, Image: "genomics", Version: 9, SessionVersion: "x", ServerVersion: "y", Config: "a b"})
				return err
			}, []string{"sagemakerdomain: attach image " + other + "/genomics: invalid", `image configuration "a b"`, `session version "x": want`, `server version "y": want`, "RStudio is off", "Versions lists them"}},
			{"AttachImage nowhere", func(ctx context.Context) error {
				_, err := c.AttachImage(ctx, sagemakerdomain.AttachRequest{Domain: "d-none", Image: "genomics", Version: 9})
				return err
			}, []string{"there is no domain d-none", "Domains lists them", "Versions lists them"}},
			{"AttachImage of no version", func(ctx context.Context) error {
				_, err := c.AttachImage(ctx, sagemakerdomain.AttachRequest{Domain: "d-none", Image: "genomics", Version: -1})
				return err
			}, []string{"version -1: want a number from 1", "Domains lists them"}},
			{"CreateDomain", func(ctx context.Context) error {
				_, err := c.CreateDomain(ctx, lost)
				return err
			}, []string{`KMS key "nope"`, "is given twice", "subnet " + subnet + " lies in", "role/nobody does not exist"}},
			{"CreateDomain of a name that others have", func(ctx context.Context) error {
				q := w.request()
				q.Name, q.ExecutionRole = "theirs", nobody
				_, err := c.CreateDomain(ctx, q)
				return err
			}, []string{"the name is that of " + other, "role/nobody does not exist"}},
			{"StartApp", func(ctx context.Context) error {
				_, err := c.StartApp(ctx, sagemakerdomain.StartAppRequest{AppID: sagemakerdomain.AppID{Domain: d.ID, Profile: "eve", Type: "Foo", Name: "a b"}, InstanceType: "big"})
				return err
			}, []string{`app type "Foo"`, `app "a b"`, `"big"`, "Profiles lists them"}},
			{"StartApp nowhere", func(ctx context.Context) error {
				_, err := c.StartApp(ctx, sagemakerdomain.StartAppRequest{AppID: sagemakerdomain.AppID{Domain: "d-none", Space: "lab", Type: "Foo", Name: "default"}})
				return err
			}, []string{`app type "Foo"`, "Domains lists them"}},
			{"PresignedURL", func(ctx context.Context) error {
				_, err := c.PresignedURL(ctx, sagemakerdomain.URLRequest{Domain: d.ID, Profile: "eve", Landing: "nowhere", Expires: 1})
				return err
			}, []string{`landing "nowhere"`, "expires after", "Profiles lists them"}},
		} {
			begun := time.Now()
			err := test.call(t.Context())
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("%s: it is refused after %v", test.name, took)
			}
			if err == nil {
				t.Errorf("%s: no error", test.name)
				continue
			}
			if strings.HasSuffix(test.name, "nowhere") && strings.Contains(err.Error(), "lies in") {
				t.Errorf("%s: nobody knows the VPC, and\n%v", test.name, err)
			}
			if strings.Contains(err.Error(), "  ") || strings.Contains(err.Error(), " of  ") {
				t.Errorf("%s: a word is missing in\n%v", test.name, err)
			}
			for _, words := range test.want {
				if strings.Count(err.Error(), words) != 1 {
					t.Errorf("%s: %q is said %d times in\n%v", test.name, words, strings.Count(err.Error(), words), err)
				}
			}
		}
		if got := differs(before, w.inventory()); got != "" {
			t.Errorf("refused, it changes %s", got)
		}
	})
}

// What AWS refuses to tell does not hide what is wrong by itself.
func TestLooksThatFailHideNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{
			{Action: "iam:GetRole", Status: 400, Code: "ValidationError"}, {Action: "sagemaker:DescribeDomain", Status: 400, Code: "AccessDeniedException"},
		}})
		c, q := w.client(), w.request()
		q.KMSKey = "nope"
		_, err := c.CreateDomain(t.Context(), q)
		w.is(err, domain.ErrInvalid, `KMS key "nope"`)
		_, err = c.CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: "d-one", Name: "a b"})
		w.is(err, domain.ErrInvalid, `user profile "a b"`)
		_, err = c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "a b", Role: userRole})
		w.is(err, domain.ErrInvalid, `image "a b"`)
		for _, key := range []string{"alias/mine", "1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab", "arn:aws:kms:us-east-1:123456789012:alias/mine",
			"arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"} {
			q.KMSKey = key
			if _, err := c.CheckDomain(t.Context(), q); err != nil && strings.Contains(err.Error(), "KMS key") {
				t.Error(err)
			}
		}
	})
}

// Of what is not there it is said which list has it, and not that somebody changes it.
func TestMissingThings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		w.imageOf("genomics", "1")
		_, err := c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "empty", Role: userRole})
		w.must(err)
		time.Sleep(time.Minute)
		for advice, call := range map[string]func(context.Context) error{
			"Domains lists them": func(ctx context.Context) error { _, err := c.Describe(ctx, "d-none"); return err },
			"check the id; Domains lists them": func(ctx context.Context) error {
				return c.RestartServer(ctx, sagemakerdomain.RestartRequest{Domain: "d-none"})
			},
			"Profiles lists them":      func(ctx context.Context) error { _, err := c.Profile(ctx, d.ID, "eve"); return err },
			"the name; Profiles lists": func(ctx context.Context) error { _, err := c.Effective(ctx, d.ID, "eve"); return err },
			"Versions lists them": func(ctx context.Context) error {
				_, err := c.AttachImage(ctx, sagemakerdomain.AttachRequest{Domain: d.ID, Image: "genomics", Version: 9})
				return err
			},
			"attach image " + d.ID + "/missing: not found: there is no image missing in us-east-1: check the name; Images lists them": func(ctx context.Context) error {
				_, err := c.AttachImage(ctx, sagemakerdomain.AttachRequest{Domain: d.ID, Image: "missing"})
				return err
			},
			"/missing: not found: there is no image missing in us-east-1: check": func(ctx context.Context) error {
				_, err := c.AttachImage(ctx, sagemakerdomain.AttachRequest{Domain: d.ID, Image: "missing", Version: 1})
				return err
			},
			"/empty: not found: image empty has no version yet: AddVersion makes one": func(ctx context.Context) error {
				_, err := c.AttachImage(ctx, sagemakerdomain.AttachRequest{Domain: d.ID, Image: "empty"})
				return err
			},
			"/genomics: not found: there is no version 9 of image genomics: check the number": func(ctx context.Context) error {
				_, err := c.AttachImage(ctx, sagemakerdomain.AttachRequest{Domain: d.ID, Image: "genomics", Version: 9})
				return err
			},
			"image uses missing: not found: there is no image missing in us-east-1: check the name; Images lists them": func(ctx context.Context) error {
				return last(c.ImageUses(ctx, "missing", 0))
			},
			"image uses missing: not found: there is no image missing": func(ctx context.Context) error { return last(c.ImageUses(ctx, "missing", 1)) },
			"image uses genomics: not found: there is no version 9":    func(ctx context.Context) error { return last(c.ImageUses(ctx, "genomics", 9)) },
			"describe d-none: not found: there is no domain d-none in us-east-1: check the id; Domains lists them": func(ctx context.Context) error {
				_, err := c.Describe(ctx, "d-none")
				return err
			},
			"/eve: not found: there is no user profile eve in domain " + d.ID + ": check the name; Profiles lists them": func(ctx context.Context) error {
				_, err := c.Profile(ctx, d.ID, "eve")
				return err
			},
			"presigned URL " + d.ID + "/eve: not found: there is no user profile eve in domain": func(ctx context.Context) error {
				_, err := c.PresignedURL(ctx, sagemakerdomain.URLRequest{Domain: d.ID, Profile: "eve"})
				return err
			},
			"there is no app eve/JupyterServer/x in domain " + d.ID + ": check the id": func(ctx context.Context) error {
				_, err := c.App(ctx, sagemakerdomain.AppID{Domain: d.ID, Profile: "eve", Type: "JupyterServer", Name: "x"})
				return err
			},
			"there is no user profile eve in domain " + d.ID: func(ctx context.Context) error {
				_, err := c.StartApp(ctx, sagemakerdomain.StartAppRequest{AppID: sagemakerdomain.AppID{Domain: d.ID, Profile: "eve", Type: "JupyterServer", Name: "x"}})
				return err
			},
			"there is no space lab in domain " + d.ID + ": check the name; Spaces lists them": func(ctx context.Context) error {
				_, err := c.StartApp(ctx, sagemakerdomain.StartAppRequest{AppID: sagemakerdomain.AppID{Domain: d.ID, Space: "lab", Type: "JupyterLab", Name: "default"}, InstanceType: "ml.t3.medium"})
				return err
			},
			"RegisterImage makes one": func(ctx context.Context) error {
				_, err := c.AddVersion(ctx, sagemakerdomain.AddVersionRequest{Image: "missing", Base: ecr + "r-session:1"})
				return err
			},
			"list image versions missing: not found: there is no image missing": func(ctx context.Context) error { return last(c.Versions(ctx, "missing")) },
			"Apps lists them": func(ctx context.Context) error {
				_, err := c.App(ctx, sagemakerdomain.AppID{Domain: d.ID, Profile: "eve", Type: "JupyterServer", Name: "x"})
				return err
			},
			"CreateProfile makes it, or check the name": func(ctx context.Context) error {
				_, err := c.UpdateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "eve"})
				return err
			},
		} {
			err := call(t.Context())
			w.is(err, domain.ErrNotFound, advice)
			if err != nil && (strings.Contains(err.Error(), "somebody else") || strings.Contains(err.Error(), "call again")) {
				t.Error(err)
			}
			if err != nil && strings.Contains(err.Error(), "RequestID") {
				t.Errorf("SageMaker's own text is in %v", err)
			}
		}
		_, err = c.Describe(t.Context(), "d-none")
		if _, ok := errors.AsType[smithy.APIError](err); !ok {
			t.Errorf("SageMaker's answer is not below %v", err)
		}
		w.is(c.CheckStart(t.Context(), sagemakerdomain.JupyterLab, "m5.large"), domain.ErrInvalid, "EC2's name", "ml.m5.large")
		w.is(c.CheckStart(t.Context(), sagemakerdomain.JupyterLab, "m5.huge"), domain.ErrInvalid, "want a type as SageMaker names it")
		w.is(c.CheckStart(t.Context(), sagemakerdomain.JupyterLab, "system"), domain.ErrInvalid, "there is no quota of JupyterLab apps on system")
	})
}

func last[T any](seq func(func(T, error) bool)) (last error) {
	for _, err := range seq {
		last = err
	}
	return last
}

// A failure that names its thing is not named once more by who asked for it.
func TestNothingIsNamedTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow(fakeaws.Fault{Action: "sagemaker:DeleteUserProfile", Subject: "ada", Reason: "no way"}))
		c, d := w.client(), w.domain()
		w.profile(d.ID, "ada")
		err := c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID})
		w.is(err, domain.ErrState, "user profile ada is Delete_Failed")
		if err != nil && strings.Count(err.Error(), "user profile ada") != 1 {
			t.Error(err)
		}
	})
}

// Reads after a domain was created find what CreateDomain has said.
func TestCreatedDomainStaysInService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := slow()
		cfg.Delays.Visible = 4 * time.Second
		for seed := range uint64(20) {
			cfg.Seed = seed
			w := newWorld(t, cfg)
			d := w.domain()
			for range 10 {
				about, err := w.client().Describe(t.Context(), d.ID)
				w.must(err)
				if about.Status != sagemakerdomain.InService {
					t.Errorf("with seed %d a later read says %s", seed, about.Status)
				}
			}
		}
	})
}

// What fails at the end of a call is its failure, too, and not that of the look it ends with.
func TestStartAppIsWhatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "sagemaker:DescribeApp", Subject: "ada/JupyterServer/default", Nth: 3, Status: 400, Code: "AccessDeniedException"}}})
		d := w.domain()
		w.profile(d.ID, "ada")
		_, err := w.client().StartApp(t.Context(), sagemakerdomain.StartAppRequest{
			AppID: sagemakerdomain.AppID{Domain: d.ID, Profile: "ada", Type: sagemakerdomain.StudioClassic, Name: "default"},
		})
		w.is(err, domain.ErrDenied, "sagemakerdomain: start app "+d.ID+"/ada/JupyterServer/default: ", "Policy lists")
		if w.cloud.Injected() != 1 || err == nil || strings.Count(err.Error(), "sagemakerdomain:") != 1 {
			t.Errorf("%d faults, %v", w.cloud.Injected(), err)
		}
	})
}

// What is no id or name is refused by itself, whatever the call looks for.
func TestWhatIsNoName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		c, ctx := w.client(), t.Context()
		app := func(id sagemakerdomain.AppID) error { _, err := c.App(ctx, id); return err }
		for name, call := range map[string]func() error{
			"Describe":             func() error { _, err := c.Describe(ctx, "nonsense"); return err },
			"Profile":              func() error { _, err := c.Profile(ctx, "nonsense", "alice"); return err },
			"Profile of no name":   func() error { _, err := c.Profile(ctx, "d-none", "a b"); return err },
			"Profiles":             func() error { return last(c.Profiles(ctx, "nonsense")) },
			"Spaces":               func() error { return last(c.Spaces(ctx, "nonsense")) },
			"Effective":            func() error { _, err := c.Effective(ctx, "nonsense", "alice"); return err },
			"Effective of no name": func() error { _, err := c.Effective(ctx, "d-none", ""); return err },
			"App": func() error {
				return app(sagemakerdomain.AppID{Domain: "nonsense", Profile: "alice", Type: sagemakerdomain.Canvas, Name: "x"})
			},
			"App of nobody": func() error {
				return app(sagemakerdomain.AppID{Domain: "d-none", Type: sagemakerdomain.Canvas, Name: "x"})
			},
			"Apps":                   func() error { return last(c.Apps(ctx, sagemakerdomain.AppFilter{Domain: "nonsense"})) },
			"Apps of two":            func() error { return last(c.Apps(ctx, sagemakerdomain.AppFilter{Profile: "alice", Space: "lab"})) },
			"Versions":               func() error { return last(c.Versions(ctx, "a b")) },
			"ImageUses":              func() error { return last(c.ImageUses(ctx, "a b", 0)) },
			"ImageUses of no number": func() error { return last(c.ImageUses(ctx, "genomics", -1)) },
			"CheckStart":             func() error { return c.CheckStart(ctx, "Notebook", "ml.t3.medium") },
			"CheckStart on no type":  func() error { return c.CheckStart(ctx, sagemakerdomain.Canvas, "") },
			"CheckStart on no such":  func() error { return c.CheckStart(ctx, sagemakerdomain.Canvas, "ml.huge.large") },
			"NFSGroups":              func() error { _, err := c.NFSGroups(ctx, "nonsense"); return err },
		} {
			before := len(w.cloud.Calls())
			if err := call(); err == nil || !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
			if n := len(w.cloud.Calls()) - before; n > 0 {
				t.Errorf("%s: AWS was asked %d times", name, n)
			}
		}
	})
}
