package domain_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// things is what there is, looked at with the AWS SDK and what the domain tells,
// as a preview names it.
func (w *world) things(ctx context.Context, d *domain.Domain) map[string]bool {
	w.t.Helper()
	found := map[string]bool{}
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	add := func(what domain.Thing, name string) { found[string(what)+" "+name] = true }
	if about, err := d.Describe(ctx); err == nil {
		add(domain.ThingDomain, about.Name)
		for group := range about.GroupPolicies {
			add(domain.ThingPolicy, group)
		}
		for i, err := range d.Images(ctx) {
			must(err)
			add(domain.ThingImage, i.Name)
		}
	}
	for p, err := range d.Projects(ctx) {
		must(err)
		add(domain.ThingProject, p.Name)
	}
	for u, err := range d.Users(ctx) {
		must(err)
		if u.Offboarded.IsZero() {
			add(domain.ThingUser, u.Name)
		}
		if u.Home.Path != "" {
			add(domain.ThingHome, u.Name)
		}
	}
	groups, err := awsec2.NewFromConfig(w.Config()).DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{{Name: aws.String("tag-key"), Values: []string{"atelier:domain"}}},
	})
	must(err)
	for _, g := range groups.SecurityGroups {
		add(domain.ThingSecurityGroup, *g.GroupName)
	}
	efs := awsefs.NewFromConfig(w.Config())
	systems, err := efs.DescribeFileSystems(ctx, &awsefs.DescribeFileSystemsInput{})
	must(err)
	for _, fs := range systems.FileSystems {
		add(domain.ThingFileSystem, *fs.FileSystemId)
		targets, err := efs.DescribeMountTargets(ctx, &awsefs.DescribeMountTargetsInput{FileSystemId: fs.FileSystemId})
		must(err)
		for _, m := range targets.MountTargets {
			add(domain.ThingMountTarget, *m.MountTargetId)
		}
		points, err := efs.DescribeAccessPoints(ctx, &awsefs.DescribeAccessPointsInput{FileSystemId: fs.FileSystemId})
		must(err)
		for _, p := range points.AccessPoints {
			add(domain.ThingAccessPoint, *p.AccessPointId)
		}
	}
	return found
}

// told are the names of what a preview gives a fate.
func told(preview []domain.Consequence, fate domain.Fate) []string {
	var names []string
	for _, c := range preview {
		if c.Fate == fate {
			names = append(names, string(c.Thing)+" "+c.Name)
		}
	}
	slices.Sort(names)
	return names
}

// compare holds a preview against what was there before the deed and after.
func compare(t *testing.T, preview []domain.Consequence, before, after map[string]bool) {
	t.Helper()
	stayed := slices.Sorted(maps.Keys(after))
	maps.DeleteFunc(before, func(name string, _ bool) bool { return after[name] })
	if diff := cmp.Diff(slices.Sorted(maps.Keys(before)), told(preview, domain.Ends)); diff != "" {
		t.Errorf("what ended (-was +told):\n%s", diff)
	}
	if diff := cmp.Diff(stayed, told(preview, domain.Stays)); diff != "" {
		t.Errorf("what stayed (-was +told):\n%s", diff)
	}
}

// TestPreviewDelete: a deletion does what its preview said, no more and no less,
// and a preview changes nothing.
func TestPreviewDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Brisk()})
		ctx := t.Context()
		d := w.create(ctx)
		w.push("rocker/rstudio:4.5")
		attach(t, d, "rstudio", "rocker/rstudio:4.5")
		onboard(t, d, "alice", "lab")
		onboard(t, d, "bob")
		createProject(t, d, "alpha", "lab")
		createProject(t, d, "gone")
		if err := d.DeleteProject(ctx, "gone"); err != nil {
			t.Fatal(err)
		}
		if err := d.SetGroupPolicy(ctx, "lab", &domain.Policy{}); err != nil {
			t.Fatal(err)
		}
		look := func() []domain.Consequence {
			t.Helper()
			before, mutations := w.things(ctx, d), len(w.mutations())
			preview, err := w.client().PreviewDelete(ctx, "research")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, w.things(ctx, d)); diff != "" || len(w.mutations()) != mutations {
				t.Errorf("a preview changes something:\n%s", diff)
			}
			return preview
		}
		if got, want := told(look(), domain.Blocks), []string{"user alice", "user bob"}; !slices.Equal(got, want) {
			t.Errorf("blocked by %v, want %v", got, want)
		}
		is(t, w.client().Delete(ctx, "research"), domain.ErrState)
		for _, user := range []string{"alice", "bob"} {
			if err := d.Offboard(ctx, user); err != nil {
				t.Fatal(err)
			}
		}
		preview, before := look(), w.things(ctx, d)
		if got := told(preview, domain.Blocks); got != nil {
			t.Errorf("blocked by %v", got)
		}
		if err := w.client().Delete(ctx, "research"); err != nil {
			t.Fatal(err)
		}
		compare(t, preview, before, w.things(ctx, d))
		_, err := w.client().PreviewDelete(ctx, "research")
		is(t, err, domain.ErrNotFound)
		_, err = w.client().PreviewDelete(ctx, "re/search")
		is(t, err, domain.ErrInvalid)
	})
}

// TestPreviewDeleteHalfMade: what blocks a deletion is in its preview.
func TestPreviewDeleteHalfMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "elasticfilesystem:CreateAccessPoint", Nth: 1, Status: 400, Code: "ValidationException"}}})
		ctx := t.Context()
		d := w.create(ctx)
		_, err := d.CreateProject(ctx, domain.CreateProjectRequest{Name: "alpha"})
		is(t, err, domain.ErrInvalid)
		preview, err := w.client().PreviewDelete(ctx, "research")
		if err != nil || !slices.Equal(told(preview, domain.Blocks), []string{"project alpha"}) {
			t.Errorf("%v, %v", preview, err)
		}
		is(t, w.client().Delete(ctx, "research"), domain.ErrState)
		if err := d.DeleteProject(ctx, "alpha"); err != nil {
			t.Fatal(err)
		}
		if err := w.client().Delete(ctx, "research"); err != nil {
			t.Error(err)
		}
	})
}

// TestPreviewOffboard: the same of a user.
func TestPreviewOffboard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		alice := onboard(t, d, "alice", "lab")
		createProject(t, d, "alpha", "lab")
		preview, err := d.PreviewOffboard(ctx, "alice")
		if err != nil {
			t.Fatal(err)
		}
		before := w.things(ctx, d)
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		after := w.things(ctx, d)
		// Of what stays it tells what is the user's.
		for _, name := range told(preview, domain.Stays) {
			if !after[name] {
				t.Errorf("%s is gone", name)
			}
		}
		if got, want := told(preview, domain.Stays), []string{"access point " + alice.Home.AccessPoint, "home alice", "project alpha"}; !slices.Equal(got, want) {
			t.Errorf("told of %v, want %v", got, want)
		}
		maps.DeleteFunc(before, func(name string, _ bool) bool { return after[name] })
		if diff := cmp.Diff(slices.Sorted(maps.Keys(before)), told(preview, domain.Ends)); diff != "" {
			t.Errorf("what ended (-was +told):\n%s", diff)
		}
		if again, err := d.PreviewOffboard(ctx, "alice"); err != nil || told(again, domain.Ends) != nil {
			t.Errorf("of one who has left: %v, %v", again, err)
		}
		_, err = d.PreviewOffboard(ctx, "zed")
		is(t, err, domain.ErrNotFound)
	})
}
