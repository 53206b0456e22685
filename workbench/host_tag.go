package workbench

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// tags are those of everything that belongs to the Workbench: the domain's, the
// name that the console shows, and whose it is.
func (c *Client) tags(d domain.Description) map[string]string {
	tags := maps.Clone(d.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags["Name"], tags[tagWorkbench] = c.name(), c.domain.Name()
	return tags
}

// tagSpecs are the tags in a call of EC2 that makes something.
func (c *Client) tagSpecs(d domain.Description, kinds ...ec2types.ResourceType) (specs []ec2types.TagSpecification) {
	for _, k := range kinds {
		specs = append(specs, ec2types.TagSpecification{ResourceType: k, Tags: tagsAs(c.tags(d), ec2Tag)})
	}
	return specs
}

func ec2Tag(k, v *string) ec2types.Tag { return ec2types.Tag{Key: k, Value: v} }

// tagsAs makes a service's list of tags, by their keys.
func tagsAs[T any](tags map[string]string, tag func(key, value *string) T) (list []T) {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tag(aws.String(k), aws.String(tags[k])))
	}
	return list
}

// owns reports whether something of EC2's was made for this Workbench.
func (c *Client) owns(tags []ec2types.Tag) bool {
	for _, t := range tags {
		if aws.ToString(t.Key) == tagWorkbench {
			return aws.ToString(t.Value) == c.domain.Name()
		}
	}
	return false
}

// notOurs is the refusal to touch what lacks the tag.
func (c *Client) notOurs(what string) error {
	return refusal.New(domain.ErrConflict, "%s exists and lacks the tag %s=%s, so it is not this Workbench's: rename or delete it", what, tagWorkbench, c.domain.Name())
}
