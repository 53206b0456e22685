package sagemakerdomain_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// byOthers deletes a domain without RStudio's sessions as others do, by the API itself. What it
// leaves is there.
func (w *world) byOthers(id string, profiles ...string) {
	w.Helper()
	w.sm = awssagemaker.NewFromConfig(w.cloud.Config()) // theirs is another process
	server := &awssagemaker.DeleteAppInput{DomainId: &id, UserProfileName: aws.String("domain-shared"), AppType: types.AppTypeRStudioServerPro, AppName: aws.String("default")}
	_, err := w.sm.DeleteApp(w.Context(), server)
	w.must(err)
	w.settle(func() bool {
		app, err := w.sm.DescribeApp(w.Context(), &awssagemaker.DescribeAppInput{DomainId: server.DomainId, UserProfileName: server.UserProfileName, AppType: server.AppType, AppName: server.AppName})
		return err == nil && app.Status == types.AppStatusDeleted
	})
	for _, name := range profiles {
		_, err := w.sm.DeleteUserProfile(w.Context(), &awssagemaker.DeleteUserProfileInput{DomainId: &id, UserProfileName: &name})
		w.must(err)
	}
	time.Sleep(time.Minute)
	_, err = w.sm.DeleteDomain(w.Context(), &awssagemaker.DeleteDomainInput{DomainId: &id, RetentionPolicy: &types.RetentionPolicy{HomeEfsFileSystem: types.RetentionTypeRetain}})
	w.must(err)
	time.Sleep(10 * time.Minute)
}

// adopted makes a domain of SageMaker's with a user, and one of ours over it.
func (w *world) adopted() (sagemakerdomain.Description, *domain.Client, *domain.Domain) {
	w.Helper()
	source := w.domain()
	w.profile(source.ID, "ada")
	records, adopt := store.NewMemory(), sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"}
	to := w.domains(records)
	d, err := w.client().Adopt(w.Context(), to, adopt)
	for range 5 { // a fault without a subject strikes the first of each
		if errors.Is(err, fakeaws.ErrCrashed) {
			to = w.domains(records)
			d, err = w.client().Adopt(w.Context(), to, adopt)
		}
	}
	w.must(err)
	return source, to, d
}

// network is the security groups of an account with their rules.
func (w *world) network() map[string]string {
	found := map[string]string{}
	for what, text := range w.inventory() {
		if strings.HasPrefix(what, "sg-") || strings.HasPrefix(what, "fsmt-") || strings.HasPrefix(what, "eni-") {
			found[what] = text
		}
	}
	return found
}

