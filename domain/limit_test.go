package domain

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
)

const dollar = instancetype.Dollar

func TestLimitsOfAGrant(t *testing.T) {
	f := testFacts()
	f.domain.Policy.Sessions, f.domain.Policy.BudgetPerUser = 100, 50*dollar
	maps.Copy(f.domain.Groups, map[string]Policy{
		"gpu":      {Types: []string{"p3.*"}, Budget: 1000 * dollar},
		"staff":    {Types: []string{"r5.*"}, Sessions: 20, SessionsPerUser: 2, Budget: 500 * dollar, BudgetPerUser: 40 * dollar},
		"students": {Types: []string{"t3.*"}},
		"zoology":  {Sessions: 1},
	})
	ofDomain := []Limit{
		{Scope: ScopeDomain, Name: "research", Rule: "the domain's policy", Sessions: 100},
		{Scope: ScopeUser, Name: "alice", Rule: "the domain's policy", Budget: 50 * dollar},
	}
	ofStaff := []Limit{
		{Scope: ScopeGroup, Name: "staff", Rule: "policy of group staff", Sessions: 20, Budget: 500 * dollar},
		{Scope: ScopeUser, Name: "alice", Rule: "policy of group staff", Sessions: 2, Budget: 40 * dollar},
	}
	ofGenome := Limit{Scope: ScopeProject, Name: "genome", Rule: "budget of project genome", Budget: 200 * dollar}
	f.projects = map[string]Project{
		"genome": {Name: "genome", Groups: []string{"staff"}, Budget: 200 * dollar, Created: begun},
		"trial":  {Name: "trial", Groups: []string{"staff"}, Created: begun},
	}
	for _, c := range []struct {
		groups []string
		typ    string
		payer  string
		group  string
		want   []Limit
		owners []owner
	}{
		{nil, "t3.medium", "", "", ofDomain, []owner{{ScopeUser, "alice"}, {ScopeDomain, "research"}}},
		{[]string{"zoology", "students", "gpu"}, "t3.medium", "", "students", ofDomain, []owner{{ScopeUser, "alice"}, {ScopeGroup, "students"}, {ScopeDomain, "research"}}},
		{[]string{"zoology", "students", "staff"}, "r5.large", "", "staff", append(ofDomain[:2:2], ofStaff...), []owner{{ScopeUser, "alice"}, {ScopeGroup, "staff"}, {ScopeDomain, "research"}}},
		{[]string{"staff"}, "r5.large", "genome", "staff", append(append(ofDomain[:2:2], ofStaff...), ofGenome),
			[]owner{{ScopeUser, "alice"}, {ScopeProject, "genome"}, {ScopeGroup, "staff"}, {ScopeDomain, "research"}}},
		{[]string{"staff"}, "r5.large", "trial", "staff", append(ofDomain[:2:2], ofStaff...),
			[]owner{{ScopeUser, "alice"}, {ScopeProject, "trial"}, {ScopeGroup, "staff"}, {ScopeDomain, "research"}}},
	} {
		f.user.Groups = c.groups
		g, wrong := decide(f, Ask{User: "alice", InstanceType: c.typ, ChargeTo: c.payer})
		if wrong != nil {
			t.Fatal(wrong)
		}
		if diff := cmp.Diff(c.want, g.Limits); diff != "" || g.Group != c.group {
			t.Errorf("%v on %s, by group %q (-want +got):\n%s", c.groups, c.typ, g.Group, diff)
		}
		if got := g.owners(); !reflect.DeepEqual(got, c.owners) {
			t.Errorf("%v on %s: accounts %v, want %v", c.groups, c.typ, got, c.owners)
		}
	}
	if g, _ := decide(testFacts(), Ask{User: "alice", InstanceType: "t3.medium"}); g.Limits != nil || len(g.owners()) != 1 {
		t.Errorf("without limits there are %v, accounts %v", g.Limits, g.owners())
	}
}

