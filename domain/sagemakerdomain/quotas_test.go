package sagemakerdomain_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awslicenses "github.com/aws/aws-sdk-go-v2/service/licensemanager"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	awsquotas "github.com/aws/aws-sdk-go-v2/service/servicequotas"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
)

const labsOnM5 = "Studio JupyterLab Apps running on ml.m5.large instances"

// The checks go by a list of quotas of some minutes, but refuse by this moment's alone.
func TestQuotasAreRemembered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Quotas: map[string]int{labsOnM5: 1}})
		c := w.client()
		asked := 0
		check := func(what string, want domain.Kind, asks bool) {
			t.Helper()
			w.check(what, c.CheckStart(t.Context(), sagemakerdomain.JupyterLab, "ml.m5.large"), want)
			now := w.calls("servicequotas:ListServiceQuotas")
			if now > asked != asks {
				t.Errorf("%s: quotas were listed: %t", what, now > asked)
			}
			asked = now
		}
		check("first", ok, true)
		check("again", ok, false)
		_, err := c.CheckDomain(t.Context(), w.request())
		w.must(err)
		check("after a domain was checked", ok, false)
		time.Sleep(5 * time.Minute)
		check("minutes later", ok, true)
		w.must(w.cloud.SetStudioQuota(labsOnM5, 0))
		check("lowered meanwhile", ok, false)
		time.Sleep(5 * time.Minute)
		check("lowered", domain.ErrQuota, true)
		check("what is refused is asked for", domain.ErrQuota, true)
		w.must(w.cloud.SetStudioQuota(labsOnM5, 1))
		check("raised", ok, true)
		// What a caller does with an answer is the caller's.
		q, err := c.Quotas(t.Context())
		w.must(err)
		asked = w.calls("servicequotas:ListServiceQuotas")
		for i := range q.ByType {
			q.ByType[i].Limit = 0
		}
		check("after the list was changed", ok, false)
	})
}

// An app that is to start on the type of the settings is checked against that type's quota,
// whosever the setting is, and nothing is asked of SageMaker.
func TestStartAppChecksTheTypeInForce(t *testing.T) {
	m5 := &types.ResourceSpec{InstanceType: types.AppInstanceTypeMlM5Large}
	other := &types.ResourceSpec{InstanceType: types.AppInstanceTypeMlT3Medium}
	lab := func(spec *types.ResourceSpec) *types.UserSettings {
		return &types.UserSettings{JupyterLabAppSettings: &types.JupyterLabAppSettings{DefaultResourceSpec: spec}}
	}
	start := func(c *sagemakerdomain.Client, w *world, id string, kind sagemakerdomain.AppType, space string) error {
		q := sagemakerdomain.StartAppRequest{AppID: sagemakerdomain.AppID{Domain: id, Space: space, Type: kind, Name: "default"}}
		if space == "" {
			q.Profile = "alice"
		}
		_, err := c.StartApp(w.Context(), q)
		return err
	}
	for name, test := range map[string]struct {
		domain, profile *types.UserSettings
		space           *types.SpaceSettings
		quota           string
		kind            sagemakerdomain.AppType
		checked         bool
		deny            string // what the caller may not do
	}{
		"domain":          {domain: lab(m5), quota: labsOnM5, kind: sagemakerdomain.JupyterLab, checked: true},
		"profile":         {domain: lab(other), profile: lab(m5), quota: labsOnM5, kind: sagemakerdomain.JupyterLab, checked: true},
		"over the domain": {domain: lab(m5), profile: lab(other), quota: labsOnM5, kind: sagemakerdomain.JupyterLab},
		"space": {profile: lab(other), quota: labsOnM5, kind: sagemakerdomain.JupyterLab, checked: true, space: &types.SpaceSettings{
			JupyterLabAppSettings: &types.SpaceJupyterLabAppSettings{DefaultResourceSpec: m5},
		}},
		"Code Editor": {quota: "Studio CodeEditor Apps running on ml.m5.large instances", kind: sagemakerdomain.CodeEditor, checked: true,
			domain: &types.UserSettings{CodeEditorAppSettings: &types.CodeEditorAppSettings{DefaultResourceSpec: m5}}},
		"kernel": {quota: "Studio KernelGateway Apps running on ml.t3.medium instance", kind: sagemakerdomain.StudioKernel, checked: true,
			profile: &types.UserSettings{KernelGatewayAppSettings: &types.KernelGatewayAppSettings{DefaultResourceSpec: &types.ResourceSpec{InstanceType: types.AppInstanceTypeSystem}}}},
		"Studio Classic": {quota: "Studio Jupyter Apps running on system instances", kind: sagemakerdomain.StudioClassic, checked: true},
		"nobody's":       {quota: labsOnM5, kind: sagemakerdomain.JupyterLab},
		"space unseen":   {profile: lab(m5), quota: "Studio CodeEditor Apps running on ml.m5.large instances", kind: sagemakerdomain.JupyterLab, deny: "sagemaker:DescribeSpace"},
		"user unseen":    {profile: lab(m5), quota: "Studio CodeEditor Apps running on ml.m5.large instances", kind: sagemakerdomain.JupyterLab, deny: "sagemaker:DescribeUserProfile"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var cfg fakeaws.Config
				if test.deny != "" {
					cfg.Deny = []string{test.deny}
				}
				w := newWorld(t, cfg)
				c, id := w.client(), w.domain().ID
				w.must(w.cloud.SetStudioQuota(test.quota, 0))
				if test.domain != nil {
					_, err := w.sm.UpdateDomain(t.Context(), &awssagemaker.UpdateDomainInput{DomainId: &id, DefaultUserSettings: test.domain})
					w.must(err)
				}
				_, err := w.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &id, UserProfileName: aws.String("alice"), UserSettings: test.profile})
				w.must(err)
				space := ""
				if test.kind == sagemakerdomain.JupyterLab || test.kind == sagemakerdomain.CodeEditor {
					space = "lab"
					_, err = w.sm.CreateSpace(t.Context(), &awssagemaker.CreateSpaceInput{
						DomainId: &id, SpaceName: &space, OwnershipSettings: &types.OwnershipSettings{OwnerUserProfileName: aws.String("alice")},
						SpaceSharingSettings: &types.SpaceSharingSettings{SharingType: types.SharingTypePrivate}, SpaceSettings: test.space,
					})
					w.must(err)
				}
				before := w.calls("sagemaker:CreateApp")
				err = start(c, w, id, test.kind, space)
				if test.checked {
					w.is(err, domain.ErrQuota, "one more would exceed", test.quota)
				} else {
					w.must(err)
				}
				if asked := w.calls("sagemaker:CreateApp") > before; asked == test.checked {
					t.Errorf("SageMaker was asked: %t", asked)
				}
			})
		})
	}
}

