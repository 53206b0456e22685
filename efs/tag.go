package efs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"
)

// The tags by which access points are told apart.
const (
	userTag   = "atelier:user"
	sharedTag = "atelier:shared"
	rootTag   = "atelier:root"
)

// maxTags is how many tags an AWS resource can have (AWS General Reference,
// "Tag your AWS resources").
const maxTags = 50

// Keys and values as the EFS API reference has them (API_Tag).
var (
	keyPattern   = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$`)
	valuePattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// tagProblems checks a caller's tags, which share a resource with some of ours.
func tagProblems(tags map[string]string, ours int) error {
	var problems []error
	if len(tags)+ours > maxTags {
		problems = append(problems, fmt.Errorf("%d tags: want at most %d", len(tags), maxTags-ours))
	}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		switch {
		case !keyPattern.MatchString(k) || utf8.RuneCountInString(k) > 128:
			problems = append(problems, fmt.Errorf("tag %q: want 1 to 128 letters, digits, spaces and _ . : / = + - @", k))
		case len(k) >= 4 && strings.EqualFold(k[:4], "aws:"):
			problems = append(problems, fmt.Errorf("tag %q: the prefix aws: is reserved by AWS", k))
		case k == userTag || k == sharedTag || k == rootTag:
			problems = append(problems, fmt.Errorf("tag %q: it is set by this package", k))
		}
		problems = append(problems, valueProblem(fmt.Sprintf("tag %q", k), tags[k]))
	}
	return errors.Join(problems...)
}

// TagFileSystem gives a file system tags, in place of those it has under the
// same keys; the others stay. It is idempotent.
func (c *Client) TagFileSystem(ctx context.Context, id string, tags map[string]string) error {
	const op = "tag file system"
	if err := invalid(op, "", fileSystemProblem(id), tagProblems(tags, 0)); err != nil {
		return err
	}
	d, err := c.describeFileSystem(ctx, id)
	if err == nil {
		_, err = c.addTags(ctx, id, d.Tags, tags)
	}
	if err != nil {
		return failed(ctx, op, id, err)
	}
	return nil
}

// valueProblem checks what becomes the value of a tag.
func valueProblem(what, value string) error {
	if !valuePattern.MatchString(value) || utf8.RuneCountInString(value) > 256 {
		return fmt.Errorf("%s: value %q: want at most 256 letters, digits, spaces and _ . : / = + - @", what, value)
	}
	return nil
}

// tagList is in the order of keys, so that equal requests are equal.
func tagList(tags map[string]string) []types.Tag {
	var list []types.Tag
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return list
}

func tagMap(list []types.Tag) map[string]string {
	tags := make(map[string]string, len(list))
	for _, t := range list {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags
}
