package fakeaws

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// imageVersion is one version of an image. Its number is never given again.
type imageVersion struct {
	course
	number    int
	in        *awssagemaker.CreateImageVersionInput
	container string // what BaseImage names, by digest; empty if there is no such image
	tags      map[string]string
}

func (c *Cloud) versionARN(i *studioImage, v *imageVersion) string {
	return c.sagemakerARN(fmt.Sprintf("image-version/%s/%d", strings.ToLower(i.name), v.number))
}

// version finds a version by its number, nil if there never was one.
func (i *studioImage) version(number int) *imageVersion {
	if number < 1 || number > len(i.versions) {
		return nil
	}
	return i.versions[number-1]
}

// latest finds the last version that shows at an instant and is at one of some stages, or
// at any if none is named.
func (i *studioImage) latest(at time.Time, stages ...stage) *imageVersion {
	for _, v := range slices.Backward(i.versions) {
		if s, _ := v.stage(at); s != absent && (len(stages) == 0 || slices.Contains(stages, s)) {
			return v
		}
	}
	return nil
}

// inECR reports whether the account's registry has a container image now.
func (c *Cloud) inECR(base *string) bool {
	_, reason := c.baseImage(aws.ToString(base))
	return reason == ""
}

// baseImage finds what a version is made of, or says why it cannot be had: SageMaker takes
// images of Amazon ECR in its own Region ("Cross region ECR image pulls are not
// allowed", as its endpoints word it), those of this account, and no others are modelled.
func (c *Cloud) baseImage(base string) (container, reason string) {
	ref, err := parseReference(base)
	switch {
	case err != nil || !isECRHost(ref.Registry):
		return "", "BaseImage " + base + " is not an image of Amazon ECR"
	case ref.Registry != c.ecrRegistry():
		return "", "Region or account of " + base + " does not match " + c.ecrRegistry() + ". Cross region ECR image pulls are not allowed."
	}
	d, r := c.images.find(ref)
	if _, ok := r.manifest(d); !ok {
		return "", "Image " + base + " does not exist in Amazon ECR"
	}
	return repositoryName(ref) + "@" + d.String(), ""
}

// createImageVersion makes the next version of an image that is CREATED. The token
// answers the same call again with the same version; one with other members is refused,
// by an error that is an assumption.
func (c *Cloud) createImageVersion(at call, in *awssagemaker.CreateImageVersionInput) (*awssagemaker.CreateImageVersionOutput, error) {
	i, err := c.image(in.ImageName, at.At)
	if err != nil {
		return nil, err
	}
	for _, v := range i.versions {
		if *v.in.ClientToken != *in.ClientToken {
			continue
		}
		if !alikeInputs(v.in, in) {
			return nil, resourceInUse("ClientToken %s was used with other parameters.", *in.ClientToken)
		}
		return &awssagemaker.CreateImageVersionOutput{ImageVersionArn: aws.String(c.versionARN(i, v))}, nil
	}
	if s, _ := i.stage(at.At); s != present && s != updateFailed {
		return nil, invalid("Image %s is in an invalid state.", i.name)
	}
	if n := len(*in.BaseImage); n == 0 || n > 255 {
		return nil, invalid("1 validation error detected: Value at 'baseImage' failed to satisfy constraint: Member must have length between 1 and 255")
	}
	v := &imageVersion{number: len(i.versions) + 1, in: in, tags: map[string]string{}}
	v.create = at.step(c.delays.StudioImage)
	container, reason := c.baseImage(*in.BaseImage)
	if v.container = container; v.create.failure == "" {
		v.create.failure = reason
	}
	i.versions = append(i.versions, v)
	return &awssagemaker.CreateImageVersionOutput{ImageVersionArn: aws.String(c.versionARN(i, v))}, nil
}

