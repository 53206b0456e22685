package sagemakerdomain

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// CreateDomainRequest says what domain is to be. RStudio is on in it.
type CreateDomainRequest struct {
	// Name is 1 to 63 letters, digits and hyphens. This package makes one domain of a name.
	Name string
	// VPC and Subnets, 1 to 16, are where homes and apps are. Required, and the VPC for ever.
	VPC     string
	Subnets []string
	// NetworkType is "VpcOnly", or "PublicInternetOnly", which is empty too. With RStudio it
	// is for ever.
	NetworkType string
	// AuthMode is "SSO", or "IAM", which is empty too; for ever.
	AuthMode string
	// ExecutionRole is the ARN of the role that users' apps have unless their profile has
	// another. DomainExecutionRole is that of RStudio's server. Both are required, and let
	// sagemaker.amazonaws.com assume them.
	ExecutionRole, DomainExecutionRole string
	// SecurityGroups are those of users' apps beside SageMaker's own: at most 2 with VpcOnly,
	// where one is required, and otherwise 4, those of each profile included.
	SecurityGroups []string
	// KMSKey is a symmetric key's id, "alias/" and its alias, or the ARN of one of the two. It
	// encrypts homes and volumes, for ever. Empty is AWS's own. Of a domain that is there it is
	// compared by ids alone: an alias is taken for any key.
	KMSKey string
	// WorkbenchInstance is what RStudio's server runs on: "ml.c5.4xlarge", "ml.c5.9xlarge",
	// or "system", which is empty too and costs nothing.
	WorkbenchInstance string
	// ConnectURL and PackageManagerURL are made known to sessions. Empty is none.
	ConnectURL, PackageManagerURL string
	// SessionInstance is what sessions run on unless their user chooses. Empty is
	// ml.t3.medium.
	SessionInstance string
	// DefaultAccess is what profiles may do in RStudio that say nothing themselves. Empty is
	// what SageMaker makes of that, for which its documentation has two answers: say it. Of a
	// domain that is there empty is whatever it has.
	DefaultAccess Access
	// Tags are for the domain and all its apps. Keys do not begin with "aws:" or "atelier:". A
	// domain that is there stays with those it has.
	Tags map[string]string
}

// defaultSession is what sessions run on where nothing is said.
const defaultSession = string(types.AppInstanceTypeMlT3Medium)

// The types of instances for a server of RStudio: those that have a quota.
const serverSystem = "system"

var serverInstances = [...]string{serverSystem, "ml.c5.4xlarge", "ml.c5.9xlarge"}

func (p *problems) checkServerInstance(name string) {
	if name != "" && !slices.Contains(serverInstances[:], name) {
		p.add(domain.ErrInvalid, "workbench instance %.40q: want one of %s", name, strings.Join(serverInstances[:], ", "))
	}
}

// checkInstance checks a name of an instance type against those that the SDK knows.
func (p *problems) checkInstance(what, name string) {
	switch {
	case name == "" || knownInstance(name):
	case instancePattern.MatchString(name):
		p.add(domain.ErrInvalid, "%s %.40q: SageMaker has no such type for apps", what, name)
	case knownInstance("ml." + name):
		p.add(domain.ErrInvalid, "%s %.40q: that is EC2's name: want SageMaker's, ml.%s", what, name, name)
	default:
		p.add(domain.ErrInvalid, "%s %.40q: want a type as SageMaker names it, ml.t3.medium", what, name)
	}
}

func knownInstance(name string) bool {
	return slices.Contains(types.AppInstanceType("").Values(), types.AppInstanceType(name))
}

