package fakeaws_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// ids are the instances in an answer.
func ids(out *awsec2.RunInstancesOutput) []string {
	var list []string
	for _, i := range out.Instances {
		list = append(list, *i.InstanceId)
	}
	return list
}

func TestClientTokens(t *testing.T) {
	in := func(zone int, change ...func(account, *awsec2.RunInstancesInput)) func(account) *awsec2.RunInstancesInput {
		return func(a account) *awsec2.RunInstancesInput {
			r := a.launch("token")
			r.SubnetId = aws.String(a.Subnets()[zone].ID)
			for _, c := range change {
				c(a, r)
			}
			return r
		}
	}
	regional := func(_ account, r *awsec2.RunInstancesInput) { r.SubnetId = nil }
	const same, another = "same", "another"
	for name, c := range map[string]struct {
		first, second func(account) *awsec2.RunInstancesInput
		after         time.Duration // between the two
		terminate     bool          // the first's instances, before
		want          string        // or an error code
	}{
		"again":                    {first: in(0), second: in(0), want: same},
		"again much later":         {first: in(0), second: in(0), after: 30 * 24 * time.Hour, want: same},
		"an empty list is no list": {first: in(0), second: in(0, func(_ account, r *awsec2.RunInstancesInput) { r.SecurityGroupIds = []string{} }), want: same},
		"another zone":             {first: in(0), second: in(1), want: another},
		"a zone by name is a zone too": {first: in(0, regional, func(_ account, r *awsec2.RunInstancesInput) {
			r.Placement = &types.Placement{AvailabilityZone: aws.String("us-east-1a")}
		}), second: in(1), want: another},
		"the region after a zone": {first: in(0), second: in(0, regional), want: another},
		"the region again":        {first: in(0, regional), second: in(0, regional), want: same},
		"no token":                {first: in(0, func(_ account, r *awsec2.RunInstancesInput) { r.ClientToken = nil }), second: in(0, func(_ account, r *awsec2.RunInstancesInput) { r.ClientToken = nil }), want: another},
		"case matters":            {first: in(0), second: in(0, func(_ account, r *awsec2.RunInstancesInput) { r.ClientToken = aws.String("Token") }), want: another},
		"another type":            {first: in(0), second: in(0, func(_ account, r *awsec2.RunInstancesInput) { r.InstanceType = "t3.large" }), want: "IdempotentParameterMismatch"},
		"another count":           {first: in(0), second: in(0, func(_ account, r *awsec2.RunInstancesInput) { r.MaxCount = aws.Int32(2) }), want: "IdempotentParameterMismatch"},
		"another subnet of the zone": {first: in(0), second: in(0, func(a account, r *awsec2.RunInstancesInput) {
			s, err := a.AddSubnet(a.DefaultVPC(), "us-east-1a")
			if err != nil {
				panic(err)
			}
			r.SubnetId = aws.String(s.ID)
		}), want: "IdempotentParameterMismatch"},
		"shutting down":                  {first: in(0), second: in(0), terminate: true, want: same},
		"terminated":                     {first: in(0), second: in(0), terminate: true, after: time.Minute, want: "IdempotentInstanceTerminated"},
		"terminated for almost a day":    {first: in(0), second: in(0), terminate: true, after: 24*time.Hour + time.Minute - 1, want: "IdempotentInstanceTerminated"},
		"terminated for a day":           {first: in(0), second: in(0), terminate: true, after: 24*time.Hour + time.Minute, want: another},
		"terminated, and another type":   {first: in(0), second: in(0, func(_ account, r *awsec2.RunInstancesInput) { r.InstanceType = "t3.large" }), terminate: true, after: time.Minute, want: "IdempotentParameterMismatch"},
		"partial launches stay as small": {first: in(0, scarce), second: in(0, scarce), want: same},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{InstanceGone: time.Minute}})
				first, err := a.ec2.RunInstances(t.Context(), c.first(a))
				if err != nil {
					t.Fatal(err)
				}
				if c.terminate {
					if _, err := a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: ids(first)}); err != nil {
						t.Fatal(err)
					}
				}
				if err := a.SetCapacity("t3.medium", "us-east-1a", 5); err != nil { // more than a partial launch got
					t.Fatal(err)
				}
				time.Sleep(c.after)
				second, err := a.ec2.RunInstances(t.Context(), c.second(a))
				got := code(err)
				switch {
				case err == nil && slices.Equal(ids(first), ids(second)):
					got = same
				case err == nil && !slices.Contains(ids(second), ids(first)[0]):
					got = another
				}
				if got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			})
		})
	}
}

// scarce asks for more than there is.
func scarce(a account, r *awsec2.RunInstancesInput) {
	if err := a.SetCapacity("t3.medium", "us-east-1a", 2); err != nil {
		panic(err)
	}
	r.MaxCount = aws.Int32(3)
}

