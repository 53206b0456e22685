package sagemakerdomain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// An app that is printed says more than its id.
func TestAppString(t *testing.T) {
	id := sagemakerdomain.AppID{Domain: "d-1", Profile: "ada", Type: sagemakerdomain.RStudioSession, Name: "x"}
	for want, app := range map[string]sagemakerdomain.App{
		"ada/RSessionGateway/x InService on ml.m5.large": {AppID: id, Status: sagemakerdomain.InService, InstanceType: "ml.m5.large"},
		"ada/RSessionGateway/x Pending":                  {AppID: id, Status: sagemakerdomain.Pending},
	} {
		for _, format := range []string{"%v", "%+v"} {
			if got := fmt.Sprintf(format, app); got != want {
				t.Errorf("%s: it is %q, want %q", format, got, want)
			}
		}
	}
}

// What Studio Classic runs on is not documented, and so has no price of EC2's, as its kernels have.
func TestSystemOfStudioClassic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		c, d := w.client(), w.domain()
		w.profile(d.ID, "ada")
		for kind, on := range map[sagemakerdomain.AppType]struct{ is, ec2 string }{sagemakerdomain.StudioClassic: {"system", ""}, sagemakerdomain.StudioKernel: {"ml.t3.medium", "t3.medium"}} {
			a, err := c.StartApp(t.Context(), sagemakerdomain.StartAppRequest{
				AppID: sagemakerdomain.AppID{Domain: d.ID, Profile: "ada", Type: kind, Name: "default"}, InstanceType: on.is,
			})
			w.must(err)
			if a.InstanceType != on.is || a.EC2Type != on.ec2 || (a.EC2Price == 0) != (on.ec2 == "") || a.Free {
				t.Errorf("%s is on %q, for EC2 %q, at %v, free: %t", kind, a.InstanceType, a.EC2Type, a.EC2Price, a.Free)
			}
		}
		time.Sleep(time.Minute)
		_, err := c.StartApp(t.Context(), sagemakerdomain.StartAppRequest{
			AppID: sagemakerdomain.AppID{Domain: d.ID, Profile: "ada", Type: sagemakerdomain.JupyterLab, Name: "default"},
		})
		w.is(err, domain.ErrInvalid, "JupyterLab runs in a space: name one, as Spaces lists them", "CreateSpace")
		if err != nil && strings.Count(err.Error(), "name one") != 1 {
			t.Error(err)
		}
	})
}

// What CreateApp misses is the owner, if it is not there, and otherwise as SageMaker says.
func TestStartAppMissing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "sagemaker:CreateApp", Status: 400, Code: "ResourceNotFound"}}})
		c, d := w.client(), w.domain()
		w.profile(d.ID, "ada")
		time.Sleep(time.Minute)
		for profile, want := range map[string]string{"ada": "/ada/JupyterServer/default: not found: operation error SageMaker: CreateApp", "eve": "there is no user profile eve in domain " + d.ID} {
			_, err := c.StartApp(t.Context(), sagemakerdomain.StartAppRequest{
				AppID: sagemakerdomain.AppID{Domain: d.ID, Profile: profile, Type: sagemakerdomain.StudioClassic, Name: "default"},
			})
			w.is(err, domain.ErrNotFound, want)
		}
	})
}