// imageVersion finds a version that shows at an instant: by number, by alias or, without
// either, the latest, whatever has become of it.
func (c *Cloud) imageVersion(image *string, number *int32, alias *string, at time.Time) (*studioImage, *imageVersion, error) {
	i, err := c.image(image, at)
	if err != nil {
		return nil, nil, err
	}
	var v *imageVersion
	which := "Latest ImageVersion"
	switch {
	case number != nil:
		which = fmt.Sprintf("ImageVersion %d", *number)
		v = i.version(int(*number))
	case alias != nil:
		which = "ImageVersion with Alias " + *alias
		for _, other := range i.versions {
			if slices.Contains(other.in.Aliases, *alias) && other.seen(at) {
				v = other
			}
		}
	default:
		v = i.latest(at)
	}
	if v == nil || !v.seen(at) {
		return nil, nil, resourceNotFound("%s with ImageName %s does not exist. Please provide a valid ImageName.", which, i.name)
	}
	return i, v, nil
}

func (c *Cloud) describeImageVersion(at call, in *awssagemaker.DescribeImageVersionInput) (*awssagemaker.DescribeImageVersionOutput, error) {
	seen := c.readAt(at)
	i, v, err := c.imageVersion(in.ImageName, in.Version, in.Alias, seen)
	if err != nil {
		return nil, err
	}
	return c.describedVersion(i, v, seen), nil
}

func (c *Cloud) describedVersion(i *studioImage, v *imageVersion, at time.Time) *awssagemaker.DescribeImageVersionOutput {
	s, reason := v.stage(at)
	in := copyOf(v.in)
	out := &awssagemaker.DescribeImageVersionOutput{
		BaseImage: in.BaseImage, CreationTime: aws.Time(v.create.begun), FailureReason: optional(reason), Horovod: in.Horovod,
		ImageArn: aws.String(c.imageARN(i)), ImageVersionArn: aws.String(c.versionARN(i, v)),
		ImageVersionStatus: types.ImageVersionStatus(s.imageStatus()), JobType: in.JobType, LastModifiedTime: aws.Time(v.modified(at)),
		MLFramework: in.MLFramework, Processor: in.Processor, ProgrammingLang: in.ProgrammingLang, ReleaseNotes: in.ReleaseNotes,
		VendorGuidance: in.VendorGuidance, Version: aws.Int32(int32(v.number)),
	}
	if s == present {
		out.ContainerImage = aws.String(v.container)
	}
	return out
}

func (c *Cloud) listImageVersions(at call, in *awssagemaker.ListImageVersionsInput) (*awssagemaker.ListImageVersionsOutput, error) {
	if err := modelled(at, in, "ImageName", "MaxResults", "NextToken"); err != nil {
		return nil, err
	}
	seen := c.readAt(at)
	i, err := c.image(in.ImageName, seen)
	if err != nil {
		return nil, err
	}
	var found []types.ImageVersion
	for _, v := range i.versions {
		if !v.seen(seen) {
			continue
		}
		d := c.describedVersion(i, v, seen)
		found = append(found, types.ImageVersion{
			CreationTime: d.CreationTime, ImageArn: d.ImageArn, ImageVersionArn: d.ImageVersionArn, ImageVersionStatus: d.ImageVersionStatus,
			LastModifiedTime: d.LastModifiedTime, Version: d.Version, FailureReason: d.FailureReason,
		})
	}
	found, next, err := studioPage(at, listing{descending: true}, found, func(v types.ImageVersion) string {
		return fmt.Sprintf("%010d", *v.Version)
	}, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &awssagemaker.ListImageVersionsOutput{ImageVersions: found, NextToken: next}, nil
}

// deleteImageVersion deletes a version that is named by number or alias. What runs of it
// goes on; what is to start does not.
func (c *Cloud) deleteImageVersion(at call, in *awssagemaker.DeleteImageVersionInput) (*awssagemaker.DeleteImageVersionOutput, error) {
	if (in.Version == nil) == (in.Alias == nil) {
		return nil, invalid("Exactly one of Version and Alias must be specified")
	}
	i, v, err := c.imageVersion(in.ImageName, in.Version, in.Alias, at.At)
	if err != nil {
		return nil, err
	}
	switch s, _ := v.stage(at.At); s {
	case deleting:
		return &awssagemaker.DeleteImageVersionOutput{}, nil
	case creating:
		return nil, resourceInUse("ImageVersion %d of Image %s is in status %s.", v.number, i.name, s.imageStatus())
	}
	v.remove = at.again(v.remove, c.delays.StudioImage)
	return &awssagemaker.DeleteImageVersionOutput{}, nil
}
