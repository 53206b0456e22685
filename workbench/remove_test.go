package workbench_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/workbench"
)

// A domain is not deleted under its Workbench, and may be once that is gone.
func TestDeleteDomainWithWorkbench(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.deploy()
		blocks := func() bool {
			t.Helper()
			found, err := y.domains().PreviewDelete(t.Context(), y.domain().Name())
			y.must(err)
			for _, c := range found {
				if c.Fate == domain.Blocks && c.Thing == domain.ThingOccupant {
					return true
				}
			}
			return false
		}
		if !blocks() {
			t.Error("nothing keeps it from being deleted")
		}
		y.must(y.client().Remove(t.Context(), workbench.RemoveRequest{}))
		if blocks() {
			t.Error("it is kept from being deleted by what is gone")
		}
	})
}

func TestPreviewRemove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		_, err := y.client().PreviewRemove(t.Context(), workbench.RemoveRequest{})
		y.is(err, domain.ErrNotFound)
		done := y.deploy()
		d, err := y.client().Describe(t.Context())
		y.must(err)
		var text strings.Builder
		for _, q := range []workbench.RemoveRequest{{}, {DeleteVolume: d.Volume}} {
			before := len(y.cloud.Calls())
			found, err := y.client().PreviewRemove(t.Context(), q)
			y.must(err)
			for _, c := range y.cloud.Calls()[before:] {
				if c.Action != "ec2:DescribeSecurityGroups" && c.Action != "secretsmanager:DescribeSecret" {
					t.Errorf("a preview calls %s", c.Action)
				}
			}
			for _, f := range found {
				text.WriteString(f.String() + "\n")
			}
			text.WriteString("\n")
		}
		got := strings.NewReplacer(done.Instance, "INSTANCE", d.Interface, "INTERFACE", d.Volume, "VOLUME", done.Address, "ADDRESS").Replace(text.String())
		golden(t, "preview", got)
	})
}

// The disk is kept unless it is named, and then another Deploy takes it up.
func TestRemove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		bare := y.inventory()
		y.must(removeAct(y)) // there is none
		y.deploy()
		d, err := y.client().Describe(t.Context())
		y.must(err)
		y.is(y.client().Remove(t.Context(), workbench.RemoveRequest{DeleteVolume: "vol-0123456789abcdef0"}), domain.ErrInvalid, "is not the Workbench's, which is "+d.Volume)
		if len(y.live()) != 1 {
			t.Error("a refused Remove ends the instance")
		}
		y.must(removeAct(y))
		for _, err := range []error{restartAct(y), replaceAct(y)} {
			y.is(err, domain.ErrNotFound, "call Deploy")
		}
		found, err := y.client().PreviewRemove(t.Context(), workbench.RemoveRequest{DeleteVolume: d.Volume})
		y.must(err)
		if len(found) != 2 || found[0].Thing != workbench.ThingVolume || found[0].Fate != domain.Ends {
			t.Errorf("what is left is %v", found)
		}
		y.deploy()
		again, err := y.client().Describe(t.Context())
		y.must(err)
		if again.Volume != d.Volume || again.Problems != nil {
			t.Errorf("%+v does not have volume %s", again, d.Volume)
		}
		y.must(removeAct(y))
		y.must(y.client().Remove(t.Context(), workbench.RemoveRequest{DeleteVolume: d.Volume}))
		if got := y.inventory(); got != bare {
			t.Errorf("left is\n%s\nwant\n%s", got, bare)
		}
	})
}

// naming makes a security group whose rules name the Workbench's, and returns its id
// and what takes the rules away.
func (y *yard) naming(name, own string, in, out bool) (id string, end func()) {
	y.Helper()
	client := awsec2.NewFromConfig(y.steady())
	made, err := client.CreateSecurityGroup(y.Context(), &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String(name), Description: aws.String(name), VpcId: aws.String(y.cloud.DefaultVPC()),
	})
	y.must(err)
	rules := []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String(own)}},
	}}
	if in {
		_, err := client.AuthorizeSecurityGroupIngress(y.Context(), &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: made.GroupId, IpPermissions: rules})
		y.must(err)
	}
	if out {
		_, err := client.AuthorizeSecurityGroupEgress(y.Context(), &awsec2.AuthorizeSecurityGroupEgressInput{GroupId: made.GroupId, IpPermissions: rules})
		y.must(err)
	}
	return *made.GroupId, func() {
		_, err := client.DeleteSecurityGroup(y.Context(), &awsec2.DeleteSecurityGroupInput{GroupId: made.GroupId})
		y.must(err)
	}
}

