package sagemakerdomain

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	awslicenses "github.com/aws/aws-sdk-go-v2/service/licensemanager"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// Every error that the SDK has a type for, and what has none, has a kind.
func TestKinds(t *testing.T) {
	for want, all := range map[domain.Kind][]error{
		domain.ErrConflict: {&types.ConflictException{}}, domain.ErrState: {&types.ResourceInUse{}}, domain.ErrQuota: {&types.ResourceLimitExceeded{}},
		domain.ErrNotFound: {&types.ResourceNotFound{}}, domain.ErrInvalid: {&smithy.GenericAPIError{Code: "ValidationException"}},
		domain.ErrThrottled: {&smithy.GenericAPIError{Code: "ThrottlingException"}}, domain.ErrDenied: {&smithy.GenericAPIError{Code: "AccessDeniedException"}},
		domain.ErrUnavailable: {&smithy.GenericAPIError{Code: "InternalFailure"}, errors.New("no answer")},
	} {
		for _, err := range all {
			if got := kindOf(err); got != want {
				t.Errorf("%v is %q, want %q", err, got, want)
			}
			if dressed := fail(context.Background(), "op", "name", err); !errors.Is(dressed, want) || !errors.Is(dressed, err) {
				t.Errorf("dressed, it is %v", dressed)
			}
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := fail(ended, "op", "name", errors.New("x")); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

// What another method of ours has dressed is a failure of who called it, whether alone or one of
// several; a step that names what the failure names itself is not said again.
func TestFailuresOfOthersBelow(t *testing.T) {
	inner := &Error{Op: "find NFS groups", Name: "d-0", Kind: domain.ErrDenied, Err: errors.New("no")}
	for want, err := range map[string]error{
		"sagemakerdomain: adopt d-0: denied: find NFS groups: no":                                                                inner,
		"sagemakerdomain: adopt d-0: invalid: first\nsagemakerdomain: find NFS groups d-0: " + string(domain.ErrDenied) + ": no": problems{refusal.New(domain.ErrInvalid, "first"), inner}.err(),
	} {
		got := fail(t.Context(), "adopt", "d-0", err)
		e, ok := got.(*Error)
		if !ok || e.Op != "adopt" || !errors.Is(got, domain.ErrDenied) || got.Error() != strings.ReplaceAll(want, ": denied: ", ": "+string(domain.ErrDenied)+": ") {
			t.Errorf("got %T %q, want %q", got, got, want)
		}
	}
	for what, want := range map[string]string{"app a": "app a is Failed", "app": "app a is Failed", "app a is": "app a is Failed", "ap": "ap: app a is Failed", "space": "space: app a is Failed"} {
		if got := refusal.Step(what, errors.New("app a is Failed")).Error(); got != want {
			t.Errorf("step %q: %q, want %q", what, got, want)
		}
	}
}

// Every status that SageMaker has of anything is one of ours, and is explained.
func TestStatusesAreKnown(t *testing.T) {
	var all []string
	for _, v := range types.DomainStatus("").Values() {
		all = append(all, string(v))
	}
	for _, v := range types.UserProfileStatus("").Values() {
		all = append(all, string(v))
	}
	for _, v := range types.SpaceStatus("").Values() {
		all = append(all, string(v))
	}
	for _, v := range types.AppStatus("").Values() {
		all = append(all, string(v))
	}
	for _, v := range all {
		s := Status(v)
		err := explain("it", s, "because")
		switch s {
		case Pending, InService, Updating, Deleting, Deleted:
			if err != nil {
				t.Errorf("%s is explained: %v", s, err)
			}
		case Failed, UpdateFailed, DeleteFailed:
			if !errors.Is(err, domain.ErrState) || !strings.Contains(err.Error(), "because") || strings.Contains(err.Error(), "does not know") {
				t.Errorf("%s: %v", s, err)
			}
		default:
			t.Errorf("SageMaker has the status %s: say what it means", s)
		}
	}
	if err := explain("it", Failed, "ResourceLimitExceeded: no more"); !errors.Is(err, domain.ErrQuota) {
		t.Errorf("a reason with a code is %v", err)
	}
	for _, v := range types.ImageStatus("").Values() {
		if imageStatus(string(v)) == Status(v) {
			t.Errorf("SageMaker has the status %s of images: say what it means", v)
		}
	}
	for _, v := range types.ImageVersionStatus("").Values() {
		if imageStatus(string(v)) == Status(v) {
			t.Errorf("SageMaker has the status %s of versions: say what it means", v)
		}
	}
}

// Every type of app that SageMaker has is one of ours, and quotas are read of each.
func TestAppTypesAreKnown(t *testing.T) {
	known := []AppType{RStudioServer, RStudioSession, JupyterLab, CodeEditor, StudioClassic, StudioKernel, Canvas, TensorBoard, Profiler}
	for _, v := range types.AppType("").Values() {
		if !slices.Contains(known, AppType(v)) {
			t.Errorf("SageMaker has the type %s of apps: name it", v)
		}
		if got, instance, ok := appQuotaName(string(v) + " Apps running on ml.m5.large instance"); !ok || got != AppType(v) || instance != "ml.m5.large" {
			t.Errorf("the quota of %s is of %q on %q", v, got, instance)
		}
	}
	for name, want := range map[string]AppType{
		"Studio Jupyter Apps running on system instances": StudioClassic, "Studio JupyterLab Apps running on ml.t3.medium instances": JupyterLab,
		"ml.m5.large for notebook instance usage": "", "Apps running on nothing": "", "Studio Other Apps running on ml.m5.large instances": "",
	} {
		if got, _, _ := appQuotaName(name); got != want {
			t.Errorf("%q is of %q, want %q", name, got, want)
		}
	}
}

func TestUID(t *testing.T) {
	for text, want := range map[string]uint32{"200001": 200001, "1\n": 1, "4294967294": 1<<32 - 2, "0": 0, "-1": 0, "4294967295": 0, "4294967296": 0, "alice": 0, "2e5": 0} {
		if got, err := uidOf(text); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
}

func TestSessionVersions(t *testing.T) {
	order := []string{"2022.02.2-485.pro2", "2023.03.2-454.pro2", "2023.9.1+494.pro2", "2023.09.1+494.pro10", "2023.12.0+369.pro3", "2025.05.1+513.pro3", "2025.05.1+1000.pro1", "2025.5.10+1.pro1"}
	for i, a := range order {
		v, err := ParseSessionVersion(a)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseSessionVersion(v.String()); err != nil || again != v {
			t.Errorf("%s is written %s", a, v)
		}
		for j, b := range order {
			w, _ := ParseSessionVersion(b)
			if got := v.Compare(w); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
	}
	for _, s := range []string{"", "2025.05.1", "2025.05.1+513", "x2025.05.1+513.pro3", "2025.05.1+513.pro3x", "12025.05.1+513.pro3"} {
		if v, err := ParseSessionVersion(s); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q is %v", s, v)
		}
	}
}

func TestTrusts(t *testing.T) {
	for text, want := range map[string]bool{
		`{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"sagemaker.amazonaws.com"}}}`:                                                               true,
		`{"Statement":[{"Effect":"Allow","Action":["sts:TagSession","sts:AssumeRole"],"Principal":{"Service":["ec2.amazonaws.com","sagemaker.amazonaws.com"]}}]}`:                    true,
		`%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22sts%3AAssumeRole%22%2C%22Principal%22%3A%7B%22Service%22%3A%22sagemaker.amazonaws.com%22%7D%7D%7D`:   true,
		`{"Statement":[{"Effect":"Deny","Action":"sts:AssumeRole","Principal":{"Service":"sagemaker.amazonaws.com"}}]}`:                                                              false,
		`{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"*"}}]}`:                                                                                       true,
		`{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*"}]}`:                                                                                               true,
		`{"Statement":[{"Effect":"Deny","Action":"sts:AssumeRole","Principal":"*"},{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"sagemaker.amazonaws.com"}}]}`: true,
		`{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"123456789012","Federated":"x"}}]}`:                                                            false,
		`{"Statement":[{"Effect":"Allow","Action":"STS:assumerole","Principal":{"Service":"sagemaker.amazonaws.com"}}]}`:                                                             true,
		`{"Statement":[{"Effect":"Allow","Action":"sts:*","Principal":{"Service":"sagemaker.amazonaws.com"}}]}`:                                                                      true,
		`{"Statement":[{"Effect":"Allow","Action":"sts:Assume????","Principal":{"Service":"sagemaker.amazonaws.com"}}]}`:                                                             true,
		`{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRoleWith*","Principal":{"Service":"sagemaker.amazonaws.com"}}]}`:                                                        false,
		`{"Statement":[{"Effect":"Allow","NotAction":"sts:TagSession","Principal":{"Service":"sagemaker.amazonaws.com"}}]}`:                                                          true,
		`{"Statement":[{"Effect":"Allow","NotAction":"sts:Assume*","Principal":{"Service":"sagemaker.amazonaws.com"}}]}`:                                                             false,
	} {
		if got, err := trusts(text, sagemakerService); got != want || err != nil {
			t.Errorf("%s: %t, %v", text, got, err)
		}
	}
	// What is not understood is not held against a role.
	for _, text := range []string{`not JSON`, `{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":["*"]}]}`} {
		c := &Client{aws: Services{IAM: roleOf(text)}}
		const arn = "arn:aws:iam::123456789012:role/studio"
		_, err := c.checkRole(t.Context(), "role", arn)
		if !errors.Is(err, errUnread) {
			t.Errorf("%s: %v", text, err)
		}
		var wrong problems
		if err := wrong.looked(c.checkRole(t.Context(), "role", arn)); err != nil || wrong != nil {
			t.Errorf("%s: %v, %v", text, wrong, err)
		}
	}
}

// roleOf is the trust policy of every role.
type roleOf string

func (text roleOf) GetRole(context.Context, *awsiam.GetRoleInput, ...func(*awsiam.Options)) (*awsiam.GetRoleOutput, error) {
	return &awsiam.GetRoleOutput{Role: &iamtypes.Role{Arn: aws.String("arn:aws:iam::123456789012:role/studio"), AssumeRolePolicyDocument: aws.String(string(text))}}, nil
}

// A key can be named in several ways, and an alias tells nothing of which it is.
func TestSameKey(t *testing.T) {
	const one, other = "1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab"
	const arn = "arn:aws:kms:us-east-1:123456789012:"
	for _, test := range []struct {
		has, want string
		same      bool
	}{
		{one, one, true}, {arn + "key/" + one, one, true}, {one, "key/" + one, true}, {arn + "key/" + other, other, true}, {one, other, false},
		{arn + "key/" + one, arn + "key/" + other, false}, {one, "alias/mine", true}, {arn + "alias/mine", "alias/mine", true}, {"alias/mine", one, true},
		{"", one, false}, {"", "alias/mine", false},
	} {
		if got := sameKey(test.has, test.want); got != test.same {
			t.Errorf("%q and %q: %t", test.has, test.want, got)
		}
	}
}

// licenses answers that there are none, and keeps the region that was asked.
type licenses struct{ region string }

func (l *licenses) ListReceivedLicenses(_ context.Context, _ *awslicenses.ListReceivedLicensesInput, options ...func(*awslicenses.Options)) (*awslicenses.ListReceivedLicensesOutput, error) {
	var o awslicenses.Options
	for _, f := range options {
		f(&o)
	}
	l.region = o.Region
	return &awslicenses.ListReceivedLicensesOutput{}, nil
}

// Posit's licence has its home in us-east-1, wherever the domain is.
func TestLicenseHome(t *testing.T) {
	var asked licenses
	c := &Client{region: "eu-west-1", aws: Services{Licenses: &asked}}
	if wrong, err := c.checkLicense(t.Context()); err != nil || len(wrong) != 1 || asked.region != "us-east-1" {
		t.Errorf("%v, %v, asked in %q", wrong, err, asked.region)
	}
}

// A failure to delete that was there before is not taken for this one's.
func TestOldFailureToDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{progress: func(Progress) {}}
		before, looks := time.Now(), 0
		w := watch{step: "domain", resource: "d-0", limit: time.Hour, look: func(context.Context) (seen, error) {
			if looks++; looks > 3 {
				return seen{gone: true}, nil
			}
			return seen{status: DeleteFailed, modified: before}, nil
		}}
		if err := c.untilGone(t.Context(), w, seen{status: DeleteFailed, modified: before}); err != nil {
			t.Error(err)
		}
		w.look = func(context.Context) (seen, error) { return seen{status: DeleteFailed, modified: before.Add(1)}, nil }
		if err := c.untilGone(t.Context(), w, seen{status: DeleteFailed, modified: before}); !errors.Is(err, domain.ErrState) {
			t.Error(err)
		}
	})
}

// What was never seen may be too new to show, and is not taken for gone before it would.
func TestGoneBeforeItShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, begun := &Client{progress: func(Progress) {}}, time.Now()
		w := watch{step: "image", resource: "genomics", limit: time.Hour}
		for name, test := range map[string]struct {
			before seen
			shows  bool // for a while, half a minute from now
			gone   time.Duration
		}{
			"Seen":       {before: seen{status: InService}, gone: 0},
			"Shows":      {before: seen{gone: true}, shows: true, gone: 45 * time.Second},
			"NeverShows": {before: seen{gone: true}, gone: time.Minute},
		} {
			begun = time.Now()
			w.look = func(context.Context) (seen, error) {
				if at := time.Since(begun); test.shows && at >= 30*time.Second && at < 45*time.Second {
					return seen{status: Deleting}, nil
				}
				return seen{gone: true}, nil
			}
			if err := c.untilGone(t.Context(), w, test.before); err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took < test.gone || took > test.gone+20*time.Second {
				t.Errorf("%s: it is taken for gone after %v, want %v", name, took, test.gone)
			}
		}
	})
}

// Looks have to agree one after the other: one that is late begins it anew.
func TestLooksAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, begun := &Client{progress: func(Progress) {}}, time.Now()
		w := watch{step: "domain", resource: "d-0", limit: time.Hour, agreed: 30 * time.Second, look: func(context.Context) (seen, error) {
			if at := time.Since(begun); at > 10*time.Second && at < 29*time.Second {
				return seen{status: Pending}, nil
			}
			return seen{status: InService}, nil
		}}
		if err := c.untilServes(t.Context(), w, time.Time{}); err != nil || time.Since(begun) < 59*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}
