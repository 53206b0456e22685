package fakeaws_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// listed pages through the instances that filters select, by id.
func (a account) listed(t *testing.T, filters ...types.Filter) []types.Instance {
	t.Helper()
	return a.paged(t, 100, filters...)
}

func (a account) paged(t *testing.T, size int32, filters ...types.Filter) []types.Instance {
	t.Helper()
	var list []types.Instance
	pages := awsec2.NewDescribeInstancesPaginator(a.ec2, &awsec2.DescribeInstancesInput{Filters: filters, MaxResults: aws.Int32(size)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, r := range page.Reservations {
			n += len(r.Instances)
			list = append(list, r.Instances...)
		}
		if n > int(size) {
			t.Errorf("%d instances on a page of %d", n, size)
		}
	}
	return list
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

func TestDescribeInstancesFilters(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	for n := range 3 {
		in := a.launch(fmt.Sprint("buy-", n))
		in.MinCount, in.MaxCount = aws.Int32(7), aws.Int32(7)
		in.SubnetId = aws.String(a.Subnets()[n].ID)
		in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{
			{Key: aws.String("fleet"), Value: aws.String(fmt.Sprint("f", n%2))}, {Key: aws.String(fmt.Sprint("only-", n)), Value: aws.String("")},
		}}}
		out, err := a.ec2.RunInstances(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if n == 2 {
			if _, err := a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: ids(out)[:2]}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		filters []types.Filter
		want    int
	}{
		{nil, 21},
		{[]types.Filter{filter("client-token", "buy-1")}, 7},
		{[]types.Filter{filter("client-token", "buy-1", "buy-2")}, 14},
		{[]types.Filter{filter("client-token", "buy-?")}, 21},
		{[]types.Filter{filter("client-token", `buy-\?`)}, 0},
		{[]types.Filter{filter("tag:fleet", "f0")}, 14},
		{[]types.Filter{filter("tag:fleet", "f*")}, 21},
		{[]types.Filter{filter("tag:fleet", "F0")}, 0},
		{[]types.Filter{filter("tag:none", "*")}, 0},
		{[]types.Filter{filter("tag-key", "only-1")}, 7},
		{[]types.Filter{filter("tag:fleet", "f0"), filter("instance-state-name", "running", "pending")}, 12},
		{[]types.Filter{filter("instance-state-name", "terminated")}, 2},
		{[]types.Filter{filter("availability-zone", "us-east-1c")}, 7},
		{[]types.Filter{filter("subnet-id", a.Subnets()[2].ID)}, 5}, // the terminated have none
		{[]types.Filter{filter("instance-type", "t3.*"), filter("vpc-id", a.DefaultVPC())}, 19},
		{[]types.Filter{filter("instance-type", "r5.large")}, 0},
		{[]types.Filter{filter("tag:fleet")}, 0},
	} {
		list := a.paged(t, 5, c.filters...)
		distinct := map[string]bool{}
		for _, i := range list {
			distinct[*i.InstanceId] = true
		}
		if len(list) != c.want || len(distinct) != c.want {
			t.Errorf("%v: %d instances, %d of them distinct, want %d", describeFilters(c.filters), len(list), len(distinct), c.want)
		}
	}
}

func describeFilters(filters []types.Filter) (list []string) {
	for _, f := range filters {
		list = append(list, fmt.Sprint(*f.Name, "=", f.Values))
	}
	return list
}

// TestTerminateAllOrNone: one bad id among many ends nothing, and what ended
// can be ended again.
func TestTerminateAllOrNone(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	out, err := a.ec2.RunInstances(t.Context(), a.launch("x"))
	if err != nil {
		t.Fatal(err)
	}
	id := ids(out)[0]
	terminate := func(ids ...string) (*awsec2.TerminateInstancesOutput, error) {
		return a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: ids})
	}
	if _, err := terminate(id, "i-00000000"); code(err) != "InvalidInstanceID.NotFound" {
		t.Errorf("with an unknown id: %v", err)
	}
	if s := a.listed(t)[0].State.Name; s != types.InstanceStateNameRunning {
		t.Fatalf("after the refusal it is %s", s)
	}
	for _, before := range []types.InstanceStateName{types.InstanceStateNameRunning, types.InstanceStateNameTerminated} {
		out, err := terminate(id, id)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out.TerminatingInstances); n != 1 || out.TerminatingInstances[0].PreviousState.Name != before {
			t.Errorf("%d changes, from %v; want one from %s", n, out.TerminatingInstances[0].PreviousState, before)
		}
	}
	if reason := a.listed(t)[0].StateReason; *reason.Code != "Client.UserInitiatedShutdown" {
		t.Errorf("state reason %q", *reason.Code)
	}
}

