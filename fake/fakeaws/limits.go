package fakeaws

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
)

// Limits are how many calls an account takes, by the action as IAM names it
// ("ec2:RunInstances"). An action that is not listed has no limit.
type Limits map[string]Limit

// A Limit is what bounds one action in one account and region. A call that finds
// a bucket too empty takes nothing from any and fails with the service's error
// for it: RequestLimitExceeded, of EC2.
type Limit struct {
	// Calls is the bucket that each call takes a token from. Zero is no bound.
	Calls Bucket
	// Unfiltered is in the place of Calls for calls that name neither
	// resources nor filters nor the size of a page. Zero is none of its own.
	Unfiltered Bucket
	// Instances is the bucket that RunInstances takes as many tokens from as
	// it asks for at most, and TerminateInstances one for each instance. Zero
	// is no bound.
	Instances Bucket
}

// A Bucket holds tokens. It is full at first.
type Bucket struct {
	// Size is how many it holds. Zero is no bucket.
	Size int
	// PerSecond is how many are added each second, up to its size.
	PerSecond int
}

// PublishedLimits returns the limits of an account as AWS publishes them for the
// actions that are modelled ("Request throttling for the Amazon EC2 API",
// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html). Each
// action has buckets of its own. New accounts may have less.
func PublishedLimits() Limits {
	reads, bare := Bucket{100, 20}, Bucket{50, 10}
	mutating := Limit{Calls: Bucket{50, 5}}
	return Limits{
		"ec2:RunInstances":       {Calls: Bucket{5, 2}, Instances: Bucket{1000, 2}},
		"ec2:TerminateInstances": {Calls: Bucket{100, 5}, Instances: Bucket{1000, 20}},
		"ec2:DescribeInstances":  {Calls: reads, Unfiltered: bare},

		"ec2:DescribeSpotInstanceRequests": {Calls: reads, Unfiltered: bare},
		"ec2:DescribeSpotPriceHistory":     {Calls: reads},

		"ec2:RebootInstances":           mutating,
		"ec2:CreateNetworkInterface":    {Calls: Bucket{100, 5}},
		"ec2:DeleteNetworkInterface":    mutating,
		"ec2:CreateVolume":              {Calls: Bucket{100, 5}},
		"ec2:AttachVolume":              mutating,
		"ec2:DeleteVolume":              mutating,
		"ec2:DescribeNetworkInterfaces": {Calls: reads, Unfiltered: bare},
		"ec2:DescribeVolumes":           {Calls: reads, Unfiltered: bare},
		"ec2:DescribeInstanceStatus":    {Calls: reads, Unfiltered: bare},

		"ec2:DescribeSecurityGroups": {Calls: reads, Unfiltered: bare},
		"ec2:DescribeSubnets":        {Calls: reads},
		"ec2:DescribeVpcs":           {Calls: reads},

		"ec2:CreateSecurityGroup":           mutating,
		"ec2:AuthorizeSecurityGroupIngress": mutating,
		"ec2:AuthorizeSecurityGroupEgress":  mutating,
		"ec2:RevokeSecurityGroupIngress":    mutating,
		"ec2:RevokeSecurityGroupEgress":     mutating,
		"ec2:DeleteSecurityGroup":           mutating,
	}
}

// StudioLimits returns limits of SageMaker's calls and of the few around them. AWS
// publishes none: that reads have 20 a second and what changes something has 5, with twice as
// many in the bucket, is an assumption, by which a program can be tried.
func StudioLimits() Limits {
	reads, mutating := Limit{Calls: Bucket{40, 20}}, Limit{Calls: Bucket{10, 5}}
	limits := Limits{}
	for _, kind := range []string{"Domain", "UserProfile", "Space", "App", "Image", "ImageVersion", "AppImageConfig"} {
		limits["sagemaker:Create"+kind], limits["sagemaker:Delete"+kind] = mutating, mutating
		limits["sagemaker:Describe"+kind], limits["sagemaker:List"+kind+"s"] = reads, reads
	}
	for _, call := range []string{"UpdateDomain", "UpdateUserProfile", "UpdateImage", "AddTags", "DeleteTags", "CreatePresignedDomainUrl"} {
		limits["sagemaker:"+call] = mutating
	}
	for _, call := range []string{"sagemaker:ListTags", "servicequotas:ListServiceQuotas", "servicequotas:GetServiceQuota", "license-manager:ListReceivedLicenses"} {
		limits[call] = reads
	}
	return limits
}

// Shared returns what is left of l when other programs of the account take a
// share of it, from 0 to less than 1: each bucket is smaller and fills slower by
// so much, but holds a token and gains one a second still.
func (l Limits) Shared(others float64) Limits {
	left := func(b Bucket) Bucket {
		of := func(n int) int {
			if n == 0 {
				return 0
			}
			return max(1, int(math.Floor(float64(n)*(1-others))))
		}
		return Bucket{of(b.Size), of(b.PerSecond)}
	}
	rest := Limits{}
	for action, limit := range l {
		rest[action] = Limit{left(limit.Calls), left(limit.Unfiltered), left(limit.Instances)}
	}
	return rest
}

