package sagemakerdomain

import (
	"context"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// Description is a domain as SageMaker has it.
type Description struct {
	// ID is SageMaker's ("d-8uq7jfb3ghoe"), by which calls name it; Name need not be unique.
	ID, Name, ARN, URL string
	Status             Status
	// FailureReason is SageMaker's own text, Problem a sentence that says what it means
	// and whose turn it is; nil where all is well or under way.
	FailureReason string
	Problem       error
	// AuthMode is "IAM" or "SSO", for ever.
	AuthMode string
	// NetworkType is "PublicInternetOnly" or "VpcOnly".
	NetworkType string
	VPC         string
	Subnets     []string
	KMSKey      string
	// FileSystem is EFS's id of the homes. Empty is that none was made.
	FileSystem string
	// RStudio is what the server of RStudio has, nil where it is off.
	RStudio *RStudio
	// RestartDue says that the server of RStudio was not made again since its settings
	// were changed by this package: call [Client.RestartServer].
	RestartDue bool
	// ExecutionRole, SecurityGroups, SessionInstance, DefaultAccess and Images are what
	// profiles have by default, see [Client.Effective]. An empty SessionInstance is
	// ml.t3.medium.
	ExecutionRole   string
	SecurityGroups  []string
	SessionInstance string
	DefaultAccess   Access
	Images          []AttachedImage
	// Settings are all that profiles have by default, as the SDK has it.
	Settings *types.UserSettings
	Tags     map[string]string
	Created  time.Time
	Modified time.Time
	// server is all that the server of RStudio runs on.
	server *types.ResourceSpec
}

// RStudio is what the server of RStudio of a domain has.
type RStudio struct {
	// DomainExecutionRole is the role by which the server is run and finds its licence.
	DomainExecutionRole string
	// Instance is what it runs on: "system", "ml.c5.4xlarge" or "ml.c5.9xlarge".
	Instance string
	// ConnectURL and PackageManagerURL are known to sessions. Empty is none.
	ConnectURL, PackageManagerURL string
	// BoundaryGroup is the security group of the server and its sessions.
	BoundaryGroup string
}

// AttachedImage is a custom image that RStudio offers.
type AttachedImage struct {
	// Image and Config are the names of the SageMaker image and of its configuration.
	Image, Config string
	// Version is the number. Zero is the latest, as of when the server was made.
	Version int32
}

// Describe returns a domain by its id. One that is not there is [domain.ErrNotFound].
func (c *Client) Describe(ctx context.Context, id string) (Description, error) {
	const op = "describe"
	var wrong problems
	wrong.checkDomainID(id)
	if err := wrong.err(); err != nil {
		return Description{}, fail(ctx, op, id, err)
	}
	d, err := c.describe(ctx, id)
	return d, fail(ctx, op, id, err)
}

func (c *Client) describe(ctx context.Context, id string) (Description, error) {
	out, err := c.aws.SageMaker.DescribeDomain(ctx, &awssagemaker.DescribeDomainInput{DomainId: &id})
	if err != nil {
		return Description{}, c.noDomain(err, id)
	}
	d := descriptionOf(out)
	return d, c.addTags(ctx, &d)
}

// addTags completes a description.
func (c *Client) addTags(ctx context.Context, d *Description) (err error) {
	d.Tags, err = c.tagsOf(ctx, d.ARN)
	d.RestartDue = d.RStudio != nil && d.Tags[tagRestart] != ""
	return refusal.Step("tags", err)
}

func descriptionOf(out *awssagemaker.DescribeDomainOutput) Description {
	d := Description{
		ID: aws.ToString(out.DomainId), Name: aws.ToString(out.DomainName), ARN: aws.ToString(out.DomainArn), URL: aws.ToString(out.Url),
		Status: Status(out.Status), FailureReason: aws.ToString(out.FailureReason), AuthMode: string(out.AuthMode),
		NetworkType: string(out.AppNetworkAccessType), VPC: aws.ToString(out.VpcId), Subnets: out.SubnetIds,
		KMSKey: aws.ToString(out.KmsKeyId), FileSystem: aws.ToString(out.HomeEfsFileSystemId), Settings: out.DefaultUserSettings,
		Created: aws.ToTime(out.CreationTime), Modified: aws.ToTime(out.LastModifiedTime),
	}
	if d.KMSKey == "" {
		d.KMSKey = aws.ToString(out.HomeEfsFileSystemKmsKeyId) //nolint:staticcheck // what older domains have
	}
	d.Problem = explain("domain "+d.ID, d.Status, d.FailureReason)
	if s := out.DomainSettings; s != nil && s.RStudioServerProDomainSettings != nil {
		r := s.RStudioServerProDomainSettings
		d.RStudio = &RStudio{
			DomainExecutionRole: aws.ToString(r.DomainExecutionRoleArn), Instance: serverSystem, ConnectURL: aws.ToString(r.RStudioConnectUrl),
			PackageManagerURL: aws.ToString(r.RStudioPackageManagerUrl), BoundaryGroup: aws.ToString(out.SecurityGroupIdForDomainBoundary),
		}
		d.server = r.DefaultResourceSpec
		if d.server != nil && d.server.InstanceType != "" {
			d.RStudio.Instance = string(d.server.InstanceType)
		}
	}
	if s := d.Settings; s != nil {
		d.ExecutionRole, d.SecurityGroups, d.DefaultAccess = aws.ToString(s.ExecutionRole), s.SecurityGroups, accessOf(s)
		d.SessionInstance, d.Images = sessionOf(s)
	}
	return d
}

// sessionOf is what settings say of sessions of RStudio.
func sessionOf(s *types.UserSettings) (instance string, images []AttachedImage) {
	if s == nil || s.RSessionAppSettings == nil {
		return "", nil
	}
	if spec := s.RSessionAppSettings.DefaultResourceSpec; spec != nil {
		instance = string(spec.InstanceType)
	}
	for _, i := range s.RSessionAppSettings.CustomImages {
		images = append(images, AttachedImage{aws.ToString(i.ImageName), aws.ToString(i.AppImageConfigName), aws.ToInt32(i.ImageVersionNumber)})
	}
	return instance, images
}

// sessionsOn are settings of sessions of RStudio on another type of instance. What is sent of
// them replaces what there is: all else is as it was.
func sessionsOn(has *types.UserSettings, instance string) *types.RSessionAppSettings {
	s := types.RSessionAppSettings{}
	if has != nil && has.RSessionAppSettings != nil {
		s = *has.RSessionAppSettings
	}
	s.DefaultResourceSpec = specOn(s.DefaultResourceSpec, instance)
	return &s
}

// specOn is what an app is to run on, as it was but for the type of instance. An empty type
// is the one that it was.
func specOn(has *types.ResourceSpec, instance string) *types.ResourceSpec {
	if instance == "" {
		return has
	}
	s := types.ResourceSpec{}
	if has != nil {
		s = *has
	}
	s.InstanceType = types.AppInstanceType(instance)
	return &s
}

// watchDomain looks at a domain, and keeps what it saw last unless that is nil.
func (c *Client) watchDomain(id string, last *Description) watch {
	return watch{domain: id, step: "domain", resource: id, limit: c.timeouts.Domain, look: func(ctx context.Context) (seen, error) {
		out, err := c.aws.SageMaker.DescribeDomain(ctx, &awssagemaker.DescribeDomainInput{DomainId: &id})
		if err != nil {
			return seen{}, err
		}
		if last != nil {
			*last = descriptionOf(out)
		}
		return seen{status: Status(out.Status), reason: aws.ToString(out.FailureReason), modified: aws.ToTime(out.LastModifiedTime)}, nil
	}}
}

// still waits until nothing is under way of a domain, and describes it. One that cannot be
// changed is refused.
func (c *Client) still(ctx context.Context, id string) (d Description, err error) {
	s, err := c.untilStill(ctx, c.watchDomain(id, &d))
	switch {
	case err != nil:
		return Description{}, err
	case s.gone:
		return Description{}, refusal.New(domain.ErrNotFound, "there is no domain %s in %s: %s", id, c.region, adviceDomain)
	case d.Status != InService && d.Status != UpdateFailed:
		return Description{}, d.Problem
	}
	return d, c.addTags(ctx, &d)
}

// checkedDomain describes the domain of a request: once nothing is under way of it or, if
// something is wrong already, as it is now. One that is not there, or cannot be changed, is
// added to what is wrong; known says that it was described.
func (c *Client) checkedDomain(ctx context.Context, wrong *problems, id string) (d Description, known bool, err error) {
	var form problems
	form.checkDomainID(id)
	if len(form) > 0 {
		return d, false, nil // which is said already
	}
	if len(*wrong) > 0 {
		d, err = c.describe(ctx, id)
	} else {
		d, err = c.still(ctx, id)
	}
	if err != nil {
		return Description{}, false, wrong.take(err)
	}
	return d, true, nil
}

// Summary is what a list tells of a domain.
type Summary struct {
	ID, Name, ARN string
	Status        Status
	Created       time.Time
}

// Domains lists the domains of the region, those without RStudio too, in no order. A page
// is fetched when it is reached. It yields an error last.
func (c *Client) Domains(ctx context.Context) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		for d, err := range c.listDomains(ctx) {
			if !yield(d, fail(ctx, "list domains", "", err)) || err != nil {
				return
			}
		}
	}
}

