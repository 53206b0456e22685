package fakeaws_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// spot is a request for one spot instance.
func (a account) spot(token string) *awsec2.RunInstancesInput {
	in := a.launch(token)
	in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot}
	return in
}

// buySpot makes n spot instances.
func (a account) buySpot(t *testing.T, token string, n int32) []string {
	t.Helper()
	in := a.spot(token)
	in.MinCount, in.MaxCount = aws.Int32(n), aws.Int32(n)
	out, err := a.ec2.RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return ids(out)
}

func (a account) terminate(t *testing.T, ids ...string) {
	t.Helper()
	if _, err := a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: ids}); err != nil {
		t.Fatal(err)
	}
}

// TestSpotLife: what EC2 tells of a spot instance and of its request, for each way
// in which it can end, and when it tells it.
func TestSpotLife(t *testing.T) {
	const (
		none      = "InvalidSpotInstanceRequestID.NotFound"
		fulfilled = "active fulfilled at 0s"
	)
	type look struct {
		after             time.Duration
		instance, request string
	}
	for name, c := range map[string]struct {
		end   func(*testing.T, account, string) // after an hour
		looks []look
	}{
		"EC2 takes it back": {
			end: func(t *testing.T, a account, id string) {
				if err := errors.Join(a.Interrupt(id), a.Interrupt(id)); err != nil {
					t.Error(err)
				}
			},
			looks: []look{
				{time.Hour, "running", fulfilled},
				{time.Hour + 2*time.Second, "running", "closed instance-terminated-no-capacity at 1h0m0s"},
				{time.Hour + 122*time.Second - 1, "running", "closed instance-terminated-no-capacity at 1h0m0s"},
				{time.Hour + 122*time.Second, "shutting-down Server.SpotInstanceTermination Service initiated", "closed instance-terminated-no-capacity at 1h0m0s"},
				{time.Hour + 152*time.Second, "terminated Server.SpotInstanceTermination Service initiated", "closed instance-terminated-no-capacity at 1h0m0s"},
				{5*time.Hour + 152*time.Second - 1, "InvalidInstanceID.NotFound", "closed instance-terminated-no-capacity at 1h0m0s"},
				{5*time.Hour + 152*time.Second, "InvalidInstanceID.NotFound", none},
			},
		},
		"the user terminates it": {
			end: func(t *testing.T, a account, id string) { a.terminate(t, id) },
			looks: []look{
				{time.Hour + 2*time.Second, "shutting-down Client.UserInitiatedShutdown User initiated", fulfilled},
				{time.Hour + 32*time.Second, "terminated Client.UserInitiatedShutdown User initiated", "closed instance-terminated-by-user at 1h0m30s"},
				{5*time.Hour + 32*time.Second - 1, "InvalidInstanceID.NotFound", "closed instance-terminated-by-user at 1h0m30s"},
				{5*time.Hour + 32*time.Second, "InvalidInstanceID.NotFound", none},
			},
		},
		"the user is faster": {
			end: func(t *testing.T, a account, id string) {
				if err := a.Interrupt(id); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Minute)
				a.terminate(t, id)
			},
			looks: []look{
				{time.Hour + 62*time.Second, "shutting-down Client.UserInitiatedShutdown User initiated", "closed instance-terminated-no-capacity at 1h0m0s"},
				{time.Hour + 92*time.Second, "terminated Client.UserInitiatedShutdown User initiated", "closed instance-terminated-no-capacity at 1h0m0s"},
				{time.Hour + 5*time.Minute, "terminated Client.UserInitiatedShutdown User initiated", "closed instance-terminated-no-capacity at 1h0m0s"},
			},
		},
		"the user is late": {
			end: func(t *testing.T, a account, id string) {
				if err := a.Interrupt(id); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Minute)
				a.terminate(t, id)
			},
			looks: []look{
				{time.Hour + 122*time.Second, "shutting-down Server.SpotInstanceTermination Service initiated", "closed instance-terminated-no-capacity at 1h0m0s"},
			},
		},
		"the machine fails": {
			end: func(t *testing.T, a account, id string) {
				if err := a.CrashHost(id); err != nil {
					t.Error(err)
				}
			},
			looks: []look{
				{time.Hour + 2*time.Second, "shutting-down Server.InternalError Server.InternalError", fulfilled},
				{time.Hour + 32*time.Second, "terminated Server.InternalError Server.InternalError", "closed instance-terminated-no-capacity at 1h0m30s"},
			},
		},
		"EC2 recommends something": {
			end: func(t *testing.T, a account, id string) {
				if err := a.Recommend(id); err != nil {
					t.Error(err)
				}
			},
			looks: []look{{10 * time.Hour, "running", fulfilled}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{
					InstanceRunning: 20 * time.Second, InstanceGone: 30 * time.Second, Visible: 2 * time.Second,
				}})
				begun := time.Now()
				out, err := a.ec2.RunInstances(t.Context(), a.spot("life"))
				if err != nil {
					t.Fatal(err)
				}
				id, request := *out.Instances[0].InstanceId, *out.Instances[0].SpotInstanceRequestId
				check := func(looks []look) {
					t.Helper()
					for _, l := range looks {
						time.Sleep(time.Until(begun.Add(l.after)))
						if got := a.instance(t, id); got != l.instance {
							t.Errorf("after %v the instance is %s, want %s", l.after, got, l.instance)
						}
						if got := a.request(t, request, begun); got != l.request {
							t.Errorf("after %v the request is %s, want %s", l.after, got, l.request)
						}
					}
				}
				check([]look{
					{0, "InvalidInstanceID.NotFound", none},
					{2*time.Second - 1, "InvalidInstanceID.NotFound", none},
					{2 * time.Second, "pending pending ", fulfilled},
					{22 * time.Second, "running", fulfilled},
				})
				time.Sleep(time.Until(begun.Add(time.Hour)))
				c.end(t, a, id)
				check(c.looks)
			})
		})
	}
}

