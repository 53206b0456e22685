package sagemakerdomain

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// Source is where a setting comes from.
type Source string

// Where settings come from.
const (
	FromDomain  Source = "domain"  // its default for all profiles
	FromProfile Source = "profile" // the profile itself, over the domain's
)

// Setting is one that is in force for a profile.
type Setting struct {
	// Member is its path in SageMaker's UserSettings ("RSessionAppSettings.CustomImages").
	Member string
	// Value is what it is set to: a text as it is, anything else as JSON.
	Value string
	From  Source
	// Overridden is what the domain says, where the profile says something else.
	Overridden string
}

// String formats a setting as "ExecutionRole = arn:… (domain)".
func (s Setting) String() string {
	text := fmt.Sprintf("%s = %s (%s)", s.Member, s.Value, s.From)
	if s.Overridden != "" {
		text += ", over " + s.Overridden
	}
	return text
}

// Effective is what is in force for a profile, and why.
type Effective struct {
	// Access is to RStudio. It is never empty: where neither profile nor domain say anything
	// it is AccessUser, as two of three editions of the developer guide have it, and off
	// where RStudio is.
	Access          Access
	ExecutionRole   string
	SecurityGroups  []string
	SessionInstance string
	Images          []AttachedImage
	// Settings are all that are set, sorted by member. Of security groups there are two, of
	// the domain and of the profile, where both have some.
	Settings []Setting
}

// Effective returns the settings in force for a user profile, as one view: security groups
// of domain and profile are added, every other setting is the profile's if it has one
// ("SecurityGroups is aggregated when specified in both calls. For all other settings, the
// values specified in CreateUserProfile take precedence", API_CreateDomain). That this
// goes for each member of a setting by itself, and for lists as a whole, is an
// assumption.
func (c *Client) Effective(ctx context.Context, domainID, profile string) (Effective, error) {
	const op = "effective settings"
	name := domainID + "/" + profile
	var wrong problems
	wrong.checkProfileOf(domainID, profile)
	if err := wrong.err(); err != nil {
		return Effective{}, fail(ctx, op, name, err)
	}
	d, err := c.describe(ctx, domainID)
	if err != nil {
		return Effective{}, fail(ctx, op, name, err)
	}
	p, err := c.profile(ctx, domainID, profile)
	if err != nil {
		return Effective{}, fail(ctx, op, name, err)
	}
	return effective(d, p), nil
}

func effective(d Description, p Profile) Effective {
	e := Effective{
		ExecutionRole: or(p.ExecutionRole, d.ExecutionRole), SecurityGroups: append(slices.Clone(d.SecurityGroups), p.SecurityGroups...),
		SessionInstance: or(or(p.SessionInstance, d.SessionInstance), defaultSession), Images: d.Images,
		Access: Access(or(or(string(p.Access), string(d.DefaultAccess)), string(AccessUser))),
	}
	if d.RStudio == nil {
		e.Access = AccessOff
	}
	if s := p.Settings; s != nil && s.RSessionAppSettings != nil && s.RSessionAppSettings.CustomImages != nil {
		e.Images = p.Images
	}
	byDomain, byProfile := members(d.Settings), members(p.Settings)
	for member, value := range byDomain {
		own, both := byProfile[member]
		switch {
		case !both:
			e.Settings = append(e.Settings, Setting{Member: member, Value: value, From: FromDomain})
		case member == "SecurityGroups":
			e.Settings = append(e.Settings, Setting{Member: member, Value: value, From: FromDomain}, Setting{Member: member, Value: own, From: FromProfile})
		case own == value:
			e.Settings = append(e.Settings, Setting{Member: member, Value: own, From: FromProfile})
		default:
			e.Settings = append(e.Settings, Setting{Member: member, Value: own, From: FromProfile, Overridden: value})
		}
	}
	for member, own := range byProfile {
		if _, both := byDomain[member]; !both {
			e.Settings = append(e.Settings, Setting{Member: member, Value: own, From: FromProfile})
		}
	}
	slices.SortFunc(e.Settings, func(a, b Setting) int { return cmp.Or(cmp.Compare(a.Member, b.Member), cmp.Compare(a.From, b.From)) })
	return e
}

// members lists what is set of settings, by path.
func members(s *types.UserSettings) map[string]string {
	found := map[string]string{}
	if s != nil {
		addMembers(found, "", reflect.ValueOf(s).Elem())
	}
	return found
}

func addMembers(found map[string]string, path string, v reflect.Value) {
	for field, value := range v.Fields() {
		if !field.IsExported() || value.IsZero() {
			continue
		}
		member := path + field.Name
		for value.Kind() == reflect.Pointer {
			value = value.Elem()
		}
		switch value.Kind() {
		case reflect.Struct:
			addMembers(found, member+".", value)
		case reflect.String:
			found[member] = value.String()
		default:
			text, err := json.Marshal(value.Interface())
			if err != nil {
				text = fmt.Append(nil, value.Interface())
			}
			found[member] = string(text)
		}
	}
}