// TestUnknownCost asks for types without a price, with and without a budget.
func TestUnknownCost(t *testing.T) {
	world := func(change func(*facts)) facts {
		f := testFacts()
		f.prices.catalog = worldCatalog(t)
		f.domain.Policy = Policy{}
		f.user.Groups = []string{"staff"} // which has no policy
		f.projects = map[string]Project{"genome": {Name: "genome", Groups: []string{"staff"}, Budget: dollar, Created: begun}}
		f.domain.Groups = map[string]Policy{
			"large": {Types: []string{"*.large"}},
			"cheap": {Types: []string{"t3.*"}, Budget: dollar},
		}
		change(&f)
		return f
	}
	for _, c := range []struct {
		name   string
		facts  facts
		ask    Ask
		refuse string // what the refusal has; empty if granted
	}{
		{"no budget", world(func(*facts) {}), Ask{User: "alice", InstanceType: "new.large"}, ""},
		{"sessions alone", world(func(f *facts) { f.domain.Policy.Sessions = 1 }), Ask{User: "alice", InstanceType: "new.large"}, ""},
		{"budget of the domain", world(func(f *facts) { f.domain.Policy.Budget = dollar }), Ask{User: "alice", InstanceType: "new.large"},
			"instance type new.large: its price in us-east-1 is not known, and what it costs cannot be held to a budget (the domain's policy); choose one whose price is known, or ask an administrator"},
		{"budget of a user", world(func(f *facts) { f.domain.Policy.BudgetPerUser = dollar }), Ask{User: "alice", InstanceType: "new.large"}, "(the domain's policy)"},
		{"budget of a project that is not charged", world(func(*facts) {}), Ask{User: "alice", InstanceType: "new.large", Projects: []string{"genome"}}, ""},
		{"budget of a project", world(func(*facts) {}), Ask{User: "alice", InstanceType: "new.large", ChargeTo: "genome"},
			"instance type new.large: its price in us-east-1 is not known, and what it costs cannot be held to a budget (budget of project genome); choose one whose price is known, or ask an administrator"},
		{"an alternative", world(func(f *facts) { f.domain.Policy.Budget = dollar }), Ask{User: "alice", InstanceType: "t3.large", Alternatives: []string{"new.large"}}, "instance type new.large"},
		{"a group with a budget, another without", world(func(f *facts) {
			f.user.Groups = []string{"cheap", "large"}
			f.domain.Groups["cheap"] = Policy{Budget: dollar}
		}), Ask{User: "alice", InstanceType: "new.large"}, ""},
		{"an alternative that another group allows", world(func(f *facts) { f.user.Groups = []string{"cheap", "large"} }),
			Ask{User: "alice", InstanceType: "t3.large", Alternatives: []string{"new.large"}},
			"instance type new.large: its price in us-east-1 is not known, and what it costs cannot be held to a budget (policy of group cheap); choose one whose price is known, or ask an administrator"},
	} {
		g, wrong := decide(c.facts, c.ask)
		err := errors.Join(wrong...)
		switch {
		case c.refuse == "" && err != nil, c.refuse != "" && (err == nil || !strings.Contains(err.Error(), c.refuse) || !errors.Is(err, ErrNotAllowed)):
			t.Errorf("%s: %v, want %q", c.name, err, c.refuse)
		case c.refuse == "":
			if rate, known := g.PerHour(""); rate != 0 || known {
				t.Errorf("%s: %v, %t", c.name, rate, known)
			}
		}
	}
}

// TestUnusableStore: a store that refuses the program is an administrator's turn.
func TestUnusableStore(t *testing.T) {
	err := fail(t.Context(), "account", "research/alice", fmt.Errorf("table x: %w", store.ErrUnusable))
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != ErrDenied || !errors.Is(err, store.ErrUnusable) {
		t.Error(err)
	}
}

func TestPolicyLimits(t *testing.T) {
	good := Policy{Sessions: maxSessions, SessionsPerUser: 1, Budget: dollar, BudgetPerUser: 1}
	if found := good.problems(instancetype.Embedded()); found != nil {
		t.Error(found)
	}
	bad := Policy{Sessions: maxSessions + 1, SessionsPerUser: -1, Budget: -1, BudgetPerUser: -dollar}
	want := `policy: 2001 sessions at one time: want 1 to 2000, as many as one account can hold, or 0 for no limit
policy: -1 sessions of a user at one time: want 1 to 2000, as many as one account can hold, or 0 for no limit
policy: budget -$0.000001 a month may not be negative
policy: budget of a user -$1.00 a month may not be negative`
	if got := errors.Join(bad.problems(instancetype.Embedded())...).Error(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestPolicyEqual changes each field in turn: one that equal does not look at would
// let Create take another request for the same.
func TestPolicyEqual(t *testing.T) {
	for field := range reflect.TypeFor[Policy]().NumField() {
		var p Policy
		switch v := reflect.ValueOf(&p).Elem().Field(field); v.Kind() {
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		case reflect.Map:
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem())
		case reflect.String:
			v.SetString("x")
		case reflect.Bool:
			v.SetBool(true)
		default:
			v.SetInt(1)
		}
		if p.Equal(Policy{}) || !p.Equal(p.normal()) {
			t.Errorf("%+v and %+v", p, Policy{})
		}
	}
}
