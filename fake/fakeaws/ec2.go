package fakeaws

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// ec2 is the state of EC2 in the account's region.
type ec2 struct {
	vpcs    []*vpc    // in the order in which they were made
	subnets []*subnet // likewise
	groups  map[string]*securityGroup
	amis    map[string]ami

	instances  []*instance         // by id
	interfaces []*networkInterface // that exist by themselves, by id
	volumes    []*volume           // likewise
	made       map[string]int      // how many there have been, by type
	launches   map[launchKey]*launch
	pools      map[pool]int // how many instances at once; absent is without limit
	withheld   map[offer]bool
	quotas     map[Quota]int

	rebootedHosts []*host // what ran before reboots

	// groupHolders tell whether something outside EC2, such as a mount
	// target, has a network interface in a security group.
	groupHolders []func(group string, now time.Time) bool
}

func (c *Cloud) registerEC2() {
	c.ec2 = ec2{
		groups: map[string]*securityGroup{}, amis: map[string]ami{},
		made: map[string]int{}, launches: map[launchKey]*launch{}, pools: map[pool]int{}, withheld: map[offer]bool{}, quotas: map[Quota]int{},
	}
	c.addDefaultVPC()
	c.addPublicAMIs()

	handle(c, c.describeVpcs)
	handle(c, c.describeSubnets)

	handle(c, c.createSecurityGroup)
	handle(c, c.describeSecurityGroups)
	handle(c, c.deleteSecurityGroup)
	handle(c, c.authorizeSecurityGroupIngress)
	handle(c, c.authorizeSecurityGroupEgress)
	handle(c, c.revokeSecurityGroupIngress)
	handle(c, c.revokeSecurityGroupEgress)

	handle(c, c.runInstances)
	handle(c, c.describeInstances)
	handle(c, c.terminateInstances)
	handle(c, c.rebootInstances)
	handle(c, c.describeInstanceStatus)

	handle(c, c.createNetworkInterface)
	handle(c, c.describeNetworkInterfaces)
	handle(c, c.deleteNetworkInterface)

	handle(c, c.createVolume)
	handle(c, c.describeVolumes)
	handle(c, c.attachVolume)
	handle(c, c.deleteVolume)

	handle(c, c.describeSpotInstanceRequests)
	handle(c, c.describeSpotPriceHistory)
}

// ec2Refuse is a client error of EC2, which has HTTP status 400
// (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-errors.html).
func ec2Refuse(code, format string, args ...any) error {
	return refuse(http.StatusBadRequest, code, format, args...)
}

// modelled refuses an input that sets what its model does not know, so that
// nothing asked for is left out in silence.
func modelled(at call, input any, fields ...string) error {
	v := reflect.ValueOf(input).Elem()
	t := v.Type()
	for i := range v.NumField() {
		f := t.Field(i)
		if !f.IsExported() || v.Field(i).IsZero() || slices.Contains(fields, f.Name) {
			continue
		}
		if v.Field(i).Kind() == reflect.Slice && v.Field(i).Len() == 0 {
			continue
		}
		if f.Name == "DryRun" && !*v.Field(i).Interface().(*bool) {
			continue
		}
		return fmt.Errorf("fakeaws: %s with %s is not modelled", at.Action, f.Name)
	}
	return nil
}

// tagsOf reads tag lists by EC2's rules
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html):
// at most 50, keys to 128 and values to 256 characters, no aws: prefix.
func tagsOf(list []types.Tag) (map[string]string, error) {
	tags := map[string]string{}
	for _, t := range list {
		k, v := aws.ToString(t.Key), aws.ToString(t.Value)
		_, twice := tags[k]
		switch {
		case k == "" || len(k) > 128:
			return nil, ec2Refuse("InvalidParameterValue", "Tag key '%s' has an invalid length. Tag keys must be between 1 and 128 characters long", k)
		case len(v) > 256:
			return nil, ec2Refuse("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
		case strings.HasPrefix(k, "aws:"):
			return nil, ec2Refuse("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case twice:
			return nil, ec2Refuse("InvalidParameterValue", "Duplicate tag key '%s' specified.", k)
		}
		tags[k] = v
	}
	if len(tags) > 50 {
		return nil, ec2Refuse("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	return tags, nil
}

// tagsFor returns the tags that specifications give to a kind of resource.
func tagsFor(specs []types.TagSpecification, kind types.ResourceType, others ...types.ResourceType) (map[string]string, error) {
	var list []types.Tag
	for _, s := range specs {
		switch {
		case s.ResourceType == kind:
			list = append(list, s.Tags...)
		case !slices.Contains(others, s.ResourceType):
			return nil, ec2Refuse("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", s.ResourceType)
		default:
			if _, err := tagsOf(s.Tags); err != nil {
				return nil, err
			}
		}
	}
	return tagsOf(list)
}

// tagList is tags as EC2 answers them.
func tagList(tags map[string]string) []types.Tag {
	var list []types.Tag
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return list
}

// attributes answer what a resource has of the name of a filter; false is a
// filter that is not modelled. A resource without a value has none.
type attributes func(filter string) (values []string, known bool)

// matches reports whether a resource passes filters: each by any of its values
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html).
func matches(at call, filters []types.Filter, tags map[string]string, has attributes) (bool, error) {
	for _, f := range filters {
		name := aws.ToString(f.Name)
		values, known := has(name)
		if key, ok := strings.CutPrefix(name, "tag:"); ok {
			known = true
			if v, ok := tags[key]; ok {
				values = []string{v}
			}
		} else if name == "tag-key" {
			values, known = slices.Collect(maps.Keys(tags)), true
		}
		if !known {
			return false, fmt.Errorf("fakeaws: %s with the filter %q is not modelled", at.Action, name)
		}
		if !slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(f.Values, func(pattern string) bool { return glob(pattern, v) })
		}) {
			return false, nil
		}
	}
	return true, nil
}

// glob matches the patterns of filters: * is any text, ? one byte, a backslash
// takes the next byte as it is.
func glob(pattern, s string) bool {
	for pattern != "" {
		if pattern[0] == '*' {
			for i := range len(s) + 1 {
				if glob(pattern[1:], s[i:]) {
					return true
				}
			}
			return false
		}
		wild := pattern[0] == '?'
		if pattern[0] == '\\' && len(pattern) > 1 {
			pattern = pattern[1:]
		}
		if s == "" || !wild && pattern[0] != s[0] {
			return false
		}
		pattern, s = pattern[1:], s[1:]
	}
	return s == ""
}

// page cuts a list, sorted by id, to what one answer holds. The token names the
// last item told, so that a list that changes meanwhile loses nothing that
// stays.
func page[T any](items []T, id func(T) string, maxResults *int32, token *string, least int32) ([]T, *string, error) {
	size := int32(1000)
	if maxResults != nil {
		if size = *maxResults; size < least || size > 1000 {
			return nil, nil, ec2Refuse("InvalidParameterValue",
				"Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and 1000.", size, least)
		}
	}
	if token != nil {
		last, ok := strings.CutPrefix(*token, "after-")
		if !ok {
			return nil, nil, ec2Refuse("InvalidParameterValue", "Unable to parse pagination token")
		}
		i, found := slices.BinarySearchFunc(items, last, func(item T, last string) int { return strings.Compare(id(item), last) })
		if found {
			i++
		}
		items = items[i:]
	}
	if len(items) <= int(size) {
		return items, nil, nil
	}
	return items[:size], aws.String("after-" + id(items[size-1])), nil
}
