package domain_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// checkAgrees fails unless CheckCreate says of a request, and nothing else, what Create was
// refused with, each of a kind that the error has.
func checkAgrees(t testing.TB, w *world, q domain.CreateRequest, refused error) {
	t.Helper()
	refusals, err := w.client().CheckCreate(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	cause := ""
	if e, ok := errors.AsType[*domain.Error](refused); ok {
		cause = e.Err.Error()
	}
	if joined := errors.Join(refusals...); joined == nil && cause != "" || joined != nil && joined.Error() != cause {
		t.Errorf("the check finds\n%v\nand Create\n%s", joined, cause)
	}
	for _, r := range refusals {
		kind, ok := errors.AsType[domain.Kind](r)
		if !ok || !errors.Is(refused, kind) {
			t.Errorf("%v is %q", r, kind)
		}
	}
}

// TestCheckCreate: what Create would come upon is found before it makes anything, all of it
// at once; what could not be looked at is told.
func TestCheckCreate(t *testing.T) {
	foreign := func(w *world) {
		_, err := awsec2.NewFromConfig(w.Config()).CreateSecurityGroup(w.t.Context(), &awsec2.CreateSecurityGroupInput{
			GroupName: aws.String("atelier-research-hosts"), Description: aws.String("of another"), VpcId: aws.String(w.DefaultVPC()),
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	closing := func(w *world) {
		w.create(w.t.Context())
		if err := w.client().Delete(w.t.Context(), "research"); err == nil {
			w.t.Fatal("it is deleted")
		}
	}
	keep := fakeaws.Config{Faults: []fakeaws.Fault{{Action: "ec2:DeleteSecurityGroup", Status: 403, Code: "UnauthorizedOperation"}}}
	for name, test := range map[string]struct {
		account fakeaws.Config
		before  func(*world)
		change  func(*domain.CreateRequest)
		kind    domain.Kind
		want    []string
	}{
		"Fine":    {before: func(*world) {}},
		"Made":    {before: func(w *world) { w.create(w.t.Context()) }},
		"Foreign": {before: foreign, kind: domain.ErrConflict, want: []string{"is already called atelier-research-hosts and lacks the tag"}},
		"ForeignAndPolicy": {
			before: foreign, change: func(q *domain.CreateRequest) { q.Policy.Types = []string{"x"} },
			kind: domain.ErrInvalid, want: []string{`policy: instance type "x"`, "is already called atelier-research-hosts"},
		},
		"Another": {
			before: func(w *world) { w.create(w.t.Context()) }, change: func(q *domain.CreateRequest) { q.Tags = nil },
			kind: domain.ErrConflict, want: []string{"a domain of this name exists", "its tags is"},
		},
		"Closing": {account: keep, before: closing, kind: domain.ErrState, want: []string{"the domain is being deleted"}},
		"ClosingAndAnother": {
			account: keep, before: closing, change: func(q *domain.CreateRequest) { q.KMSKeyID = "alias/key" },
			kind: domain.ErrConflict, want: []string{"its KMS key is", "the domain is being deleted"},
		},
		"Predecessor": {
			before: func(w *world) {
				d := w.create(w.t.Context())
				onboard(w.t, d, "alice")
				if err := errors.Join(d.Offboard(w.t.Context(), "alice"), w.client().Delete(w.t.Context(), "research")); err != nil {
					w.t.Fatal(err)
				}
			},
			change: func(q *domain.CreateRequest) {
				q.External = domain.External{Keeper: "another", FileSystem: "fs-00000001"}
			},
			kind: domain.ErrInvalid, want: []string{"fs-00000001 does not exist", "an earlier domain of this name had users"},
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t, test.account)
			w.t = t
			test.before(w)
			q := w.request()
			if test.change != nil {
				test.change(&q)
			}
			before, had := w.mutations(), slices.Collect(keysOf(w, t))
			_, err := w.client().Create(t.Context(), q)
			if test.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				checkAgrees(t, w, q, nil)
				return
			}
			is(t, err, test.kind)
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			checkAgrees(t, w, q, err)
			if after := w.mutations(); len(after) != len(before) {
				t.Errorf("refused, it calls %v", after[len(before):])
			}
			if has := slices.Collect(keysOf(w, t)); !slices.Equal(has, had) {
				t.Errorf("refused, it leaves the domains %v, before %v", has, had)
			}
		})
	}
	inBubble(t, "Unread", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "ec2:DescribeSubnets", Status: 403, Code: "UnauthorizedOperation"}}})
		foreign(w)
		refusals, err := w.client().CheckCreate(t.Context(), w.request())
		is(t, err, domain.ErrDenied)
		if len(refusals) != 1 || !errors.Is(refusals[0], domain.ErrConflict) {
			t.Errorf("it finds %v", refusals)
		}
		_, err = w.client().Create(t.Context(), w.request())
		is(t, err, domain.ErrConflict)
	})
}

// keysOf yields the names of the domains that have a record.
func keysOf(w *world, t testing.TB) func(func(string) bool) {
	return func(yield func(string) bool) {
		for r, err := range w.store.List(t.Context(), "domains", "") {
			if err != nil {
				t.Fatal(err)
			}
			if !yield(r.ID) {
				return
			}
		}
	}
}

