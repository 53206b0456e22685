package fakeaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	smtypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

// buy launches one instance as a program would that knows nothing of fakes.
func buy(ctx context.Context, cfg aws.Config, subnet string) (instance string, err error) {
	ami, err := awsssm.NewFromConfig(cfg).GetParameter(ctx, &awsssm.GetParameterInput{
		Name: aws.String("/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"),
	})
	if err != nil {
		return "", err
	}
	client := awsec2.NewFromConfig(cfg)
	out, err := client.RunInstances(ctx, &awsec2.RunInstancesInput{
		ClientToken: aws.String("first"), ImageId: ami.Parameter.Value, InstanceType: types.InstanceTypeT3Medium,
		SubnetId: aws.String(subnet), MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	}, func(o *awsec2.Options) { o.Retryer = aws.NopRetryer{} })
	if err != nil {
		return "", err
	}
	instance = *out.Instances[0].InstanceId
	return instance, awsec2.NewInstanceRunningWaiter(client).Wait(ctx, &awsec2.DescribeInstancesInput{InstanceIds: []string{instance}}, time.Hour)
}

func ExampleNew() {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}

	instance, err := buy(context.Background(), cloud.Config(), cloud.Subnets()[0].ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(instance, "is running")
	fmt.Print(cloud.Bill())
	if err := cloud.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// i-0dc6d46235d3167f9 is running
	// i-0dc6d46235d3167f9  t3.medium  us-east-1a  1m0s  $0.0416/h  $0.000693
	// total                                                        $0.000693
}

// Everything that can be wrong with a configuration is told at once.
func ExampleConfig() {
	_, err := fakeaws.New(fakeaws.Config{Region: "Virginia", Faults: []fakeaws.Fault{{Rate: 1.5}}})
	fmt.Println(err)
	// Output:
	// fakeaws: region "Virginia": want a name such as us-east-1
	// fault 0: action is empty: want one such as "ec2:RunInstances" or "*"
	// rate is 1.5: want a share from 0 to 1
}

// An account as slow as AWS is for a testing/synctest bubble, where it costs
// nothing.
func ExampleRealistic() {
	fmt.Println(fakeaws.Realistic().InstanceRunning)
	// Output: 17.8s
}

// A brisk account is for a demonstration on the wall clock.
func ExampleBrisk() {
	fmt.Println(fakeaws.Brisk().InstanceRunning)
	// Output: 178ms
}

// A launch whose answer gets lost has taken place all the same.
func ExampleFault() {
	cloud, err := fakeaws.New(fakeaws.Config{
		Faults: []fakeaws.Fault{{Action: "ec2:RunInstances", Subject: "first", Nth: 1, After: true}},
	})
	if err != nil {
		log.Fatal(err)
	}

	for range 2 {
		instance, err := buy(context.Background(), cloud.Config(), cloud.Subnets()[0].ID)
		fmt.Println(instance, err != nil)
	}
	fmt.Println(len(cloud.Bill().Lines), "instance")
	if err := cloud.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	//  true
	// i-0dc6d46235d3167f9 false
	// 1 instance
}

func ExampleCloud_SetCapacity() {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := cloud.SetCapacity("t3.medium", "us-east-1a", 0); err != nil {
		log.Fatal(err)
	}
	_, err = buy(context.Background(), cloud.Config(), cloud.Subnets()[0].ID)
	refusal, _ := errors.AsType[smithy.APIError](err)
	fmt.Println(refusal.ErrorCode())
	if err := cloud.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: InsufficientInstanceCapacity
}

