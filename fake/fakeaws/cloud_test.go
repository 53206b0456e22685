package fakeaws_test

import (
	"context"
	"errors"
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
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestConfigProblems: everything wrong is told at once.
func TestConfigProblems(t *testing.T) {
	_, err := fakeaws.New(fakeaws.Config{
		Region: "nowhere", Account: "me", Delays: fakeaws.Delays{Call: -1, Pull: -1},
		Faults: []fakeaws.Fault{{}, {Action: "*", Nth: -1, Rate: 2, Status: 200}},
	})
	for _, want := range []string{`region "nowhere"`, `account "me"`, "delay Call", "delay Pull", "fault 0", "action is empty", "fault 1", "nth is -1", "rate is 2", "status is 200"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
}

// TestActionsThatNothingMatches: a fault or denial that can never strike is
// refused, with what there is instead.
func TestActionsThatNothingMatches(t *testing.T) {
	_, err := fakeaws.New(fakeaws.Config{
		Faults: []fakeaws.Fault{{Action: "ec2:RunInstancez"}, {Action: "EC2:run*"}, {Action: "efs:*"}, {Action: "registry:Get"}},
		Deny:   []string{"", "sts:*", "ecr:BatchGet*s", "elasticfilesystem:MountTarget"},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`fault 0: action "ec2:RunInstancez" is not modelled: want one of ec2:AttachVolume, `, ", ec2:RunInstances, ec2:TerminateInstances\n",
		`fault 2: action "efs:*" is not modelled: want one of dynamodb:*, ec2:*, ecr:*, elasticfilesystem:*, iam:*, license-manager:*, logs:*, registry:*, sagemaker:*, secretsmanager:*, servicequotas:*, ssm:*, sts:*`,
		`fault 3: action "registry:Get" is not modelled: want one of registry:GetBlob, registry:GetManifest, registry:GetToken, registry:Ping`,
		`deny 0: action "" is not modelled: want one of dynamodb:*, ec2:*, `,
		`deny 2: action "ecr:BatchGet*s" is not modelled: want one of ecr:BatchGetImage, ecr:GetAuthorizationToken, ecr:GetDownloadUrlForLayer`,
		`deny 3: action "elasticfilesystem:MountTarget" is not modelled: want one of elasticfilesystem:CreateAccessPoint, `,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say\n%s", err, want)
		}
	}
	for _, fine := range []string{"fault 1", "deny 1"} {
		if strings.Contains(err.Error(), fine) {
			t.Errorf("%v\nfinds fault with %s", err, fine)
		}
	}
}

// TestEveryActionCanBeNamed: what the journal calls an action, faults and
// denials may name.
func TestEveryActionCanBeNamed(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	if _, err := a.ec2.RunInstances(t.Context(), a.launch("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := awsefs.NewFromConfig(a.Config()).DescribeFileSystems(t.Context(), &awsefs.DescribeFileSystemsInput{}); err != nil {
		t.Fatal(err)
	}
	if _, err := awssts.NewFromConfig(a.Config()).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{}); err != nil {
		t.Fatal(err)
	}
	calls := a.Calls()
	if len(calls) < 3 {
		t.Fatalf("%d calls", len(calls))
	}
	for _, c := range calls {
		if _, err := fakeaws.New(fakeaws.Config{Deny: []string{c.Action}, Faults: []fakeaws.Fault{{Action: c.Action}}}); err != nil {
			t.Error(err)
		}
	}
}

// TestFaults: which calls a fault strikes, and what the account did.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault fakeaws.Fault
		want  []string // the code of each of four launches, of tokens a, b, a, b
		made  int      // instances
	}{
		"none":       {fakeaws.Fault{Action: "ec2:DescribeVpcs"}, []string{"", "", "", ""}, 2},
		"every":      {fakeaws.Fault{Action: "ec2:RunInstances"}, []string{"InternalError", "InternalError", "InternalError", "InternalError"}, 0},
		"by pattern": {fakeaws.Fault{Action: "EC2:run*", Status: 503, Code: "Unavailable"}, []string{"Unavailable", "Unavailable", "Unavailable", "Unavailable"}, 0},
		"a subject":  {fakeaws.Fault{Action: "*", Subject: "b"}, []string{"", "InternalError", "", "InternalError"}, 1},
		"the second": {fakeaws.Fault{Action: "*", Nth: 2, Subject: "a"}, []string{"", "", "InternalError", ""}, 2},
		"after":      {fakeaws.Fault{Action: "ec2:RunInstances", Nth: 1, After: true}, []string{"InternalError", "InternalError", "", ""}, 2},
		"before":     {fakeaws.Fault{Action: "ec2:RunInstances", Nth: 1}, []string{"InternalError", "InternalError", "", ""}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "sts:*"}, c.fault}})
			var got []string
			for _, token := range []string{"a", "b", "a", "b"} {
				_, err := a.ec2.RunInstances(t.Context(), a.launch(token), func(o *awsec2.Options) { o.RetryMaxAttempts = 1 })
				got = append(got, code(err))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("codes (-want +got):\n%s", diff)
			}
			if n := len(a.listed(t)); n != c.made {
				t.Errorf("%d instances, want %d", n, c.made)
			}
		})
	}
}

