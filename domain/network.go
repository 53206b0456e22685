package domain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/internal/pace"
)

// API is the part of EC2 that is used. Credentials must allow these actions,
// and ec2:CreateTags.
type API interface {
	DescribeSubnets(context.Context, *awsec2.DescribeSubnetsInput, ...func(*awsec2.Options)) (*awsec2.DescribeSubnetsOutput, error)
	DescribeSecurityGroups(context.Context, *awsec2.DescribeSecurityGroupsInput, ...func(*awsec2.Options)) (*awsec2.DescribeSecurityGroupsOutput, error)
	CreateSecurityGroup(context.Context, *awsec2.CreateSecurityGroupInput, ...func(*awsec2.Options)) (*awsec2.CreateSecurityGroupOutput, error)
	AuthorizeSecurityGroupIngress(context.Context, *awsec2.AuthorizeSecurityGroupIngressInput, ...func(*awsec2.Options)) (*awsec2.AuthorizeSecurityGroupIngressOutput, error)
	RevokeSecurityGroupEgress(context.Context, *awsec2.RevokeSecurityGroupEgressInput, ...func(*awsec2.Options)) (*awsec2.RevokeSecurityGroupEgressOutput, error)
	DeleteSecurityGroup(context.Context, *awsec2.DeleteSecurityGroupInput, ...func(*awsec2.Options)) (*awsec2.DeleteSecurityGroupOutput, error)
}

var _ API = (*awsec2.Client)(nil)

// A Subnet is where a domain's hosts may run.
type Subnet struct {
	// ID is EC2's ("subnet-...").
	ID string
	// Zone is its Availability Zone ("us-east-1a").
	Zone string
}

// nfsPort is where EFS is mounted.
const nfsPort = 2049

// findSubnets looks the subnets up and reports everything that is wrong with
// them, beyond what the request alone shows. They are asked for by a filter,
// since by identifier EC2 names only the first that is missing.
func (c *Client) findSubnets(ctx context.Context, vpc string, ids []string) (found []Subnet, wrong []error, err error) {
	rest := map[string]bool{}
	for _, id := range ids {
		if subnetPattern.MatchString(id) {
			rest[id] = true
		}
	}
	if len(rest) == 0 || len(rest) > maxSubnets {
		return nil, nil, nil
	}
	pages := awsec2.NewDescribeSubnetsPaginator(c.ec2, &awsec2.DescribeSubnetsInput{
		Filters: []types.Filter{{Name: aws.String("subnet-id"), Values: slices.Sorted(maps.Keys(rest))}},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range page.Subnets {
			id := aws.ToString(s.SubnetId)
			if in := aws.ToString(s.VpcId); in != vpc && vpcPattern.MatchString(vpc) {
				wrong = append(wrong, fmt.Errorf("subnet %s is in %s, not in %s", id, in, vpc))
			}
			found = append(found, Subnet{ID: id, Zone: aws.ToString(s.AvailabilityZone)})
			delete(rest, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(rest)) {
		wrong = append(wrong, fmt.Errorf("subnet %s does not exist in %s", id, c.region))
	}
	slices.SortFunc(found, func(a, b Subnet) int {
		return cmp.Or(strings.Compare(a.Zone, b.Zone), strings.Compare(a.ID, b.ID))
	})
	return found, wrong, nil
}

// A groupSpec is a security group of a domain.
type groupSpec struct {
	name, description string
	// nfsFrom is the group that may reach port 2049 of this one, and then
	// this one reaches nothing. Empty leaves a new group as EC2 makes it:
	// nothing reaches it, and it reaches everything.
	nfsFrom string
}

func hostGroup(domain string) groupSpec {
	return groupSpec{
		name:        "atelier-" + domain + "-hosts",
		description: "Atelier domain " + domain + ": hosts of sessions. Nothing in, everything out.",
	}
}

func fileSystemGroup(domain, hosts string) groupSpec {
	return groupSpec{
		name:        "atelier-" + domain + "-efs",
		description: "Atelier domain " + domain + ": homes. NFS from the hosts in, nothing out.",
		nfsFrom:     hosts,
	}
}

// ensureGroup makes a security group and its rules, or completes what exists,
// and returns its identifier. The name in the VPC is what makes it unique, so
// that it can be called again after any failure.
func (c *Client) ensureGroup(ctx context.Context, r record, spec groupSpec) (string, error) {
	group, err := c.findGroup(ctx, r.VPC, spec.name)
	if err != nil {
		return "", err
	}
	if group == nil {
		c.report(Progress{Domain: r.Name, Step: "security group", Resource: spec.name, State: "creating"})
		_, err := c.ec2.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
			GroupName: aws.String(spec.name), Description: aws.String(spec.description), VpcId: aws.String(r.VPC),
			TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: ec2Tags(r.tags(), spec.name)}},
		})
		if err != nil && codeOf(err) != "InvalidGroup.Duplicate" {
			return "", err
		}
		err = poll(ctx, visibleWithin, func() (bool, error) { // EC2 is eventually consistent
			group, err = c.findGroup(ctx, r.VPC, spec.name)
			return group != nil, err
		})
		if err != nil {
			return "", fmt.Errorf("security group %s was created and does not show yet: %w", spec.name, err)
		}
	}
	id := aws.ToString(group.GroupId)
	if !ours(group, r.Name) {
		return "", &Error{Op: "ensure security group", Name: r.Name, Kind: ErrConflict, Err: foreign(id, r.VPC, spec, r.Name)}
	}
	if spec.nfsFrom == "" {
		return id, nil
	}
	if !opensNFS(group.IpPermissions, spec.nfsFrom) {
		_, err := c.ec2.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{
			GroupId: group.GroupId,
			IpPermissions: []types.IpPermission{{
				IpProtocol: aws.String("tcp"), FromPort: aws.Int32(nfsPort), ToPort: aws.Int32(nfsPort),
				UserIdGroupPairs: []types.UserIdGroupPair{{
					GroupId: aws.String(spec.nfsFrom), Description: aws.String("homes, from the hosts of the domain"),
				}},
			}},
		})
		if err != nil && codeOf(err) != "InvalidPermission.Duplicate" {
			return "", err
		}
	}
	if out := group.IpPermissionsEgress; len(out) > 0 {
		_, err := c.ec2.RevokeSecurityGroupEgress(ctx, &awsec2.RevokeSecurityGroupEgressInput{
			GroupId: group.GroupId, IpPermissions: out,
		})
		if err != nil && codeOf(err) != "InvalidPermission.NotFound" {
			return "", err
		}
	}
	return id, nil
}

