package efs_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func ExampleNewFromConfig() {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer cloud.Close()
	ctx := context.Background()

	// In a real program the aws.Config comes from config.LoadDefaultConfig.
	client, err := efs.NewFromConfig(cloud.Config(), efs.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fs, err := client.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: "research"})
	if err != nil {
		log.Fatal(err)
	}
	home, err := client.EnsureHome(ctx, efs.HomeSpec{FileSystem: fs.ID, User: "alice", UID: 200001, GID: 200001})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fs.Name, fs.State, "encrypted:", fs.Encrypted)
	fmt.Println("alice:", home.Path, home.UID)
	// Output:
	// research available encrypted: true
	// alice: /200001 200001
}

func ExampleNew() {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer cloud.Close()

	// With a client of one's own, EFS is called as that is set up.
	api := awsefs.NewFromConfig(cloud.Config(), func(o *awsefs.Options) { o.RetryMaxAttempts = 10 })
	client, err := efs.New(api, efs.Config{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.FileSystem(context.Background(), "fs-0123456789abcdef0")
	fmt.Println(errors.Is(err, efs.ErrNotFound))
	// Output: true
}

func ExampleClient_EnsureShared() {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer cloud.Close()
	ctx := context.Background()
	client, err := efs.NewFromConfig(cloud.Config(), efs.Config{})
	if err != nil {
		log.Fatal(err)
	}
	fs, err := client.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: "research"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.EnsureShared(ctx, efs.SharedSpec{FileSystem: fs.ID, Name: "genome", GID: 300001}); err != nil {
		log.Fatal(err)
	}
	for point, err := range client.AccessPoints(ctx, fs.ID) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(point.Shared, point.Path, "forced identity:", point.Forced)
	}
	usage, err := client.Usage(ctx, fs.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d of %d access points\n", usage.AccessPoints, usage.Limit)
	// Output:
	// genome /shared/genome forced identity: false
	// 1 of 10000 access points
}
