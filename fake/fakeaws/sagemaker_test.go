package fakeaws_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// studio is an account with the clients that a domain is managed by.
type studio struct {
	account
	sm  *awssagemaker.Client
	efs *awsefs.Client
}

// newStudio makes an account whose quotas let tests do what they are not about.
func newStudio(t testing.TB, cfg fakeaws.Config) studio {
	t.Helper()
	quotas := map[string]int{
		"Total domains": 100, "RStudioServerPro Apps running on system instances": 100, "Maximum number of Studio spaces allowed per account": 100,
	}
	maps.Copy(quotas, cfg.Quotas)
	cfg.Quotas = quotas
	a := newAccount(t, cfg)
	return studio{a, awssagemaker.NewFromConfig(a.Config()), awsefs.NewFromConfig(a.Config())}
}

const studioRole = "arn:aws:iam::123456789012:role/studio"

// domainInput asks for a domain with RStudio in the default VPC.
func (a studio) domainInput() *awssagemaker.CreateDomainInput {
	in := &awssagemaker.CreateDomainInput{
		DomainName: aws.String("research"), AuthMode: types.AuthModeIam, VpcId: aws.String(a.DefaultVPC()),
		DefaultUserSettings: &types.UserSettings{ExecutionRole: aws.String(studioRole)},
		DomainSettings: &types.DomainSettings{RStudioServerProDomainSettings: &types.RStudioServerProDomainSettings{
			DomainExecutionRoleArn: aws.String(studioRole),
		}},
	}
	for _, s := range a.Subnets() {
		in.SubnetIds = append(in.SubnetIds, s.ID)
	}
	return in
}

// bare takes RStudio out of a domain.
func bare(in *awssagemaker.CreateDomainInput) { in.DomainSettings = nil }

// domain makes a domain, with changes to what domainInput asks for, and returns its id.
func (a studio) domain(t testing.TB, changes ...func(*awssagemaker.CreateDomainInput)) string {
	t.Helper()
	in := a.domainInput()
	for _, change := range changes {
		change(in)
	}
	out, err := a.sm.CreateDomain(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.DomainId
}

func (a studio) describe(t testing.TB, domain string) *awssagemaker.DescribeDomainOutput {
	t.Helper()
	out, err := a.sm.DescribeDomain(t.Context(), &awssagemaker.DescribeDomainInput{DomainId: &domain})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// user makes profiles in a domain.
func (a studio) user(t testing.TB, domain string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &domain, UserProfileName: &name}); err != nil {
			t.Fatal(err)
		}
	}
}