// A domain of ours over one of SageMaker's that others have deleted is not cut off its homes,
// and the preview says so; when ours is deleted too, what was left goes.
func TestAdoptedDomainThatIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source, to, d := w.adopted()
		w.byOthers(source.ID, "ada")
		c := w.client()
		about, err := d.Describe(t.Context())
		w.must(err)
		before := w.inventory()
		for _, q := range []sagemakerdomain.DeleteDomainRequest{{}, {DeleteMountTargetsOf: source.FileSystem}, {DeleteFileSystem: source.FileSystem}} {
			q.Domain = source.ID
			would, err := c.PreviewDelete(t.Context(), q)
			w.must(err)
			if got := lines(would, domain.Blocks); !strings.Contains(got, "blocks: domain research (of ours opens its homes: delete that one first)") {
				t.Errorf("it is blocked by %q", got)
			}
			for range 2 { // also the second time
				w.is(c.DeleteDomain(t.Context(), q), domain.ErrState, "domain research of ours opens the homes on "+source.FileSystem)
			}
		}
		if got := differs(before, w.inventory()); got != "" {
			t.Errorf("refused, it changes %s", got)
		}
		groups, err := c.NFSGroups(t.Context(), source.ID)
		w.must(err)
		if got := about.HostSecurityGroups(); len(got) != 2 || got[1] != groups.Outbound {
			t.Errorf("hosts are in %v, and the group is %s", got, groups.Outbound)
		}

		w.must(d.Offboard(t.Context(), "ada"))
		w.must(to.Delete(t.Context(), "research"))
		time.Sleep(time.Minute)
		q := sagemakerdomain.DeleteDomainRequest{Domain: source.ID, DeleteMountTargetsOf: source.FileSystem}
		would, err := c.PreviewDelete(t.Context(), q)
		w.must(err)
		text := lines(would)
		for _, want := range []string{"ends: mount target fsmt-", "ends: security group security-group-for-outbound-nfs-" + source.ID, "ends: security group security-group-for-inbound-nfs-" + source.ID,
			"stays: file system " + source.FileSystem} {
			if !strings.Contains(text, want) {
				t.Errorf("the preview does not say %q:\n%s", want, text)
			}
		}
		if strings.Contains(text, "blocks:") || strings.Contains(text, "ends: domain") {
			t.Errorf("the preview is\n%s", text)
		}
		w.must(c.DeleteDomain(t.Context(), q))
		time.Sleep(time.Minute)
		if left, err := c.NFSGroups(t.Context(), source.ID); err != nil || left != (sagemakerdomain.NFSGroups{}) {
			t.Errorf("left are %+v, %v", left, err)
		}
		would, err = c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: source.ID})
		w.must(err)
		if got, want := lines(would), "stays: file system "+source.FileSystem+" (with all files)"; got != want {
			t.Errorf("the preview is %q, want %q", got, want)
		}
		_, err = awsefs.NewFromConfig(w.cloud.Config()).DeleteFileSystem(t.Context(), &awsefs.DeleteFileSystemInput{FileSystemId: &source.FileSystem})
		w.must(err)
		time.Sleep(3 * time.Second) // it is going
		_, err = c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: source.ID})
		w.is(err, domain.ErrNotFound, "Domains lists them")
	})
}

// A process that dies anywhere before it was refused has cut off nobody, and neither does the
// call after it.
func TestCrashesOnTheWayToTheRefusal(t *testing.T) {
	var calls []fakeaws.Call
	attempt := func(t *testing.T, crash *fakeaws.Fault) {
		t.Helper()
		bubble(t, func(t *testing.T) {
			cfg := slow()
			if crash != nil {
				cfg = slow(*crash)
			}
			w := newWorld(t, cfg)
			source, _, _ := w.adopted()
			w.byOthers(source.ID, "ada")
			before, from := w.network(), len(w.cloud.Calls())
			q := sagemakerdomain.DeleteDomainRequest{Domain: source.ID, DeleteMountTargetsOf: source.FileSystem}
			err := w.client().DeleteDomain(t.Context(), q)
			if crash == nil {
				calls = w.cloud.Calls()[from:]
			} else if !errors.Is(err, fakeaws.ErrCrashed) {
				t.Errorf("%v; want a crash", err)
			}
			for range 5 {
				if errors.Is(err, fakeaws.ErrCrashed) {
					err = w.client().DeleteDomain(t.Context(), q)
				}
			}
			w.is(err, domain.ErrState, "domain research of ours")
			if got := differs(before, w.network()); got != "" {
				t.Errorf("it changes %s", got)
			}
		})
	}
	attempt(t, nil)
	if len(calls) < 4 {
		t.Fatalf("it makes %d calls only", len(calls))
	}
	for _, c := range calls {
		t.Run(fmt.Sprintf("%s/%d", c.Action, c.Nth), func(t *testing.T) {
			attempt(t, &fakeaws.Fault{Action: c.Action, Subject: c.Subject, Nth: c.Nth, Crash: true})
		})
	}
}

// What others have in the group for outbound NFS keeps its way to the homes: nothing of the
// groups is changed before it is refused.
func TestOthersInTheGroupKeepTheirWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		groups, err := c.NFSGroups(t.Context(), d.ID)
		w.must(err)
		host := w.foreign(groups.Outbound)
		time.Sleep(time.Minute)
		rules := func() string {
			out, err := awsec2.NewFromConfig(w.cloud.Config()).DescribeSecurityGroups(t.Context(), &awsec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{{
				Name: aws.String("group-id"), Values: []string{groups.Inbound, groups.Outbound},
			}}})
			w.must(err)
			var text []string
			for _, g := range out.SecurityGroups {
				text = append(text, fmt.Sprintf("%s %d %d", *g.GroupId, len(g.IpPermissions), len(g.IpPermissionsEgress)))
			}
			return strings.Join(text, ", ")
		}
		before := rules()
		w.is(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID}), domain.ErrState, "security-group-for-outbound-nfs-"+d.ID, host, "take it out of the group")
		time.Sleep(time.Minute)
		if after := rules(); after != before {
			t.Errorf("rules were %s and are %s", before, after)
		}
	})
}

