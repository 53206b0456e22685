package fakeaws

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/fake/fakelauncher"
)

// The model of Elastic File System. HTTP statuses, patterns and required
// members are those of the service's API model (aws/aws-sdk-go,
// models/apis/elasticfilesystem/2015-02-01/api-2.json), behaviour is that of
// the API reference (docs.aws.amazon.com/efs/latest/ug/api-reference.html),
// which the doc comments of service/efs repeat.
const (
	// maxFileSystems is the quota per account and region (EFS user guide, "Quotas").
	maxFileSystems = 1000
	// fileSystemPage is "automatically set to 100" (API_DescribeFileSystems).
	fileSystemPage = 100
)

// efsState is the state of the service.
type efsState struct {
	fileSystems map[string]*fileSystem  // by id
	tokens      map[string]*accessPoint // the latest of each client token
}

// lifetime is the two instants from which every state of an EFS resource
// follows. Deleting is assumed to take as long as creating.
type lifetime struct {
	created, deleted time.Time
	delay            time.Duration
}

// state is the life-cycle state at an instant; deleted also stands for not yet
// created, as neither is seen.
func (l lifetime) state(at time.Time) types.LifeCycleState {
	switch {
	case at.Before(l.created):
		return types.LifeCycleStateDeleted
	case l.deleted.IsZero() || at.Before(l.deleted):
		if at.Before(l.created.Add(l.delay)) {
			return types.LifeCycleStateCreating
		}
		return types.LifeCycleStateAvailable
	case at.Before(l.deleted.Add(l.delay)):
		return types.LifeCycleStateDeleting
	default:
		return types.LifeCycleStateDeleted
	}
}

func (l lifetime) seen(at time.Time) bool { return l.state(at) != types.LifeCycleStateDeleted }

// fileSystem is a file system with all that belongs to it.
type fileSystem struct {
	lifetime
	id       string
	in       *awsefs.CreateFileSystemInput
	key      string // ARN of the KMS key; empty if not encrypted
	tags     []types.Tag
	policies []types.LifecyclePolicy
	root     *fakelauncher.Dir
	targets  []*mountTarget // in order of id
	points   []*accessPoint // in order of id
}

func (c *Cloud) registerEFS() {
	c.efs.fileSystems = map[string]*fileSystem{}
	handle(c, c.createFileSystem)
	handle(c, c.describeFileSystems)
	handle(c, c.deleteFileSystem)
	handle(c, c.putLifecycleConfiguration)
	handle(c, c.describeLifecycleConfiguration)
	handle(c, c.tagResource)
	c.registerMountTargets()
	c.registerAccessPoints()
	c.ec2.groupHolders = append(c.ec2.groupHolders, c.mountTargetHolds)
}

// Files returns the root directory of an EFS file system, acted on by root, as
// a host sees it that mounts the file system without an access point. What is
// in it outlives hosts, and ends with the file system.
func (c *Cloud) Files(fileSystem string) (*fakelauncher.Dir, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fs := c.efs.fileSystems[fileSystem]
	if fs == nil || !fs.seen(time.Now()) {
		return nil, fmt.Errorf("fakeaws: no file system %q", fileSystem)
	}
	return fs.root, nil
}

// readAt is the instant as of which a read answers. For [Delays.Visible] after
// a change some reads answer as before it. That EFS is eventually consistent
// is an assumption; the API reference does not say.
func (c *Cloud) readAt(at call) time.Time {
	if share(mix(at.id)) < 0.5 {
		return at.At.Add(-c.delays.Visible)
	}
	return at.At
}

func (c *Cloud) createFileSystem(at call, in *awsefs.CreateFileSystemInput) (*awsefs.CreateFileSystemOutput, error) {
	if err := c.mayTag(in.Tags); err != nil {
		return nil, err
	}
	if err := validFileSystem(in); err != nil {
		return nil, err
	}
	var living int
	for _, fs := range c.efs.fileSystems {
		if !fs.seen(at.At) {
			continue
		}
		if *fs.in.CreationToken == *in.CreationToken {
			return nil, refuseAs(http.StatusConflict, &types.FileSystemAlreadyExists{
				ErrorCode_:   aws.String("FileSystemAlreadyExists"),
				FileSystemId: aws.String(fs.id),
				Message:      aws.String(fmt.Sprintf("File system '%s' already exists with creation token '%s'", fs.id, *in.CreationToken)),
			})
		}
		living++
	}
	if living >= maxFileSystems {
		return nil, refuseAs(http.StatusForbidden, &types.FileSystemLimitExceeded{
			ErrorCode_: aws.String("FileSystemLimitExceeded"),
			Message:    aws.String("You have reached the maximum number of file systems for your account."),
		})
	}
	fs := &fileSystem{
		lifetime: lifetime{created: at.At, delay: c.delays.FileSystem},
		id:       resourceID("fs", at.id), in: in, tags: in.Tags, root: fakelauncher.NewDir(),
	}
	if aws.ToBool(in.Encrypted) {
		fs.key = c.keyARN(aws.ToString(in.KmsKeyId))
	}
	c.efs.fileSystems[fs.id] = fs
	d := c.describeFileSystem(fs, at.At)
	return &awsefs.CreateFileSystemOutput{
		CreationTime: d.CreationTime, CreationToken: d.CreationToken, FileSystemId: d.FileSystemId,
		FileSystemArn: d.FileSystemArn, LifeCycleState: types.LifeCycleStateCreating, OwnerId: d.OwnerId,
		PerformanceMode: d.PerformanceMode, ThroughputMode: d.ThroughputMode, SizeInBytes: d.SizeInBytes,
		Encrypted: d.Encrypted, KmsKeyId: d.KmsKeyId, Name: d.Name, Tags: d.Tags,
		ProvisionedThroughputInMibps: d.ProvisionedThroughputInMibps,
	}, nil
}

