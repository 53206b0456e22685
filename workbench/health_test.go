package workbench_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/workbench"
)

// How a host is that does not do well.
func TestDescribeProblems(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(*yard, workbench.Deployed)
		says string
		then act // what mends it
	}{
		"boots": {func(y *yard, d workbench.Deployed) {
			_, err := awsec2.NewFromConfig(y.cloud.Config()).RebootInstances(y.Context(), &awsec2.RebootInstancesInput{InstanceIds: []string{d.Instance}})
			y.must(err)
		}, "does not answer yet", nil},
		"impaired": {func(y *yard, d workbench.Deployed) { y.must(y.cloud.Impair(d.Instance)); time.Sleep(time.Minute) }, "fails EC2's status checks: call Replace", replaceAct},
		"silent": {func(y *yard, d workbench.Deployed) {
			y.must(y.cloud.Partition(d.Instance, true))
			time.Sleep(time.Hour)
		}, "see the instance's console", replaceAct},
		"terminated": {func(y *yard, d workbench.Deployed) { y.must(y.cloud.CrashHost(d.Instance)); time.Sleep(time.Minute) }, "is terminated (Server.InternalError", deployAct(nil)},
		"long gone":  {func(y *yard, d workbench.Deployed) { y.must(y.cloud.CrashHost(d.Instance)); time.Sleep(3 * time.Hour) }, "is terminated", replaceAct},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				y := newYard(t, slow())
				done := y.deploy()
				c.harm(y, done)
				d, err := y.client().Describe(t.Context())
				y.must(err)
				if d.Health.OK || !strings.Contains(strings.Join(d.Problems, "\n"), c.says) {
					t.Errorf("%q does not say %q", d.Problems, c.says)
				}
				if c.then == nil {
					return
				}
				y.must(c.then(y))
				y.neverTwo()
				time.Sleep(2 * time.Minute)
				d, err = y.client().Describe(t.Context())
				y.must(err)
				if d.Problems != nil || d.Address != done.Address || d.Instance == done.Instance {
					t.Errorf("afterwards: %+v", d)
				}
			})
		})
	}
}

func TestDescribeIsPatientWithNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.deploy()
		if _, err := y.client().Describe(cancelled(t.Context())); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if err := y.client().Replace(cancelled(t.Context())); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}
