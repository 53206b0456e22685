package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/session"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestStory holds what the example prints, to the tenth of a second.
func TestStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		if err := inMemory(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		const golden = "testdata/story.golden"
		if *update {
			if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if out.String() != string(want) {
			t.Errorf("the story has changed; rewrite it with -update if that is right:\n%s", out.String())
		}
	})
}

// TestStoryCrashedAnywhere plays the story once for every AWS call in it, and
// kills the program at that call: before it took effect, and after, when the
// answer is lost. A new program goes on with the step that was interrupted.
// Whatever the call, the story ends as it does without a crash.
func TestStoryCrashedAnywhere(t *testing.T) {
	var calls []fakeaws.Call
	t.Run("undisturbed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { calls, _ = playWith(t, nil) })
	})
	if len(calls) < 50 {
		t.Fatalf("the story makes %d calls: too few to be the story", len(calls))
	}
	step := 1
	if testing.Short() {
		step = 10
	}
	var missed atomic.Int64
	t.Run("crashed", func(t *testing.T) {
		for n := 0; n < len(calls); n += step {
			c := calls[n]
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%d/after=%v", c.Action, c.Subject, c.Nth, after), func(t *testing.T) {
					t.Parallel() // each has an account and a clock of its own
					synctest.Test(t, func(t *testing.T) {
						fault := fakeaws.Fault{Action: c.Action, Subject: c.Subject, Nth: c.Nth, After: after, Crash: true}
						if _, crashed := playWith(t, []fakeaws.Fault{fault}); !crashed {
							missed.Add(1)
						}
					})
				})
			}
		}
	})
	// How often a host is looked at while it boots depends a little on the
	// order of goroutines, so the last look of one run may be missing in another.
	if n := int(missed.Load()); n > len(calls)/20 {
		t.Errorf("%d of %d crashes did not happen", n, 2*len(calls))
	}
}

// playWith plays the story and checks how it ended. It returns the calls it
// made, and whether the program crashed.
func playWith(t *testing.T, faults []fakeaws.Fault) ([]fakeaws.Call, bool) {
	cloud, err := fakeaws.New(fakeaws.Config{Delays: fakeaws.Realistic(), Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	}()
	var watch census
	at, err := arrange(cloud, watch.program)
	if err != nil {
		t.Fatal(err)
	}
	records := store.NewMemory()
	programs := 0
	for next := 0; next <= len(steps(at)); programs++ {
		next, err = process(t, cloud, at, records, next)
		if err != nil && cloud.Injected() == 0 {
			t.Fatal(err)
		}
	}
	if programs != 1+cloud.Injected() {
		t.Errorf("%d programs were needed for %d crashes", programs, cloud.Injected())
	}
	calls := cloud.Calls()
	checkEnd(t, cloud, &watch)
	return calls, programs > 1
}

// process plays the story from a step on until it ends or the program crashes,
// and returns the next step.
func process(t *testing.T, cloud *fakeaws.Cloud, at place, records store.Store, next int) (int, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Hour)
	defer cancel()
	crashed := cloud.Crashed()
	cfg := cloud.Config()
	go func() {
		select {
		case <-crashed:
			cancel()
		case <-ctx.Done():
		}
	}()
	s, err := open(ctx, cfg, at, records, func(string, ...any) {})
	if err != nil {
		return next, err
	}
	for ; next < len(steps(at)); next++ {
		if err = steps(at)[next].do(s, ctx); err != nil {
			break
		}
	}
	if closed := s.close(); closed != nil {
		t.Errorf("the program did not end well: %v", closed)
	}
	select {
	case <-crashed:
		return next, fakeaws.ErrCrashed
	default:
	}
	if err != nil {
		t.Fatalf("step %d: %v", next, err)
	}
	return next + 1, nil
}

// checkEnd checks that the account holds what the story leaves and nothing else.
func checkEnd(t *testing.T, cloud *fakeaws.Cloud, watch *census) {
	t.Helper()
	ctx, cfg := t.Context(), cloud.Config()
	systems, err := awsefs.NewFromConfig(cfg).DescribeFileSystems(ctx, &awsefs.DescribeFileSystemsInput{})
	if err != nil {
		t.Fatal(err)
	}
	if len(systems.FileSystems) != 1 {
		t.Fatalf("%d file systems, want 1", len(systems.FileSystems))
	}
	fs := aws.ToString(systems.FileSystems[0].FileSystemId)
	points, err := awsefs.NewFromConfig(cfg).DescribeAccessPoints(ctx, &awsefs.DescribeAccessPointsInput{FileSystemId: aws.String(fs)})
	if err != nil {
		t.Fatal(err)
	}
	homes := map[string]int64{}
	for _, p := range points.AccessPoints {
		homes[aws.ToString(p.RootDirectory.Path)] = aws.ToInt64(p.PosixUser.Uid)
	}
	if want := map[string]int64{"/200001": 200001, "/200002": 200002}; len(points.AccessPoints) != 2 || !maps.Equal(homes, want) {
		t.Errorf("homes are %v, want %v", homes, want)
	}
	files, err := cloud.Files(fs)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := files.ReadFile("/200001/result.txt"); err != nil || string(text) != "42\n" {
		t.Errorf("alice's file is %q, %v", text, err)
	}
	time.Sleep(2 * time.Minute) // virtual: nothing lingers
	var types []string
	pages, err := awsec2.NewFromConfig(cfg).DescribeInstances(ctx, &awsec2.DescribeInstancesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range pages.Reservations {
		for _, i := range r.Instances {
			types = append(types, string(i.InstanceType))
			if i.State.Name != "terminated" {
				t.Errorf("instance %s is %s: an orphan", aws.ToString(i.InstanceId), i.State.Name)
			}
		}
	}
	slices.Sort(types)
	if want := []string{"c5.xlarge", "r5.4xlarge", "t3.medium"}; !slices.Equal(types, want) {
		t.Errorf("bought %v, want %v", types, want)
	}
	watch.check(t)
}

// A census counts the containers of each session that live at one time, from
// inside the containers.
type census struct {
	mu   sync.Mutex
	live map[string]int
	most map[string]int
}

// program is the image's program with a count around it.
func (c *census) program(ctx context.Context, p *fakelauncher.Proc) int {
	name := strings.Join(strings.Split(string(p.ID), ".")[:2], ".") // without the generation
	c.mu.Lock()
	if c.live == nil {
		c.live, c.most = map[string]int{}, map[string]int{}
	}
	c.live[name]++
	c.most[name] = max(c.most[name], c.live[name])
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.live[name]--
		c.mu.Unlock()
	}()
	return fake.IDE(ctx, p)
}

func (c *census) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range []session.ID{"analysis", "notes", "genome"} {
		name := "research." + string(id)
		if c.most[name] != 1 || c.live[name] != 0 {
			t.Errorf("session %s had %d containers at one time and has %d now, want 1 and 0", id, c.most[name], c.live[name])
		}
	}
}

// TestStoryOnEngine plays the story with real containers.
func TestStoryOnEngine(t *testing.T) {
	dockertest.Engine(t)
	var out strings.Builder
	if err := onEngine(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		`dialled, it answers "session of alice"`, `dialled, it answers "session of bob"`, `analysis reads /home/alice/result.txt: "42\n"`,
		"session analysis of alice: stopped", "containers that still run: 0",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q:\n%s", want, out.String())
		}
	}
}