var efsKeyPattern = regexp.MustCompile(`^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32}|alias/[a-zA-Z0-9/_-]+|` +
	`arn:aws[-a-z]*:kms:[a-z0-9-]+:\d{12}:(key/[0-9a-f-]{36}|key/mrk-[0-9a-f]{32}|alias/[a-zA-Z0-9/_-]+))$`)

// validFileSystem checks what API_CreateFileSystem says of its members.
func validFileSystem(in *awsefs.CreateFileSystemInput) error {
	elastic := in.ThroughputMode == types.ThroughputModeElastic
	switch {
	case len(*in.CreationToken) == 0 || len(*in.CreationToken) > 64:
		return badRequest("invalid creation token: want 1 to 64 characters")
	case in.KmsKeyId != nil && !aws.ToBool(in.Encrypted):
		return badRequest("KmsKeyId requires Encrypted to be true")
	case in.KmsKeyId != nil && !efsKeyPattern.MatchString(*in.KmsKeyId):
		return badRequest("invalid KMS key %q", *in.KmsKeyId)
	case in.PerformanceMode == types.PerformanceModeMaxIo && (elastic || in.AvailabilityZoneName != nil):
		return badRequest("maxIO is not supported with elastic throughput or One Zone storage")
	case (in.ThroughputMode == types.ThroughputModeProvisioned) != (in.ProvisionedThroughputInMibps != nil):
		return badRequest("ProvisionedThroughputInMibps belongs to throughput mode provisioned")
	case in.AvailabilityZoneName != nil:
		return badRequest("fakeaws: One Zone file systems are not modelled")
	}
	return nil
}

// keyARN is the ARN DescribeFileSystems shows for a key however it was named.
func (c *Cloud) keyARN(key string) string {
	switch {
	case key == "":
		id := c.hash("kms", "alias/aws/elasticfilesystem")
		key = "key/" + requestIDOf(id)
	case strings.HasPrefix(key, "alias/"):
		key = "key/" + requestIDOf(c.hash("kms", key))
	case strings.HasPrefix(key, "arn:"):
		return key
	default:
		key = "key/" + key
	}
	return fmt.Sprintf("arn:aws:kms:%s:%s:%s", c.region, c.account, key)
}

func (c *Cloud) describeFileSystem(fs *fileSystem, at time.Time) types.FileSystemDescription {
	d := types.FileSystemDescription{
		CreationTime: aws.Time(fs.created), CreationToken: aws.String(*fs.in.CreationToken),
		FileSystemId:   aws.String(fs.id),
		FileSystemArn:  aws.String(c.efsARN("file-system/" + fs.id)),
		LifeCycleState: fs.state(at), OwnerId: aws.String(c.account),
		PerformanceMode: cmp.Or(fs.in.PerformanceMode, types.PerformanceModeGeneralPurpose),
		ThroughputMode:  cmp.Or(fs.in.ThroughputMode, types.ThroughputModeBursting),
		// An empty file system meters 6 KiB (examples of API_DescribeFileSystems);
		// the figure lags by hours, so that the model never changes it.
		SizeInBytes: &types.FileSystemSize{Value: 6144, Timestamp: aws.Time(fs.created)},
		Encrypted:   aws.Bool(fs.key != ""),
		Tags:        slices.Clone(fs.tags), Name: nameOf(fs.tags),
	}
	if fs.key != "" {
		d.KmsKeyId = aws.String(fs.key)
	}
	if fs.in.ProvisionedThroughputInMibps != nil {
		d.ProvisionedThroughputInMibps = aws.Float64(*fs.in.ProvisionedThroughputInMibps)
	}
	for _, t := range fs.targets {
		if t.seen(at) {
			d.NumberOfMountTargets++
		}
	}
	return d
}

