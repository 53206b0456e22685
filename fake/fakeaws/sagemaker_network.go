package fakeaws

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/fake/fakelauncher"
)

// What SageMaker makes in the account's own network and storage, by its
// service-linked role: neither calls nor limits of the account count for it.

// addNFSGroups makes the two security groups by which a domain's apps reach their
// home. Names and the rules of port 2049 are in the developer guide
// ("Attaching a custom file system to a domain or user profile", "Connect to
// resources in a VPC"); descriptions, tags and what each group lacks are as people
// have exported them, and so are the ports of Lustre. Each names the other, so that
// neither can be deleted before its rule is revoked.
func (c *Cloud) addNFSGroups(d *studioDomain, at call) (inbound, outbound string) {
	add := func(side string) *securityGroup {
		g := &securityGroup{
			id: resourceID("sg", c.hash(at.id, "sg", side)), name: "security-group-for-" + side + "-nfs-" + d.id,
			description: fmt.Sprintf("[DO NOT DELETE] Security Group that allows %s NFS traffic for SageMaker Notebooks Domain [%s]", side, d.id),
			vpc:         *d.in.VpcId, tags: map[string]string{managedKey: c.domainARN(d.id)}, created: at.At,
		}
		c.ec2.groups[g.id] = g
		return g
	}
	in, out := add("inbound"), add("outbound")
	for _, ports := range [][2]int32{{2049, 2049}, {988, 988}, {1018, 1023}} {
		in.ingress = append(in.ingress, rule{protocol: "tcp", from: ports[0], to: ports[1], group: out.id})
		out.egress = append(out.egress, rule{protocol: "tcp", from: ports[0], to: ports[1], group: in.id})
	}
	return in.id, out.id
}

// addBoundary makes the group "that authorizes traffic between the RSessionGateway
// apps and the RStudioServerPro app" (API_DescribeDomain). Its name, and that
// its members reach each other by all of TCP, are assumptions.
func (c *Cloud) addBoundary(d *studioDomain, at call) string {
	g := &securityGroup{
		id: resourceID("sg", c.hash(at.id, "sg", "boundary")), name: "security-group-for-domain-boundary-" + d.id,
		description: fmt.Sprintf("[DO NOT DELETE] Security Group for RStudio apps of SageMaker Domain [%s]", d.id),
		vpc:         *d.in.VpcId, tags: map[string]string{managedKey: c.domainARN(d.id)}, created: at.At,
	}
	self := rule{protocol: "tcp", from: 0, to: 65535, group: g.id}
	g.ingress, g.egress = []rule{self}, []rule{self}
	c.ec2.groups[g.id] = g
	return g.id
}

// addHome makes the file system of a domain, encrypted by its key or AWS's own, and an
// access point for each profile and space that is there already. The creation token
// being the domain's id is an assumption.
func (c *Cloud) addHome(d *studioDomain, at call) {
	fs := &fileSystem{
		lifetime: lifetime{created: at.At, delay: c.delays.FileSystem},
		id:       resourceID("fs", c.hash(at.id, "fs")), key: c.keyARN(aws.ToString(d.in.KmsKeyId)), root: fakelauncher.NewDir(),
		in:   &awsefs.CreateFileSystemInput{CreationToken: aws.String(d.id), Encrypted: aws.Bool(true), KmsKeyId: d.in.KmsKeyId},
		tags: []efstypes.Tag{{Key: aws.String(managedKey), Value: aws.String(c.domainARN(d.id))}},
	}
	c.efs.fileSystems[fs.id] = fs
	d.fileSystem = fs.id
	c.addMountTargets(d, at.At)
	for _, u := range d.users {
		if u.seen(at.At) {
			c.addHomePoint(d, u.uid, at.At)
		}
	}
	for _, s := range d.spaces {
		if s.seen(at.At) {
			c.addHomePoint(d, s.uid, at.At)
		}
	}
}

// home finds the file system of a domain, nil if it has none or somebody has deleted it.
func (c *Cloud) home(d *studioDomain, at time.Time) *fileSystem {
	fs := c.efs.fileSystems[d.fileSystem]
	if fs == nil || !fs.seen(at) || !fs.deleted.IsZero() && !at.Before(fs.deleted) {
		return nil
	}
	return fs
}

// addMountTargets makes a mount target in each zone of the domain's subnets that has
// none, in the first subnet of the zone and in the inbound group. It comes when
// the file system is available.
func (c *Cloud) addMountTargets(d *studioDomain, at time.Time) {
	fs := c.home(d, at)
	if fs == nil {
		return
	}
	from := fs.created.Add(fs.delay)
	if at.After(from) {
		from = at
	}
	for _, id := range d.in.SubnetIds {
		net, _ := c.subnet(id)
		if !slices.ContainsFunc(fs.targetsIn(net.zone), func(t *mountTarget) bool { return t.deleted.IsZero() }) {
			c.addMountTarget(fs, net, []string{d.inbound}, from)
		}
	}
}