// TestInstancesModel: whatever is bought, ended and crashed in whatever order,
// what EC2 tells is what a small model says, as it was [Delays.Visible] ago.
func TestInstancesModel(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			delays := fakeaws.Delays{
				Visible: time.Duration(random.IntN(5)) * time.Second, InstanceRunning: time.Duration(random.IntN(30)) * time.Second,
				InstanceGone: time.Duration(random.IntN(60)) * time.Second,
			}
			a := newAccount(t, fakeaws.Config{Seed: seed, Delays: delays})
			type life struct{ launched, ended time.Time }
			lives := map[string]*life{}
			var order []string
			for step := range 150 {
				time.Sleep(time.Duration(random.IntN(600_000)) * time.Millisecond >> random.IntN(12))
				now := time.Now()
				switch random.IntN(5) {
				case 0, 1:
					in := a.launch(fmt.Sprint(step))
					in.MaxCount = aws.Int32(int32(1 + random.IntN(3)))
					out, err := a.ec2.RunInstances(t.Context(), in)
					if err != nil {
						t.Fatal(err)
					}
					for _, id := range ids(out) {
						if lives[id] != nil {
							t.Fatalf("the id %s was given twice", id)
						}
						lives[id] = &life{launched: now}
						order = append(order, id)
					}
				case 2, 3:
					if len(order) == 0 {
						continue
					}
					id := order[random.IntN(len(order))]
					l := lives[id]
					visible := !now.Before(l.launched.Add(delays.Visible)) &&
						(l.ended.IsZero() || now.Before(l.ended.Add(delays.InstanceGone+time.Hour+delays.Visible)))
					_, err := a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: []string{id}})
					if visible != (err == nil) {
						t.Fatalf("seed %d: terminate %s: %v, visible: %v", seed, id, err, visible)
					}
					if visible && l.ended.IsZero() {
						l.ended = now
					}
				case 4:
					if len(order) == 0 {
						continue
					}
					id := order[random.IntN(len(order))]
					if err := a.CrashHost(id); err != nil {
						t.Fatal(err)
					}
					if lives[id].ended.IsZero() {
						lives[id].ended = now
					}
				}
				want := map[string]types.InstanceStateName{}
				then := now.Add(-delays.Visible)
				for id, l := range lives {
					gone := l.ended.Add(delays.InstanceGone)
					switch {
					case l.launched.After(then), !l.ended.IsZero() && !then.Before(gone.Add(time.Hour)):
					case !l.ended.IsZero() && !then.Before(gone):
						want[id] = types.InstanceStateNameTerminated
					case !l.ended.IsZero() && !then.Before(l.ended):
						want[id] = types.InstanceStateNameShuttingDown
					case then.Before(l.launched.Add(delays.InstanceRunning)):
						want[id] = types.InstanceStateNamePending
					default:
						want[id] = types.InstanceStateNameRunning
					}
				}
				list := a.listed(t)
				for _, i := range list {
					if want[*i.InstanceId] != i.State.Name {
						t.Fatalf("seed %d: %s is %s, want %q", seed, *i.InstanceId, i.State.Name, want[*i.InstanceId])
					}
				}
				if len(list) != len(want) {
					t.Fatalf("seed %d: %d instances listed, want %d", seed, len(list), len(want))
				}
			}
		})
	}
}

// TestWaiter: the SDK's own waiter follows an instance through minutes that
// pass at once, throttled now and then.
func TestWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{
			Delays: fakeaws.Delays{InstanceRunning: 3 * time.Minute, Visible: 2 * time.Second},
			Faults: []fakeaws.Fault{{Action: "ec2:DescribeInstances", Rate: 0.3, Status: 503, Code: "RequestLimitExceeded"}},
		})
		out, err := a.ec2.RunInstances(t.Context(), a.launch("x"))
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := awsec2.NewInstanceRunningWaiter(a.ec2).Wait(t.Context(), &awsec2.DescribeInstancesInput{InstanceIds: ids(out)}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 3*time.Minute || took > 10*time.Minute {
			t.Errorf("it took %v", took)
		}
		if a.Injected() == 0 {
			t.Error("no call was throttled")
		}
	})
}

// TestIsolation: what a caller does to an input after the call, or to an
// output, changes nothing in the account.
func TestIsolation(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	group, err := a.ec2.CreateSecurityGroup(t.Context(), &awsec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d")})
	if err != nil {
		t.Fatal(err)
	}
	in := a.launch("x")
	in.SecurityGroupIds = []string{*group.GroupId}
	in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpPutResponseHopLimit: aws.Int32(1)}
	in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}}
	out, err := a.ec2.RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(i *types.Instance) {
		*i.MetadataOptions.HttpPutResponseHopLimit = 64
		*i.Tags[0].Value = "spoilt"
		*i.SecurityGroups[0].GroupId = "spoilt"
		*i.State.Code = 99
		*i.PrivateIpAddress = "spoilt"
	}
	spoil(&out.Instances[0])
	first := a.listed(t)[0]
	spoil(&first)
	in.SecurityGroupIds[0] = "spoilt"
	*in.MetadataOptions.HttpPutResponseHopLimit = 64
	*in.TagSpecifications[0].Tags[0].Value = "spoilt"
	got := a.listed(t)[0]
	if *got.MetadataOptions.HttpPutResponseHopLimit != 1 || *got.Tags[0].Value != "v" || *got.SecurityGroups[0].GroupId != *group.GroupId ||
		*got.State.Code != 16 || *got.PrivateIpAddress == "spoilt" {
		t.Errorf("changed from outside: hop limit %d, tag %q, group %q, state %d, address %q", *got.MetadataOptions.HttpPutResponseHopLimit,
			*got.Tags[0].Value, *got.SecurityGroups[0].GroupId, *got.State.Code, *got.PrivateIpAddress)
	}
	in = a.launch("x")
	in.SecurityGroupIds = []string{*group.GroupId}
	in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpPutResponseHopLimit: aws.Int32(1)}
	in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}}
	if again, err := a.ec2.RunInstances(t.Context(), in); err != nil || !slices.Equal(ids(again), ids(out)) {
		t.Errorf("the token has another meaning now: %v", err)
	}
}
