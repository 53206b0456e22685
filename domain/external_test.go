package domain_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// kept makes a file system of another's, with a mount target in the first two zones,
// and asks for a domain over it.
func (w *world) kept(ctx context.Context) domain.CreateRequest {
	w.t.Helper()
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	group, err := awsec2.NewFromConfig(w.Config()).CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("reaches-homes"), Description: aws.String("of another"), VpcId: aws.String(w.DefaultVPC()),
	})
	must(err)
	client := awsefs.NewFromConfig(w.Config())
	fs, err := client.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{CreationToken: aws.String("another's")})
	must(err)
	time.Sleep(time.Minute)
	q := w.request()
	for _, s := range q.Subnets {
		_, err = client.CreateMountTarget(ctx, &awsefs.CreateMountTargetInput{FileSystemId: fs.FileSystemId, SubnetId: aws.String(s), SecurityGroups: []string{*group.GroupId}})
		must(err)
	}
	time.Sleep(5 * time.Minute)
	q.External = domain.External{Keeper: "SageMaker domain d-abc123", FileSystem: *fs.FileSystemId, HostSecurityGroups: []string{*group.GroupId}}
	return q
}

// TestExternal: a domain over another's file system opens its homes and gives no uid,
// and of the other's nothing is ever changed or deleted.
func TestExternal(t *testing.T) {
	inBubble(t, "Story", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		ctx := t.Context()
		q := w.kept(ctx)
		before := len(w.mutations())
		d, err := w.client().Create(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		about, err := d.Describe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{about.HostSecurityGroup, q.External.HostSecurityGroups[0]}; !slices.Equal(about.HostSecurityGroups(), want) || about.FileSystem != q.External.FileSystem {
			t.Errorf("it is %+v", about)
		}
		alice, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice", UID: 200007})
		if err != nil || alice.UID != 200007 || alice.Home.Path != "/200007" || alice.Home.FileSystem != q.External.FileSystem {
			t.Fatalf("%+v, %v", alice, err)
		}
		points, err := awsefs.NewFromConfig(w.Config()).DescribeAccessPoints(ctx, &awsefs.DescribeAccessPointsInput{AccessPointId: aws.String(alice.Home.AccessPoint)})
		if err != nil {
			t.Fatal(err)
		}
		made, enters := points.AccessPoints[0].RootDirectory.CreationInfo, points.AccessPoints[0].PosixUser
		if got := fmt.Sprintf("%d:%d %s, entered as %d:%d", *made.OwnerUid, *made.OwnerGid, *made.Permissions, *enters.Uid, *enters.Gid); got != "200007:0 0700, entered as 200007:200007" {
			t.Errorf("a home that is not there yet will be %s", got)
		}
		project, err := d.CreateProject(ctx, domain.CreateProjectRequest{Name: "genome"})
		if err != nil || project.GID != 1_000_000_000 {
			t.Errorf("%+v, %v", project, err)
		}
		if err := d.DeleteProject(ctx, "genome"); err != nil {
			t.Error(err)
		}
		// Again: nothing is made.
		made2 := len(w.mutations())
		if _, err = w.client().Create(ctx, q); err != nil {
			t.Error(err)
		}
		if again, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice", UID: 200007}); err != nil || again.Home != alice.Home {
			t.Errorf("%+v, %v", again, err)
		}
		for _, call := range w.mutations()[made2:] {
			if call != "elasticfilesystem:CreateAccessPoint" { // which finds what there is
				t.Errorf("the second time calls %s", call)
			}
		}
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		_, err = d.AuthorizeHomeDeletion(ctx, domain.HomeDeletionRequest{User: "alice", Path: "/200007", Image: "rm"})
		if !errors.Is(err, domain.ErrNotAllowed) || !strings.Contains(err.Error(), "kept by SageMaker domain d-abc123") {
			t.Errorf("the deletion of a home of another's: %v", err)
		}
		would, err := w.client().PreviewDelete(ctx, "research")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range would {
			if c.Thing == domain.ThingMountTarget || c.Thing == domain.ThingFileSystem && (c.Fate != domain.Stays || c.Detail != "with all files, of SageMaker domain d-abc123") {
				t.Errorf("the preview says %v", c)
			}
		}
		if err := w.client().Delete(ctx, "research"); err != nil {
			t.Fatal(err)
		}
		for _, call := range w.mutations()[before:] {
			switch call {
			case "ec2:CreateSecurityGroup", "ec2:DeleteSecurityGroup", // the hosts' group
				"elasticfilesystem:CreateAccessPoint", "elasticfilesystem:DeleteAccessPoint": // homes, and the project's
			default:
				t.Errorf("it called %s", call)
			}
		}
		// Created again it goes on with the same people.
		if d, err = w.client().Create(ctx, q); err != nil {
			t.Fatal(err)
		}
		if again, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice", UID: 200007}); err != nil || again.Home != alice.Home {
			t.Errorf("%+v, %v", again, err)
		}
	})
	inBubble(t, "Refused", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		ctx := t.Context()
		good := w.kept(ctx)
		before := len(w.mutations())
		for name, test := range map[string]struct {
			spoil func(*domain.CreateRequest)
			want  []string
		}{
			"NoFileSystem": {func(q *domain.CreateRequest) { q.External.FileSystem = "" }, []string{"the file system is missing"}},
			"All": {func(q *domain.CreateRequest) {
				q.External = domain.External{FileSystem: "fs-x", HostSecurityGroups: []string{"sg-1", "sg-00000001", "sg-00000002", "sg-00000002"}, HomeGID: 1 << 31}
				q.KMSKeyID = "alias/key"
			}, []string{`file system "fs-x"`, `keeper ""`, "4 security groups of hosts", `security group "sg-1"`, "listed twice", "gid 2147483648", "leave the key out"}},
			"Unknown":      {func(q *domain.CreateRequest) { q.External.FileSystem = "fs-00000001" }, []string{"fs-00000001 does not exist in us-east-1"}},
			"UnknownGroup": {func(q *domain.CreateRequest) { q.External.HostSecurityGroups = []string{"sg-00000001"} }, []string{"sg-00000001 does not exist in vpc-"}},
			"Zone":         {func(q *domain.CreateRequest) { q.Subnets = append(q.Subnets, w.Subnets()[2].ID) }, []string{"has no mount target"}},
		} {
			q := good
			q.Subnets = slices.Clone(good.Subnets)
			test.spoil(&q)
			_, err := w.client().Create(ctx, q)
			if !errors.Is(err, domain.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v does not say %q", name, err, want)
				}
			}
		}
		if calls := w.mutations()[before:]; len(calls) > 0 {
			t.Errorf("refused, it called %v", calls)
		}
	})
	inBubble(t, "Uids", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		ctx := t.Context()
		d, err := w.client().Create(ctx, w.kept(ctx))
		if err != nil {
			t.Fatal(err)
		}
		q := w.request()
		q.Name = "own"
		own, err := w.client().Create(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice", UID: 200001}); err != nil {
			t.Fatal(err)
		}
		for name, test := range map[string]struct {
			d    *domain.Domain
			q    domain.OnboardRequest
			kind domain.Kind
			want string
		}{
			"Missing":  {d, domain.OnboardRequest{User: "bob"}, domain.ErrInvalid, "want the one that the user has there"},
			"Anothers": {d, domain.OnboardRequest{User: "bob", UID: 200001}, domain.ErrConflict, "uid 200001: is that of user alice"},
			"Changed":  {d, domain.OnboardRequest{User: "alice", UID: 200002}, domain.ErrConflict, "the user has uid 200001"},
			"TooHigh":  {d, domain.OnboardRequest{User: "bob", UID: 1<<31 - 1}, domain.ErrInvalid, "want 65536 to"},
			"System":   {d, domain.OnboardRequest{User: "bob", UID: 1000}, domain.ErrInvalid, "want 65536 to"},
			"OwnGives": {own, domain.OnboardRequest{User: "bob", UID: 200001}, domain.ErrInvalid, "leave it out"},
		} {
			if _, err := test.d.Onboard(ctx, test.q); !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// What is refused takes nothing from others.
		_, err = d.Onboard(ctx, domain.OnboardRequest{User: "alice", UID: 200006, Login: "bob.smith"})
		if !errors.Is(err, domain.ErrConflict) {
			t.Error(err)
		}
		if _, err = d.Onboard(ctx, domain.OnboardRequest{User: "bob", UID: 200006, Login: "bob.smith"}); err != nil {
			t.Errorf("what alice was refused is not bob's: %v", err)
		}
		// Everything is told at once.
		_, err = d.Onboard(ctx, domain.OnboardRequest{User: "carol", Login: "root"})
		if err == nil || !strings.Contains(err.Error(), "the uid is missing") || !strings.Contains(err.Error(), "login root") {
			t.Error(err)
		}
		// Another domain of ours over the same homes has other names for people in vain.
		q = w.request()
		about, err := d.Describe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		q.Name, q.External = "second", about.External
		second, err := w.client().Create(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		_, err = second.Onboard(ctx, domain.OnboardRequest{User: "eve", UID: 200001})
		if u, readErr := second.User(ctx, "eve"); !errors.Is(err, domain.ErrConflict) || readErr != nil || u.UID != 200001 {
			t.Errorf("%v; %+v, %v", err, u, readErr)
		}
		_, err = second.Onboard(ctx, domain.OnboardRequest{User: "bob", UID: 200006})
		if !errors.Is(err, domain.ErrConflict) || !strings.Contains(err.Error(), `is that of atelier:domain "research", not "second"`) {
			t.Errorf("another domain of ours with the same name for them: %v", err)
		}
		// Of many at once one has the uid.
		errs := make(chan error)
		for n := range 5 {
			go func() {
				_, err := d.Onboard(ctx, domain.OnboardRequest{User: fmt.Sprintf("user%d", n), UID: 200009})
				errs <- err
			}()
		}
		got := 0
		for range 5 {
			if err := <-errs; err == nil {
				got++
			} else if !errors.Is(err, domain.ErrConflict) {
				t.Error(err)
			}
		}
		if got != 1 {
			t.Errorf("%d users have one uid", got)
		}
	})
}