// instance tells the state of an instance and the reason, or the error code.
func (a account) instance(t *testing.T, id string) string {
	out, err := a.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return code(err)
	}
	i := out.Reservations[0].Instances[0]
	if i.InstanceLifecycle != types.InstanceLifecycleTypeSpot || i.SpotInstanceRequestId == nil {
		t.Errorf("%s is of the lifecycle %q", id, i.InstanceLifecycle)
	}
	if i.StateReason == nil {
		return string(i.State.Name)
	}
	transition, _, _ := strings.Cut(*i.StateTransitionReason, " (")
	return fmt.Sprint(i.State.Name, " ", *i.StateReason.Code, " ", transition)
}

// request tells the status of a Spot Instance request, or the error code.
func (a account) request(t *testing.T, id string, begun time.Time) string {
	out, err := a.ec2.DescribeSpotInstanceRequests(t.Context(), &awsec2.DescribeSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{id}})
	if err != nil {
		return code(err)
	}
	r := out.SpotInstanceRequests[0]
	if *r.SpotInstanceRequestId != id || *r.Status.Message == "" || r.Type != "one-time" || r.InstanceInterruptionBehavior != "terminate" {
		t.Errorf("%+v", r)
	}
	return fmt.Sprint(r.State, " ", *r.Status.Code, " at ", r.Status.UpdateTime.Sub(begun))
}

// TestSpotRefused: what AWS refuses has its code, what is not modelled says so, and
// neither makes an instance.
func TestSpotRefused(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	const notModelled = "no answer of a service: "
	with := func(change func(*types.SpotMarketOptions)) func(*awsec2.RunInstancesInput) {
		return func(in *awsec2.RunInstancesInput) {
			in.InstanceMarketOptions.SpotOptions = &types.SpotMarketOptions{}
			change(in.InstanceMarketOptions.SpotOptions)
		}
	}
	type options = types.SpotMarketOptions
	for name, c := range map[string]struct {
		change func(*awsec2.RunInstancesInput)
		want   string // an error code, or a part of the error
	}{
		"nothing more":            {func(*awsec2.RunInstancesInput) {}, ""},
		"no options":              {with(func(*options) {}), ""},
		"as is the default":       {with(func(o *options) { o.SpotInstanceType, o.InstanceInterruptionBehavior = "one-time", "terminate" }), ""},
		"another market":          {func(in *awsec2.RunInstancesInput) { in.InstanceMarketOptions.MarketType = "capacity-block" }, notModelled},
		"no market":               {func(in *awsec2.RunInstancesInput) { in.InstanceMarketOptions.MarketType = "" }, notModelled},
		"a price":                 {with(func(o *options) { o.MaxPrice = aws.String("0.02") }), notModelled},
		"too low a price":         {with(func(o *options) { o.MaxPrice = aws.String("0.0009") }), "InvalidParameterValue"},
		"an end":                  {with(func(o *options) { o.ValidUntil = aws.Time(time.Now().Add(time.Hour)) }), notModelled},
		"a block":                 {with(func(o *options) { o.BlockDurationMinutes = aws.Int32(60) }), notModelled},
		"stop":                    {with(func(o *options) { o.InstanceInterruptionBehavior = "stop" }), "InvalidParameterCombination"},
		"hibernate":               {with(func(o *options) { o.InstanceInterruptionBehavior = "hibernate" }), "InvalidParameterCombination"},
		"persistent":              {with(func(o *options) { o.SpotInstanceType = "persistent" }), "InvalidParameterCombination"},
		"persistent, to stop":     {with(func(o *options) { o.SpotInstanceType, o.InstanceInterruptionBehavior = "persistent", "stop" }), notModelled},
		"another type":            {with(func(o *options) { o.SpotInstanceType = "daily" }), "InvalidParameterValue"},
		"another behaviour":       {with(func(o *options) { o.InstanceInterruptionBehavior = "sing" }), "InvalidParameterValue"},
		"tags of no request":      {func(in *awsec2.RunInstancesInput) { in.InstanceMarketOptions = nil; tagRequest(in, "a") }, "InvalidParameterValue"},
		"tags of a request":       {func(in *awsec2.RunInstancesInput) { tagRequest(in, "a") }, ""},
		"wrong tags of a request": {func(in *awsec2.RunInstancesInput) { tagRequest(in, "aws:a") }, "InvalidParameterValue"},
	} {
		t.Run(name, func(t *testing.T) {
			in := a.spot(name)
			c.change(in)
			before := len(a.listed(t))
			_, err := a.ec2.RunInstances(t.Context(), in)
			got := code(err)
			if strings.HasPrefix(got, notModelled) && strings.Contains(got, "is not modelled") {
				got = notModelled
			}
			if got != c.want {
				t.Errorf("got %q, want %q: %v", got, c.want, err)
			}
			if made := len(a.listed(t)) - before; made == 1 != (c.want == "") {
				t.Errorf("%d instances were made", made)
			}
		})
	}
}