func (a studio) profile(t testing.TB, domain, name string) *awssagemaker.DescribeUserProfileOutput {
	t.Helper()
	out, err := a.sm.DescribeUserProfile(t.Context(), &awssagemaker.DescribeUserProfileInput{DomainId: &domain, UserProfileName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// space makes a private space of a profile for an app of a type.
func (a studio) space(t testing.TB, domain, owner, name string, kind types.AppType) {
	t.Helper()
	if _, err := a.sm.CreateSpace(t.Context(), &awssagemaker.CreateSpaceInput{
		DomainId: &domain, SpaceName: &name, OwnershipSettings: &types.OwnershipSettings{OwnerUserProfileName: &owner},
		SpaceSharingSettings: &types.SpaceSharingSettings{SharingType: types.SharingTypePrivate}, SpaceSettings: &types.SpaceSettings{AppType: kind},
	}); err != nil {
		t.Fatal(err)
	}
}

// classic asks for Studio Classic of a profile.
func classic(domain, user string) *awssagemaker.CreateAppInput {
	return &awssagemaker.CreateAppInput{
		DomainId: &domain, UserProfileName: &user, AppType: types.AppTypeJupyterServer, AppName: aws.String("default"),
	}
}

// server asks for the server of RStudio.
func server(domain string) *awssagemaker.CreateAppInput {
	in := classic(domain, "domain-shared")
	in.AppType = types.AppTypeRStudioServerPro
	return in
}

func (a studio) createApp(t testing.TB, in *awssagemaker.CreateAppInput) error {
	t.Helper()
	_, err := a.sm.CreateApp(t.Context(), in)
	return err
}

func (a studio) deleteApp(t testing.TB, in *awssagemaker.CreateAppInput) error {
	t.Helper()
	_, err := a.sm.DeleteApp(t.Context(), &awssagemaker.DeleteAppInput{
		DomainId: in.DomainId, UserProfileName: in.UserProfileName, SpaceName: in.SpaceName, AppType: in.AppType, AppName: in.AppName,
	})
	return err
}

func (a studio) app(t testing.TB, in *awssagemaker.CreateAppInput) *awssagemaker.DescribeAppOutput {
	t.Helper()
	out, err := a.sm.DescribeApp(t.Context(), &awssagemaker.DescribeAppInput{
		DomainId: in.DomainId, UserProfileName: in.UserProfileName, SpaceName: in.SpaceName, AppType: in.AppType, AppName: in.AppName,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// is checks that an error has a code and, if text is not empty, speaks of it.
func is(t testing.TB, what string, err error, want, text string) {
	t.Helper()
	if got := code(err); got != want || err != nil && !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want code %q with %q", what, err, want, text)
	}
}

const (
	inUse    = "ResourceInUse"
	notFound = "ResourceNotFound"
	limit    = "ResourceLimitExceeded"
	refused  = "ValidationException"
)

// TestSageMakerErrorsAreTheSDKs compares refusals, whole, with what the SDK's own
// deserialiser makes of the same answer.
func TestSageMakerErrorsAreTheSDKs(t *testing.T) {
	a := newStudio(t, fakeaws.Config{
		Quotas: map[string]int{"Total domains": 1}, Deny: []string{"sagemaker:ListSpaces"},
		Faults: []fakeaws.Fault{{Action: "sagemaker:ListImages"}},
	})
	ctx := t.Context()
	domain := a.domain(t)
	a.user(t, domain, "ada")
	once := func(o *awssagemaker.Options) { o.RetryMaxAttempts = 1 }
	for _, test := range []struct {
		want   error // of the type it has to be
		code   string
		status int
		call   func(*awssagemaker.Client) error
	}{
		{new(types.ResourceInUse), inUse, 400, func(api *awssagemaker.Client) error {
			_, err := api.DeleteDomain(ctx, &awssagemaker.DeleteDomainInput{DomainId: &domain})
			return err
		}},
		{new(types.ResourceNotFound), notFound, 400, func(api *awssagemaker.Client) error {
			_, err := api.DescribeDomain(ctx, &awssagemaker.DescribeDomainInput{DomainId: aws.String("d-none")})
			return err
		}},
		{new(types.ResourceLimitExceeded), limit, 400, func(api *awssagemaker.Client) error {
			_, err := api.CreateDomain(ctx, a.domainInput())
			return err
		}},
		{new(smithy.GenericAPIError), refused, 400, func(api *awssagemaker.Client) error {
			_, err := api.CreateApp(ctx, classic(domain, "domain-shared"))
			return err
		}},
		{new(smithy.GenericAPIError), "AccessDeniedException", 400, func(api *awssagemaker.Client) error {
			_, err := api.ListSpaces(ctx, &awssagemaker.ListSpacesInput{})
			return err
		}},
		{new(smithy.GenericAPIError), "InternalError", 500, func(api *awssagemaker.Client) error {
			_, err := api.ListImages(ctx, &awssagemaker.ListImagesInput{})
			return err
		}},
	} {
		got := test.call(awssagemaker.NewFromConfig(a.Config(), once))
		refusal, ok := errors.AsType[smithy.APIError](got)
		answer, sealed := errors.AsType[*awshttp.ResponseError](got)
		if !ok || !sealed || refusal.ErrorCode() != test.code || answer.HTTPStatusCode() != test.status || reflect.TypeOf(refusal) != reflect.TypeOf(test.want) {
			t.Errorf("%s: got %T %v", test.code, refusal, got)
			continue
		}
		want := test.call(awssagemaker.NewFromConfig(aws.Config{
			Region: a.Region(), Credentials: a.Config().Credentials,
			HTTPClient: answering{answer.HTTPStatusCode(), answer.ServiceRequestID(), test.code, map[string]string{"Message": refusal.ErrorMessage(), "message": refusal.ErrorMessage()}},
		}, once))
		if g, w := chain(got), chain(want); !reflect.DeepEqual(g, w) {
			t.Errorf("%s:\ngot  %s\nwant %s", test.code, strings.Join(g, "\n     "), strings.Join(w, "\n     "))
		}
	}
}

// TestStudioPagesAreComplete: however lists are cut, and whatever comes and goes meanwhile.
func TestStudioPagesAreComplete(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t, bare)
	want := map[string]bool{}
	for i := range 37 {
		name := fmt.Sprintf("user-%02d", i)
		a.user(t, domain, name)
		want[name] = true
	}
	short := 0
	for _, size := range []int32{0, 1, 7, 100} {
		in := &awssagemaker.ListUserProfilesInput{DomainIdEquals: &domain}
		if size > 0 {
			in.MaxResults = &size
		}
		got := map[string]bool{}
		pages := awssagemaker.NewListUserProfilesPaginator(a.sm, in)
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			most := 10
			if size > 0 {
				most = int(size)
			}
			switch n := len(out.UserProfiles); {
			case n > most:
				t.Errorf("a page of %d, want at most %d", n, most)
			case n < most && out.NextToken != nil:
				short++
			}
			for _, u := range out.UserProfiles {
				got[*u.UserProfileName] = true
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("pages of %d: %d of %d", size, len(got), len(want))
		}
	}
	if short == 0 {
		t.Error("no page came short, though MaxResults is an upper bound and not a target")
	}
	first, err := a.sm.ListUserProfiles(t.Context(), &awssagemaker.ListUserProfilesInput{MaxResults: aws.Int32(5)})
	if err != nil {
		t.Fatal(err)
	}
	last := *first.UserProfiles[len(first.UserProfiles)-1].UserProfileName
	if _, err := a.sm.DeleteUserProfile(t.Context(), &awssagemaker.DeleteUserProfileInput{DomainId: &domain, UserProfileName: &last}); err != nil {
		t.Fatal(err)
	}
	rest, err := a.sm.ListUserProfiles(t.Context(), &awssagemaker.ListUserProfilesInput{MaxResults: aws.Int32(1), NextToken: first.NextToken})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := *rest.UserProfiles[0].UserProfileName, fmt.Sprintf("user-%02d", len(first.UserProfiles)); got != want {
		t.Errorf("after a deleted profile comes %s, want %s", got, want)
	}
	_, err = a.sm.ListUserProfiles(t.Context(), &awssagemaker.ListUserProfilesInput{MaxResults: aws.Int32(101)})
	is(t, "a page of 101", err, refused, "maxResults")
}

// TestStudioIsEventuallyConsistent: for a while some reads do not know of what was made.
func TestStudioIsEventuallyConsistent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStudio(t, fakeaws.Config{Delays: fakeaws.Delays{Visible: 2 * time.Second}})
		domain := a.domain(t)
		missed := 0
		read := func() {
			missed = 0
			for range 20 {
				if _, err := a.sm.DescribeDomain(t.Context(), &awssagemaker.DescribeDomainInput{DomainId: &domain}); code(err) == notFound {
					missed++
				}
			}
		}
		if read(); missed == 0 || missed == 20 {
			t.Errorf("of 20 reads %d miss a new domain, want some", missed)
		}
		time.Sleep(2 * time.Second)
		if read(); missed != 0 {
			t.Errorf("%d reads miss a domain that has settled", missed)
		}
	})
}

// TestStudioTags: of what there is, and on apps those of their domain and profile.
func TestStudioTags(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	domain := a.domain(t, func(in *awssagemaker.CreateDomainInput) { in.Tags = []types.Tag{tag("cost", "1"), tag("team", "bio")} })
	out, err := a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{
		DomainId: &domain, UserProfileName: aws.String("ada"), Tags: []types.Tag{tag("person", "ada")},
	})
	if err != nil {
		t.Fatal(err)
	}
	app := classic(domain, "ada")
	app.Tags = []types.Tag{tag("team", "own")}
	if err := a.createApp(t, app); err != nil {
		t.Fatal(err)
	}
	if _, err := a.sm.AddTags(t.Context(), &awssagemaker.AddTagsInput{ResourceArn: out.UserProfileArn, Tags: []types.Tag{tag("late", "yes"), tag("person", "lovelace")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.sm.DeleteTags(t.Context(), &awssagemaker.DeleteTagsInput{ResourceArn: out.UserProfileArn, TagKeys: []string{"none", "late"}}); err != nil {
		t.Fatal(err)
	}
	for arn, want := range map[string]string{
		*a.describe(t, domain).DomainArn: "cost=1 team=bio", *out.UserProfileArn: "person=lovelace", *a.app(t, app).AppArn: "cost=1 person=ada team=own",
	} {
		out, err := a.sm.ListTags(t.Context(), &awssagemaker.ListTagsInput{ResourceArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, t := range out.Tags {
			got = append(got, *t.Key+"="+*t.Value)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s has %s, want %s", arn, text, want)
		}
	}
	_, err = a.sm.ListTags(t.Context(), &awssagemaker.ListTagsInput{ResourceArn: aws.String("arn:aws:sagemaker:us-east-1:123456789012:domain/d-none")})
	is(t, "tags of nothing", err, notFound, "d-none")
}

// TestLateFailures: a fault's reason fails what a call sets going, and only that.
func TestLateFailures(t *testing.T) {
	a := newStudio(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "sagemaker:*", Subject: "ada", Nth: 1, Reason: "out of luck"}}})
	domain := a.domain(t)
	a.user(t, domain, "ada", "bob")
	if u := a.profile(t, domain, "ada"); u.Status != types.UserProfileStatusFailed || aws.ToString(u.FailureReason) != "out of luck" {
		t.Errorf("got %s because %q", u.Status, aws.ToString(u.FailureReason))
	}
	if u := a.profile(t, domain, "bob"); u.Status != types.UserProfileStatusInService || u.FailureReason != nil {
		t.Errorf("another is %s", u.Status)
	}
	if n := a.Injected(); n != 1 {
		t.Errorf("%d faults were injected, want 1: reads cannot fail late", n)
	}
	for _, f := range []fakeaws.Fault{
		{Action: "ec2:RunInstances", Reason: "no"}, {Action: "sagemaker:DescribeApp", Reason: "no"},
		{Action: "sagemaker:CreateApp", Reason: "no", Code: "X"}, {Action: "sagemaker:CreateApp", Reason: "no", After: true},
	} {
		if _, err := fakeaws.New(fakeaws.Config{Faults: []fakeaws.Fault{f}}); err == nil {
			t.Errorf("%+v is accepted", f)
		}
	}
}

// TestLostReplyOfCreateDomain: what was asked is done, though nobody heard, and asking again
// makes another.
func TestLostReplyOfCreateDomain(t *testing.T) {
	a := newStudio(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "sagemaker:CreateDomain", Nth: 1, After: true}}})
	a.domain(t) // the SDK tries again
	out, err := a.sm.ListDomains(t.Context(), &awssagemaker.ListDomainsInput{MaxResults: aws.Int32(100)})
	if err != nil {
		t.Fatal(err)
	}
	more, err := a.sm.ListDomains(t.Context(), &awssagemaker.ListDomainsInput{MaxResults: aws.Int32(100), NextToken: out.NextToken})
	if err != nil {
		t.Fatal(err)
	}
	all := out.Domains
	if out.NextToken != nil {
		all = append(all, more.Domains...)
	}
	if len(all) != 2 || *all[0].DomainName != *all[1].DomainName {
		t.Errorf("%d domains, want two of one name: there is no client token", len(all))
	}
}

// TestStudioThrottles: beyond the buckets, calls are refused as SageMaker does it.
func TestStudioThrottles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStudio(t, fakeaws.Config{Limits: fakeaws.StudioLimits()})
		api := awssagemaker.NewFromConfig(a.Config(), func(o *awssagemaker.Options) { o.Retryer = aws.NopRetryer{} })
		var codes []string
		for range 41 {
			_, err := api.ListDomains(t.Context(), &awssagemaker.ListDomainsInput{})
			codes = append(codes, code(err))
		}
		if slices.Index(codes, "ThrottlingException") != 40 {
			t.Errorf("got %v", codes)
		}
		time.Sleep(time.Second)
		if _, err := api.ListDomains(t.Context(), &awssagemaker.ListDomainsInput{}); err != nil {
			t.Error(err)
		}
	})
}