// TestSuccessor: under the name of an earlier domain none is made whose homes are on
// another's file system, or on its own in place of another's: uids would be other people's.
func TestSuccessor(t *testing.T) {
	for name, order := range map[string][2]func(*domain.CreateRequest){
		"OwnThenExternal": {func(q *domain.CreateRequest) { q.External = domain.External{} }, func(*domain.CreateRequest) {}},
		"ExternalThenOwn": {func(*domain.CreateRequest) {}, func(q *domain.CreateRequest) { q.External = domain.External{} }},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
			ctx := t.Context()
			first := w.kept(ctx)
			second := first
			order[0](&first)
			order[1](&second)
			d, err := w.client().Create(ctx, first)
			if err != nil {
				t.Fatal(err)
			}
			ask := domain.OnboardRequest{User: "alice"}
			if first.External.FileSystem != "" {
				ask.UID = 200001
			}
			if _, err := d.Onboard(ctx, ask); err != nil {
				t.Fatal(err)
			}
			if err := d.Offboard(ctx, "alice"); err != nil {
				t.Fatal(err)
			}
			if err := w.client().Delete(ctx, "research"); err != nil {
				t.Fatal(err)
			}
			if _, err := w.client().Create(ctx, second); !errors.Is(err, domain.ErrConflict) || !strings.Contains(err.Error(), "homes on another file system (alice, uid 200001, on fs-") {
				t.Error(err)
			}
			if _, err := w.client().Create(ctx, first); err != nil {
				t.Errorf("as it was: %v", err)
			}
		})
	}
}
