package image_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
)

func ExampleParse() {
	for _, s := range []string{"ubuntu", "rocker/rstudio:4.5", "localhost:5000/ide:dev"} {
		ref, err := image.Parse(s)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ref)
	}
	_, err := image.Parse("Rocker/RStudio")
	fmt.Println(err)
	// Output:
	// docker.io/library/ubuntu:latest
	// docker.io/rocker/rstudio:4.5
	// localhost:5000/ide:dev
	// image: parse "Rocker/RStudio": invalid: repository "Rocker/RStudio": want lower-case letters
}

// A Client made from an AWS configuration resolves images of Amazon ECR and of
// every other registry.
func ExampleNewFromConfig() {
	cloud, err := fakeaws.New(fakeaws.Config{}) // stands in for config.LoadDefaultConfig
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"123456789012.dkr.ecr.us-east-1.amazonaws.com/team/ide:1", "rocker/rstudio:4.5"} {
		if _, err := cloud.PushImage(name, fakeaws.Image{Platforms: []string{"linux/amd64", "linux/arm64"}}); err != nil {
			fmt.Println(err)
			return
		}
	}

	images := image.NewFromConfig(cloud.Config(), image.Config{})
	for _, name := range []string{"123456789012.dkr.ecr.us-east-1.amazonaws.com/team/ide:1", "rocker/rstudio:4.5"} {
		ref, err := image.Parse(name)
		if err != nil {
			fmt.Println(err)
			return
		}
		i, err := images.Resolve(context.Background(), ref)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(i.Reference.Repository, "pinned:", i.Reference.Pinned(), i.Platforms, i.Size>>20, "MiB")
	}
	// Output:
	// team/ide pinned: true [linux/amd64 linux/arm64] 1024 MiB
	// rocker/rstudio pinned: true [linux/amd64 linux/arm64] 1024 MiB
}

// Without AWS, a Client speaks to registries alone. Credentials are asked for
// when a registry wants them.
func ExampleNew() {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := cloud.PushImage("ghcr.io/acme/ide:1", fakeaws.Image{}); err != nil {
		fmt.Println(err)
		return
	}
	if err := cloud.ProtectRepository("ghcr.io/acme/ide", "ada", "sesame"); err != nil {
		fmt.Println(err)
		return
	}

	images := image.New(nil, image.Config{
		Transport: cloud.Registry(), // nil is http.DefaultTransport
		Credentials: func(_ context.Context, registry string) (username, password string, err error) {
			fmt.Println("asked for credentials of", registry)
			return "ada", "sesame", nil
		},
	})
	ref, err := image.Parse("ghcr.io/acme/ide:1")
	if err != nil {
		fmt.Println(err)
		return
	}
	i, err := images.Resolve(context.Background(), ref)
	fmt.Println(i.Platforms, err)
	fmt.Println(errors.Is(i.CheckArchitecture("arm64"), image.ErrPlatform))
	// Output:
	// asked for credentials of ghcr.io
	// [linux/amd64] <nil>
	// true
}
