package sagemakerdomain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awslicenses "github.com/aws/aws-sdk-go-v2/service/licensemanager"
	licensetypes "github.com/aws/aws-sdk-go-v2/service/licensemanager/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// CheckDomain reports all that is wrong with a request at once, as [Client.CreateDomain]
// does before it begins, and what could not be checked, a sentence each: what the
// credentials may not read, or is not understood. It changes nothing.
func (c *Client) CheckDomain(ctx context.Context, q CreateDomainRequest) (unchecked []string, err error) {
	unchecked, err = c.checkDomain(ctx, q)
	return unchecked, fail(ctx, "check domain", q.Name, err)
}

func (c *Client) checkDomain(ctx context.Context, q CreateDomainRequest) (unchecked []string, err error) {
	return c.checkAround(ctx, q, q.problems())
}

// checkAround adds to what is wrong with a request by itself what is so around it.
func (c *Client) checkAround(ctx context.Context, q CreateDomainRequest, wrong problems) (unchecked []string, err error) {
	var failed error
	checks := []struct {
		what  string
		check func(context.Context) (problems, error)
	}{
		{"the network", func(ctx context.Context) (problems, error) {
			return c.checkNetwork(ctx, q.VPC, q.Subnets, q.SecurityGroups)
		}},
		{"the execution role", func(ctx context.Context) (problems, error) {
			return c.checkRole(ctx, "execution role", q.ExecutionRole)
		}},
		{"the domain execution role", func(ctx context.Context) (problems, error) {
			return c.checkRole(ctx, "domain execution role", q.DomainExecutionRole)
		}},
		{"the licence", c.checkLicense},
		{"the quotas", func(ctx context.Context) (problems, error) { return c.checkDomainQuotas(ctx, q.WorkbenchInstance) }},
	}
	for _, check := range checks {
		found, err := check.check(ctx)
		if err != nil {
			if !unlooked(err) {
				failed = refusal.Step(check.what, err)
				break
			}
			unchecked = append(unchecked, fmt.Sprintf("%s could not be checked: %v", check.what, err))
		}
		wrong = append(wrong, found...)
	}
	if q.KMSKey != "" {
		unchecked = append(unchecked, "whether the KMS key exists and the roles may use it is not checked")
	}
	return unchecked, wrong.or(failed)
}

// checkNetwork looks whether subnets and groups exist in a VPC, or at all if that is not known.
// They are asked for by a filter, since by identifier EC2 names only the first that is missing.
func (c *Client) checkNetwork(ctx context.Context, vpc string, subnets, groups []string) (wrong problems, err error) {
	in := map[string]string{}
	if asked := matching(subnets, subnetPattern.MatchString); len(asked) > 0 {
		pages := awsec2.NewDescribeSubnetsPaginator(c.aws.EC2, &awsec2.DescribeSubnetsInput{Filters: filters("subnet-id", asked...)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, s := range out.Subnets {
				in[aws.ToString(s.SubnetId)] = aws.ToString(s.VpcId)
			}
		}
		for _, id := range asked {
			wrong.checkPlace("subnet", id, in[id], vpc, c.region)
		}
	}
	if asked := matching(groups, groupPattern.MatchString); len(asked) > 0 {
		found, err := c.groups(ctx, filters("group-id", asked...))
		if err != nil {
			return nil, err
		}
		for _, g := range found {
			in[aws.ToString(g.GroupId)] = aws.ToString(g.VpcId)
		}
		for _, id := range asked {
			wrong.checkPlace("security group", id, in[id], vpc, c.region)
		}
	}
	return wrong, nil
}

func (p *problems) checkPlace(what, id, is, vpc, region string) {
	switch is {
	case "":
		p.add(domain.ErrInvalid, "%s %s does not exist in %s", what, id, region)
	case vpc:
	default:
		if vpc == "" {
			return
		}
		p.add(domain.ErrInvalid, "%s %s lies in %s, not in %s", what, id, is, vpc)
	}
}

// matching are those of a form, each once.
func matching(all []string, is func(string) bool) (found []string) {
	for _, s := range all {
		if is(s) && !slices.Contains(found, s) {
			found = append(found, s)
		}
	}
	return found
}

func filters(name string, values ...string) []ec2types.Filter {
	return []ec2types.Filter{{Name: aws.String(name), Values: values}}
}

func (c *Client) groups(ctx context.Context, f []ec2types.Filter) (found []ec2types.SecurityGroup, err error) {
	pages := awsec2.NewDescribeSecurityGroupsPaginator(c.aws.EC2, &awsec2.DescribeSecurityGroupsInput{Filters: f})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		found = append(found, out.SecurityGroups...)
	}
	return found, nil
}

