// Package image knows container images by name: it reads references and asks
// registries what they stand for.
//
// [Parse] reads a reference as container engines do. A [Resolver] turns it
// into an [Image]: pinned to a digest, with the platforms it runs on and its
// size. [Client] is the Resolver for images of Amazon ECR, by its API, and of
// any OCI registry, by the distribution protocol; its Configuration tells how an
// image was made.
package image

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A Resolver finds out what a reference stands for now.
//
// Resolve asks the registry every time; nothing is cached. The same content
// gives the same Image: platforms are sorted, and a tag that has not moved
// resolves to the same digest. It changes nothing on the registry, can be
// repeated, and is safe for concurrent use.
//
// Errors are an [*Error], whose [Kind] can be tested for with [errors.Is].
// When ctx ends, its error is returned as it is.
type Resolver interface {
	Resolve(ctx context.Context, ref Reference) (Image, error)
}

// An Image is what a registry holds under a reference.
type Image struct {
	// Reference is by digest. It names the index of an image for several
	// platforms, not one of its manifests: an engine picks the right one.
	Reference Reference
	// Platforms are what the image runs on, sorted, each once.
	Platforms []Platform
	// Size is what an EC2 host has to download, in bytes: the compressed
	// layers and the configuration, of the larger of linux/amd64 and
	// linux/arm64 if it has both, zero if it has neither. An engine that
	// unpacks it needs more room on its disk.
	Size int64
}

// A Platform is an operating system and a processor architecture in the words
// of the OCI image specification, which are Go's: linux, amd64.
type Platform struct {
	OS           string
	Architecture string
}

// String returns "os/architecture".
func (p Platform) String() string { return p.OS + "/" + p.Architecture }

// CheckArchitecture returns nil if the image runs on an EC2 instance of the
// given architecture, in EC2's words ("x86_64", "arm64") or Go's ("amd64").
// Otherwise the error is [ErrPlatform] and says what the image has.
func (i Image) CheckArchitecture(arch string) error {
	want := Platform{OS: "linux", Architecture: arch}
	if arch == "x86_64" {
		want.Architecture = "amd64"
	}
	if slices.Contains(i.Platforms, want) {
		return nil
	}
	has := "it names no platform"
	if len(i.Platforms) > 0 {
		names := make([]string, len(i.Platforms))
		for n, p := range i.Platforms {
			names[n] = p.String()
		}
		has = "it has " + strings.Join(names, ", ")
	}
	return &Error{Op: "check", Reference: i.Reference.String(), Kind: ErrPlatform,
		Err: fmt.Errorf("it has no manifest for %s: %s; choose an instance type it runs on, or push one for this", want, has)}
}

// onHosts reports whether p is a platform an EC2 host of ours can have.
func (p Platform) onHosts() bool {
	return p.OS == "linux" && (p.Architecture == "amd64" || p.Architecture == "arm64")
}