// problems reports what is wrong with a request by itself.
func (q CreateDomainRequest) problems() (wrong problems) {
	wrong.checkName("domain", q.Name)
	if !networkPattern.MatchString(q.VPC) {
		wrong.add(domain.ErrInvalid, "VPC %.40q: want its id, vpc-", q.VPC)
	}
	wrong.checkSubnets(q.Subnets)
	if n := types.AppNetworkAccessType(q.NetworkType); n != "" && !slices.Contains(n.Values(), n) {
		wrong.add(domain.ErrInvalid, "network type %.40q: want PublicInternetOnly or VpcOnly", q.NetworkType)
	}
	if a := types.AuthMode(q.AuthMode); a != "" && !slices.Contains(a.Values(), a) {
		wrong.add(domain.ErrInvalid, "auth mode %.40q: want IAM or SSO", q.AuthMode)
	}
	wrong.checkRole("execution role", q.ExecutionRole)
	wrong.checkRole("domain execution role", q.DomainExecutionRole)
	wrong.checkGroupIDs(q.SecurityGroups)
	wrong.checkGroupCount(q.SecurityGroups, q.NetworkType)
	if q.vpcOnly() && len(q.SecurityGroups) == 0 {
		wrong.add(domain.ErrInvalid, "security groups: with VpcOnly want one at least")
	}
	if q.KMSKey != "" && !keyPattern.MatchString(q.KMSKey) {
		wrong.add(domain.ErrInvalid, "KMS key %.80q: want the id of a symmetric key, alias/ and its alias, or the ARN of one", q.KMSKey)
	}
	wrong.checkServerInstance(q.WorkbenchInstance)
	wrong.checkURL("connect URL", q.ConnectURL)
	wrong.checkURL("package manager URL", q.PackageManagerURL)
	wrong.checkInstance("session instance", q.SessionInstance)
	wrong.checkAccess("default access", q.DefaultAccess)
	wrong.checkTags(q.Tags, ownTags)
	return wrong
}

func (q CreateDomainRequest) vpcOnly() bool {
	return q.NetworkType == string(types.AppNetworkAccessTypeVpcOnly)
}

func (p *problems) checkSubnets(subnets []string) {
	if n := len(subnets); n < 1 || n > maxSubnets {
		p.add(domain.ErrInvalid, "%d subnets: want 1 to %d", n, maxSubnets)
	}
	for i, s := range subnets {
		if !subnetPattern.MatchString(s) {
			p.add(domain.ErrInvalid, "subnet %.40q: want its id, subnet-", s)
		} else if slices.Contains(subnets[:i], s) {
			p.add(domain.ErrInvalid, "subnet %s is given twice", s)
		}
	}
}

// checkGroupCount checks how many security groups users of a domain with RStudio have.
func (p *problems) checkGroupCount(groups []string, network string) {
	if n, most := len(groups), mostGroups(network); n > most {
		p.add(domain.ErrInvalid, "%d security groups: with RStudio and %s want at most %d", n, networkName(network), most)
	}
}

func (p *problems) checkGroupIDs(groups []string) {
	for i, g := range groups {
		if !groupPattern.MatchString(g) {
			p.add(domain.ErrInvalid, "security group %.40q: want its id, sg-", g)
		} else if slices.Contains(groups[:i], g) {
			p.add(domain.ErrInvalid, "security group %s is given twice", g)
		}
	}
}

func networkName(network string) string {
	if network == "" {
		return string(types.AppNetworkAccessTypePublicInternetOnly)
	}
	return network
}

func mostGroups(network string) int {
	if network == string(types.AppNetworkAccessTypeVpcOnly) {
		return maxGroupsVPCOnly
	}
	return maxGroupsPublic
}

// ownTags is how many tags of a domain are this package's.
const ownTags = 2