// TestFaultIsTyped: an injected code that has a type in an operation is of that
// type.
func TestFaultIsTyped(t *testing.T) {
	a := newAccount(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "elasticfilesystem:*", Status: 429, Code: "ThrottlingException"}}})
	api := awsefs.NewFromConfig(a.Config(), func(o *awsefs.Options) { o.RetryMaxAttempts = 1 })
	_, err := api.CreateAccessPoint(t.Context(), &awsefs.CreateAccessPointInput{FileSystemId: aws.String("fs-00000000")})
	if _, ok := errors.AsType[*efstypes.ThrottlingException](err); !ok {
		t.Errorf("got %v, want a *types.ThrottlingException", err)
	}
}

// TestFaultShare: a rate strikes about that share, other calls for another seed.
func TestFaultShare(t *testing.T) {
	struck := func(seed uint64) (codes []string, n int) {
		a := newAccount(t, fakeaws.Config{Seed: seed, Faults: []fakeaws.Fault{{Action: "ec2:DescribeSubnets", Rate: 0.2}}})
		for range 500 {
			_, err := a.ec2.DescribeSubnets(t.Context(), &awsec2.DescribeSubnetsInput{}, func(o *awsec2.Options) { o.RetryMaxAttempts = 1 })
			codes = append(codes, code(err))
		}
		return codes, a.Injected()
	}
	one, n := struck(1)
	if n < 60 || n > 140 {
		t.Errorf("%d of 500 calls were struck, want about 100", n)
	}
	if again, _ := struck(1); !slices.Equal(one, again) {
		t.Error("the same seed strikes other calls")
	}
	if other, _ := struck(2); slices.Equal(one, other) {
		t.Error("another seed strikes the same calls")
	}
}

// TestCrash: what was handed out before a crash fails for ever, what comes
// after works, and the account has done what it was told.
func TestCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		a := newAccount(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "ec2:RunInstances", Crash: true, After: after, Nth: 1}}})
		crashed := a.Crashed()
		begun := len(a.Calls())
		if _, err := a.ec2.RunInstances(t.Context(), a.launch("x")); !errors.Is(err, fakeaws.ErrCrashed) {
			t.Errorf("the struck call: %v", err)
		}
		if n := len(a.Calls()) - begun; n != 1 {
			t.Errorf("a dead program made %d calls", n)
		}
		select {
		case <-crashed:
		default:
			t.Error("Crashed is open")
		}
		if _, err := a.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{}); !errors.Is(err, fakeaws.ErrCrashed) {
			t.Errorf("a call after it: %v", err)
		}
		a.ec2 = awsec2.NewFromConfig(a.Config())
		if n := len(a.listed(t)); n == 1 != after {
			t.Errorf("after: %v, and %d instances", after, n)
		}
	}
}

func TestDeny(t *testing.T) {
	a := newAccount(t, fakeaws.Config{Deny: []string{"ec2:*Instances"}})
	if _, err := a.ec2.RunInstances(t.Context(), a.launch("x")); code(err) != "UnauthorizedOperation" {
		t.Errorf("denied: %v", err)
	}
	if _, err := a.ec2.DescribeVpcs(t.Context(), &awsec2.DescribeVpcsInput{}); err != nil {
		t.Errorf("not denied: %v", err)
	}
}

func TestCallerIdentity(t *testing.T) {
	a := newAccount(t, fakeaws.Config{Account: "000000000001"})
	out, err := awssts.NewFromConfig(a.Config()).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
	if err != nil || *out.Account != "000000000001" || !strings.Contains(*out.Arn, ":000000000001:") {
		t.Errorf("%+v: %v", out, err)
	}
}

