package domain

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/instancetype"
)

var update = flag.Bool("update", false, "write golden files")

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

var (
	amd64 = image.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = image.Platform{OS: "linux", Architecture: "arm64"}
	begun = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

func testImage(name string, platforms ...image.Platform) Image {
	return Image{
		Name: name, Source: "registry.example/" + name + ":1", Attached: begun,
		Image: image.Image{
			Reference: image.Reference{Registry: "registry.example", Repository: name, Digest: "sha256:" + strings.Repeat("a", 64)},
			Platforms: platforms, Size: 1 << 30,
		},
	}
}

func testUser(name string, uid uint32, groups ...string) *User {
	return &User{
		Name: name, Login: name, UID: uid, GID: uid, Groups: groups, Onboarded: begun,
		Home: efs.Home{FileSystem: "fs-01234567", AccessPoint: "fsap-01234567", Path: fmt.Sprintf("/%d", uid), UID: uid, GID: uid},
	}
}

func testFacts() facts {
	return facts{
		domain: record{
			Name: "research", Region: "us-east-1",
			Policy: Policy{Types: []string{"t3.*", "r5.*", "m7g.*", "p3.*"}, MaxPricePerHour: 2 * instancetype.Dollar},
			Groups: map[string]Policy{
				"students": {Types: []string{"t3.*"}, Images: []string{"rstudio"}},
				"gpu":      {Types: []string{"p3.*"}, Images: []string{"cuda"}, Sharing: Exclusive},
			},
			Images: map[string]Image{
				"rstudio": testImage("rstudio", amd64, arm64),
				"cuda":    testImage("cuda", amd64),
			},
			DefaultImage: "rstudio",
		},
		user:   testUser("alice", 200001),
		prices: prices{instancetype.Embedded(), "us-east-1"},
	}
}

func TestDecide(t *testing.T) {
	with := func(change func(*facts)) facts {
		f := testFacts()
		change(&f)
		return f
	}
	earlier, wrong := decide(testFacts(), Ask{User: "alice", InstanceType: "t3.medium"})
	if wrong != nil {
		t.Fatal(wrong)
	}
	other := earlier
	other.User.Name = "bob"
	moved := earlier
	moved.User.Home.FileSystem = "fs-76543210"
	gone := earlier
	gone.Image.Name = "julia"

	const reader, writer = "arn:aws:iam::123456789012:role/reader", "arn:aws:iam::123456789012:role/data/writer"
	roles := func(domain, students []string, groups ...string) facts {
		return with(func(f *facts) {
			f.domain.Policy.Roles, f.user.Groups = domain, groups
			p := f.domain.Groups["students"]
			p.Roles = students
			f.domain.Groups["students"] = p
		})
	}
	acting := earlier
	acting.Role = reader

	flexible, wrong := decide(testFacts(), Ask{User: "alice", InstanceType: "t3.medium", Alternatives: []string{"r5.large"}, Market: new(Spot)})
	if wrong != nil {
		t.Fatal(wrong)
	}

	cases := []struct {
		name  string
		facts facts
		ask   Ask
	}{
		{"default image on a named type", testFacts(), Ask{User: "alice", InstanceType: "t3.medium"}},
		{"SageMaker name", testFacts(), Ask{User: "alice", InstanceType: "ml.r5.4xlarge"}},
		{"cheapest that fits", testFacts(), Ask{User: "alice", Size: Size{2000, 12 << 10, 0}}},
		{"cheapest for an x86 image", testFacts(), Ask{User: "alice", Image: "cuda", Size: Size{2000, 7 << 10, 0}}},
		{"part of a named type", testFacts(), Ask{User: "alice", InstanceType: "r5.4xlarge", Size: Size{500, 1024, 0}}},
		{"group allows", with(func(f *facts) { f.user.Groups = []string{"students"} }), Ask{User: "alice", InstanceType: "t3.large"}},
		{"group forbids type", with(func(f *facts) { f.user.Groups = []string{"students"} }), Ask{User: "alice", InstanceType: "r5.large"}},
		{"groups forbid the mix", with(func(f *facts) { f.user.Groups = []string{"students", "gpu"} }), Ask{User: "alice", Image: "cuda", InstanceType: "t3.large"}},
		{"groups forbid every fit", with(func(f *facts) { f.user.Groups = []string{"students"} }), Ask{User: "alice", Size: Size{4000, 30 << 10, 0}}},
		{"groups forbid the image", with(func(f *facts) { f.user.Groups = []string{"students"} }), Ask{User: "alice", Image: "cuda", Size: Size{1000, 2 << 10, 0}}},
		{"group without policy", with(func(f *facts) { f.user.Groups = []string{"staff"} }), Ask{User: "alice", InstanceType: "r5.large"}},
		{"domain forbids type", testFacts(), Ask{User: "alice", InstanceType: "c5.large"}},
		{"domain forbids price", testFacts(), Ask{User: "alice", InstanceType: "p3.2xlarge", Image: "cuda"}},
		{"price unknown under a cap", with(func(f *facts) { f.prices.region = "mars-north-1" }), Ask{User: "alice", InstanceType: "t3.medium"}},
		{"price unknown without a cap", with(func(f *facts) { f.prices.region, f.domain.Policy = "mars-north-1", Policy{} }), Ask{User: "alice", InstanceType: "t3.medium"}},
		{"unknown type", testFacts(), Ask{User: "alice", InstanceType: "r5.4xlarg"}},
		{"unknown user", with(func(f *facts) { f.user = nil }), Ask{User: "carol", InstanceType: "t3.medium"}},
		{"bad user name", with(func(f *facts) { f.user = nil }), Ask{User: "../alice", InstanceType: "t3.medium"}},
		{"offboarded user", with(func(f *facts) { f.user.Offboarded = begun }), Ask{User: "alice", InstanceType: "t3.medium"}},
		{"user half onboarded", with(func(f *facts) { f.user.Onboarded = time.Time{} }), Ask{User: "alice", InstanceType: "t3.medium"}},
		{"image not attached", testFacts(), Ask{User: "alice", Image: "julia", InstanceType: "t3.medium"}},
		{"no default image", with(func(f *facts) { f.domain.DefaultImage = "" }), Ask{User: "alice", InstanceType: "t3.medium"}},
		{"architecture", testFacts(), Ask{User: "alice", Image: "cuda", InstanceType: "m7g.large"}},
		{"a Mac", with(func(f *facts) { f.domain.Policy = Policy{} }), Ask{User: "alice", InstanceType: "mac2.metal"}},
		{"size above the type", testFacts(), Ask{User: "alice", InstanceType: "t3.medium", Size: Size{4000, 4 << 10, 1}}},
		{"size above every type", testFacts(), Ask{User: "alice", Size: Size{1 << 60, 1 << 60, 0}}},
		{"size above every allowed type", testFacts(), Ask{User: "alice", Size: Size{4000, 900 << 10, 0}}},
		{"size makes no sense", testFacts(), Ask{User: "alice", InstanceType: "t3.medium", Size: Size{1000, 0, -1}}},
		{"neither type nor size", testFacts(), Ask{User: "alice"}},
		{"domain is being deleted", with(func(f *facts) { f.domain.Closing = closingClaimed }), Ask{User: "alice", InstanceType: "t3.medium"}},
		{"resume on a bigger type", testFacts(), Ask{User: "alice", InstanceType: "r5.4xlarge", Resume: &earlier}},
		{"resume as before", testFacts(), Ask{User: "alice", Resume: &earlier}},
		{"resume of another's session", testFacts(), Ask{User: "alice", Resume: &other}},
		{"resume with another image", testFacts(), Ask{User: "alice", Image: "cuda", Resume: &earlier}},
		{"resume with the home elsewhere", testFacts(), Ask{User: "alice", Resume: &moved}},
		{"resume with the image detached", testFacts(), Ask{User: "alice", Resume: &gone}},
		{"a role", roles([]string{reader, writer}, nil), Ask{User: "alice", InstanceType: "t3.medium", Role: writer}},
		{"a role where none is allowed", testFacts(), Ask{User: "alice", InstanceType: "t3.medium", Role: reader}},
		{"a role not listed", roles([]string{writer}, nil), Ask{User: "alice", InstanceType: "t3.medium", Role: reader}},
		{"a role not listed and a type not allowed", roles([]string{writer}, nil), Ask{User: "alice", InstanceType: "c5.large", Role: reader}},
		{"a role not listed, cheapest that fits", roles([]string{writer}, nil), Ask{User: "alice", Size: Size{2000, 12 << 10, 0}, Role: reader}},
		{"a role, group silent", roles([]string{reader}, nil, "students"), Ask{User: "alice", InstanceType: "t3.medium", Role: reader}},
		{"a role, group narrows", roles([]string{reader, writer}, []string{writer}, "students"), Ask{User: "alice", InstanceType: "t3.medium", Role: reader}},
		{"a role, group cannot widen", roles(nil, []string{reader}, "students"), Ask{User: "alice", InstanceType: "t3.medium", Role: reader}},
		{"a role of one group, an image of another", roles([]string{reader, writer}, []string{writer}, "students", "gpu"), Ask{User: "alice", Image: "cuda", InstanceType: "t3.medium", Role: writer}},
		{"a role by its name", roles([]string{reader}, nil), Ask{User: "alice", InstanceType: "t3.medium", Role: "reader"}},
		{"resume keeps the role", roles([]string{reader}, nil), Ask{User: "alice", Resume: &acting}},
		{"resume with the role forbidden since", testFacts(), Ask{User: "alice", Resume: &acting}},
		{"resume with another role", roles([]string{reader, writer}, nil), Ask{User: "alice", Role: writer, Resume: &acting}},
		{"resume with a role it had not", roles([]string{reader, writer}, nil), Ask{User: "alice", Role: writer, Resume: &earlier}},
		{"alternatives", testFacts(), Ask{User: "alice", InstanceType: "t3.medium", Alternatives: []string{"r5.large", "ml.t3.large"}, Market: new(SpotOrOnDemand)}},
		{"alternatives to the cheapest that fits", testFacts(), Ask{User: "alice", Size: Size{2000, 12 << 10, 0}, Alternatives: []string{"r5.xlarge", "r5.large"}}},
		{"alternatives the domain forbids", testFacts(), Ask{User: "alice", InstanceType: "t3.medium", Alternatives: []string{"c5.large", "r5.24xlarge", "r5.large"}}},
		{"an alternative the group forbids", with(func(f *facts) { f.user.Groups = []string{"students"} }), Ask{User: "alice", InstanceType: "t3.medium", Alternatives: []string{"t3.large", "r5.large"}}},
		{"an image forbidden on every alternative", with(func(f *facts) { f.user.Groups = []string{"students"} }), Ask{User: "alice", Image: "cuda", InstanceType: "t3.medium", Alternatives: []string{"t3.large"}}},
		{"alternatives of types that make no sense", testFacts(), Ask{User: "alice", InstanceType: "t3.medium", Market: new(Market("free")),
			Alternatives: []string{"r5.larg", "", "ml.t3.medium", "r5.large", "ml.r5.large"}}},
		{"alternatives that do not do", testFacts(), Ask{User: "alice", Image: "cuda", InstanceType: "t3.large", Size: Size{2000, 7 << 10, 0}, Alternatives: []string{"t3.medium", "m7g.xlarge"}}},
		{"alternatives without a type or size", testFacts(), Ask{User: "alice", Alternatives: []string{"t3.medium", "c5.large"}}},
		{"too many alternatives", testFacts(), Ask{User: "alice", InstanceType: "t3.medium", Alternatives: slices.Repeat([]string{"t3.large"}, maxAlternatives+1)}},
		{"resume keeps alternatives and market", testFacts(), Ask{User: "alice", Resume: &flexible}},
		{"resume with other alternatives", testFacts(), Ask{User: "alice", Alternatives: []string{"t3.small"}, Market: new(OnDemand), Resume: &flexible}},
		{"resume on another type drops alternatives", testFacts(), Ask{User: "alice", InstanceType: "r5.xlarge", Resume: &flexible}},
		{"resume with an alternative forbidden since", with(func(f *facts) { f.domain.Policy.Types = []string{"t3.*"} }), Ask{User: "alice", Resume: &flexible}},
		{"everything at once", with(func(f *facts) { f.user.Groups = []string{"students"}; f.user.Offboarded = begun }),
			Ask{User: "alice", Image: "cuda", InstanceType: "m7g.16xlarge", Size: Size{500_000, 1 << 20, 8}, Alternatives: []string{"c5.large", "x"}}},
	}
	var text strings.Builder
	for _, c := range cases {
		grant, wrong := decide(c.facts, c.ask)
		fmt.Fprintf(&text, "# %s\n", c.name)
		if wrong != nil {
			fmt.Fprintf(&text, "%v\n\n", wrong.err("authorize", "research/"+printable(c.ask.User)))
			if !cmp.Equal(grant, Grant{}) {
				t.Errorf("%s: a refusal comes with a grant: %+v", c.name, grant)
			}
			continue
		}
		size := "all of it"
		if grant.Size != (Size{}) {
			size = grant.Size.String()
		}
		as := ""
		if grant.Role != "" {
			as = " as " + grant.Role
		}
		on := strings.Join(append([]string{grant.Type.Name}, grant.AlternativeNames()...), " or ")
		if grant.Market != OnDemand {
			on = string(grant.Market) + " " + on
		}
		fmt.Fprintf(&text, "%s%s runs %s on %s, %s, %v an hour (known: %t), sharing %s, by group %q\n\n", grant.User.Name, as, grant.Image.Name,
			on, size, grant.PricePerHour.PerHour, grant.PriceKnown, grant.Sharing, grant.Group)
	}
	golden(t, "decide.golden", text.String())
}

func TestDecideKinds(t *testing.T) {
	cases := []struct {
		ask  Ask
		is   []error
		kind Kind
	}{
		{Ask{User: "alice", InstanceType: "c5.large"}, []error{ErrNotAllowed}, ErrNotAllowed},
		{Ask{User: "alice", InstanceType: "c5.larg"}, []error{ErrInvalid, instancetype.ErrUnknown}, ErrInvalid},
		{Ask{User: "alice", Image: "julia", InstanceType: "c5.large"}, []error{ErrNotFound, ErrNotAllowed}, ErrNotFound},
		{Ask{User: "alice", Image: "cuda", InstanceType: "m7g.large"}, []error{ErrInvalid, image.ErrPlatform}, ErrInvalid},
	}
	for _, c := range cases {
		_, wrong := decide(testFacts(), c.ask)
		err := wrong.err("authorize", "research/alice")
		for _, kind := range c.is {
			if !errors.Is(err, kind) {
				t.Errorf("%+v: %v is not %v", c.ask, err, kind)
			}
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != c.kind {
			t.Errorf("%+v: kind of %v, want %v", c.ask, err, c.kind)
		}
	}
}

func TestResumeKeepsDigestAndHome(t *testing.T) {
	f := testFacts()
	earlier, wrong := decide(f, Ask{User: "alice", InstanceType: "t3.medium"})
	if wrong != nil {
		t.Fatal(wrong)
	}
	moved := testImage("rstudio", amd64)
	moved.Reference.Digest = "sha256:" + strings.Repeat("b", 64)
	f.domain.Images["rstudio"] = moved
	f.user.Home.AccessPoint = "fsap-76543210" // made anew, the directory is the same
	resumed, wrong := decide(f, Ask{User: "alice", InstanceType: "m7g.large", Resume: &earlier})
	if wrong != nil {
		t.Fatal(wrong)
	}
	if got, want := resumed.Image.Reference, earlier.Image.Reference; got != want {
		t.Errorf("resumed with %v, want %v", got, want)
	}
	if got := resumed.User.Home; got.Path != earlier.User.Home.Path || got.AccessPoint != "fsap-76543210" {
		t.Errorf("resumed with home %+v", got)
	}
}

func TestGrantSurvivesJSON(t *testing.T) {
	grant, wrong := decide(testFacts(), Ask{User: "alice", InstanceType: "r5.4xlarge", Size: Size{1500, 2048, 0}, Alternatives: []string{"t3.large"}, Market: new(Spot)})
	if wrong != nil {
		t.Fatal(wrong)
	}
	b, err := json.Marshal(grant)
	if err != nil {
		t.Fatal(err)
	}
	var back Grant
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(grant, back); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func BenchmarkDecide(b *testing.B) {
	f := testFacts()
	b.Run("named", func(b *testing.B) {
		for b.Loop() {
			decide(f, Ask{User: "alice", InstanceType: "t3.medium"})
		}
	})
	b.Run("cheapest", func(b *testing.B) {
		for b.Loop() {
			decide(f, Ask{User: "alice", Size: Size{2000, 12 << 10, 0}})
		}
	})
}
