package fakeaws_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

const amiParameter = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"

// account is a cloud with the clients a test speaks to it by.
type account struct {
	*fakeaws.Cloud
	ec2 *awsec2.Client
	ami string // for x86_64
}

func newAccount(t testing.TB, cfg fakeaws.Config) account {
	t.Helper()
	cloud, err := fakeaws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	ami, err := awsssm.NewFromConfig(cloud.Config()).GetParameter(t.Context(), &awsssm.GetParameterInput{Name: aws.String(amiParameter)})
	if err != nil {
		t.Fatal(err)
	}
	return account{Cloud: cloud, ec2: awsec2.NewFromConfig(cloud.Config()), ami: *ami.Parameter.Value}
}

// launch is a request for one instance.
func (a account) launch(token string) *awsec2.RunInstancesInput {
	return &awsec2.RunInstancesInput{
		ClientToken: aws.String(token), ImageId: aws.String(a.ami), InstanceType: types.InstanceTypeT3Medium,
		SubnetId: aws.String(a.Subnets()[0].ID), MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	}
}

// code returns the error code of a service's refusal, "" for success.
func code(err error) string {
	if err == nil {
		return ""
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return "no answer of a service: " + err.Error()
}

func TestInstanceLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{
			InstanceRunning: 20 * time.Second, InstanceGone: 30 * time.Second, Visible: 2 * time.Second,
		}})
		out, err := a.ec2.RunInstances(t.Context(), a.launch("life"))
		if err != nil {
			t.Fatal(err)
		}
		id := *out.Instances[0].InstanceId
		begun := time.Now()
		state := func() string {
			out, err := a.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{InstanceIds: []string{id}})
			if err != nil {
				return code(err)
			}
			return string(out.Reservations[0].Instances[0].State.Name)
		}
		at := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(time.Until(begun.Add(after)))
			if got := state(); got != want {
				t.Errorf("after %v: %s, want %s", after, got, want)
			}
		}
		at(0, "InvalidInstanceID.NotFound")
		at(2*time.Second-1, "InvalidInstanceID.NotFound")
		at(2*time.Second, "pending")
		at(22*time.Second-1, "pending")
		at(22*time.Second, "running")
		time.Sleep(time.Until(begun.Add(time.Hour)))
		if _, err := a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
			t.Fatal(err)
		}
		at(time.Hour, "running")
		at(time.Hour+2*time.Second, "shutting-down")
		at(time.Hour+32*time.Second, "terminated")
		at(2*time.Hour+32*time.Second-1, "terminated")
		at(2*time.Hour+32*time.Second, "InvalidInstanceID.NotFound")
	})
}
