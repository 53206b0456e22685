package sagemakerdomain_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

var update = flag.Bool("update", false, "write the golden files anew")

// world is an account with the roles that domains need.
type world struct {
	testing.TB
	cloud *fakeaws.Cloud
	sm    *awssagemaker.Client
	home  string // the file system of what busy makes
	// records are those of our domains; nil is none yet.
	records store.Store
}

func bubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// slow is an account in which things take their time.
func slow(faults ...fakeaws.Fault) fakeaws.Config {
	return fakeaws.Config{Delays: fakeaws.Realistic(), Faults: faults}
}

const (
	userRole   = "arn:aws:iam::123456789012:role/studio"
	serverRole = "arn:aws:iam::123456789012:role/rstudio"
	trust      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
)

func newWorld(t testing.TB, c fakeaws.Config) *world {
	t.Helper()
	quotas := map[string]int{
		"Total domains": 10, "RStudioServerPro Apps running on system instances": 10, "RStudioServerPro Apps running on ml.c5.4xlarge instances": 1,
	}
	maps.Copy(quotas, c.Quotas)
	c.Quotas = quotas
	cloud, err := fakeaws.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, cloud: cloud, sm: awssagemaker.NewFromConfig(cloud.Config())}
	t.Cleanup(func() { w.must(cloud.Close()) })
	iam := awsiam.NewFromConfig(cloud.Config())
	for name, document := range map[string]string{
		"studio": trust, "rstudio": trust, "ec2only": strings.Replace(trust, "sagemaker", "ec2", 1),
	} {
		_, err := iam.CreateRole(t.Context(), &awsiam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &document})
		w.must(err)
	}
	time.Sleep(c.Delays.Visible)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// is checks the kind and the words of an error.
func (w *world) is(err error, kind domain.Kind, words ...string) {
	w.Helper()
	if !errors.Is(err, kind) {
		w.Errorf("error is %v, want %q", err, kind)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			w.Errorf("%q does not say %q", err, word)
		}
	}
}

// client is what a new process would make.
func (w *world) client() *sagemakerdomain.Client {
	w.Helper()
	c, err := sagemakerdomain.NewFromConfig(w.cloud.Config(), sagemakerdomain.Config{})
	w.must(err)
	return c
}

// request is a domain that has everything.
func (w *world) request() sagemakerdomain.CreateDomainRequest {
	q := sagemakerdomain.CreateDomainRequest{
		Name: "research", VPC: w.cloud.DefaultVPC(), ExecutionRole: userRole, DomainExecutionRole: serverRole,
		DefaultAccess: sagemakerdomain.AccessUser, ConnectURL: "https://connect.example.com", Tags: map[string]string{"team": "science"},
	}
	for _, s := range w.cloud.Subnets() {
		q.Subnets = append(q.Subnets, s.ID)
	}
	return q
}

// domain makes the domain of request.
func (w *world) domain() sagemakerdomain.Description {
	w.Helper()
	d, err := w.client().CreateDomain(w.Context(), w.request())
	w.must(err)
	return d
}

// profile makes a user profile that says nothing.
func (w *world) profile(domainID, name string) sagemakerdomain.Profile {
	w.Helper()
	p, err := w.client().CreateProfile(w.Context(), sagemakerdomain.ProfileRequest{Domain: domainID, Name: name})
	w.must(err)
	return p
}

// space makes a private space for an app of a type.
func (w *world) space(domainID, owner, name string, kind types.AppType) {
	w.Helper()
	_, err := w.sm.CreateSpace(w.Context(), &awssagemaker.CreateSpaceInput{
		DomainId: &domainID, SpaceName: &name, OwnershipSettings: &types.OwnershipSettings{OwnerUserProfileName: &owner},
		SpaceSharingSettings: &types.SpaceSharingSettings{SharingType: types.SharingTypePrivate}, SpaceSettings: &types.SpaceSettings{AppType: kind},
	})
	w.must(err)
	w.settle(func() bool {
		out, err := w.sm.DescribeSpace(w.Context(), &awssagemaker.DescribeSpaceInput{DomainId: &domainID, SpaceName: &name})
		return err == nil && out.Status == types.SpaceStatusInService
	})
}

// session starts a session of RStudio.
func (w *world) session(domainID, profile string) sagemakerdomain.AppID {
	w.Helper()
	name, err := w.cloud.StartRSession(domainID, profile, fakeaws.RSession{})
	w.must(err)
	return sagemakerdomain.AppID{Domain: domainID, Profile: profile, Type: sagemakerdomain.RStudioSession, Name: name}
}

func (w *world) status(id sagemakerdomain.AppID) sagemakerdomain.Status {
	w.Helper()
	a, err := w.client().App(w.Context(), id)
	w.must(err)
	return a.Status
}

// inventory is what there is in the account, as lines.
func (w *world) inventory() map[string]string { return w.cloud.Inventory() }

// kinds counts resources by what their ids begin with.
func kindsOf(inventory map[string]string) string {
	count := map[string]int{}
	for id := range inventory {
		kind, _, _ := strings.Cut(id, "-")
		if _, rest, ok := strings.Cut(id, ":sagemaker:"); ok {
			resource, _, _ := strings.Cut(rest, "/")
			kind = resource[strings.LastIndex(resource, ":")+1:]
		} else if strings.HasPrefix(id, "arn:aws:iam") {
			continue
		}
		count[kind]++
	}
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(count)) {
		lines = append(lines, fmt.Sprintf("%s %d", k, count[k]))
	}
	return strings.Join(lines, ", ")
}

func golden(t testing.TB, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func collect[T any](t testing.TB, seq func(func(T, error) bool)) (all []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// imageOf registers an image with a version of a container image that was pushed.
func (w *world) imageOf(name, tag string) sagemakerdomain.ImageVersion {
	w.Helper()
	base := ecr + "r-session:" + tag
	_, err := w.cloud.PushImage(base, sessionImage)
	w.must(err)
	_, err = w.client().RegisterImage(w.Context(), sagemakerdomain.RegisterImageRequest{Name: name, Role: userRole})
	w.must(err)
	v, err := w.client().AddVersion(w.Context(), sagemakerdomain.AddVersionRequest{Image: name, Base: base})
	w.must(err)
	return v
}

// sessionImage is a container image that RStudio on SageMaker takes.
var sessionImage = fakeaws.Image{Env: []string{"RSTUDIO_CONNECT_URL=https://connect.example.com", "RSTUDIO_PACKAGE_MANAGER_URL=https://packages.example.com"}}

const ecr = "123456789012.dkr.ecr.us-east-1.amazonaws.com/"

// settle waits until something has come about.
func (w *world) settle(done func() bool) {
	w.Helper()
	for range 600 {
		if done() {
			return
		}
		time.Sleep(time.Second)
	}
	w.Fatal("it does not come about")
}