func (c *Client) listDomains(ctx context.Context) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		pages := awssagemaker.NewListDomainsPaginator(c.aws.SageMaker, &awssagemaker.ListDomainsInput{MaxResults: aws.Int32(pageSize)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(Summary{}, err)
				return
			}
			for _, d := range out.Domains {
				if !yield(Summary{
					ID: aws.ToString(d.DomainId), Name: aws.ToString(d.DomainName), ARN: aws.ToString(d.DomainArn),
					Status: Status(d.Status), Created: aws.ToTime(d.CreationTime),
				}, nil) {
					return
				}
			}
		}
	}
}

// pageSize is how much a page of a list holds at most. SageMaker gives 10 unless asked for
// more, and may give fewer (MaxResults, ListApps).
const pageSize = 100

const (
	// tagName holds the name by which this package made a domain: a second call finds it.
	tagName = "atelier:sagemaker-domain"
	// tagRestart is there from before the settings of a server are changed until it was
	// made again. Its value tells one such change from the next.
	tagRestart = "atelier:rstudio-restart-due"
	// tagManaged is SageMaker's own, of what it makes in the account, with the domain's
	// ARN as its value (managed policy AmazonSageMakerNotebooksServiceRolePolicy).
	tagManaged = "ManagedByAmazonSageMakerResource"
)

func (c *Client) tagsOf(ctx context.Context, arn string) (map[string]string, error) {
	tags := map[string]string{}
	pages := awssagemaker.NewListTagsPaginator(c.aws.SageMaker, &awssagemaker.ListTagsInput{ResourceArn: &arn})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, t := range out.Tags {
			tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
	}
	return tags, nil
}

func tagList(tags map[string]string) (list []types.Tag) {
	for _, k := range sortedKeys(tags) {
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return list
}

// uidOf reads the user id in the home file system, which the API has as a text. The
// smallest that a domain gives is above 65535 ("Security in RStudio on Amazon SageMaker
// AI", developer guide); one that is no id of a user of Linux is refused.
func uidOf(text string) (uint32, error) {
	uid, err := strconv.ParseUint(strings.TrimSpace(text), 10, 32)
	if err != nil || uid == 0 || uid == 1<<32-1 {
		return 0, refusal.New(domain.ErrUnavailable, "SageMaker says that the user id in the home file system is %.40q: want a number from 1 to 4294967294", text)
	}
	return uint32(uid), nil
}
