package domain

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/instancetype"
)

// TestBounds: a grant has the rules of the domain and of all groups of the user, with
// their owners, and shares nothing with the policies.
func TestBounds(t *testing.T) {
	f := testFacts()
	f.domain.Policy.Idle = []IdleRule{{After: 8 * time.Hour}}
	students := f.domain.Groups["students"]
	students.Idle = []IdleRule{{After: time.Hour, MinPricePerHour: instancetype.Dollar / 10, Kinds: []string{"rstudio"}}}
	students.MaxLifetime = 24 * time.Hour
	f.domain.Groups["students"] = students
	other := f.domain.Groups["gpu"]
	other.MaxLifetime = time.Hour
	f.domain.Groups["gpu"] = other
	f.user = testUser("alice", 200001, "students")
	grant, wrong := decide(f, Ask{User: "alice", InstanceType: "t3.medium"})
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	want := []Bound{
		{Idle: IdleRule{After: 8 * time.Hour}, Owner: "the domain's policy"},
		{Idle: students.Idle[0], Owner: "policy of group students"},
		{MaxLifetime: 24 * time.Hour, Owner: "policy of group students"},
	}
	if diff := cmp.Diff(want, grant.Bounds); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	grant.Bounds[1].Idle.Kinds[0] = "changed"
	if students.Idle[0].Kinds[0] != "rstudio" {
		t.Error("the grant shares memory with the policy")
	}
}

func TestIdleRuleApplies(t *testing.T) {
	rule := IdleRule{Kinds: []string{"rstudio", "jupyterlab"}, MinPricePerHour: instancetype.Dollar}
	for _, c := range []struct {
		kind  string
		price instancetype.Money
		known bool
		want  bool
	}{
		{"rstudio", instancetype.Dollar, true, true},
		{"rstudio", instancetype.Dollar - 1, true, false},
		{"rstudio", 0, false, true}, // as dear
		{"job", instancetype.Dollar, true, false},
	} {
		if got := rule.Applies(c.kind, c.price, c.known); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if !(IdleRule{}).Applies("job", 0, true) {
		t.Error("a rule for all is not for a job")
	}
}

func TestWarnBefore(t *testing.T) {
	for rule, want := range map[time.Duration]time.Duration{10 * time.Minute: time.Minute, 2 * time.Hour: 12 * time.Minute, 24 * time.Hour: 15 * time.Minute} {
		if got := (IdleRule{After: rule}).WarnBefore(); got != want {
			t.Errorf("after %v: %v, want %v", rule, got, want)
		}
	}
	if got := (IdleRule{After: time.Hour, Warn: time.Minute}).WarnBefore(); got != time.Minute {
		t.Errorf("as it says: %v", got)
	}
}

// TestIdleProblems: everything that makes no sense is told at once.
func TestIdleProblems(t *testing.T) {
	p := Policy{MaxLifetime: time.Second, Idle: []IdleRule{
		{}, {After: time.Hour, Warn: time.Hour}, {After: 31 * 24 * time.Hour, MinPricePerHour: -1, Kinds: []string{""}}, {After: time.Hour},
	}}
	var text strings.Builder
	for _, err := range p.problems(instancetype.Embedded()) {
		text.WriteString(err.Error() + "\n")
	}
	for _, want := range []string{"idle rule 0: after 0s", "idle rule 1: warn 1h0m0s", "idle rule 2: after 744h", "lowest price", "kind \"\"", "longest lifetime 1s"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no word of %q in\n%s", want, &text)
		}
	}
	if strings.Contains(text.String(), "rule 3") {
		t.Errorf("it finds fault with what is right:\n%s", &text)
	}
	if a, b := (Policy{Idle: []IdleRule{{After: time.Hour}}}), (Policy{Idle: []IdleRule{{After: time.Hour, Stop: true}}}); a.Equal(b) || !a.Equal(a.normal()) {
		t.Error("policies are compared wrongly")
	}
}