// EC2 takes a spot instance back: it gives notice, and the instance runs for two
// minutes more.
func ExampleCloud_Interrupt() {
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ami, err := cloud.AddAMI("x86_64")
	if err != nil {
		log.Fatal(err)
	}
	client := awsec2.NewFromConfig(cloud.Config())
	out, err := client.RunInstances(ctx, &awsec2.RunInstancesInput{
		ImageId: aws.String(ami), InstanceType: types.InstanceTypeT3Medium, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		InstanceMarketOptions: &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := cloud.Interrupt(*out.Instances[0].InstanceId); err != nil {
		log.Fatal(err)
	}

	requests, err := client.DescribeSpotInstanceRequests(ctx, &awsec2.DescribeSpotInstanceRequestsInput{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(requests.SpotInstanceRequests[0].State, *requests.SpotInstanceRequests[0].Status.Code)
	for _, document := range cloud.Events() {
		var event struct {
			Kind   string `json:"detail-type"`
			Detail struct{ State string }
		}
		if err := json.Unmarshal(document, &event); err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.Kind, event.Detail.State)
	}
	if err := cloud.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// closed instance-terminated-no-capacity
	// EC2 Instance State-change Notification pending
	// EC2 Instance State-change Notification running
	// EC2 Spot Instance Interruption Warning
}

func ExampleCloud_Host() {
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cloud.PushImage("example.com/hello:1", fakeaws.Image{Program: func(_ context.Context, p *fakelauncher.Proc) int {
		fmt.Fprintln(p.Stdout, "hello from", p.ID)
		return 0
	}}); err != nil {
		log.Fatal(err)
	}
	instance, err := buy(ctx, cloud.Config(), cloud.Subnets()[0].ID)
	if err != nil {
		log.Fatal(err)
	}
	host, err := cloud.Host(instance)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := host.Launch(ctx, launcher.Workload{ID: "hello", Owner: "alice", Image: "example.com/hello:1"}); err != nil {
		log.Fatal(err)
	}
	text, err := host.Logs(ctx, "hello", launcher.LogOptions{Follow: true})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(os.Stdout, text); err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(text.Close(), cloud.Close()); err != nil {
		log.Fatal(err)
	}
	// Output: hello from hello
}

// A file that a user of RStudio on SageMaker has written, from the session and from below the
// root of the domain's file system.
func ExampleCloud_AppFiles() {
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		panic(err)
	}
	api := awssagemaker.NewFromConfig(cloud.Config())
	role := aws.String("arn:aws:iam::123456789012:role/studio")
	domain, err := api.CreateDomain(ctx, &awssagemaker.CreateDomainInput{
		DomainName: aws.String("research"), AuthMode: smtypes.AuthModeIam,
		VpcId: aws.String(cloud.DefaultVPC()), SubnetIds: []string{cloud.Subnets()[0].ID},
		DefaultUserSettings: &smtypes.UserSettings{ExecutionRole: role},
		DomainSettings: &smtypes.DomainSettings{
			RStudioServerProDomainSettings: &smtypes.RStudioServerProDomainSettings{DomainExecutionRoleArn: role},
		},
	})
	if err != nil {
		panic(err)
	}
	if _, err := api.CreateUserProfile(ctx, &awssagemaker.CreateUserProfileInput{DomainId: domain.DomainId, UserProfileName: aws.String("ada")}); err != nil {
		panic(err)
	}
	name, err := cloud.StartRSession(*domain.DomainId, "ada", fakeaws.RSession{InstanceType: "ml.m5.large"})
	if err != nil {
		panic(err)
	}
	home, err := cloud.AppFiles(fakeaws.App{Domain: *domain.DomainId, UserProfile: "ada", Type: "RSessionGateway", Name: name})
	if err != nil {
		panic(err)
	}
	if err := home.WriteFile("model.R", []byte("lm(y ~ x)"), 0o600); err != nil {
		panic(err)
	}

	described, err := api.DescribeDomain(ctx, &awssagemaker.DescribeDomainInput{DomainId: domain.DomainId})
	if err != nil {
		panic(err)
	}
	root, err := cloud.Files(*described.HomeEfsFileSystemId)
	if err != nil {
		panic(err)
	}
	info, err := root.Stat("200001/model.R")
	if err != nil {
		panic(err)
	}
	fmt.Println(info.Mode(), info.Sys().(launcher.User).UID)
	// Output: -rw------- 200001
}
