package sagemakerdomain_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
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