func tagRequest(in *awsec2.RunInstancesInput, key string) {
	in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeSpotInstancesRequest, Tags: []types.Tag{{Key: aws.String(key), Value: aws.String("b")}}}}
}

// TestSpotHowMany: spot has capacity and quotas of its own, a launch gets some of
// what it asks for, and what EC2 takes back counts until it is terminated.
func TestSpotHowMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{InstanceGone: time.Minute}})
		n := 0
		run := func(spot bool, kind types.InstanceType, least, most int) string {
			n++
			in := a.launch(fmt.Sprint(n))
			if spot {
				in = a.spot(fmt.Sprint(n))
			}
			in.InstanceType = kind
			in.MinCount, in.MaxCount = aws.Int32(int32(least)), aws.Int32(int32(most))
			out, err := a.once().RunInstances(t.Context(), in)
			if err != nil {
				_, said, _ := strings.Cut(err.Error(), "StatusCode: ")
				return "StatusCode: " + said
			}
			return fmt.Sprint(len(out.Instances))
		}
		check := func(what, want, got string) {
			t.Helper()
			status, told, _ := strings.Cut(got, ", RequestID")
			if _, api, found := strings.Cut(told, "api error "); found {
				got = status + ", " + api
			}
			if got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		const (
			soldOut = "StatusCode: 500, InsufficientInstanceCapacity: There is no Spot capacity available that matches your request."
			quota   = "StatusCode: 400, MaxSpotInstanceCountExceeded: Max spot instance count exceeded"
		)
		for err := range errs(
			a.SetSpotCapacity("r5.large", "us-east-1a", 3), a.SetCapacity("c5.large", "us-east-1a", 1),
			a.SetQuota(fakeaws.QuotaSpotG, 8), a.SetQuota(fakeaws.QuotaStandard, 20), a.SetQuota(fakeaws.QuotaSpotX, 0), a.SetQuota(fakeaws.QuotaSpotP, 0),
			a.SetOffered("m7i.large", "us-east-1a", false),
		) {
			t.Fatal(err)
		}
		check("some of them", "3", run(true, "r5.large", 1, 10))
		check("none left", soldOut, run(true, "r5.large", 1, 1))
		check("on demand there are", "4", run(false, "r5.large", 4, 4))
		check("on demand there is one", "1", run(false, "c5.large", 1, 3))
		check("spot there are", "5", run(true, "c5.large", 5, 5))
		check("by quota", "2", run(true, "g5.xlarge", 1, 10)) // 4 vCPUs each
		check("beyond quota", quota, run(true, "g4dn.xlarge", 1, 1))
		check("beyond quota, of X", quota, run(true, "x1e.xlarge", 1, 1))
		check("beyond quota, of P", quota, run(true, "p3.2xlarge", 1, 1))
		check("spot counts for no quota on demand", "5", run(false, "m5.large", 5, 5)) // 20 vCPUs, 10 of them before
		check("on demand counts for none of spot", "1", run(true, "m5.large", 1, 1))
		if got := run(true, "m7i.large", 1, 1); !strings.Contains(got, "Unsupported") {
			t.Errorf("not offered: %s", got)
		}
		taken := a.listed(t, filter("instance-lifecycle", "spot"), filter("instance-type", "r5.large", "g5.xlarge"))
		for _, i := range taken {
			if err := a.Interrupt(*i.InstanceId); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 { // at the notice, while they run, and as they shut down
			check("on the way", soldOut, run(true, "r5.large", 1, 1))
			check("on the way, by quota", quota, run(true, "g5.xlarge", 1, 1))
			time.Sleep(time.Minute)
		}
		check("when they are gone", "3", run(true, "r5.large", 1, 4))
		check("when they are gone, by quota", "2", run(true, "g5.xlarge", 1, 4))
		if err := a.SetSpotCapacity("r5.large", "us-east-1a", -1); err != nil {
			t.Fatal(err)
		}
		check("without limit", "5", run(true, "r5.large", 5, 5))
	})
	a := newAccount(t, fakeaws.Config{})
	for _, err := range []error{a.SetSpotCapacity("nothing", "us-east-1a", 1), a.SetSpotCapacity("r5.large", "us-west-2a", 1), a.SetQuota("L-00000000", 1)} {
		if err == nil {
			t.Error("nonsense was taken")
		}
	}
}