// reworded are an account's quotas in which some words of the names are others.
type reworded struct {
	*awsquotas.Client
	from, to string
}

func (r reworded) rename(list []quotatypes.ServiceQuota) {
	for i := range list {
		list[i].QuotaName = aws.String(strings.Replace(*list[i].QuotaName, r.from, r.to, 1))
	}
}

func (r reworded) ListServiceQuotas(ctx context.Context, in *awsquotas.ListServiceQuotasInput, options ...func(*awsquotas.Options)) (*awsquotas.ListServiceQuotasOutput, error) {
	out, err := r.Client.ListServiceQuotas(ctx, in, options...)
	if err == nil {
		r.rename(out.Quotas)
	}
	return out, err
}

func (r reworded) ListAWSDefaultServiceQuotas(ctx context.Context, in *awsquotas.ListAWSDefaultServiceQuotasInput, options ...func(*awsquotas.Options)) (*awsquotas.ListAWSDefaultServiceQuotasOutput, error) {
	out, err := r.Client.ListAWSDefaultServiceQuotas(ctx, in, options...)
	if err == nil {
		r.rename(out.Quotas)
	}
	return out, err
}

// Where quotas of a type of app are called something that nobody here knows, nothing is held
// against what would start; one that is missing among others of the type is.
func TestQuotasOfOtherNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		cfg := w.cloud.Config()
		renaming := func(from, to string) *sagemakerdomain.Client {
			c, err := sagemakerdomain.New(cfg.Region, sagemakerdomain.Services{
				SageMaker: w.sm, EC2: awsec2.NewFromConfig(cfg), EFS: awsefs.NewFromConfig(cfg), IAM: awsiam.NewFromConfig(cfg), Licenses: awslicenses.NewFromConfig(cfg),
				Quotas: reworded{awsquotas.NewFromConfig(cfg), from, to}, Images: image.NewFromConfig(cfg, image.Config{}),
			}, sagemakerdomain.Config{})
			w.must(err)
			return c
		}
		_, err := renaming("system", "small").CheckDomain(t.Context(), w.request())
		w.is(err, domain.ErrInvalid, "there is no quota of RStudio server apps on system, so that none can run there")
		c := renaming("Apps running on", "Apps on")
		d, err := c.CreateDomain(t.Context(), w.request())
		w.must(err)
		w.must(c.CheckStart(t.Context(), sagemakerdomain.Canvas, "ml.t3.medium"))
		w.profile(d.ID, "alice")
		_, err = c.StartApp(t.Context(), sagemakerdomain.StartAppRequest{AppID: sagemakerdomain.AppID{Domain: d.ID, Profile: "alice", Type: sagemakerdomain.StudioClassic, Name: "default"}})
		w.must(err)
	})
}

// That there is room nobody says who may not look: the check is denied, and what is to start is
// left to SageMaker.
func TestQuotasMayNotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Deny: []string{"servicequotas:ListAWSDefaultServiceQuotas"}})
		c, d := w.client(), w.domain()
		w.profile(d.ID, "alice")
		w.is(c.CheckStart(t.Context(), sagemakerdomain.StudioClassic, "system"), domain.ErrDenied, "check start", "what Policy lists")
		_, err := c.StartApp(t.Context(), sagemakerdomain.StartAppRequest{AppID: sagemakerdomain.AppID{Domain: d.ID, Profile: "alice", Type: sagemakerdomain.StudioClassic, Name: "default"}})
		w.must(err)
	})
}
