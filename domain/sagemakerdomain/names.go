package sagemakerdomain

import (
	"iter"
	"regexp"
	"strings"

	"github.com/atelier-go/atelier/domain"
)

// The patterns of SageMaker's API reference; that of aliases is of ListAliases. That of URLs is
// of AWS::SageMaker::Domain in CloudFormation's reference, that of keys is narrower than there:
// an id of a key, single- or multi-Region, an alias, or the ARN of one ("Key identifiers (KeyId)",
// AWS KMS developer guide).
var (
	namePattern     = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$`)
	imagePattern    = regexp.MustCompile(`^[a-zA-Z0-9]([-.]?[a-zA-Z0-9]){0,62}$`)
	domainIDPattern = regexp.MustCompile(`^d-(-*[a-z0-9]){1,61}$`)
	rolePattern     = regexp.MustCompile(`^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
	urlPattern      = regexp.MustCompile(`^(https:|http:|www\.)\S+$`)
	keyPattern      = regexp.MustCompile(`^(arn:aws[a-z\-]*:kms:[a-z0-9\-]+:\d{12}:)?alias/[a-zA-Z0-9\-_/]{1,250}$|` +
		`^(arn:aws[a-z\-]*:kms:[a-z0-9\-]+:\d{12}:key/|key/)?([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$`)
	instancePattern = regexp.MustCompile(`^ml\.[a-z0-9-]+\.[a-z0-9-]+$`)
	aliasPattern    = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9-_.]{0,127}$`)
	subnetPattern   = regexp.MustCompile(`^subnet-[0-9a-f]+$`)
	groupPattern    = regexp.MustCompile(`^sg-[0-9a-f]+$`)
	networkPattern  = regexp.MustCompile(`^vpc-[0-9a-f]+$`)
)

const (
	maxName    = 63
	maxSubnets = 16 // CreateDomain, SubnetIds
	maxAliases = 20 // CreateImageVersion, Aliases
	maxTags    = 50 // of one resource: CreateDomain, Tags
	// How many security groups a user of a domain with RStudio has at most, those of the
	// domain and of the profile together ("Add RStudio support to an existing
	// domain", developer guide).
	maxGroupsVPCOnly, maxGroupsPublic = 2, 4
)

// sharedProfile owns the server of RStudio. It is not one that anybody makes or lists
// ("Shut down and restart RStudio", developer guide).
const sharedProfile = "domain-shared"

func (p *problems) checkName(what, name string) {
	if len(name) > maxName || !namePattern.MatchString(name) {
		p.add(domain.ErrInvalid, "%s %.70q: want 1 to 63 letters, digits and hyphens, not beginning or ending with a hyphen", what, name)
	}
}

func (p *problems) checkDomainID(id string) {
	if len(id) > maxName || !domainIDPattern.MatchString(id) {
		p.add(domain.ErrInvalid, "domain %.70q: want its id, d- and lower-case letters and digits, as Domains lists it", id)
	}
}

// checked is a list, or what is wrong with what it is asked of.
func checked[T any](wrong problems, list iter.Seq2[T, error]) iter.Seq2[T, error] {
	if err := wrong.err(); err != nil {
		return func(yield func(T, error) bool) { yield(*new(T), err) }
	}
	return list
}

// checkProfileOf checks how a user profile is named.
func (p *problems) checkProfileOf(domainID, name string) {
	p.checkDomainID(domainID)
	p.checkProfileName(name)
}

func (p *problems) checkProfileName(name string) {
	p.checkName("user profile", name)
	if strings.EqualFold(name, sharedProfile) {
		p.add(domain.ErrInvalid, "user profile %q is SageMaker's own, of the server of RStudio", name)
	}
}

func (p *problems) checkRole(what, arn string) {
	if !rolePattern.MatchString(arn) {
		p.add(domain.ErrInvalid, "%s %.80q: want the ARN of a role, arn:aws:iam::123456789012:role/name", what, arn)
	}
}

func (p *problems) checkURL(what, url string) {
	if url != "" && !urlPattern.MatchString(url) {
		p.add(domain.ErrInvalid, "%s %.80q: want a URL that begins with https:, http: or www.", what, url)
	}
}

// roleName is the last part of the ARN of a role, by which IAM asks for it.
func roleName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