// validate reports everything wrong with l, where these actions are known.
func (l Limits) validate(known []string) error {
	var problems []error
	for _, action := range slices.Sorted(maps.Keys(l)) {
		limit := l[action]
		if !slices.Contains(known, action) {
			problems = append(problems, fmt.Errorf("limit: action %.60q is not modelled: want %s", action, instead(action, known)))
		}
		for _, b := range []struct {
			name string
			Bucket
		}{{"calls", limit.Calls}, {"unfiltered", limit.Unfiltered}, {"instances", limit.Instances}} {
			if b.Size < 0 || b.PerSecond < 0 || b.Size == 0 && b.PerSecond > 0 || b.Size > 0 && b.PerSecond == 0 {
				problems = append(problems, fmt.Errorf("limit of %s: bucket of %s is %+v: want a size and a rate above 0, or neither", action, b.name, b.Bucket))
			}
		}
		counts := action == "ec2:RunInstances" || action == "ec2:TerminateInstances"
		if limit.Instances != (Bucket{}) && !counts {
			problems = append(problems, fmt.Errorf("limit of %s: it takes no instances", action))
		}
	}
	return errors.Join(problems...)
}

// SetLimits replaces the limits of the account from now on, as when other
// programs in it begin or end to call; see [Limits.Shared]. What is in a bucket
// that stays is kept, as far as it fits.
func (c *Cloud) SetLimits(l Limits) error {
	if err := l.validate(c.actions()); err != nil {
		return fmt.Errorf("fakeaws: set limits: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits = maps.Clone(l)
	return nil
}

// level is what is in a bucket.
type level struct {
	tokens int
	at     time.Time // when the last were added
}

// bucketKey names a bucket: its action and which of it.
type bucketKey struct{ action, which string }

// limited takes the tokens of a call, or refuses it.
func (c *Cloud) limited(at call, input any) error {
	limit, ok := c.limits[at.Action]
	if !ok {
		return nil
	}
	left := map[bucketKey]level{}
	enough := true
	need := func(which string, b Bucket, n int) {
		if b.Size == 0 || n <= 0 {
			return
		}
		key := bucketKey{at.Action, which}
		l := c.level(key, b, at.At)
		l.tokens -= n
		left[key], enough = l, enough && l.tokens >= 0
	}
	if limit.Unfiltered.Size > 0 && unfiltered(input) {
		need("unfiltered", limit.Unfiltered, 1)
	} else {
		need("calls", limit.Calls, 1)
	}
	need("instances", limit.Instances, instancesOf(input))
	if !enough {
		return throttled(at.Action)
	}
	maps.Copy(c.levels, left)
	return nil
}

// level returns what is in a bucket at an instant: it fills each second.
func (c *Cloud) level(key bucketKey, b Bucket, now time.Time) level {
	l, known := c.levels[key]
	if !known {
		return level{b.Size, now}
	}
	seconds := int(now.Sub(l.at) / time.Second)
	l.at = l.at.Add(time.Duration(seconds) * time.Second)
	l.tokens = min(b.Size, l.tokens+min(seconds, b.Size)*b.PerSecond)
	return l
}

// unfiltered reports whether a call reads all there is at once. That ids count
// as a filter is an assumption.
func unfiltered(input any) bool {
	switch in := input.(type) {
	case *awsec2.DescribeInstancesInput:
		return len(in.InstanceIds) == 0 && len(in.Filters) == 0 && in.MaxResults == nil
	case *awsec2.DescribeSpotInstanceRequestsInput:
		return len(in.SpotInstanceRequestIds) == 0 && len(in.Filters) == 0 && in.MaxResults == nil
	case *awsec2.DescribeSecurityGroupsInput:
		return len(in.GroupIds) == 0 && len(in.GroupNames) == 0 && len(in.Filters) == 0 && in.MaxResults == nil
	case *awsec2.DescribeNetworkInterfacesInput:
		return len(in.NetworkInterfaceIds) == 0 && len(in.Filters) == 0 && in.MaxResults == nil
	case *awsec2.DescribeVolumesInput:
		return len(in.VolumeIds) == 0 && len(in.Filters) == 0 && in.MaxResults == nil
	case *awsec2.DescribeInstanceStatusInput:
		return len(in.InstanceIds) == 0 && len(in.Filters) == 0 && in.MaxResults == nil
	}
	return false
}

// instancesOf is how many instances a call asks EC2 to work on.
func instancesOf(input any) int {
	switch in := input.(type) {
	case *awsec2.RunInstancesInput:
		return int(aws.ToInt32(in.MaxCount))
	case *awsec2.TerminateInstancesInput:
		return len(in.InstanceIds)
	}
	return 0
}

// throttled is what a service answers to a call too many. EC2's status is that of
// its error table
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html),
// DynamoDB's that of its own
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html);
// that other services answer 400 is an assumption. Service Quotas and License Manager
// have types of their own for it.
func throttled(action string) error {
	switch service, _, _ := strings.Cut(action, ":"); service {
	case "ec2":
		return refuse(http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded.")
	case "servicequotas":
		return refuse(http.StatusBadRequest, "TooManyRequestsException", "Rate exceeded")
	case "license-manager":
		return refuse(http.StatusBadRequest, "RateLimitExceededException", "Rate exceeded")
	}
	return refuse(http.StatusBadRequest, "ThrottlingException", "Rate exceeded")
}
