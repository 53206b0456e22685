package workbench_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/workbench"
)

func TestPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, fakeaws.Config{})
		p := y.client().Policy()
		golden(t, "policy-administrator", p.Administrator+"\n")
		golden(t, "policy-reader", p.Reader+"\n")
		golden(t, "policy-host", p.Host+"\n")
		// What the calls of a whole life need is in it.
		y.deploy()
		y.must(restartAct(y))
		time.Sleep(time.Minute)
		y.must(replaceAct(y))
		y.must(removeAllAct(y))
		var allowed struct{ Statement []struct{ Action []string } }
		y.must(json.Unmarshal([]byte(p.Administrator), &allowed))
		var actions []string
		for _, s := range allowed.Statement {
			actions = append(actions, s.Action...)
		}
		begun := false
		for _, c := range y.cloud.Calls() {
			begun = begun || c.Action == "iam:CreateRole" // what was before is the domain's
			if begun && !slices.Contains(actions, c.Action) {
				t.Errorf("%s is called, and not allowed", c.Action)
			}
		}
	})
}

// hostPolicy is what the host's role may do.
func (y *yard) hostPolicy() string {
	y.Helper()
	out, err := awsiam.NewFromConfig(y.cloud.Config()).GetRolePolicy(y.Context(), &awsiam.GetRolePolicyInput{
		RoleName: aws.String("atelier-research-workbench-us-east-1"), PolicyName: aws.String("atelier-workbench"),
	})
	y.must(err)
	text, err := url.QueryUnescape(*out.PolicyDocument)
	y.must(err)
	return text
}

// Until it is replaced, a host can read the licence that it boots with.
func TestLicenseOfThePresentHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.deploy()
		q := y.request()
		q.License = workbench.License{File: "arn:aws:ssm:us-east-1:123456789012:parameter/posit/lic"}
		allowed := func() string {
			_, err := y.client().Deploy(t.Context(), q)
			y.must(err)
			return y.hostPolicy()
		}
		golden(t, "policy-host-licences", allowed()+"\n")
		y.must(replaceAct(y))
		if text := allowed(); strings.Contains(text, "posit-AbCdEf") || !strings.Contains(text, "parameter/posit/lic") {
			t.Errorf("afterwards the host may\n%s", text)
		}
	})
}