// checkRole looks whether a role exists and SageMaker may assume it. What the role itself
// may do is not looked at.
func (c *Client) checkRole(ctx context.Context, what, arn string) (wrong problems, err error) {
	if !rolePattern.MatchString(arn) {
		return nil, nil // which is said already
	}
	out, err := c.aws.IAM.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String(roleName(arn))})
	switch {
	case refusal.Code(err) == noSuchEntity:
		wrong.add(domain.ErrInvalid, "%s %s does not exist: create it, with %s as its trusted service", what, arn, sagemakerService)
	case err != nil:
		return nil, err
	case aws.ToString(out.Role.Arn) != arn:
		wrong.add(domain.ErrInvalid, "%s %s does not exist: the role of that name is %s", what, arn, aws.ToString(out.Role.Arn))
	default:
		trusted, err := trusts(aws.ToString(out.Role.AssumeRolePolicyDocument), sagemakerService)
		if err != nil {
			return nil, err
		}
		if !trusted {
			wrong.add(domain.ErrInvalid, "%s %s does not let %s assume it: add that to its trust policy", what, arn, sagemakerService)
		}
	}
	return wrong, nil
}

const sagemakerService = "sagemaker.amazonaws.com"

// errUnread is that what IAM answers is in no form that is known.
var errUnread = errors.New("the trust policy is not understood")

// unlooked reports whether a check could not be made, which is not held against a request: since
// the credentials may not read something, or nobody here understands what they read.
func unlooked(err error) bool { return kindOf(err) == domain.ErrDenied || errors.Is(err, errUnread) }

// trusts reports whether a trust policy, as IAM answers it, lets a service assume a role,
// under whatever conditions. Whether a service is among everyone ("*"), SageMaker has to say.
func trusts(document, service string) (bool, error) {
	if text, err := url.QueryUnescape(document); err == nil {
		document = text
	}
	var p struct{ Statement oneOrMore[statement] }
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return false, fmt.Errorf("%w: %w", errUnread, err)
	}
	return slices.ContainsFunc(p.Statement, func(s statement) bool {
		return s.Effect == "Allow" && s.assumes() && (slices.Contains(s.Principal.Service, service) || slices.Contains(s.Principal.AWS, "*"))
	}), nil
}

type statement struct {
	Effect            string
	Action, NotAction oneOrMore[string]
	Principal         principal
}

// assumes reports whether a statement is about assuming a role. Actions are told apart without
// regard to case, and have the wildcards * and ? ("IAM JSON policy elements: Action", IAM user
// guide).
func (s statement) assumes() bool {
	is := func(pattern string) bool {
		ok, err := path.Match(strings.ToLower(pattern), "sts:assumerole")
		return ok && err == nil
	}
	return slices.ContainsFunc(s.Action, is) || s.NotAction != nil && !slices.ContainsFunc(s.NotAction, is)
}

// principal is who is let in: members, or everyone as the text "*", which is the same as
// {"AWS": "*"} ("AWS JSON policy elements: Principal", IAM user guide).
type principal struct{ Service, AWS oneOrMore[string] }

func (p *principal) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &p.AWS)
	}
	type members principal
	return json.Unmarshal(text, (*members)(p))
}

// oneOrMore reads what IAM writes as a value or as a list of values.
type oneOrMore[T any] []T

func (l *oneOrMore[T]) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]T)(l))
	}
	var one T
	if err := json.Unmarshal(text, &one); err != nil {
		return err
	}
	*l = []T{one}
	return nil
}

// Posit's licence, by which alone a server of RStudio starts ("RStudio license", developer
// guide): granted in its home region, and to be accepted.
const (
	licenseSKU  = "RSW-SageMaker"
	licenseHome = "us-east-1"
)

// checkLicense looks whether Posit's licence was granted and accepted.
func (c *Client) checkLicense(ctx context.Context) (wrong problems, err error) {
	in := &awslicenses.ListReceivedLicensesInput{Filters: []licensetypes.Filter{{Name: aws.String("ProductSKU"), Values: []string{licenseSKU}}}}
	granted := false
	for {
		out, err := c.aws.Licenses.ListReceivedLicenses(ctx, in, func(o *awslicenses.Options) { o.Region = licenseHome })
		if err != nil {
			return nil, err
		}
		for _, l := range out.Licenses {
			if l.Status != licensetypes.LicenseStatusAvailable {
				continue
			}
			granted = true
			if l.ReceivedMetadata != nil && l.ReceivedMetadata.ReceivedStatus == licensetypes.ReceivedStatusActive {
				return nil, nil
			}
		}
		if aws.ToString(out.NextToken) == "" {
			break
		}
		in.NextToken = out.NextToken
	}
	if granted {
		wrong.add(domain.ErrState, "Posit's licence %s is granted and not accepted: an administrator accepts it in License Manager, in %s", licenseSKU, licenseHome)
	} else {
		wrong.add(domain.ErrState, "Posit's licence %s is not granted, or has ended: have Posit grant it, which can take three business days, and accept it in License Manager, in %s", licenseSKU, licenseHome)
	}
	return wrong, nil
}
