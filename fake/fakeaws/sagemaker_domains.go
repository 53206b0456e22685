package fakeaws

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// studioDomain is a domain with all that belongs to it. What has gone is there until
// its name is used again, for reads that are late.
type studioDomain struct {
	course
	id     string
	in     *awssagemaker.CreateDomainInput // as updates have made it
	tags   map[string]string
	users  map[string]*studioUser // by name, in lower case
	spaces map[string]*studioSpace
	apps   map[string]*studioApp // by what appSubject calls it, in lower case

	fileSystem                  string // its home, empty without
	inbound, outbound, boundary string // security groups
	interfaces                  []*networkInterface
}

func (d *studioDomain) status(at time.Time) types.DomainStatus {
	s, _ := d.stage(at)
	return types.DomainStatus(s.status())
}

// rstudio returns the settings of RStudio, nil where it is off.
func (d *studioDomain) rstudio() *types.RStudioServerProDomainSettings {
	if d.in.DomainSettings == nil {
		return nil
	}
	return d.in.DomainSettings.RStudioServerProDomainSettings
}

func (c *Cloud) domainARN(id string) string { return c.sagemakerARN("domain/" + id) }

// managedKey is the tag by which SageMaker marks what it makes in an account, with the
// ARN of the domain as its value (AWS managed policy AmazonSageMakerNotebooksServiceRolePolicy).
const managedKey = "ManagedByAmazonSageMakerResource"

// studioDomain finds a domain that shows at an instant.
func (c *Cloud) studioDomain(id *string, at time.Time) (*studioDomain, error) {
	d := c.studio.domains[aws.ToString(id)]
	if d == nil || !d.seen(at) {
		return nil, resourceNotFound("Domain [%s] does not exist.", aws.ToString(id))
	}
	return d, nil
}

// servingDomain finds a domain in which something can be made.
func (c *Cloud) servingDomain(id *string, at time.Time) (*studioDomain, error) {
	d, err := c.studioDomain(id, at)
	if err != nil {
		return nil, err
	}
	if s, _ := d.stage(at); s != present && s != updateFailed {
		return nil, invalid("Domain [%s] is in status %s, which does not allow the operation", d.id, s.status())
	}
	return d, nil
}

// createDomain makes a domain and what it needs in the account's network. There is no
// client token: a call that is made twice makes two domains, also by one name. That
// names need not be unique is an assumption.
func (c *Cloud) createDomain(at call, in *awssagemaker.CreateDomainInput) (*awssagemaker.CreateDomainOutput, error) {
	if err := modelled(at, in, "AuthMode", "DefaultUserSettings", "DomainName", "AppNetworkAccessType", "AppSecurityGroupManagement",
		"DefaultSpaceSettings", "DomainSettings", "HomeEfsFileSystemCreation", "KmsKeyId", "SubnetIds", "TagPropagation", "Tags", "VpcId"); err != nil {
		return nil, err
	}
	if err := checkPattern("domainName", *in.DomainName, studioName); err != nil {
		return nil, err
	}
	tags, err := studioTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := c.checkSubnets(aws.ToString(in.VpcId), in.SubnetIds); err != nil {
		return nil, err
	}
	in.AppNetworkAccessType = or(in.AppNetworkAccessType, types.AppNetworkAccessTypePublicInternetOnly)
	in.HomeEfsFileSystemCreation = or(in.HomeEfsFileSystemCreation, types.HomeEfsFileSystemCreationEnabled)
	d := &studioDomain{in: in, tags: tags, users: map[string]*studioUser{}, spaces: map[string]*studioSpace{}, apps: map[string]*studioApp{}}
	if err := c.checkDomain(d); err != nil {
		return nil, err
	}
	if err := c.within(totalDomains, c.countDomains(at.At), "Domains"); err != nil {
		return nil, err
	}
	d.id = "d-" + base36(c.hash(at.id, "domain"))
	d.create = at.step(c.delays.Domain)
	d.inbound, d.outbound = c.addNFSGroups(d, at)
	if in.HomeEfsFileSystemCreation == types.HomeEfsFileSystemCreationEnabled {
		c.addHome(d, at)
	}
	if d.rstudio() != nil && d.create.failure == "" {
		d.boundary = c.addBoundary(d, at)
		if d.create.failure = c.whyNoServer(d, at.At); d.create.failure == "" {
			c.startServer(d, at, d.create.over)
		}
	}
	c.studio.domains[d.id] = d
	return &awssagemaker.CreateDomainOutput{
		DomainArn: aws.String(c.domainARN(d.id)), DomainId: aws.String(d.id), Url: aws.String(c.domainURL(d)),
	}, nil
}

