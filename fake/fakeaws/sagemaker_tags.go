package fakeaws

import (
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// tagged yields what of SageMaker's there is at an instant, by ARN, with its tags.
func (c *Cloud) tagged(at time.Time) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, d := range c.studio.domains {
		if !d.seen(at) {
			continue
		}
		all[c.domainARN(d.id)] = d.tags
		for _, u := range d.users {
			if u.seen(at) {
				all[c.userARN(d, u)] = u.tags
			}
		}
		for _, s := range d.spaces {
			if s.seen(at) {
				all[c.spaceARN(d, s)] = s.tags
			}
		}
		for _, a := range d.apps {
			if a.status(at) != "" {
				all[a.arn(c, d)] = a.tags
			}
		}
	}
	for _, i := range c.studio.images {
		if !i.seen(at) {
			continue
		}
		all[c.imageARN(i)] = i.tags
		for _, v := range i.versions {
			if v.seen(at) {
				all[c.versionARN(i, v)] = v.tags
			}
		}
	}
	for _, a := range c.studio.configs {
		all[c.configARN(a)] = a.tags
	}
	return all
}

func (c *Cloud) tagsOfARN(arn *string, at time.Time) (map[string]string, error) {
	tags, ok := c.tagged(at)[aws.ToString(arn)]
	if !ok {
		return nil, resourceNotFound("Resource [%s] does not exist.", aws.ToString(arn))
	}
	return tags, nil
}

// addTags adds and overwrites. Apps that a domain or profile launched before do not get
// them, those after do (API_AddTags).
func (c *Cloud) addTags(at call, in *awssagemaker.AddTagsInput) (*awssagemaker.AddTagsOutput, error) {
	tags, err := c.tagsOfARN(in.ResourceArn, at.At)
	if err != nil {
		return nil, err
	}
	added, err := studioTags(in.Tags)
	if err != nil {
		return nil, err
	}
	merged := maps.Clone(tags)
	maps.Copy(merged, added)
	if len(merged) > 50 {
		return nil, invalid("The maximum number of tags of a resource is 50")
	}
	maps.Copy(tags, added)
	return &awssagemaker.AddTagsOutput{Tags: studioTagList(tags)}, nil
}

// listTags has pages of 50 at least and at most, so that all tags are in one
// (API_ListTags); a page that is asked to be smaller is refused.
func (c *Cloud) listTags(at call, in *awssagemaker.ListTagsInput) (*awssagemaker.ListTagsOutput, error) {
	if in.MaxResults != nil && *in.MaxResults < 50 {
		return nil, invalid("1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: "+
			"Member must have value greater than or equal to 50", *in.MaxResults)
	}
	tags, err := c.tagsOfARN(in.ResourceArn, at.At)
	if err != nil {
		return nil, err
	}
	return &awssagemaker.ListTagsOutput{Tags: append([]types.Tag{}, studioTagList(tags)...)}, nil
}

func (c *Cloud) deleteTags(at call, in *awssagemaker.DeleteTagsInput) (*awssagemaker.DeleteTagsOutput, error) {
	tags, err := c.tagsOfARN(in.ResourceArn, at.At)
	if err != nil {
		return nil, err
	}
	for _, k := range in.TagKeys {
		delete(tags, k)
	}
	return &awssagemaker.DeleteTagsOutput{}, nil
}
