package fakeaws_test

import (
	"strconv"
	"testing"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// BenchmarkCall is one call of an SDK client.
func BenchmarkCall(b *testing.B) {
	a := newAccount(b, fakeaws.Config{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.ec2.DescribeVpcs(b.Context(), &awsec2.DescribeVpcsInput{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefusal is one call that fails.
func BenchmarkRefusal(b *testing.B) {
	a := newAccount(b, fakeaws.Config{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.ec2.DescribeVpcs(b.Context(), &awsec2.DescribeVpcsInput{VpcIds: []string{"vpc-00000000"}}); err == nil {
			b.Fatal("found")
		}
	}
}

// BenchmarkInstance is three calls: an instance bought, described and ended,
// among a thousand others.
func BenchmarkInstance(b *testing.B) {
	a := newAccount(b, fakeaws.Config{})
	others := a.launch("others")
	others.MinCount, others.MaxCount = new(int32(1000)), new(int32(1000))
	if _, err := a.ec2.RunInstances(b.Context(), others); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		out, err := a.ec2.RunInstances(b.Context(), a.launch(strconv.Itoa(n)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.ec2.DescribeInstances(b.Context(), &awsec2.DescribeInstancesInput{InstanceIds: ids(out)}); err != nil {
			b.Fatal(err)
		}
		if _, err := a.ec2.TerminateInstances(b.Context(), &awsec2.TerminateInstancesInput{InstanceIds: ids(out)}); err != nil {
			b.Fatal(err)
		}
	}
}