// foreign says that a security group has the name of one of a domain's.
func foreign(id, vpc string, spec groupSpec, domain string) error {
	return fmt.Errorf("%s in %s is already called %s and lacks the tag %s=%s, so it is not this domain's: rename or delete it", id, vpc, spec.name, TagDomain, domain)
}

// findGroup returns the security group of a name in a VPC, or nil.
func (c *Client) findGroup(ctx context.Context, vpc, name string) (*types.SecurityGroup, error) {
	pages := awsec2.NewDescribeSecurityGroupsPaginator(c.ec2, &awsec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{
			{Name: aws.String("vpc-id"), Values: []string{vpc}},
			{Name: aws.String("group-name"), Values: []string{name}},
		},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		if len(page.SecurityGroups) > 0 {
			return &page.SecurityGroups[0], nil // a name is unique in its VPC
		}
	}
	return nil, nil
}

// opensNFS reports whether the rules let a group reach port 2049.
func opensNFS(rules []types.IpPermission, from string) bool {
	for _, r := range rules {
		if aws.ToString(r.IpProtocol) != "tcp" || aws.ToInt32(r.FromPort) > nfsPort || aws.ToInt32(r.ToPort) < nfsPort {
			continue
		}
		for _, pair := range r.UserIdGroupPairs {
			if aws.ToString(pair.GroupId) == from {
				return true
			}
		}
	}
	return false
}

// removeGroup deletes a security group of the domain if there is one. While
// network interfaces that were just deleted still hold it, it waits.
func (c *Client) removeGroup(ctx context.Context, r record, spec groupSpec) error {
	group, err := c.findGroup(ctx, r.VPC, spec.name)
	if err != nil || group == nil || !ours(group, r.Name) {
		return err
	}
	c.report(Progress{Domain: r.Name, Step: "security group", Resource: spec.name, State: "deleting"})
	var held error
	err = poll(ctx, freedWithin, func() (bool, error) {
		_, err := c.ec2.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: group.GroupId})
		switch {
		case err == nil || codeOf(err) == "InvalidGroup.NotFound":
			return true, nil
		case codeOf(err) == "DependencyViolation":
			held = err
			return false, nil
		}
		return false, err
	})
	if errors.Is(err, errTooLong) {
		return &Error{Op: "delete", Name: r.Name, Kind: ErrState, Err: fmt.Errorf(
			"something that runs still uses security group %s (%s), a host perhaps; end it and call again: %w",
			spec.name, aws.ToString(group.GroupId), held)}
	}
	return err
}

const (
	// visibleWithin is how long a new resource may stay invisible. EC2 tells
	// callers to retry for up to a few minutes,
	// https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html.
	visibleWithin = 2 * time.Minute
	// freedWithin is how long a deleted network interface may hold its group.
	freedWithin = 2 * time.Minute
)

var errTooLong = errors.New("it takes too long")

// poll calls done until it reports true, or a limit has passed.
func poll(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	return pace.Poll(ctx, limit, errTooLong, done)
}

const (
	// tagPrefix begins the keys of the tags that say whose a resource is.
	tagPrefix = "atelier:"
	// TagDomain is the key of the tag of everything that is made for a domain in AWS: its
	// security groups, file system and access points. Its value is the domain's name.
	TagDomain = tagPrefix + "domain"
)

// tags are the caller's and ours for every resource of the domain.
func (r record) tags() map[string]string {
	t := maps.Clone(r.Tags)
	if t == nil {
		t = map[string]string{}
	}
	t[TagDomain] = r.Name
	return t
}

// ec2Tags adds the name that the console shows.
func ec2Tags(tags map[string]string, name string) []types.Tag {
	list := []types.Tag{{Key: aws.String("Name"), Value: aws.String(name)}}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return list
}

// ours reports whether a security group was made for the domain.
func ours(group *types.SecurityGroup, domain string) bool {
	for _, t := range group.Tags {
		if aws.ToString(t.Key) == TagDomain {
			return aws.ToString(t.Value) == domain
		}
	}
	return false
}
