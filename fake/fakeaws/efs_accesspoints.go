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
)

const (
	// maxAccessPoints is the quota per file system (API_CreateAccessPoint).
	maxAccessPoints = 10_000
	// accessPointPage is the default of MaxResults (API_DescribeAccessPoints),
	// and maxAccessPointPage an assumption: aws-efs-csi-driver asks for more and
	// is not refused.
	accessPointPage, maxAccessPointPage = 100, 1000
)

// accessPoint is a directory of a file system, entered under an identity.
type accessPoint struct {
	lifetime
	id string
	in *awsefs.CreateAccessPointInput
}

func (c *Cloud) registerAccessPoints() {
	c.efs.tokens = map[string]*accessPoint{}
	handle(c, c.createAccessPoint)
	handle(c, c.describeAccessPoints)
	handle(c, c.deleteAccessPoint)
}

// createAccessPoint: a token is unique in the account and region, not in the
// file system (kubernetes-sigs/aws-efs-csi-driver pull request 1725), and is
// answered with AccessPointAlreadyExists also if the request is the same
// (aws/aws-sdk issue 163).
func (c *Cloud) createAccessPoint(at call, in *awsefs.CreateAccessPointInput) (*awsefs.CreateAccessPointOutput, error) {
	if err := c.mayTag(in.Tags); err != nil {
		return nil, err
	}
	if err := validAccessPoint(in); err != nil {
		return nil, err
	}
	fs, err := c.availableFileSystem(at, *in.FileSystemId)
	if err != nil {
		return nil, err
	}
	if p := c.efs.tokens[*in.ClientToken]; p != nil && p.seen(at.At) {
		return nil, refuseAs(http.StatusConflict, &types.AccessPointAlreadyExists{
			ErrorCode_:    aws.String("AccessPointAlreadyExists"),
			AccessPointId: aws.String(p.id),
			Message:       aws.String(fmt.Sprintf("Access point '%s' already exists with client token '%s'", p.id, *in.ClientToken)),
		})
	}
	fs.points = slices.DeleteFunc(fs.points, func(p *accessPoint) bool { return p.gone(at.At) })
	if len(fs.points) >= maxAccessPoints {
		return nil, refuseAs(http.StatusForbidden, &types.AccessPointLimitExceeded{
			ErrorCode_: aws.String("AccessPointLimitExceeded"),
			Message:    aws.String(fmt.Sprintf("You have reached the maximum number of access points for file system '%s'.", fs.id)),
		})
	}
	point := &accessPoint{
		lifetime: lifetime{created: at.At, delay: c.delays.AccessPoint},
		id:       resourceID("fsap", at.id), in: in,
	}
	c.keepAccessPoint(fs, point)
	d := c.describeAccessPoint(point, at.At)
	return &awsefs.CreateAccessPointOutput{
		AccessPointId: d.AccessPointId, AccessPointArn: d.AccessPointArn, ClientToken: d.ClientToken,
		FileSystemId: d.FileSystemId, LifeCycleState: types.LifeCycleStateCreating, Name: d.Name,
		OwnerId: d.OwnerId, PosixUser: d.PosixUser, RootDirectory: d.RootDirectory, Tags: d.Tags,
	}, nil
}

// keepAccessPoint puts an access point among those of its file system.
func (c *Cloud) keepAccessPoint(fs *fileSystem, point *accessPoint) {
	i, _ := slices.BinarySearchFunc(fs.points, point.id, func(p *accessPoint, id string) int { return cmp.Compare(p.id, id) })
	fs.points = slices.Insert(fs.points, i, point)
	c.efs.tokens[*point.in.ClientToken] = point
}

// gone reports whether nothing, also no late read, will see the point again.
func (p *accessPoint) gone(at time.Time) bool {
	return !p.deleted.IsZero() && !at.Before(p.deleted.Add(p.delay))
}

var (
	// Path as the API model has it, without the look-ahead that Go's regular
	// expressions lack; names that begin with a dot are refused beside it.
	pathPattern        = regexp.MustCompile("^(/|(/[^$#<>;`|&?{}^*/\\n]+){1,4})$")
	permissionsPattern = regexp.MustCompile(`^[0-7]{3,4}$`)
)

func validAccessPoint(in *awsefs.CreateAccessPointInput) error {
	if n := len(*in.ClientToken); n == 0 || n > 64 {
		return badRequest("invalid client token: want 1 to 64 characters")
	}
	ids := []*int64{}
	if u := in.PosixUser; u != nil {
		if len(u.SecondaryGids) > 16 {
			return badRequest("at most 16 secondary groups")
		}
		ids = append(ids, u.Uid, u.Gid)
	}
	if in.RootDirectory != nil {
		if p := in.RootDirectory.Path; p != nil &&
			(len(*p) > 100 || !pathPattern.MatchString(*p) || strings.Contains(*p, "/.")) {
			return badRequest("invalid path %q: want at most 4 directories and 100 characters", *p)
		}
		if info := in.RootDirectory.CreationInfo; info != nil {
			if !permissionsPattern.MatchString(*info.Permissions) {
				return badRequest("invalid permissions %q", *info.Permissions)
			}
			ids = append(ids, info.OwnerUid, info.OwnerGid)
		}
	}
	for _, id := range ids {
		if *id < 0 || *id > 1<<32-1 {
			return badRequest("invalid POSIX id %d", *id)
		}
	}
	return nil
}