// TestFailedLaunchKeepsNoToken: what was refused may be asked for again.
func TestFailedLaunchKeepsNoToken(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	once := func(o *awsec2.Options) { o.RetryMaxAttempts = 1 }
	if err := a.SetCapacity("t3.medium", "us-east-1a", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := a.ec2.RunInstances(t.Context(), a.launch("x"), once); code(err) != "InsufficientInstanceCapacity" {
		t.Fatalf("sold out: %v", err)
	}
	if err := a.SetCapacity("t3.medium", "us-east-1a", -1); err != nil {
		t.Fatal(err)
	}
	if _, err := a.ec2.RunInstances(t.Context(), a.launch("x"), once); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestHowMany: a launch gets what capacity, quota and addresses leave, or fails
// for want of MinCount and makes nothing.
func TestHowMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{InstanceGone: time.Minute}})
		once := func(o *awsec2.Options) { o.RetryMaxAttempts = 1 }
		n := 0
		run := func(kind types.InstanceType, zone, least, most int) (got int, problem string) {
			n++
			in := a.launch(string(rune('a' + n)))
			in.InstanceType, in.SubnetId = kind, aws.String(a.Subnets()[zone].ID)
			in.MinCount, in.MaxCount = aws.Int32(int32(least)), aws.Int32(int32(most))
			out, err := a.ec2.RunInstances(t.Context(), in, once)
			if err != nil {
				return 0, code(err)
			}
			for i, instance := range out.Instances {
				if *instance.AmiLaunchIndex != int32(i) {
					t.Errorf("instance %d has the index %d", i, *instance.AmiLaunchIndex)
				}
			}
			return len(out.Instances), ""
		}
		check := func(what string, wantN int, wantCode string) func(int, string) {
			return func(got int, problem string) {
				t.Helper()
				if got != wantN || problem != wantCode {
					t.Errorf("%s: %d instances, %q; want %d, %q", what, got, problem, wantN, wantCode)
				}
			}
		}
		for err := range errs(
			a.SetCapacity("r5.large", "us-east-1a", 3), a.SetCapacity("r5.large", "us-east-1b", 1),
			a.SetQuota(fakeaws.QuotaG, 8), a.SetOffered("m7i.large", "us-east-1c", false),
		) {
			t.Fatal(err)
		}
		check("some of them", 3, "")(run("r5.large", 0, 1, 10))
		check("none left", 0, "InsufficientInstanceCapacity")(run("r5.large", 0, 1, 1))
		check("another zone", 0, "InsufficientInstanceCapacity")(run("r5.large", 1, 2, 2))
		check("another size", 2, "")(run("r5.xlarge", 0, 2, 2))
		check("by quota", 2, "")(run("g5.xlarge", 0, 1, 10)) // 4 vCPUs each
		check("beyond quota", 0, "VcpuLimitExceeded")(run("g4dn.xlarge", 1, 1, 1))
		check("other families", 5, "")(run("c7i.large", 0, 5, 5))
		check("not offered", 0, "Unsupported")(run("m7i.large", 2, 1, 1))
		check("offered", 1, "")(run("m7i.large", 0, 1, 1))
		var end []string
		for _, i := range a.listed(t, filter("instance-type", "r5.large", "g5.xlarge"), filter("availability-zone", "*a")) {
			end = append(end, *i.InstanceId)
		}
		if _, err := a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: end}); err != nil {
			t.Fatal(err)
		}
		check("while they shut down", 0, "InsufficientInstanceCapacity")(run("r5.large", 0, 1, 1))
		check("while they shut down, by quota", 0, "VcpuLimitExceeded")(run("g5.xlarge", 0, 1, 1))
		time.Sleep(time.Minute)
		check("when they are gone, by quota", 2, "")(run("g5.xlarge", 0, 2, 2))
		check("when they are gone", 3, "")(run("r5.large", 0, 3, 3))
	})
}

// TestPlacementByEC2: without a subnet EC2 takes a zone that has room.
func TestPlacementByEC2(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	for err := range errs(a.SetCapacity("t3.medium", "us-east-1a", 0), a.SetOffered("t3.medium", "us-east-1b", false), a.SetCapacity("t3.medium", "us-east-1c", 4)) {
		t.Fatal(err)
	}
	for n := range 4 {
		in := a.launch(string(rune('a' + n)))
		in.SubnetId = nil
		out, err := a.ec2.RunInstances(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if zone := *out.Instances[0].Placement.AvailabilityZone; zone != "us-east-1c" {
			t.Errorf("launched in %s", zone)
		}
	}
}

// TestAddresses: every interface has an address of its own in its subnet, which
// can be filled to the last and has room again when an instance is gone.
func TestAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{InstanceGone: time.Minute}})
		in := a.launch("fill")
		in.MinCount, in.MaxCount = aws.Int32(4000), aws.Int32(5000)
		out, err := a.ec2.RunInstances(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, i := range out.Instances {
			seen[*i.PrivateIpAddress] = true
		}
		const size = 4096 - 5
		if len(out.Instances) != size || len(seen) != size {
			t.Errorf("%d instances with %d addresses in a /20, want %d", len(out.Instances), len(seen), size)
		}
		for _, taken := range []string{"172.31.0.0", "172.31.0.1", "172.31.0.2", "172.31.0.3", "172.31.15.255"} {
			if seen[taken] {
				t.Errorf("%s is EC2's own", taken)
			}
		}
		left := func() int32 {
			out, err := a.ec2.DescribeSubnets(t.Context(), &awsec2.DescribeSubnetsInput{SubnetIds: []string{*in.SubnetId}})
			if err != nil {
				t.Fatal(err)
			}
			return *out.Subnets[0].AvailableIpAddressCount
		}
		if n := left(); n != 0 {
			t.Errorf("%d addresses left", n)
		}
		if _, err := a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: ids(out)[:1]}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"InsufficientFreeAddressesInSubnet", ""} {
			again, err := a.ec2.RunInstances(t.Context(), a.launch("one more"))
			if code(err) != want {
				t.Errorf("one more: %v, want %q", err, want)
			} else if err == nil && *again.Instances[0].PrivateIpAddress != *out.Instances[0].PrivateIpAddress {
				t.Errorf("one more has the address %s, which is taken", *again.Instances[0].PrivateIpAddress)
			}
			time.Sleep(time.Minute)
		}
	})
}