// deleteHome removes a domain's file system: first the mount targets and access points, then itself.
func (c *Cloud) deleteHome(d *studioDomain, at time.Time) {
	fs := c.home(d, at)
	if fs == nil {
		return
	}
	for _, t := range fs.targets {
		t.remove(at)
	}
	for _, p := range fs.points {
		if p.deleted.IsZero() {
			p.deleted = at
		}
	}
	fs.deleted = at.Add(c.delays.MountTarget)
	if over := fs.deleted.Add(fs.delay); over.After(d.remove.over) {
		d.remove.over = over
	}
}

// addHomePoint makes the access point of a profile or space: its user id, the group
// root, and the directory of the same number, which is its own with mode 700
// (developer guide, "Amazon EFS auto-mounting in Studio"). It is made with the profile,
// one of the two times that the guide has. The client token is an assumption.
func (c *Cloud) addHomePoint(d *studioDomain, uid int, at time.Time) {
	fs := c.home(d, at)
	if fs == nil {
		return
	}
	id := int64(uid)
	point := &accessPoint{
		lifetime: lifetime{created: at, delay: c.delays.AccessPoint},
		id:       resourceID("fsap", c.hash("home", d.id, uid)),
		in: &awsefs.CreateAccessPointInput{
			ClientToken: aws.String(fmt.Sprintf("%s-%d", d.id, uid)), FileSystemId: aws.String(fs.id),
			PosixUser: &efstypes.PosixUser{Uid: aws.Int64(id), Gid: aws.Int64(0)},
			RootDirectory: &efstypes.RootDirectory{
				Path:         aws.String(fmt.Sprintf("/%d", uid)),
				CreationInfo: &efstypes.CreationInfo{OwnerUid: aws.Int64(id), OwnerGid: aws.Int64(0), Permissions: aws.String("700")},
			},
			Tags: []efstypes.Tag{{Key: aws.String(managedKey), Value: aws.String(c.domainARN(d.id))}},
		},
	}
	c.keepAccessPoint(fs, point)
}

// homePoint finds the access point of a user id, nil if there is none or somebody has
// deleted it.
func (c *Cloud) homePoint(d *studioDomain, uid int, at time.Time) *accessPoint {
	p := c.efs.tokens[fmt.Sprintf("%s-%d", d.id, uid)]
	if p == nil || *p.in.FileSystemId != d.fileSystem || !p.seen(at) || !p.deleted.IsZero() {
		return nil
	}
	return p
}

// removeHomePoint deletes the access point of a profile or space. Its directory stays.
// That it goes with its profile is an assumption.
func (c *Cloud) removeHomePoint(d *studioDomain, uid int, at time.Time) {
	if p := c.homePoint(d, uid, at); p != nil {
		p.deleted = at
	}
}

// attachApp gives an app its network interface, in one of the domain's subnets: one for each
// running app, described, tagged and in the groups as people have exported it: the tag
// names a node of the domain, not the domain. That each second one has no tag is the worst
// that could be, taken for the rule: SageMaker's service-linked role needs the tag to let
// apps use an interface, and neither to make nor to delete one
// (AmazonSageMakerNotebooksServiceRolePolicy), and whoever may tag may take it away. It is
// attached while the app is there. That it stays when the app has gone, until another app of the
// domain takes it or somebody deletes it, is the worst of what people report
// (hashicorp/terraform-provider-aws issue 20986), taken for the rule.
func (c *Cloud) attachApp(d *studioDomain, a *studioApp, groups []string, at time.Time) {
	arn := a.arn(c, d)
	net, _ := c.subnet(d.in.SubnetIds[int(c.hash("subnet", arn)%uint64(len(d.in.SubnetIds)))])
	free := func(n *networkInterface) bool {
		return n.subnet == net.id && !n.held(at) && slices.Contains(c.ec2.interfaces, n)
	}
	i := slices.IndexFunc(d.interfaces, free)
	if i < 0 {
		id := c.hash("eni", arn, at.UnixNano())
		n := &networkInterface{
			id: resourceID("eni", id), subnet: net.id, vpc: net.vpc, zone: net.zone, created: at,
			description: fmt.Sprintf("[DO NOT DELETE] ENI managed by SageMaker for Studio Domain(%s) - %016x%016x", d.id, id, mix(id)),
			attachment:  resourceID("eni-attach", id), address: c.address(net, id, at),
		}
		if len(d.interfaces)%2 == 0 {
			n.tags = map[string]string{managedKey: c.sagemakerARN(fmt.Sprintf("node/%s/%016x/%s", d.id, id, strings.ToLower(string(a.kind))))}
		}
		c.ec2.interfaces = append(c.ec2.interfaces, n)
		slices.SortFunc(c.ec2.interfaces, func(a, b *networkInterface) int { return strings.Compare(a.id, b.id) })
		i, d.interfaces = len(d.interfaces), append(d.interfaces, n)
	}
	a.eni = d.interfaces[i]
	a.eni.groups = slices.Compact(slices.Sorted(slices.Values(append([]string{d.outbound}, groups...))))
	a.eni.held = a.live
}
