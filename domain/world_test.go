package domain_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// world is an account, and a store for the records of its domains.
type world struct {
	*fakeaws.Cloud
	t     testing.TB
	store store.Store
}

// inBubble runs one subtest in a bubble of its own.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func newWorld(t testing.TB, c fakeaws.Config) *world {
	t.Helper()
	cloud, err := fakeaws.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &world{Cloud: cloud, t: t, store: store.NewMemory()}
}

// client is what a new process would make.
func (w *world) client() *domain.Client {
	w.t.Helper()
	c, err := domain.NewFromConfig(w.Config(), domain.Config{Store: w.store})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// request asks for a domain with two subnets, in two zones.
func (w *world) request() domain.CreateRequest {
	return domain.CreateRequest{
		Name: "research", VPC: w.DefaultVPC(), Subnets: []string{w.Subnets()[0].ID, w.Subnets()[1].ID},
		Tags: map[string]string{"team": "science"},
	}
}

// create makes the domain of request.
func (w *world) create(ctx context.Context) *domain.Domain {
	w.t.Helper()
	d, err := w.client().Create(ctx, w.request())
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func onboard(t testing.TB, d *domain.Domain, user string, groups ...string) domain.User {
	t.Helper()
	u, err := d.Onboard(t.Context(), domain.OnboardRequest{User: user, Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// mutations are the calls that were made to change something.
func (w *world) mutations() []string {
	var actions []string
	for _, call := range w.Calls() {
		if _, name, _ := strings.Cut(call.Action, ":"); !strings.HasPrefix(name, "Describe") {
			actions = append(actions, call.Action)
		}
	}
	return actions
}

// inventory is what the account holds, looked at with the AWS SDK alone.
func (w *world) inventory(ctx context.Context) string {
	w.t.Helper()
	var lines []string
	ec2, efs := awsec2.NewFromConfig(w.Config()), awsefs.NewFromConfig(w.Config())
	groups, err := ec2.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{{Name: aws.String("tag-key"), Values: []string{"atelier:domain"}}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	names := map[string]string{}
	for _, g := range groups.SecurityGroups {
		names[*g.GroupId] = *g.GroupName
	}
	slices.SortFunc(groups.SecurityGroups, func(a, b types.SecurityGroup) int { return cmp.Compare(*a.GroupName, *b.GroupName) })
	for _, g := range groups.SecurityGroups {
		lines = append(lines, "security group "+*g.GroupName)
		for way, rules := range [][]types.IpPermission{g.IpPermissions, g.IpPermissionsEgress} {
			for _, r := range rules {
				text := fmt.Sprintf("  %s: %s %d-%d", []string{"in", "out"}[way], *r.IpProtocol, aws.ToInt32(r.FromPort), aws.ToInt32(r.ToPort))
				for _, ip := range r.IpRanges {
					text += " " + *ip.CidrIp
				}
				for _, pair := range r.UserIdGroupPairs {
					text += " " + names[*pair.GroupId]
				}
				lines = append(lines, text)
			}
		}
	}
	systems, err := efs.DescribeFileSystems(ctx, &awsefs.DescribeFileSystemsInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, fs := range systems.FileSystems {
		lines = append(lines, fmt.Sprintf("file system %s, %s, encrypted %t", *fs.CreationToken, fs.LifeCycleState, *fs.Encrypted))
		targets, err := efs.DescribeMountTargets(ctx, &awsefs.DescribeMountTargetsInput{FileSystemId: fs.FileSystemId})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range targets.MountTargets {
			held, err := efs.DescribeMountTargetSecurityGroups(ctx, &awsefs.DescribeMountTargetSecurityGroupsInput{MountTargetId: m.MountTargetId})
			if err != nil {
				w.t.Fatal(err)
			}
			text := fmt.Sprintf("  mount target in %s, %s,", *m.AvailabilityZoneName, m.LifeCycleState)
			for _, g := range held.SecurityGroups {
				text += " " + names[g]
			}
			lines = append(lines, text)
		}
		slices.Sort(lines[len(lines)-len(targets.MountTargets):])
		points, err := efs.DescribeAccessPoints(ctx, &awsefs.DescribeAccessPointsInput{FileSystemId: fs.FileSystemId})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, p := range points.AccessPoints {
			var text string
			if p.PosixUser == nil {
				text = fmt.Sprintf("  access point %s of group %d,", *p.RootDirectory.Path, *p.RootDirectory.CreationInfo.OwnerGid)
			} else {
				text = fmt.Sprintf("  access point %s as %d:%d,", *p.RootDirectory.Path, *p.PosixUser.Uid, *p.PosixUser.Gid)
			}
			for _, tag := range p.Tags {
				text += fmt.Sprintf(" %s=%s", *tag.Key, *tag.Value)
			}
			lines = append(lines, text)
		}
		slices.Sort(lines[len(lines)-len(points.AccessPoints):])
	}
	return strings.Join(lines, "\n") + "\n"
}

// audit fails unless the account holds the whole of one domain.
func (w *world) audit(ctx context.Context, targets, points int) {
	w.t.Helper()
	text := w.inventory(ctx)
	for what, want := range map[string]int{"file system": 1, "mount target in": targets, "access point": points, "security group atelier": 2} {
		if n := strings.Count(text, what); n != want {
			w.t.Errorf("%d of %q, want %d:\n%s", n, what, want, text)
		}
	}
}

// must returns a domain that exists.
func (w *world) must(name string) *domain.Domain {
	w.t.Helper()
	d, err := w.client().Get(context.Background(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// slowStore takes a while before each call, so that others come between.
type slowStore struct {
	store.Store
	mu    sync.Mutex
	pause func() time.Duration
}

func (s *slowStore) wait() {
	s.mu.Lock()
	d := s.pause()
	s.mu.Unlock()
	time.Sleep(d)
}

func (s *slowStore) Get(ctx context.Context, collection, id string) (store.Record, error) {
	s.wait()
	return s.Store.Get(ctx, collection, id)
}

func (s *slowStore) Put(ctx context.Context, r store.Record) (int64, error) {
	s.wait()
	return s.Store.Put(ctx, r)
}

func (s *slowStore) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	s.wait()
	return s.Store.List(ctx, collection, after)
}

// made are identifiers and digests that AWS, here the fake, chose.
var made = regexp.MustCompile(`\b(vpc|subnet|sg|fs|fsmt|fsap)-0[0-9a-f]{16}\b|sha256:[0-9a-f]{64}`)

// golden compares got, without what AWS chose in it, with a file of testdata.
// The flag -update, which the tests of the package proper declare, writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = made.ReplaceAllString(got, "$1-*")
	file := filepath.Join("testdata", name)
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// is fails the test unless err is of a kind.
func is(t testing.TB, err error, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("%v, want %v", err, kind)
	}
	if _, ok := errors.AsType[*domain.Error](err); !ok {
		t.Fatalf("%v is no *domain.Error", err)
	}
}