// TestSpotToken: a token stands for its launch in its market, and keeps the request.
func TestSpotToken(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	var seen []string
	for range 2 {
		out, err := a.ec2.RunInstances(t.Context(), a.spot("token"))
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, *out.Instances[0].InstanceId+*out.Instances[0].SpotInstanceRequestId)
	}
	if seen[0] != seen[1] {
		t.Errorf("got %q", seen)
	}
	if _, err := a.ec2.RunInstances(t.Context(), a.launch("token")); code(err) != "IdempotentParameterMismatch" {
		t.Errorf("on demand: %v", err)
	}
}

// TestSpotDeterminism: what is drawn depends on the seed and on what is asked.
func TestSpotDeterminism(t *testing.T) {
	story := func(seed uint64) (told []string) {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t, fakeaws.Config{Seed: seed})
			id := a.buySpot(t, "a", 2)[0]
			if err := errors.Join(a.Recommend(id), a.Interrupt(id)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
			for _, r := range a.requests(t, 5) {
				told = append(told, *r.SpotInstanceRequestId+" "+*r.InstanceId)
			}
			for _, e := range a.Events() {
				told = append(told, string(e))
			}
			told = append(told, a.Bill().String())
		})
		return told
	}
	first := story(1)
	if second := story(1); !slices.Equal(first, second) {
		t.Errorf("the same seed tells\n%q and\n%q", first, second)
	}
	for i, other := range story(2) {
		if other == first[i] {
			t.Errorf("another seed tells the same: %s", other)
		}
	}
}

// TestSpotDenied: policies and faults know the actions, and limits bound them.
func TestSpotDenied(t *testing.T) {
	reads := map[string]func(*awsec2.Client) error{
		"ec2:DescribeSpotInstanceRequests": func(c *awsec2.Client) error {
			_, err := c.DescribeSpotInstanceRequests(context.Background(), &awsec2.DescribeSpotInstanceRequestsInput{})
			return err
		},
		"ec2:DescribeSpotPriceHistory": func(c *awsec2.Client) error {
			_, err := c.DescribeSpotPriceHistory(context.Background(), &awsec2.DescribeSpotPriceHistoryInput{ProductDescriptions: []string{"Linux/UNIX"}, MaxResults: aws.Int32(1)})
			return err
		},
	}
	for action, read := range reads {
		denied := newAccount(t, fakeaws.Config{Deny: []string{action}})
		if err := read(denied.ec2); code(err) != "UnauthorizedOperation" {
			t.Errorf("%s, denied: %v", action, err)
		}
		struck := newAccount(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: action, Code: "Unavailable", Status: 503}}})
		if err := read(struck.once()); code(err) != "Unavailable" {
			t.Errorf("%s, struck: %v", action, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Limits: fakeaws.PublishedLimits()})
		filtered := func(c *awsec2.Client) error {
			_, err := c.DescribeSpotInstanceRequests(context.Background(), &awsec2.DescribeSpotInstanceRequestsInput{Filters: []types.Filter{filter("state", "active")}})
			return err
		}
		for name, c := range map[string]struct {
			read func(*awsec2.Client) error
			want int
		}{"all requests": {reads["ec2:DescribeSpotInstanceRequests"], 50}, "some requests": {filtered, 100}, "prices": {reads["ec2:DescribeSpotPriceHistory"], 100}} {
			taken := 0
			for range 120 {
				if err := c.read(a.once()); err == nil {
					taken++
				} else if code(err) != "RequestLimitExceeded" {
					t.Fatal(err)
				}
			}
			if taken != c.want {
				t.Errorf("%s: %d calls are taken, want %d", name, taken, c.want)
			}
		}
	})
}
