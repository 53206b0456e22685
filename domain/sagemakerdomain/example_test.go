package sagemakerdomain_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awslicenses "github.com/aws/aws-sdk-go-v2/service/licensemanager"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	awsquotas "github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
)

// account is an account for an example, with the two roles that a domain needs.
func account() (cloud *fakeaws.Cloud, request sagemakerdomain.CreateDomainRequest) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	iam := awsiam.NewFromConfig(cloud.Config())
	for _, role := range []string{"studio", "rstudio"} {
		if _, err := iam.CreateRole(context.Background(), &awsiam.CreateRoleInput{RoleName: &role, AssumeRolePolicyDocument: aws.String(trust)}); err != nil {
			log.Fatal(err)
		}
	}
	request = sagemakerdomain.CreateDomainRequest{
		Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID},
		ExecutionRole: "arn:aws:iam::123456789012:role/studio", DomainExecutionRole: "arn:aws:iam::123456789012:role/rstudio",
		DefaultAccess: sagemakerdomain.AccessUser,
	}
	return cloud, request
}

func ExampleNewFromConfig() {
	cloud, request := account()
	defer cloud.Close()
	ctx := context.Background()

	// In a real program the aws.Config comes from config.LoadDefaultConfig.
	client, err := sagemakerdomain.NewFromConfig(cloud.Config(), sagemakerdomain.Config{})
	if err != nil {
		log.Fatal(err)
	}
	d, err := client.CreateDomain(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	alice, err := client.CreateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.Name, d.Status, d.RStudio.Instance)
	fmt.Println(alice.Name, alice.UID)
	// Output:
	// research InService system
	// alice 200001
}

