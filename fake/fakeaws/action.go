package fakeaws

import (
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// iamPrefix is the name of a service in IAM policies, from its service
// identifier or its package in the SDK.
func iamPrefix(service string) string {
	switch service = strings.ReplaceAll(strings.ToLower(service), " ", ""); service {
	case "efs":
		return "elasticfilesystem"
	case "cloudwatchlogs":
		return "logs"
	case "licensemanager":
		return "license-manager"
	default:
		return service
	}
}

// actionPattern compiles an action in the notation of IAM policies.
func actionPattern(pattern string) *regexp.Regexp {
	quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`)
	return regexp.MustCompile(`(?i)^` + quoted + `$`)
}

// registryActions are what is asked of image registries, see [Cloud.Registry].
var registryActions = [...]string{pingAction, tokenAction, manifestAction, blobAction}

// permissionsOnly are what IAM knows as actions and is no call.
var permissionsOnly = [...]string{rootAccess}

// actionOf names the action whose input is of the type pointed to, which is
// the operation's name and "Input" in the package of its service.
func actionOf(input reflect.Type) string {
	t := input.Elem()
	return iamPrefix(path.Base(t.PkgPath())) + ":" + strings.TrimSuffix(t.Name(), "Input")
}

// actions returns every action that the account answers, sorted.
func (c *Cloud) actions() []string {
	var known []string
	for input := range c.operations {
		known = append(known, actionOf(input))
	}
	for _, name := range registryActions {
		known = append(known, "registry:"+name)
	}
	slices.Sort(known)
	return known
}

// checkActions reports the actions in cfg that match none of those known, and what
// else is wrong with its limits. An
// empty action of a fault is a problem of [Fault.validate].
func checkActions(cfg Config, known []string) (problems []error) {
	for i, f := range cfg.Faults {
		if f.Action != "" && !matchesAny(f.Action, known) {
			problems = append(problems, fmt.Errorf("fault %d: action %.60q is not modelled: want %s", i, f.Action, instead(f.Action, known)))
		}
	}
	for i, f := range cfg.Faults {
		if f.Reason != "" && !slices.ContainsFunc(lateActions[:], actionPattern(f.Action).MatchString) {
			problems = append(problems, fmt.Errorf("fault %d: nothing that %.60q sets going can fail later: a reason belongs to one of %s", i, f.Action, strings.Join(lateActions[:], ", ")))
		}
	}
	if err := cfg.Limits.validate(known); err != nil {
		problems = append(problems, err)
	}
	known = append(slices.Clone(known), permissionsOnly[:]...)
	for i, pattern := range cfg.Deny {
		if !matchesAny(pattern, known) {
			problems = append(problems, fmt.Errorf("deny %d: action %.60q is not modelled: want %s", i, pattern, instead(pattern, known)))
		}
	}
	return problems
}

func matchesAny(pattern string, actions []string) bool {
	return slices.ContainsFunc(actions, actionPattern(pattern).MatchString)
}

// instead lists what the author of a pattern can have meant: the actions of
// its service or, if there is none of that name, the services.
func instead(pattern string, known []string) string {
	service, _, _ := strings.Cut(pattern, ":")
	var same, services []string
	for _, action := range known {
		s, _, _ := strings.Cut(action, ":")
		if strings.EqualFold(s, service) {
			same = append(same, action)
		}
		services = append(services, s+":*")
	}
	if same == nil {
		slices.Sort(services)
		same = slices.Compact(services)
	}
	return "one of " + strings.Join(same, ", ")
}