// base36 makes the end of a domain's id, "d-8uq7jfb3ghoe": twelve characters.
func base36(id uint64) string {
	text := strconv.FormatUint(id, 36)
	return strings.Repeat("0", max(0, 12-len(text))) + text[max(0, len(text)-12):]
}

func (c *Cloud) domainURL(d *studioDomain) string {
	return fmt.Sprintf("https://%s.studio.%s.sagemaker.aws", d.id, c.region)
}

// or is v, or what it is when it is not given.
func or[T ~string](v, otherwise T) T {
	if v == "" {
		return otherwise
	}
	return v
}

// checkSubnets checks what a domain reaches its file system by. Only domains of
// SageMaker Unified Studio may be without, which are not modelled. At most 16 is the
// bound of the member.
func (c *Cloud) checkSubnets(vpc string, subnets []string) error {
	if vpc == "" || len(subnets) == 0 {
		return invalid("VpcId and SubnetIds are required")
	}
	if len(subnets) > 16 {
		return invalid("1 validation error detected: Value at 'subnetIds' failed to satisfy constraint: Member must have length less than or equal to 16")
	}
	if c.vpc(vpc) == nil {
		return invalid("The vpc ID '%s' does not exist", vpc)
	}
	for _, id := range subnets {
		if net, ok := c.subnet(id); !ok || net.vpc != vpc {
			return invalid("The subnet ID '%s' does not exist in VPC '%s'", id, vpc)
		}
	}
	return nil
}

// serverTypes are what a server of RStudio runs on: those with a quota.
var serverTypes = []types.AppInstanceType{types.AppInstanceTypeSystem, types.AppInstanceTypeMlC54xlarge, types.AppInstanceTypeMlC59xlarge}

// urlPattern is that of CloudFormation for the addresses of Connect and of the package
// manager (AWS::SageMaker::Domain RStudioServerProDomainSettings).
var urlPattern = regexp.MustCompile(`^(https:|http:|www\.)\S*$`)

// checkDomain checks the settings of a domain as they are to be.
func (c *Cloud) checkDomain(d *studioDomain) error {
	in, server := d.in, d.rstudio()
	vpcOnly := in.AppNetworkAccessType == types.AppNetworkAccessTypeVpcOnly
	switch management := in.AppSecurityGroupManagement; {
	case server == nil && management != "":
		// hashicorp/terraform-provider-aws issue 39923.
		return invalid("AppSecurityGroupManagement can only be set for a domain with RStudioServerProDomainSettings")
	case server != nil && vpcOnly && management != types.AppSecurityGroupManagementService:
		// "Required when AppNetworkAccessType is VPCOnly and DomainExecutionRoleArn is
		// provided. If setting up the domain for use with RStudio, this value must be set
		// to Service" (API_CreateDomain).
		return invalid("AppSecurityGroupManagement must be set to Service when the domain has RStudio and AppNetworkAccessType is VpcOnly")
	}
	if server != nil {
		if err := checkRole("domainExecutionRoleArn", server.DomainExecutionRoleArn); err != nil {
			return err
		}
		if spec := server.DefaultResourceSpec; spec != nil && spec.InstanceType != "" && !slices.Contains(serverTypes, spec.InstanceType) {
			return invalid("Instance type %s is not supported for app type RStudioServerPro", spec.InstanceType)
		}
		for _, url := range []*string{server.RStudioConnectUrl, server.RStudioPackageManagerUrl} {
			if url != nil && !urlPattern.MatchString(*url) {
				return invalid("1 validation error detected: Value '%s' failed to satisfy constraint: "+
					"Member must satisfy regular expression pattern: %s", *url, urlPattern)
			}
		}
	}
	return c.checkUserSettings(d, in.DefaultUserSettings, nil)
}

func (c *Cloud) countDomains(at time.Time) (n int) {
	for _, d := range c.studio.domains {
		if d.seen(at) {
			n++
		}
	}
	return n
}