func (c *Cloud) describeAccessPoint(p *accessPoint, at time.Time) types.AccessPointDescription {
	d := types.AccessPointDescription{
		AccessPointId: aws.String(p.id), AccessPointArn: aws.String(c.efsARN("access-point/" + p.id)),
		ClientToken: aws.String(*p.in.ClientToken), FileSystemId: aws.String(*p.in.FileSystemId),
		LifeCycleState: p.state(at), Name: nameOf(p.in.Tags), OwnerId: aws.String(c.account),
		Tags: slices.Clone(p.in.Tags), RootDirectory: &types.RootDirectory{Path: aws.String(p.path())},
	}
	if u := p.in.PosixUser; u != nil {
		d.PosixUser = &types.PosixUser{
			Uid: aws.Int64(*u.Uid), Gid: aws.Int64(*u.Gid), SecondaryGids: slices.Clone(u.SecondaryGids),
		}
	}
	if info := p.creationInfo(); info != nil {
		d.RootDirectory.CreationInfo = &types.CreationInfo{
			OwnerUid: aws.Int64(*info.OwnerUid), OwnerGid: aws.Int64(*info.OwnerGid),
			Permissions: aws.String(*info.Permissions),
		}
	}
	return d
}

func (p *accessPoint) path() string {
	if p.in.RootDirectory == nil {
		return "/"
	}
	return cmp.Or(aws.ToString(p.in.RootDirectory.Path), "/")
}

func (p *accessPoint) creationInfo() *types.CreationInfo {
	if p.in.RootDirectory == nil {
		return nil
	}
	return p.in.RootDirectory.CreationInfo
}

func (c *Cloud) describeAccessPoints(at call, in *awsefs.DescribeAccessPointsInput) (*awsefs.DescribeAccessPointsOutput, error) {
	seen := c.readAt(at)
	if in.AccessPointId != nil && in.FileSystemId != nil {
		return nil, badRequest("AccessPointId and FileSystemId are mutually exclusive")
	}
	var points []*accessPoint
	switch {
	case in.AccessPointId != nil:
		p := c.accessPoint(*in.AccessPointId)
		if p == nil || !p.seen(seen) {
			return nil, accessPointNotFound(*in.AccessPointId)
		}
		points = []*accessPoint{p}
	case in.FileSystemId != nil:
		fs, err := c.fileSystem(at, *in.FileSystemId)
		if err != nil {
			return nil, err
		}
		points = fs.points
	default:
		return nil, badRequest("fakeaws: the access points of all file systems together are not modelled")
	}
	size := int(aws.ToInt32(in.MaxResults))
	switch {
	case size <= 0:
		size = accessPointPage
	case size > maxAccessPointPage:
		size = maxAccessPointPage
	}
	out := &awsefs.DescribeAccessPointsOutput{}
	points, out.NextToken = efsPage(points, func(p *accessPoint) string { return p.id }, in.NextToken, size)
	for _, p := range points {
		if p.seen(seen) {
			out.AccessPoints = append(out.AccessPoints, c.describeAccessPoint(p, seen))
		}
	}
	return out, nil
}

// deleteAccessPoint leaves the directory and what is in it.
func (c *Cloud) deleteAccessPoint(at call, in *awsefs.DeleteAccessPointInput) (*awsefs.DeleteAccessPointOutput, error) {
	p := c.accessPoint(*in.AccessPointId)
	if p == nil || !p.seen(at.At) {
		return nil, accessPointNotFound(*in.AccessPointId)
	}
	if p.deleted.IsZero() {
		p.deleted = at.At
	}
	return &awsefs.DeleteAccessPointOutput{}, nil
}

// accessPoint finds one by id in whichever file system.
func (c *Cloud) accessPoint(id string) *accessPoint {
	for _, fs := range c.efs.fileSystems {
		i, found := slices.BinarySearchFunc(fs.points, id, func(p *accessPoint, id string) int { return cmp.Compare(p.id, id) })
		if found {
			return fs.points[i]
		}
	}
	return nil
}

func accessPointNotFound(id string) error {
	return refuseAs(http.StatusNotFound, &types.AccessPointNotFound{
		ErrorCode_: aws.String("AccessPointNotFound"),
		Message:    aws.String(fmt.Sprintf("Access point '%s' does not exist.", id)),
	})
}