// While a rule elsewhere names the host's group nothing is taken away, and the preview
// says whose it is.
func TestRemoveWhileNamed(t *testing.T) {
	for name, rules := range map[string]struct{ in, out bool }{"in": {in: true}, "out": {out: true}, "both": {true, true}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				y := newYard(t, slow())
				bare := y.inventory()
				done := y.deploy()
				id, end := y.naming("portal", done.SecurityGroup, rules.in, rules.out)
				time.Sleep(5 * time.Second) // it shows
				found, err := y.client().PreviewRemove(t.Context(), workbench.RemoveRequest{})
				y.must(err)
				if c := found[0]; c.Fate != domain.Blocks || c.Thing != domain.ThingSecurityGroup || c.Name != "portal" ||
					!strings.Contains(c.Detail, id) || found[1].Fate == domain.Blocks {
					t.Errorf("the preview is %v", found)
				}
				before := y.inventory()
				y.is(removeAllAct(y), domain.ErrState, id+" (portal)", done.SecurityGroup, "Setup")
				if after := y.inventory(); after != before {
					t.Errorf("a refused Remove has taken something away: left is\n%s\nwant\n%s", after, before)
				}
				y.deploy() // which it does not keep from
				end()
				y.must(removeAllAct(y))
				if got := y.inventory(); got != bare {
					t.Errorf("left is\n%s\nwant\n%s", got, bare)
				}
			})
		})
	}
}

// A rule in the file system's group that is not the one for homes counts, too.
func TestRemoveWhileNamedByTheFileSystem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		done := y.deploy()
		d, err := y.domain().Describe(t.Context())
		y.must(err)
		_, err = awsec2.NewFromConfig(y.steady()).AuthorizeSecurityGroupIngress(t.Context(), &awsec2.AuthorizeSecurityGroupIngressInput{
			GroupId: aws.String(d.FileSystemSecurityGroup), IpPermissions: []types.IpPermission{{
				IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: aws.String(done.SecurityGroup)}},
			}},
		})
		y.must(err)
		y.is(removeAct(y), domain.ErrState, d.FileSystemSecurityGroup)
	})
}

// A rule that comes while Remove is at work is told of, and without it the next call
// takes away the rest.
func TestRemoveWhileBeingNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		bare := y.inventory()
		done := y.deploy()
		removed := make(chan error, 1)
		go func() { removed <- removeAllAct(y) }()
		for { // until the instance ends, which is after the look at the rules
			time.Sleep(time.Second)
			if slices.ContainsFunc(y.cloud.Calls(), func(c fakeaws.Call) bool { return c.Action == "ec2:TerminateInstances" }) {
				break
			}
		}
		id, end := y.naming("portal", done.SecurityGroup, true, false)
		y.is(<-removed, domain.ErrState, id+" (portal)", done.SecurityGroup)
		y.is(removeAct(y), domain.ErrState, id+" (portal)")
		end()
		y.must(removeAct(y)) // as was asked for first, with the disk
		if got := y.inventory(); got != bare {
			t.Errorf("left is\n%s\nwant\n%s", got, bare)
		}
	})
}

// A fleet that is no longer told of the host's group takes it out of its rules.
func TestRemoveAfterTheFleet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		done := y.deploy()
		d, err := y.domain().Describe(t.Context())
		y.must(err)
		setup := func(access ...string) {
			t.Helper()
			fleet, err := ec2launcher.NewFromConfig(y.steady(), ec2launcher.Config{
				Fleet: "research", Store: y.store, Subnets: []string{y.cloud.Subnets()[0].ID}, SecurityGroups: []string{d.HostSecurityGroup}, Access: access,
			})
			y.must(err)
			y.must(fleet.Setup(t.Context()))
		}
		setup(done.SecurityGroup, "10.1.0.0/16")
		time.Sleep(5 * time.Second)
		y.is(removeAct(y), domain.ErrState, "(atelier-research-engine)", "out of the Access of ec2launcher's Config, and call Setup")
		setup("10.1.0.0/16")
		y.must(removeAct(y))
	})
}

// While something is half done, others wait for it.
func TestRemoveGoesFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow(fakeaws.Fault{Action: "ec2:DeleteSecurityGroup", Status: 403, Code: "UnauthorizedOperation", Nth: 1}))
		y.deploy()
		y.is(removeAct(y), domain.ErrDenied, "what Policy lists")
		for _, err := range []error{deployAct(nil)(y), restartAct(y), replaceAct(y)} {
			y.is(err, domain.ErrState, "Remove has begun and not ended")
		}
		d, err := y.client().Describe(t.Context())
		y.must(err)
		if !d.Removing || len(d.Problems) != 1 {
			t.Errorf("%+v", d)
		}
		y.must(removeAct(y))
	})
}

// A domain cannot be deleted under its Workbench.
func TestDomainOutlivesWorkbench(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.deploy()
		y.must(y.domain().Offboard(t.Context(), "alice"))
		y.is(y.domains().Delete(t.Context(), "research"), domain.ErrState)
		time.Sleep(time.Minute)
		y.must(removeAllAct(y))
		y.must(y.domains().Delete(t.Context(), "research"))
	})
}
