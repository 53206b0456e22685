package workbench_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/atelier-go/atelier/domain"
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
		y.must(keysAct(y))
		y.must(removeAllAct(y))
		y.must(keysAct(y)) // which takes back what is to be deleted
		actions := allowedBy(t, p.Administrator)
		begun := false
		for _, c := range y.cloud.Calls() {
			begun = begun || c.Action == "iam:CreateRole" // what was before is the domain's
			if begun && !slices.Contains(actions, c.Action) {
				t.Errorf("%s is called, and not allowed", c.Action)
			}
		}
	})
}

// allowedBy are the actions that policies allow.
func allowedBy(t *testing.T, documents ...string) (actions []string) {
	t.Helper()
	for _, text := range documents {
		var p struct{ Statement []struct{ Action []string } }
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Statement {
			actions = append(actions, s.Action...)
		}
	}
	return actions
}

// A reader describes and previews, and is allowed no more than that takes.
func TestReaderPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, fakeaws.Config{})
		y.deploy()
		y.must(keysAct(y))
		before := len(y.cloud.Calls())
		_, err := y.client().Describe(t.Context())
		y.must(err)
		_, err = y.client().PreviewRemove(t.Context(), workbench.RemoveRequest{})
		y.must(err)
		allowed := allowedBy(t, y.client().Policy().Reader)
		for _, c := range y.cloud.Calls()[before:] {
			if !slices.Contains(allowed, c.Action) {
				t.Errorf("%s is called, and not allowed", c.Action)
			}
		}
	})
}

// What a role holds is counted with the host's own policy, before anything is made.
func TestPoliciesTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, fakeaws.Config{})
		bare := y.inventory()
		document := func(length int) string { // of so many characters
			const empty = `{"Statement":[{"Sid":""}]}`
			return `{"Statement":[{"Sid":"` + strings.Repeat("a", length-len(empty)) + `"}]}`
		}
		with := func(policies map[string]string) error {
			q := y.request()
			q.Policies = policies
			_, err := y.client().Deploy(t.Context(), q)
			return err
		}
		err := with(map[string]string{"a": document(6000), "b": document(6000)})
		y.is(err, domain.ErrInvalid, "the policies have 12000 characters", "a 6000, b 6000", "beside the host's own")
		if got := y.inventory(); got != bare {
			t.Errorf("it made\n%s", got)
		}
		_, text, _ := strings.Cut(err.Error(), "a role holds ")
		var room int
		if _, err := fmt.Sscan(text, &room); err != nil {
			t.Fatal(err)
		}
		y.is(with(map[string]string{"a": document(room + 1)}), domain.ErrInvalid, "a role holds")
		y.must(with(map[string]string{"a": strings.Replace(document(room), ":", " :\n\t", 1), "none": ""}))
		// There is no room for both what was there and what is to be.
		for _, policies := range []map[string]string{
			{"b": document(room)}, {"a": document(room - 1000), "b": document(1000)}, {"a": document(1000), "b": document(room - 1000)},
			{"a": document(room - 1000), "b": document(1000)}, {"c": document(room)},
		} {
			y.must(with(policies))
			for _, name := range []string{"a", "b", "c"} {
				if got := y.rolePolicy(name); got != policies[name] {
					t.Errorf("policy %s has %d characters, want %d", name, len(got), len(policies[name]))
				}
			}
		}
	})
}

// hostPolicy is what the host's role may do.
func (y *yard) hostPolicy() string {
	y.Helper()
	return y.rolePolicy("atelier-workbench")
}

// rolePolicy is one of the policies of the host's role; empty if there is none.
func (y *yard) rolePolicy(name string) string {
	y.Helper()
	out, err := awsiam.NewFromConfig(y.cloud.Config()).GetRolePolicy(y.Context(), &awsiam.GetRolePolicyInput{
		RoleName: aws.String("atelier-research-workbench-us-east-1"), PolicyName: aws.String(name),
	})
	if _, missing := errors.AsType[*iamtypes.NoSuchEntityException](err); missing {
		return ""
	}
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
