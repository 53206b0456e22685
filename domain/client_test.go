package domain_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/instancetype"
)

func TestNewReportsEverything(t *testing.T) {
	_, err := domain.NewFromConfig(aws.Config{}, domain.Config{})
	is(t, err, domain.ErrInvalid)
	golden(t, "new.golden", err.Error()+"\n")
}

func TestNewNamesTheNilAPIs(t *testing.T) {
	_, err := domain.New("us-east-1", nil, nil, domain.Config{})
	is(t, err, domain.ErrInvalid)
	for _, want := range []string{"EC2 API is nil", "EFS API is nil", "Config.Store", "Config.Images"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestCreateMakesTheHostGroupAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		d := w.create(t.Context())
		if got, want := w.mutations(), []string{"ec2:CreateSecurityGroup"}; !slices.Equal(got, want) {
			t.Errorf("calls %v, want %v", got, want)
		}
		about, err := d.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if about.FileSystem != "" || about.HostSecurityGroup == "" || len(about.Subnets) != 2 || about.Subnets[0].Zone == "" {
			t.Errorf("%+v", about)
		}
		golden(t, "create.golden", w.inventory(t.Context()))
	})
}

func TestCreateIsIdempotentByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		w.create(ctx)
		w.create(ctx)
		again := w.request()
		slices.Reverse(again.Subnets)
		if _, err := w.client().Create(ctx, again); err != nil {
			t.Error(err)
		}
		if got := w.mutations(); len(got) != 1 {
			t.Errorf("calls %v, want one to create", got)
		}
		other := w.request()
		other.VPC, _ = w.AddVPC()
		subnet, err := w.AddSubnet(other.VPC, "us-east-1a")
		if err != nil {
			t.Fatal(err)
		}
		other.Subnets = []string{subnet.ID}
		other.KMSKeyID, other.Tags, other.Policy = "alias/homes", nil, domain.Policy{Types: []string{"t3.*"}}
		_, err = w.client().Create(ctx, other)
		is(t, err, domain.ErrConflict)
		for _, what := range []string{"VPC", "subnets", "KMS key", "tags", "policy"} {
			if !strings.Contains(err.Error(), "its "+what+" ") {
				t.Errorf("%v\ndoes not say that the %s differs", err, what)
			}
		}
		if got := w.mutations(); len(got) != 1 {
			t.Errorf("calls %v, want one to create", got)
		}
	})
}

// A program creates its domain at every start, also after an administrator
// changed the policy.
func TestCreateAfterSetPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		const one, two = "arn:aws:iam::123456789012:role/one", "arn:aws:iam::123456789012:role/two"
		now := domain.Policy{Types: []string{"t3.*"}, Images: []string{"rstudio"}, MaxPricePerHour: instancetype.Dollar, Roles: []string{two, one}, Sharing: domain.Pool}
		if err := d.SetPolicy(ctx, now); err != nil {
			t.Fatal(err)
		}
		q := w.request()
		reordered, other := now, now
		reordered.Roles, other.Roles = []string{one, two}, []string{one}
		for _, policy := range []domain.Policy{{}, now, reordered} {
			q.Policy = policy
			if _, err := w.client().Create(ctx, q); err != nil {
				t.Errorf("policy %+v: %v", policy, err)
			}
		}
		if about, _ := d.Describe(ctx); about.Policy.Sharing != domain.Pool {
			t.Errorf("policy is %+v", about.Policy)
		}
		for _, policy := range []domain.Policy{{Sharing: domain.Exclusive}, other} {
			q.Policy = policy
			_, err := w.client().Create(ctx, q)
			is(t, err, domain.ErrConflict)
		}
	})
}

func TestCreateBadInput(t *testing.T) {
	var text strings.Builder
	cases := []struct {
		name   string
		change func(*world, *domain.CreateRequest)
	}{
		{"nothing given", func(_ *world, q *domain.CreateRequest) { *q = domain.CreateRequest{} }},
		{"path separator", func(_ *world, q *domain.CreateRequest) { q.Name = "../etc" }},
		{"upper case and space", func(_ *world, q *domain.CreateRequest) { q.Name = "My Domain" }},
		{"control characters", func(_ *world, q *domain.CreateRequest) { q.Name = "a\x00b\n\x1b[31m" }},
		{"too long", func(_ *world, q *domain.CreateRequest) { q.Name = "a-name-of-21-letters-" }},
		{"not ASCII", func(_ *world, q *domain.CreateRequest) { q.Name = "größe" }},
		{"not UTF-8", func(_ *world, q *domain.CreateRequest) { q.Name = "a\xff" }},
		{"begins with a digit", func(_ *world, q *domain.CreateRequest) { q.Name = "2research" }},
		{"empty and malformed subnets", func(_ *world, q *domain.CreateRequest) { q.Subnets = []string{"", "net-1"} }},
		{"same subnet twice", func(_ *world, q *domain.CreateRequest) { q.Subnets = append(q.Subnets, q.Subnets[0]) }},
		{"subnets that do not exist", func(_ *world, q *domain.CreateRequest) {
			q.Subnets = append(q.Subnets, "subnet-0123456789abcdef0", "subnet-11111111")
		}},
		{"subnet of another VPC", func(w *world, q *domain.CreateRequest) {
			vpc, _ := w.AddVPC()
			subnet, err := w.AddSubnet(vpc, "us-east-1a")
			if err != nil {
				w.t.Fatal(err)
			}
			q.Subnets = append(q.Subnets, subnet.ID)
		}},
		{"another VPC altogether", func(w *world, q *domain.CreateRequest) { q.VPC, _ = w.AddVPC() }},
		{"policy", func(_ *world, q *domain.CreateRequest) {
			q.Policy = domain.Policy{
				Types: []string{"t3.*", "t3.*", "r5.4xlarg", "zz9.*", "", "R5", "large"}, Images: []string{"rstudio", "rstudio", "a/b", ""},
				MaxPricePerHour: -1, Sharing: "everybody",
				Roles: []string{"arn:aws:iam::123456789012:role/one", "arn:aws:iam::123456789012:role/one", "arn:aws:iam::123456789012:role/*", ""},
			}
		}},
		{"KMS key and tags", func(_ *world, q *domain.CreateRequest) {
			q.KMSKeyID = "a key"
			q.Tags = map[string]string{"": "x", "aws:x": "y", "atelier:domain": "z", "Name": "n", "k\n": "", "ok": strings.Repeat("v", 257)}
		}},
		{"everything", func(_ *world, q *domain.CreateRequest) {
			*q = domain.CreateRequest{Name: "a b", VPC: "research", Subnets: []string{"subnet-11111111", "subnet-11111111"}, Policy: domain.Policy{Types: []string{"x"}}}
		}},
	}
	for _, c := range cases {
		inBubble(t, c.name, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{})
			q := w.request()
			c.change(w, &q)
			_, err := w.client().Create(t.Context(), q)
			is(t, err, domain.ErrInvalid)
			fmt.Fprintf(&text, "# %s\n%v\n\n", c.name, err)
			checkAgrees(t, w, q, err)
			if got := w.mutations(); got != nil {
				t.Errorf("a refused request made calls: %v", got)
			}
			for r, err := range w.store.List(t.Context(), "domains", "") {
				t.Errorf("a refused request left a record: %v %v", r, err)
			}
		})
	}
	golden(t, "create-bad.golden", text.String())
}

func TestCreateTwoSubnetsOfOneZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		more, err := w.AddSubnet(w.DefaultVPC(), w.Subnets()[0].Zone)
		if err != nil {
			t.Fatal(err)
		}
		q := w.request()
		q.Subnets = append(q.Subnets, more.ID)
		d, err := w.client().Create(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		onboard(t, d, "alice")
		if n := strings.Count(w.inventory(t.Context()), "mount target in"); n != 2 {
			t.Errorf("%d mount targets, want one for each zone, 2", n)
		}
	})
}

func TestCreateConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := w.client().Create(t.Context(), w.request()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		golden(t, "create.golden", w.inventory(t.Context()))
	})
}

func TestCreateRefusesAnothersGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		if _, err := awsec2.NewFromConfig(w.Config()).CreateSecurityGroup(t.Context(), &awsec2.CreateSecurityGroupInput{
			GroupName: aws.String("atelier-research-hosts"), Description: aws.String("of somebody else"), VpcId: aws.String(w.DefaultVPC()),
		}); err != nil {
			t.Fatal(err)
		}
		_, err := w.client().Create(t.Context(), w.request())
		is(t, err, domain.ErrConflict)
		if !strings.Contains(err.Error(), "rename or delete it") {
			t.Error(err)
		}
	})
}

func TestFailuresOfAWSHaveKinds(t *testing.T) {
	for action, failures := range map[string]map[string]domain.Kind{
		"ec2:DescribeSubnets":     {"UnauthorizedOperation": domain.ErrDenied, "RequestLimitExceeded": domain.ErrThrottled},
		"ec2:CreateSecurityGroup": {"SecurityGroupLimitExceeded": domain.ErrQuota, "InvalidVpcID.NotFound": domain.ErrNotFound, "InternalError": domain.ErrUnavailable, "Unheard": domain.ErrUnavailable},
	} {
		for _, code := range slices.Sorted(maps.Keys(failures)) {
			inBubble(t, code, func(t *testing.T) {
				w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: action, Status: 400, Code: code}}})
				_, err := w.client().Create(t.Context(), w.request())
				is(t, err, failures[code])
				if w.Injected() == 0 {
					t.Error("nothing was injected")
				}
			})
		}
	}
}

func TestCreateCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		for n := range 8 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n)*150*time.Millisecond)
			if _, err := w.client().Create(ctx, w.request()); err != nil && err != context.DeadlineExceeded {
				t.Errorf("%v, want the context's error as it is", err)
			}
			cancel()
		}
		w.create(t.Context())
		golden(t, "create.golden", w.inventory(t.Context()))
	})
}

func TestGetAndList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		_, err := w.client().Get(ctx, "research")
		is(t, err, domain.ErrNotFound)
		_, err = w.client().Get(ctx, "Research")
		is(t, err, domain.ErrInvalid)
		w.create(ctx)
		q := w.request()
		q.Name = "art"
		if _, err := w.client().Create(ctx, q); err != nil {
			t.Fatal(err)
		}
		var names []string
		for d, err := range w.client().List(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, d.Name())
		}
		if want := []string{"art", "research"}; !slices.Equal(names, want) {
			t.Errorf("%v, want %v", names, want)
		}
		for range w.client().List(ctx) {
			break
		}

		elsewhere := w.Config()
		elsewhere.Region = "eu-west-1"
		c, err := domain.NewFromConfig(elsewhere, domain.Config{Store: w.store})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Get(ctx, "research")
		is(t, err, domain.ErrInvalid)
		for d, err := range c.List(ctx) {
			t.Errorf("listed %v, %v in another region", d, err)
		}
		_, err = c.Create(ctx, w.request())
		is(t, err, domain.ErrConflict)
	})
}