func (c *Cloud) describeDomain(at call, in *awssagemaker.DescribeDomainInput) (*awssagemaker.DescribeDomainOutput, error) {
	seen := c.readAt(at)
	d, err := c.studioDomain(in.DomainId, seen)
	if err != nil {
		return nil, err
	}
	return c.describedDomain(d, seen), nil
}

func (c *Cloud) describedDomain(d *studioDomain, at time.Time) *awssagemaker.DescribeDomainOutput {
	s, reason := d.stage(at)
	held := copyOf(d.in)
	out := &awssagemaker.DescribeDomainOutput{
		AppNetworkAccessType: held.AppNetworkAccessType, AppSecurityGroupManagement: held.AppSecurityGroupManagement,
		AuthMode: held.AuthMode, CreationTime: aws.Time(d.create.begun), LastModifiedTime: aws.Time(d.modified(at)),
		DefaultSpaceSettings: held.DefaultSpaceSettings, DefaultUserSettings: held.DefaultUserSettings,
		DomainArn: aws.String(c.domainARN(d.id)), DomainId: aws.String(d.id), DomainName: held.DomainName,
		DomainSettings: held.DomainSettings, FailureReason: optional(reason),
		HomeEfsFileSystemCreation: held.HomeEfsFileSystemCreation, HomeEfsFileSystemId: optional(d.fileSystem),
		KmsKeyId: held.KmsKeyId, SecurityGroupIdForDomainBoundary: optional(d.boundary),
		Status: types.DomainStatus(s.status()), SubnetIds: held.SubnetIds, TagPropagation: held.TagPropagation,
		Url: aws.String(c.domainURL(d)), VpcId: held.VpcId,
	}
	return out
}

func (c *Cloud) listDomains(at call, in *awssagemaker.ListDomainsInput) (*awssagemaker.ListDomainsOutput, error) {
	seen := c.readAt(at)
	var found []types.DomainDetails
	for _, d := range c.studio.domains {
		if d.seen(seen) {
			found = append(found, types.DomainDetails{
				CreationTime: aws.Time(d.create.begun), DomainArn: aws.String(c.domainARN(d.id)), DomainId: aws.String(d.id),
				DomainName: aws.String(*d.in.DomainName), LastModifiedTime: aws.Time(d.modified(seen)),
				Status: d.status(seen), Url: aws.String(c.domainURL(d)),
			})
		}
	}
	found, next, err := studioPage(at, listing{short: true}, found, func(d types.DomainDetails) string {
		return byCreation(d.CreationTime, *d.DomainId)
	}, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &awssagemaker.ListDomainsOutput{Domains: found, NextToken: next}, nil
}

// deleteDomain is refused while profiles, spaces or apps are there (developer guide,
// "Delete an Amazon SageMaker AI domain"). The NFS groups and what interfaces
// apps have left outlive the domain, as people find
// (aws-cloudformation/cloudformation-coverage-roadmap issue 1085). That the boundary
// group goes with it is an assumption. By default the file system stays with
// its mount targets and access points.
func (c *Cloud) deleteDomain(at call, in *awssagemaker.DeleteDomainInput) (*awssagemaker.DeleteDomainOutput, error) {
	d, err := c.studioDomain(in.DomainId, at.At)
	if err != nil {
		return nil, err
	}
	switch s, _ := d.stage(at.At); s {
	case deleting:
		return &awssagemaker.DeleteDomainOutput{}, nil
	case creating, updating:
		return nil, resourceInUse("Unable to delete Domain [%s] because it is in status %s.", c.domainARN(d.id), s.status())
	}
	associated := ""
	switch {
	case d.countUsers(at.At) > 0:
		associated = "UserProfile(s)"
	case d.countSpaces(at.At) > 0:
		associated = "Space(s)"
	case d.anyApp(func(a *studioApp) bool { return a.live(at.At) }):
		associated = "App(s)"
	}
	if associated != "" {
		return nil, resourceInUse("Unable to delete Domain [%s] because %s are associated with it.", c.domainARN(d.id), associated)
	}
	d.remove = at.again(d.remove, c.delays.Domain)
	if d.remove.failure != "" {
		return &awssagemaker.DeleteDomainOutput{}, nil
	}
	delete(c.ec2.groups, d.boundary)
	if in.RetentionPolicy != nil && in.RetentionPolicy.HomeEfsFileSystem == types.RetentionTypeDelete {
		c.deleteHome(d, at.At)
	}
	return &awssagemaker.DeleteDomainOutput{}, nil
}