// Of an id that was never a domain's nothing is found: the preview refuses it, and deleting it,
// which cannot tell it from a domain that is gone for good, says so to who listens.
func TestDeleteDomainThatNeverWas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		d := w.domain()
		var told, logged strings.Builder
		c, err := sagemakerdomain.NewFromConfig(w.cloud.Config(), sagemakerdomain.Config{
			Progress: func(p sagemakerdomain.Progress) { fmt.Fprintln(&told, p) }, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		})
		w.must(err)
		q := sagemakerdomain.DeleteDomainRequest{Domain: "d-none"}
		_, err = c.PreviewDelete(t.Context(), q)
		w.is(err, domain.ErrNotFound, "Domains lists them")
		w.must(c.DeleteDomain(t.Context(), q))
		const said = "not found, nor anything that it left"
		if !strings.Contains(told.String(), "d-none: domain: d-none "+said) || !strings.Contains(logged.String(), "nor anything that it left was found") {
			t.Errorf("told\n%slogged\n%s", told.String(), logged.String())
		}
		told.Reset()
		w.must(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID}))
		w.must(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID})) // its file system is there
		if strings.Contains(told.String(), said) {
			t.Errorf("told\n%s", told.String())
		}
		would, err := c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID, DeleteFileSystem: d.FileSystem})
		w.must(err)
		if got := lines(would, domain.Blocks, domain.Ends); got != "blocks: file system "+d.FileSystem+" (the domain is gone, and it is there with all files: delete it by package efs, if it is to go)" {
			t.Errorf("the preview is %s", got)
		}
		_, err = c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: "d-none", DeleteMountTargetsOf: d.FileSystem})
		w.is(err, domain.ErrInvalid, "was not made by SageMaker for domain d-none")
	})
}

// Access points that a domain of ours has left go with the file system, and are told of.
func TestPreviewTellsOfAccessPoints(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		w.profile(source.ID, "ada")
		w.profile(source.ID, "bob")
		c, to := w.client(), w.domains(store.NewMemory())
		d, err := c.Adopt(t.Context(), to, sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"})
		w.must(err)
		for _, user := range []string{"ada", "bob"} {
			w.must(d.Offboard(t.Context(), user))
		}
		w.must(to.Delete(t.Context(), "research"))
		_, err = awsefs.NewFromConfig(w.cloud.Config()).CreateAccessPoint(t.Context(), &awsefs.CreateAccessPointInput{FileSystemId: &source.FileSystem, ClientToken: aws.String("another's")})
		w.must(err)
		time.Sleep(time.Minute)
		var ids []string
		for what, text := range w.inventory() {
			if strings.HasPrefix(what, "fsap-") && strings.Contains(text, domain.TagDomain) {
				ids = append(ids, what)
			}
		}
		would, err := c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: source.ID, DeleteFileSystem: source.FileSystem})
		w.must(err)
		text := lines(would, domain.Ends)
		if n := strings.Count(text, "ends: access point "); n != 1 {
			t.Errorf("%d lines tell of access points", n)
		}
		if !strings.Contains(text, "(2 of domain research of ours, by which it opened homes)") || len(ids) != 2 || !strings.Contains(text, ids[0]) || !strings.Contains(text, ids[1]) {
			t.Errorf("access points are %v, and the preview says\n%s", ids, text)
		}
		if !strings.Contains(text, "(the server of RStudio: goes with the domain)") || strings.Contains(text, "made again") {
			t.Errorf("of the server it says\n%s", text)
		}
		would, err = c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: source.ID})
		w.must(err)
		if text := lines(would); strings.Contains(text, "access point") {
			t.Errorf("they stay, and the preview says\n%s", text)
		}
	})
}