// TestCheckOnboard: it has against a request by itself what Onboard has.
func TestCheckOnboard(t *testing.T) {
	inBubble(t, "All", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		d, err := w.client().Create(t.Context(), w.kept(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []domain.OnboardRequest{
			{User: "alice", UID: 200001}, {User: "nobody", Login: "carol", UID: 200002}, {User: "bob", Login: "bob.smith", UID: 200003, Groups: []string{"staff"}},
			{User: "Bob", UID: 200004}, {User: "root", UID: 200004}, {User: "eve", Login: "root", UID: 200004}, {User: "eve", UID: 1000},
			{User: "eve", UID: 1<<31 - 1}, {User: "eve", UID: 200004, Groups: []string{"a", "a", "B"}}, {User: "root", UID: 7, Groups: []string{"B"}},
		} {
			_, err := d.Onboard(t.Context(), q)
			refusals := domain.CheckOnboard(q)
			if e, ok := errors.AsType[*domain.Error](err); ok != (len(refusals) > 0) || ok && e.Err.Error() != errors.Join(refusals...).Error() {
				t.Errorf("%+v: the check finds %v, and Onboard %v", q, refusals, err)
			}
			for _, r := range refusals {
				if !errors.Is(r, domain.ErrInvalid) {
					t.Errorf("%v", r)
				}
			}
		}
	})
}

// TestSetHostSecurityGroups: hosts reach the file system by other groups from then on, if
// those are such as Create takes.
func TestSetHostSecurityGroups(t *testing.T) {
	inBubble(t, "All", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		ctx := t.Context()
		q := w.kept(ctx)
		d, err := w.client().Create(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		group := func(name, vpc string) string {
			out, err := awsec2.NewFromConfig(w.Config()).CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
				GroupName: aws.String(name), Description: aws.String("of another"), VpcId: aws.String(vpc),
			})
			if err != nil {
				t.Fatal(err)
			}
			return *out.GroupId
		}
		vpc, _ := w.AddVPC()
		elsewhere := group("elsewhere", vpc)
		more := []string{group("b", w.DefaultVPC()), group("a", w.DefaultVPC())}
		time.Sleep(time.Minute) // what was just made may be invisible
		before := len(w.mutations())
		for name, test := range map[string]struct {
			groups []string
			want   string
		}{
			"Malformed": {[]string{"sg-1"}, `security group "sg-1"`},
			"Twice":     {[]string{more[0], more[0]}, "listed twice"},
			"Many":      {append([]string{elsewhere, q.External.HostSecurityGroups[0]}, more...), "4 security groups of hosts: want at most 3"},
			"Unknown":   {[]string{"sg-00000001"}, "sg-00000001 does not exist in vpc-"},
			"Elsewhere": {[]string{elsewhere}, "does not exist in " + w.DefaultVPC()},
		} {
			err := d.SetHostSecurityGroups(ctx, test.groups)
			refusals, checkErr := d.CheckHostSecurityGroups(ctx, test.groups)
			if !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), test.want) || checkErr != nil || len(refusals) != 1 || !strings.HasSuffix(err.Error(), refusals[0].Error()) {
				t.Errorf("%s: %v; the check finds %v, %v", name, err, refusals, checkErr)
			}
		}
		for range 2 {
			if err := d.SetHostSecurityGroups(ctx, more); err != nil {
				t.Fatal(err)
			}
			about, err := d.Describe(ctx)
			if err != nil || !slices.Equal(about.HostSecurityGroups(), append([]string{about.HostSecurityGroup}, more...)) {
				t.Errorf("hosts are in %v, %v", about.HostSecurityGroups(), err)
			}
		}
		// Who asks for it as it was made is told what has changed it, who asks for it as it is has it.
		_, err = w.client().Create(ctx, q)
		if is(t, err, domain.ErrConflict); !strings.Contains(err.Error(), "change them with SetHostSecurityGroups") {
			t.Error(err)
		}
		q.External.HostSecurityGroups = []string{more[1], more[0]}
		if _, err = w.client().Create(ctx, q); err != nil {
			t.Error(err)
		}
		if calls := w.mutations()[before:]; len(calls) > 0 {
			t.Errorf("it calls %v", calls)
		}
		own := w.request()
		own.Name = "own"
		d, err = w.client().Create(ctx, own)
		if err != nil {
			t.Fatal(err)
		}
		if err = d.SetHostSecurityGroups(ctx, nil); !strings.Contains(err.Error(), "a file system of its own") {
			t.Error(err)
		}
		is(t, err, domain.ErrState)
		if err := w.client().Delete(ctx, "own"); err != nil {
			t.Fatal(err)
		}
		is(t, d.SetHostSecurityGroups(ctx, nil), domain.ErrNotFound)
	})
}

// TestCreateDifferentlyAtOnce: of requests for one name that differ one is met, and the
// others are told so.
func TestCreateDifferentlyAtOnce(t *testing.T) {
	inBubble(t, "All", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		errs := make([]error, 10)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				q := w.request()
				q.Tags = map[string]string{"caller": strconv.Itoa(i)}
				_, errs[i] = w.client().Create(t.Context(), q)
			})
		}
		wg.Wait()
		met := 0
		for _, err := range errs {
			if err == nil {
				met++
			} else {
				is(t, err, domain.ErrConflict)
			}
		}
		if met != 1 {
			t.Errorf("%d of %d requests were met", met, len(errs))
		}
	})
}

// TestGroupsOfADomainThatIsBeingDeleted: they are as they are.
func TestGroupsOfADomainThatIsBeingDeleted(t *testing.T) {
	inBubble(t, "All", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "ec2:DeleteSecurityGroup", Status: 403, Code: "UnauthorizedOperation"}}})
		q := w.kept(t.Context())
		d, err := w.client().Create(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		is(t, w.client().Delete(t.Context(), q.Name), domain.ErrDenied)
		refusals, err := d.CheckHostSecurityGroups(t.Context(), q.External.HostSecurityGroups)
		if err != nil || len(refusals) != 1 || !errors.Is(refusals[0], domain.ErrState) {
			t.Errorf("it finds %v, %v", refusals, err)
		}
		is(t, d.SetHostSecurityGroups(t.Context(), q.External.HostSecurityGroups), domain.ErrState)
	})
}