// checkTags checks a caller's tags by the rules of API_Tag, beside which there are some of this
// package's own.
func (p *problems) checkTags(tags map[string]string, own int) {
	if n, most := len(tags), maxTags-own; n > most {
		p.add(domain.ErrInvalid, "%d tags: want at most %d", n, most)
	}
	for _, k := range sortedKeys(tags) {
		if k == "" || utf8.RuneCountInString(k) > 128 || utf8.RuneCountInString(tags[k]) > 256 || strings.HasPrefix(strings.ToLower(k), "aws:") || strings.HasPrefix(k, "atelier:") {
			p.add(domain.ErrInvalid, "tag %.40q: want a key of 1 to 128 characters that does not begin with aws: or atelier:, and at most 256 of value", k)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// input is the call. AppSecurityGroupManagement has to be Service with RStudio and
// VpcOnly, and is refused without RStudio (API_CreateDomain,
// hashicorp/terraform-provider-aws issue 39923).
func (q CreateDomainRequest) input() *awssagemaker.CreateDomainInput {
	tags := maps.Clone(q.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[tagName] = q.Name
	in := &awssagemaker.CreateDomainInput{
		DomainName: &q.Name, AuthMode: types.AuthModeIam, VpcId: &q.VPC, SubnetIds: q.Subnets, AppNetworkAccessType: types.AppNetworkAccessType(networkName(q.NetworkType)),
		DomainSettings: &types.DomainSettings{RStudioServerProDomainSettings: &types.RStudioServerProDomainSettings{
			DomainExecutionRoleArn: &q.DomainExecutionRole, DefaultResourceSpec: specOn(nil, q.WorkbenchInstance),
			RStudioConnectUrl: optional(q.ConnectURL), RStudioPackageManagerUrl: optional(q.PackageManagerURL),
		}},
		DefaultUserSettings: &types.UserSettings{
			ExecutionRole: &q.ExecutionRole, SecurityGroups: q.SecurityGroups, RStudioServerProAppSettings: q.DefaultAccess.settings(),
		},
		KmsKeyId: optional(q.KMSKey), Tags: tagList(tags),
	}
	if q.AuthMode != "" {
		in.AuthMode = types.AuthMode(q.AuthMode)
	}
	if q.vpcOnly() {
		in.AppSecurityGroupManagement = types.AppSecurityGroupManagementService
	}
	if q.SessionInstance != "" {
		in.DefaultUserSettings.RSessionAppSettings = sessionsOn(nil, q.SessionInstance)
	}
	return in
}

// optional is a text of a call, which is left out when it is empty.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return aws.String(text)
}

// differs refuses a domain that exists and is another than what is asked for, and says in what.
func (q CreateDomainRequest) differs(d Description) error {
	var how []string
	fixed := 0 // of those, what no call changes
	differ := func(member, has, want string, forever bool) {
		text := member + " " + or(has, "none") + ", not " + or(want, "none")
		if forever {
			text += ", for ever"
			fixed++
		}
		how = append(how, text)
	}
	for _, member := range []struct {
		is, has, want string
		forever       bool
	}{
		{"VPC is", d.VPC, q.VPC, true}, {"auth mode is", d.AuthMode, string(q.input().AuthMode), true},
		{"network type is", d.NetworkType, networkName(q.NetworkType), d.RStudio != nil}, {"execution role is", d.ExecutionRole, q.ExecutionRole, false},
		{"default access is", string(d.DefaultAccess), or(string(q.DefaultAccess), string(d.DefaultAccess)), false},
		{"session instance is", or(d.SessionInstance, defaultSession), or(q.SessionInstance, defaultSession), false},
	} {
		if member.has != member.want {
			differ(member.is, member.has, member.want, member.forever)
		}
	}
	if q.KMSKey != "" && !sameKey(d.KMSKey, q.KMSKey) {
		differ("KMS key is", or(d.KMSKey, "AWS's own"), q.KMSKey, true)
	}
	if !sameSet(d.Subnets, q.Subnets) {
		differ("subnets are", strings.Join(d.Subnets, ", "), strings.Join(q.Subnets, ", "), false)
	}
	if !sameSet(d.SecurityGroups, q.SecurityGroups) {
		differ("security groups are", strings.Join(d.SecurityGroups, ", "), strings.Join(q.SecurityGroups, ", "), false)
	}
	if d.RStudio == nil {
		how = append(how, "RStudio is off")
	} else {
		for _, member := range []struct{ is, has, want string }{
			{"domain execution role is", d.RStudio.DomainExecutionRole, q.DomainExecutionRole},
			{"workbench instance is", d.RStudio.Instance, or(q.WorkbenchInstance, serverSystem)},
			{"connect URL is", d.RStudio.ConnectURL, q.ConnectURL}, {"package manager URL is", d.RStudio.PackageManagerURL, q.PackageManagerURL},
		} {
			if member.has != member.want {
				differ(member.is, member.has, member.want, false)
			}
		}
	}
	advice := "or change it by UpdateDomain"
	switch {
	case len(how) == 0:
		return nil
	case fixed == len(how):
		advice = "or for a domain of another name"
	case fixed > 0:
		advice = "or change by UpdateDomain what is not for ever"
	}
	return refusal.New(domain.ErrConflict, "domain %s has the name and differs: %s; ask for what there is, %s", d.ID, strings.Join(how, "; "), advice)
}

// sameKey reports whether two names of keys can be of one. In which form SageMaker tells a key is
// not documented, and of an alias only AWS KMS knows which key it is of.
func sameKey(has, want string) bool {
	a, b := keyID(has), keyID(want)
	return has == want || has != "" && (a == "" || b == "" || a == b)
}

// keyID is the id in a name of a key, empty where that is an alias.
func keyID(name string) string {
	if m := keyPattern.FindStringSubmatch(name); m != nil {
		return m[3]
	}
	return ""
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