// describeFileSystems answers an unknown token with an empty list, as EFS does
// (assumption: the reference says so only of a deleted file system's id).
func (c *Cloud) describeFileSystems(at call, in *awsefs.DescribeFileSystemsInput) (*awsefs.DescribeFileSystemsOutput, error) {
	seen := c.readAt(at)
	var found []types.FileSystemDescription
	for _, fs := range c.efs.fileSystems {
		if fs.seen(seen) &&
			(in.FileSystemId == nil || *in.FileSystemId == fs.id) &&
			(in.CreationToken == nil || *in.CreationToken == *fs.in.CreationToken) {
			found = append(found, c.describeFileSystem(fs, seen))
		}
	}
	if in.FileSystemId != nil && len(found) == 0 {
		return nil, fileSystemNotFound(*in.FileSystemId)
	}
	slices.SortFunc(found, func(a, b types.FileSystemDescription) int { return cmp.Compare(*a.FileSystemId, *b.FileSystemId) })
	size := int(aws.ToInt32(in.MaxItems))
	if size <= 0 || size > fileSystemPage {
		size = fileSystemPage
	}
	found, next := efsPage(found, func(d types.FileSystemDescription) string { return *d.FileSystemId }, in.Marker, size)
	return &awsefs.DescribeFileSystemsOutput{FileSystems: found, Marker: in.Marker, NextMarker: next}, nil
}

// deleteFileSystem makes the file system unreachable at once and shows it as
// deleting for a while (API_DeleteFileSystem).
func (c *Cloud) deleteFileSystem(at call, in *awsefs.DeleteFileSystemInput) (*awsefs.DeleteFileSystemOutput, error) {
	fs, err := c.fileSystem(at, *in.FileSystemId)
	if err != nil {
		return nil, err
	}
	for _, t := range fs.targets {
		if t.seen(at.At) {
			return nil, refuseAs(http.StatusConflict, &types.FileSystemInUse{
				ErrorCode_: aws.String("FileSystemInUse"),
				Message:    aws.String(fmt.Sprintf("The file system '%s' has mount targets and cannot be deleted.", fs.id)),
			})
		}
	}
	if fs.deleted.IsZero() {
		fs.deleted = at.At
	}
	return &awsefs.DeleteFileSystemOutput{}, nil
}

// tagResource adds or overwrites tags of a file system; those of an access
// point are not modelled.
func (c *Cloud) tagResource(at call, in *awsefs.TagResourceInput) (*awsefs.TagResourceOutput, error) {
	fs, err := c.fileSystem(at, *in.ResourceId)
	if err != nil {
		return nil, err
	}
	for _, tag := range in.Tags {
		i := slices.IndexFunc(fs.tags, func(t types.Tag) bool { return *t.Key == *tag.Key })
		if i < 0 {
			fs.tags = append(fs.tags, tag)
		} else {
			fs.tags[i] = tag
		}
	}
	return &awsefs.TagResourceOutput{}, nil
}

// fileSystem finds one that has not gone.
func (c *Cloud) fileSystem(at call, id string) (*fileSystem, error) {
	fs := c.efs.fileSystems[id]
	if fs == nil || !fs.seen(at.At) {
		return nil, fileSystemNotFound(id)
	}
	return fs, nil
}

// availableFileSystem finds one that can be worked with.
func (c *Cloud) availableFileSystem(at call, id string) (*fileSystem, error) {
	fs, err := c.fileSystem(at, id)
	if err != nil {
		return nil, err
	}
	if state := fs.state(at.At); state != types.LifeCycleStateAvailable {
		return nil, refuseAs(http.StatusConflict, &types.IncorrectFileSystemLifeCycleState{
			ErrorCode_: aws.String("IncorrectFileSystemLifeCycleState"),
			Message:    aws.String(fmt.Sprintf("file system '%s' is not available (state: %s)", id, state)),
		})
	}
	return fs, nil
}

func fileSystemNotFound(id string) error {
	return refuseAs(http.StatusNotFound, &types.FileSystemNotFound{
		ErrorCode_: aws.String("FileSystemNotFound"),
		Message:    aws.String(fmt.Sprintf("File system '%s' does not exist.", id)),
	})
}

func badRequest(format string, args ...any) error {
	return refuseAs(http.StatusBadRequest, &types.BadRequest{
		ErrorCode_: aws.String("BadRequest"), Message: aws.String(fmt.Sprintf(format, args...)),
	})
}

// mayTag checks the second permission that a creation with tags needs.
func (c *Cloud) mayTag(tags []types.Tag) error {
	const action = "elasticfilesystem:TagResource"
	if len(tags) == 0 {
		return nil
	}
	if c.denies(action) {
		return denied(action, c.account)
	}
	return nil
}

func (c *Cloud) efsARN(resource string) string {
	return fmt.Sprintf("arn:aws:elasticfilesystem:%s:%s:%s", c.region, c.account, resource)
}

// nameOf is the value of the Name tag, which EFS repeats as a member.
func nameOf(tags []types.Tag) *string {
	for _, t := range tags {
		if *t.Key == "Name" {
			return aws.String(aws.ToString(t.Value))
		}
	}
	return nil
}

// efsPage cuts one page out of a sorted list. A marker is the id of the last
// element of the page before, so that changes between pages lose nothing.
func efsPage[T any](all []T, id func(T) string, marker *string, size int) ([]T, *string) {
	if marker != nil {
		i, found := slices.BinarySearchFunc(all, *marker, func(e T, m string) int { return cmp.Compare(id(e), m) })
		if found {
			i++
		}
		all = all[i:]
	}
	if len(all) <= size {
		return all, nil
	}
	return all[:size], aws.String(id(all[size-1]))
}