func ExampleNew() {
	cloud, request := account()
	defer cloud.Close()
	cfg := cloud.Config()

	client, err := sagemakerdomain.New(cfg.Region, sagemakerdomain.Services{
		SageMaker: awssagemaker.NewFromConfig(cfg, func(o *awssagemaker.Options) { o.RetryMaxAttempts = 10 }),
		EC2:       awsec2.NewFromConfig(cfg), EFS: awsefs.NewFromConfig(cfg), IAM: awsiam.NewFromConfig(cfg),
		Licenses: awslicenses.NewFromConfig(cfg), Quotas: awsquotas.NewFromConfig(cfg), Images: image.NewFromConfig(cfg, image.Config{}),
	}, sagemakerdomain.Config{Timeouts: sagemakerdomain.Timeouts{Domain: time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	cloud.SetLicense(fakeaws.LicenseMissing)
	request.ConnectURL = "connect.example.com"
	_, err = client.CreateDomain(context.Background(), request)
	fmt.Println(err)
	// Output:
	// sagemakerdomain: create domain research: invalid: connect URL "connect.example.com": want a URL that begins with https:, http: or www.
	// Posit's licence RSW-SageMaker is not granted, or has ended: have Posit grant it, which can take three business days, and accept it in License Manager, in us-east-1
}

func ExampleClient_UpdateDomain() {
	cloud, request := account()
	defer cloud.Close()
	ctx := context.Background()
	client, err := sagemakerdomain.NewFromConfig(cloud.Config(), sagemakerdomain.Config{})
	if err != nil {
		log.Fatal(err)
	}
	d, err := client.CreateDomain(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	change := sagemakerdomain.UpdateDomainRequest{Domain: d.ID, PackageManagerURL: "https://packages.example.com"}
	preview, err := client.PreviewUpdate(ctx, change)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range preview {
		fmt.Println(p)
	}
	if d, err = client.UpdateDomain(ctx, change); err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.RStudio.PackageManagerURL)
	// Output:
	// ends: app domain-shared/RStudioServerPro/default (the server of RStudio: nobody reaches it until it is made again)
	// https://packages.example.com
}

func ExampleClient_AttachImage() {
	cloud, request := account()
	defer cloud.Close()
	ctx := context.Background()
	client, err := sagemakerdomain.NewFromConfig(cloud.Config(), sagemakerdomain.Config{})
	if err != nil {
		log.Fatal(err)
	}
	d, err := client.CreateDomain(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	base := "123456789012.dkr.ecr.us-east-1.amazonaws.com/r-session:2025.05.1-513.pro3"
	image := fakeaws.Image{Env: []string{"RSTUDIO_CONNECT_URL=https://connect.example.com", "RSTUDIO_PACKAGE_MANAGER_URL=https://packages.example.com"}}
	if _, err := cloud.PushImage(base, image); err != nil {
		log.Fatal(err)
	}
	if _, err := client.RegisterImage(ctx, sagemakerdomain.RegisterImageRequest{Name: "genomics", Role: request.ExecutionRole}); err != nil {
		log.Fatal(err)
	}
	v, err := client.AddVersion(ctx, sagemakerdomain.AddVersionRequest{Image: "genomics", Base: base})
	if err != nil {
		log.Fatal(err)
	}
	a, err := client.AttachImage(ctx, sagemakerdomain.AttachRequest{Domain: d.ID, Image: "genomics", Version: v.Number, ServerVersion: "2025.05.1+513.pro3"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("restart due:", a.RestartDue, "then visible after", a.Least, "to", a.Most)
	for use, err := range client.ImageUses(ctx, "genomics", v.Number) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("used as default:", use.Profile == "")
	}
	// Output:
	// restart due: true then visible after 15m0s to 30m0s
	// used as default: true
}

// What adopting a domain would make is listed, and made; again, when people have come.
func ExampleClient_Adopt() {
	cloud, request := account()
	defer cloud.Close()
	ctx := context.Background()
	client, err := sagemakerdomain.NewFromConfig(cloud.Config(), sagemakerdomain.Config{})
	if err != nil {
		log.Fatal(err)
	}
	theirs, err := client.CreateDomain(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.CreateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: theirs.ID, Name: "Alice"}); err != nil {
		log.Fatal(err)
	}
	// In a real program records are kept, by boltstore or dynamostore for example.
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		log.Fatal(err)
	}
	q := sagemakerdomain.AdoptRequest{ID: theirs.ID, Name: "research", Policy: domain.Policy{Types: []string{"t3.*", "m7i.*"}}}
	preview, err := client.PreviewAdopt(ctx, domains, q)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range preview {
		fmt.Println(p.Fate, p.Thing)
	}
	ours, err := client.Adopt(ctx, domains, q)
	if err != nil {
		log.Fatal(err)
	}
	alice, err := ours.User(ctx, "alice")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(alice.Name, alice.UID, alice.Home.Path)

	if _, err := client.CreateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: theirs.ID, Name: "bob"}); err != nil {
		log.Fatal(err)
	}
	differences, err := client.Diff(ctx, ours)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range differences {
		fmt.Println(d)
	}
	// Output:
	// makes domain
	// makes security group
	// makes user
	// makes access point
	// stays file system
	// stays security group
	// stays security group
	// stays subnet
	// stays domain
	// alice 200001 /200001
	// makes: user bob (with uid 200002, profile bob)
	// makes: access point /200002 (of the home of bob, entered as 200002)
}

func ExampleClient_DeleteDomain() {
	cloud, request := account()
	defer cloud.Close()
	ctx := context.Background()
	client, err := sagemakerdomain.NewFromConfig(cloud.Config(), sagemakerdomain.Config{})
	if err != nil {
		log.Fatal(err)
	}
	d, err := client.CreateDomain(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.CreateProfile(ctx, sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice"}); err != nil {
		log.Fatal(err)
	}
	q := sagemakerdomain.DeleteDomainRequest{Domain: d.ID}
	preview, err := client.PreviewDelete(ctx, q)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range preview {
		fmt.Println(p.Fate, p.Thing)
	}
	fmt.Println(client.DeleteDomain(ctx, q))
	// Output:
	// ends app
	// ends user profile
	// ends domain
	// ends network interface
	// ends security group
	// stays mount target
	// stays file system
	// stays security group
	// <nil>
}