func TestClosed(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.ec2.DescribeVpcs(t.Context(), &awsec2.DescribeVpcsInput{}); !errors.Is(err, fakeaws.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := a.Host("i-00000000"); !errors.Is(err, fakeaws.ErrClosed) {
		t.Errorf("a host after Close: %v", err)
	}
}

// TestCancelledCall: a call that takes time ends with its context.
func TestCancelledCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{Call: time.Minute}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := a.ec2.RunInstances(ctx, a.launch("x"))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if n := len(a.Calls()); n != 1 { // of the parameter
			t.Errorf("%d calls arrived", n)
		}
	})
}

// TestDeterminism: the same calls have the same outcome, in whatever order
// goroutines make them: ids, zones, addresses, faults, and the time it takes.
func TestDeterminism(t *testing.T) {
	story := func(t *testing.T, seed uint64, reverse bool) (outcome map[string]string, took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Realistic(), Faults: []fakeaws.Fault{
				{Action: "ec2:RunInstances", Rate: 0.3, Status: 503, Code: "RequestLimitExceeded"},
				{Action: "ec2:TerminateInstances", Rate: 0.3, After: true},
			}})
			outcome = map[string]string{}
			begun := time.Now()
			var mu sync.Mutex
			var all sync.WaitGroup
			tokens := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
			if reverse {
				slices.Reverse(tokens)
			}
			for _, token := range tokens {
				all.Go(func() {
					in := a.launch(token)
					in.SubnetId = nil
					out, err := a.ec2.RunInstances(t.Context(), in)
					told := code(err)
					if err == nil {
						i := out.Instances[0]
						told = fmt.Sprint(*i.InstanceId, *i.Placement.AvailabilityZone, *i.PrivateIpAddress, *out.ReservationId)
						time.Sleep(a.delays().Visible)
						_, err = a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: ids(out)})
					}
					mu.Lock()
					defer mu.Unlock()
					outcome[token] = fmt.Sprint(told, code(err), time.Since(begun))
				})
			}
			all.Wait()
			took = time.Since(begun)
		})
		return outcome, took
	}
	first, took := story(t, 1, false)
	second, tookToo := story(t, 1, true)
	if diff := cmp.Diff(first, second); diff != "" || took != tookToo {
		t.Errorf("in another order (%v, %v):\n%s", took, tookToo, diff)
	}
	other, _ := story(t, 2, false)
	for _, token := range slices.Sorted(maps.Keys(first)) {
		if first[token] == other[token] {
			t.Errorf("another seed has the same outcome for %s: %s", token, first[token])
		}
	}
}

// TestCallersMiddleware: what a caller puts into the stack finds its place
// beside the SDK's own steps.
func TestCallersMiddleware(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	cfg := a.Config()
	var seen []string
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		note := func(name string) middleware.FinalizeMiddleware {
			return middleware.FinalizeMiddlewareFunc(name, func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				seen = append(seen, name)
				return next.HandleFinalize(ctx, in)
			})
		}
		return errors.Join(
			stack.Finalize.Insert(note("before signing"), "Signing", middleware.Before),
			stack.Finalize.Insert(note("after the endpoint"), "ResolveEndpointV2", middleware.After),
			stack.Finalize.Insert(note("before the retries"), "Retry", middleware.Before),
		)
	})
	if _, err := awsec2.NewFromConfig(cfg).DescribeVpcs(t.Context(), &awsec2.DescribeVpcsInput{}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"before the retries", "after the endpoint", "before signing"}; !slices.Equal(seen, want) {
		t.Errorf("ran %q, want %q", seen, want)
	}
}

// TestJournal: every attempt is told in its order, with what it was about.
func TestJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it waits before it tries again
		a := newAccount(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "ec2:RunInstances", Nth: 1, Status: 503, Code: "Unavailable"}}})
		out, err := a.ec2.RunInstances(t.Context(), a.launch("mine"))
		if err != nil {
			t.Fatal(err)
		}
		in := a.launch("")
		in.ClientToken = nil // the SDK draws one
		if _, err := a.ec2.RunInstances(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if _, err := a.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{InstanceIds: ids(out)}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{Filters: []types.Filter{filter("vpc-id", "x")}}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range a.Calls() {
			got = append(got, fmt.Sprintf("%s %s %d %s", c.Action, c.Subject, c.Nth, c.Code))
		}
		subnet := *in.SubnetId
		want := []string{
			"ssm:GetParameter " + amiParameter + " 1 ",
			"ec2:RunInstances mine 1 Unavailable", "ec2:RunInstances mine 2 ",
			"ec2:RunInstances " + subnet + " 1 Unavailable", "ec2:RunInstances " + subnet + " 2 ",
			"ec2:DescribeInstances " + ids(out)[0] + " 1 ", "ec2:DescribeInstances  1 ",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
