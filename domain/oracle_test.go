package domain

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/instancetype"
)

// A small world for random asks, in which everything is in reach of chance.
var (
	worldTypes = []instancetype.Type{
		{Name: "a1.small", VCPUs: 1, MemoryMiB: 2 << 10, Arch: instancetype.ARM64},
		{Name: "a1.large", VCPUs: 4, MemoryMiB: 8 << 10, Arch: instancetype.ARM64},
		{Name: "t3.small", VCPUs: 2, MemoryMiB: 2 << 10, Arch: instancetype.X86_64},
		{Name: "t3.large", VCPUs: 2, MemoryMiB: 8 << 10, Arch: instancetype.X86_64},
		{Name: "r5.large", VCPUs: 2, MemoryMiB: 16 << 10, Arch: instancetype.X86_64},
		{Name: "r5.xlarge", VCPUs: 4, MemoryMiB: 32 << 10, Arch: instancetype.X86_64},
		{Name: "g4.xlarge", VCPUs: 4, MemoryMiB: 16 << 10, Arch: instancetype.X86_64, GPUs: 1, GPUName: "T4"},
		{Name: "new.large", VCPUs: 2, MemoryMiB: 8 << 10, Arch: instancetype.X86_64}, // without a price
		{Name: "r5.metal", VCPUs: 96, MemoryMiB: 768 << 10, Arch: instancetype.X86_64, BareMetal: true},
	}
	worldPrices = []instancetype.Money{10_000, 40_000, 20_000, 80_000, 126_000, 252_000, 526_000, 0, 6_048_000}
)

var worldRoles = []string{
	"arn:aws:iam::123456789012:role/one", "arn:aws:iam::123456789012:role/two", "arn:aws:iam::123456789012:role/data/three",
}

func worldCatalog(t testing.TB) *instancetype.Catalog {
	var prices []instancetype.Price
	for i, p := range worldPrices {
		if p != 0 {
			prices = append(prices, instancetype.Price{Type: worldTypes[i].Name, Region: "us-east-1", PerHour: p})
		}
	}
	c, err := instancetype.New(worldTypes, prices)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func some[T any](r *rand.Rand, from []T) []T {
	var taken []T
	for _, v := range from {
		if r.IntN(3) == 0 {
			taken = append(taken, v)
		}
	}
	return taken
}

func randomPolicy(r *rand.Rand) Policy {
	p := Policy{Sharing: []Sharing{"", "", PerUser, Exclusive, Pool}[r.IntN(5)]}
	if r.IntN(2) == 0 {
		p.Types = some(r, []string{"t3.*", "r5.*", "r5.large", "*.large", "a1.*", "g4.xlarge", "new.*", "ml.t3.large"})
	}
	if r.IntN(3) == 0 {
		p.Images = some(r, []string{"both", "x86", "arm", "absent"})
	}
	if r.IntN(2) == 0 {
		p.Roles = [][]string{worldRoles, worldRoles[:2], worldRoles[1:], some(r, worldRoles)}[r.IntN(4)]
	}
	if r.IntN(3) > 0 {
		p.Mounts = [][]Mount{worldMounts, worldMounts[:2], worldMounts[1:], some(r, worldMounts)}[r.IntN(4)]
	}
	if r.IntN(3) == 0 {
		p.MaxPricePerHour = instancetype.Money(1 + r.IntN(600_000))
	}
	switch r.IntN(12) {
	case 0:
		p.Budget, p.Sessions = 100*instancetype.Dollar, 10
	case 1:
		p.BudgetPerUser, p.SessionsPerUser = 10*instancetype.Dollar, 2
	}
	return p
}

// randomGroupPolicy selects mounts, and says nothing of what they are.
func randomGroupPolicy(r *rand.Rand) Policy {
	p := randomPolicy(r)
	var names []Mount
	for _, m := range p.Mounts {
		names = append(names, Mount{Name: m.Name})
	}
	p.Mounts = names
	return p
}

// worldMounts has one that is the domain's own file system.
var worldMounts = []Mount{
	{Name: "data", Source: "/efs/fs-76543210.fsap-76543210", ReadOnly: true}, {Name: "tools", Source: "/srv/tools"},
	{Name: "homes", Source: "/efs/fs-01234567.fsap-76543210"},
}

// worldProjects has one that nobody may have, one half-made, and one with a budget.
func worldProjects() map[string]Project {
	all := map[string]Project{}
	for i, p := range []Project{
		{Name: "alpha", Groups: []string{"one"}, Created: begun}, {Name: "beta", Groups: []string{"three", "two"}, Created: begun, Budget: 100 * dollar},
		{Name: "closed", Created: begun}, {Name: "half", Groups: []string{"one", "two"}},
	} {
		p.GID = uint32(300001 + i)
		all[p.Name] = p
	}
	return all
}

func randomFacts(r *rand.Rand, c *instancetype.Catalog) facts {
	f := facts{prices: prices{c, "us-east-1"}, projects: worldProjects()}
	f.domain = record{
		Name: "research", Region: "us-east-1", FileSystem: "fs-01234567", Policy: randomPolicy(r), Groups: map[string]Policy{},
		Images: map[string]Image{"both": testImage("both", amd64, arm64), "x86": testImage("x86", amd64), "arm": testImage("arm", arm64)},
	}
	f.domain.DefaultImage = []string{"", "both", "x86", "arm"}[r.IntN(4)]
	for _, g := range some(r, []string{"one", "two", "three"}) {
		f.domain.Groups[g] = randomGroupPolicy(r)
	}
	if r.IntN(10) > 0 {
		f.user = testUser("alice", 200001, some(r, []string{"one", "two", "three", "four"})...)
		switch r.IntN(12) {
		case 0:
			f.user.Offboarded = begun
		case 1:
			f.user.Onboarded = time.Time{}
		}
	}
	return f
}

func randomAsk(r *rand.Rand) Ask {
	a := Ask{User: "alice", Image: []string{"", "both", "x86", "arm", "absent"}[r.IntN(5)]}
	if r.IntN(2) == 0 {
		a.InstanceType = append(worldTypes, instancetype.Type{Name: "z1.huge"}, instancetype.Type{Name: "ml.t3.large"})[r.IntN(len(worldTypes)+2)].Name
	}
	if r.IntN(3) > 0 {
		a.Size = Size{int64(r.IntN(6000)), int64(r.IntN(36 << 10)), int64(r.IntN(2))}
		if r.IntN(3) > 0 {
			a.Size.GPUs = 0
		}
	}
	if r.IntN(3) == 0 {
		names := []string{"ml.t3.large", "z1.huge"}
		for _, t := range worldTypes {
			names = append(names, t.Name)
		}
		for range 1 + r.IntN(2) {
			a.Alternatives = append(a.Alternatives, names[r.IntN(len(names))])
		}
	}
	if r.IntN(4) == 0 {
		a.Role = append(slices.Clone(worldRoles), "arn:aws:iam::123456789012:role/absent", "one")[r.IntN(len(worldRoles)+2)]
	}
	if r.IntN(4) == 0 {
		for range 1 + r.IntN(4)/3 {
			a.Projects = append(a.Projects, []string{"alpha", "alpha", "beta", "beta", "beta", "beta", "closed", "half", "absent", "No/Name"}[r.IntN(10)])
		}
	}
	if r.IntN(8) == 0 {
		a.ChargeTo = []string{"alpha", "alpha", "beta", "beta", "beta", "closed", "half", "absent", "No/Name"}[r.IntN(9)]
	}
	if r.IntN(6) == 0 {
		for range 1 + r.IntN(4)/3 {
			a.Mounts = append(a.Mounts, []string{"data", "data", "data", "tools", "tools", "tools", "homes", "absent"}[r.IntN(8)])
		}
	}
	if r.IntN(100) == 0 {
		a.Projects, a.Mounts = slices.Repeat([]string{"alpha"}, 11), slices.Repeat([]string{"data"}, 11)
	}
	return a
}

// projectsRefused is the rule for projects, written down a second time.
func projectsRefused(f facts, names []string) bool {
	for i, name := range names {
		p, ok := f.projects[name]
		if !ok || p.Created.IsZero() || slices.Contains(names[:i], name) {
			return true
		}
		member := f.user == nil // then something else is wrong
		for _, g := range p.Groups {
			member = member || slices.Contains(f.user.Groups, g)
		}
		if !member {
			return true
		}
	}
	return len(names) > 10
}

// mountsRefused is what is wrong with mounts, whatever policies list.
func mountsRefused(f facts, names []string) bool {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return true
		}
		if name == "homes" && slices.ContainsFunc(f.domain.Policy.Mounts, func(m Mount) bool { return m.Name == name }) {
			return true
		}
	}
	return len(names) > 10
}

// policyAllows is the rule of the documentation, written down a second time,
// but for what an empty list of roles or mounts means.
func policyAllows(p Policy, image, role string, mounts []string, t instancetype.Type, price instancetype.Money) bool {
	typeOK := len(p.Types) == 0 || slices.ContainsFunc(p.Types, func(pattern string) bool {
		ok, _ := path.Match(strings.TrimPrefix(pattern, "ml."), t.Name)
		return ok
	})
	imageOK := len(p.Images) == 0 || slices.Contains(p.Images, image)
	roleOK := role == "" || len(p.Roles) == 0 || slices.Contains(p.Roles, role)
	budgetOK := p.Budget == 0 && p.BudgetPerUser == 0 || price > 0
	mountsOK := true
	for _, name := range mounts {
		if len(p.Mounts) > 0 && !slices.ContainsFunc(p.Mounts, func(m Mount) bool { return m.Name == name }) {
			mountsOK = false
		}
	}
	return typeOK && imageOK && roleOK && budgetOK && mountsOK && (p.MaxPricePerHour == 0 || price > 0 && price <= p.MaxPricePerHour)
}

// unknownCost reports whether an alternative without a price would be held to a
// budget of the group that is charged.
func unknownCost(f facts, group string, alternatives []string) bool {
	p := f.domain.Groups[group]
	return (p.Budget != 0 || p.BudgetPerUser != 0) && slices.Contains(alternatives, "new.large")
}

// verdict is what an oracle finds wrong with an ask on one type.
func verdict(f facts, name, role string, mounts []string, s Size, t instancetype.Type, price instancetype.Money) map[string]bool {
	broken := map[string]bool{}
	if img, ok := f.domain.Images[name]; ok {
		arch := map[instancetype.Arch]string{instancetype.X86_64: "amd64", instancetype.ARM64: "arm64"}[t.Arch]
		if !slices.ContainsFunc(img.Platforms, func(p image.Platform) bool { return p.Architecture == arch }) {
			broken["architecture"] = true
		}
	}
	if s.MilliCPU > int64(t.VCPUs)*1000 || s.MemoryMiB*100 > t.MemoryMiB*93 || s.GPUs > int64(t.GPUs) {
		broken["size"] = true
	}
	if !policyAllows(f.domain.Policy, name, role, mounts, t, price) || role != "" && len(f.domain.Policy.Roles) == 0 ||
		len(mounts) > 0 && len(f.domain.Policy.Mounts) == 0 {
		broken["domain policy"] = true
	}
	if f.user != nil {
		with, allowed := 0, 0
		for _, g := range f.user.Groups {
			if p, ok := f.domain.Groups[g]; ok {
				with++
				if policyAllows(p, name, role, mounts, t, price) {
					allowed++
				}
			}
		}
		if with > 0 && allowed == 0 {
			broken["group policy"] = true
		}
	}
	return broken
}

func rulesOf(wrong problems) []string {
	names := map[string]bool{}
	for _, err := range wrong {
		names[err.(*problem).rule] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// TestDecideAgainstOracle asks at random and compares with an oracle: a grant
// satisfies every rule and is the cheapest that does; a refusal names exactly
// the rules that are violated.
func TestDecideAgainstOracle(t *testing.T) {
	catalog := worldCatalog(t)
	r := rand.New(rand.NewPCG(1, 2))
	granted, refused, withRole, withOthers, withProjects, withMounts, withPayer := 0, 0, 0, 0, 0, 0, 0
	for n := range 50_000 {
		f, ask := randomFacts(r, catalog), randomAsk(r)
		grant, wrong := decide(f, ask)

		// The part that does not depend on the type.
		general := map[string]bool{}
		if f.user == nil || !f.user.Offboarded.IsZero() || f.user.Onboarded.IsZero() {
			general["user"] = true
		}
		imageName := ask.Image
		if imageName == "" {
			imageName = f.domain.DefaultImage
		}
		if _, ok := f.domain.Images[imageName]; !ok {
			general["image"] = true
		}
		role := ask.Role
		if role == "one" { // no ARN
			general["role"], role = true, ""
		}
		if projectsRefused(f, ask.Projects) || ask.ChargeTo != "" && projectsRefused(f, []string{ask.ChargeTo}) {
			general["project"] = true
		}
		mounts := ask.Mounts
		if mountsRefused(f, mounts) {
			general["mount"] = true
		}
		if len(mounts) > 10 {
			mounts = nil // policies are not asked
		}
		s := ask.Size
		if s == (Size{}) && ask.InstanceType == "" || s != (Size{}) && (s.MilliCPU <= 0 || s.MemoryMiB <= 0) {
			general["size"] = true
		}

		// What each type would be refused for.
		fits := map[string]map[string]bool{}
		for i, typ := range worldTypes {
			fits[typ.Name] = verdict(f, imageName, role, mounts, s, typ, worldPrices[i])
			if ask.ChargeTo == "beta" && worldPrices[i] == 0 {
				fits[typ.Name]["project budget"] = true
			}
		}
		// What the alternatives are refused for, whatever the type.
		others := map[string]bool{}
		var names []string
		for _, name := range ask.Alternatives {
			name = strings.TrimPrefix(name, "ml.")
			if fits[name] == nil || slices.Contains(names, name) || name == strings.TrimPrefix(ask.InstanceType, "ml.") {
				others["alternative"] = true
			}
			maps.Copy(others, fits[name])
			names = append(names, name)
		}
		describe := func() string {
			return fmt.Sprintf("ask %d: %+v\nuser %+v\ndomain policy %+v\ngroup policies %+v\ngrant of %s\nrefusal %v",
				n, ask, f.user, f.domain.Policy, f.domain.Groups, grant.Type.Name, wrong)
		}
		if len(wrong) == 0 {
			granted++
			if grant.Role != ask.Role {
				t.Fatalf("granted role %q\n%s", grant.Role, describe())
			}
			if !slices.Equal(grant.ProjectNames(), ask.Projects) || !slices.Equal(grant.MountNames(), ask.Mounts) {
				t.Fatalf("granted projects %q and mounts %q\n%s", grant.ProjectNames(), grant.MountNames(), describe())
			}
			for _, p := range grant.Projects {
				if p.GID != f.projects[p.Name].GID {
					t.Fatalf("granted project %+v\n%s", p, describe())
				}
			}
			for _, m := range grant.Mounts {
				if !slices.Contains(worldMounts, m) {
					t.Fatalf("granted mount %+v\n%s", m, describe())
				}
			}
			if grant.Role != "" {
				withRole++
			}
			ofProject := slices.IndexFunc(grant.Limits, func(l Limit) bool { return l.Scope == ScopeProject })
			if grant.ChargeTo != ask.ChargeTo || (ofProject >= 0) != (ask.ChargeTo == "beta") || ofProject >= 0 && ofProject != len(grant.Limits)-1 {
				t.Fatalf("charged to %q, held to %+v\n%s", grant.ChargeTo, grant.Limits, describe())
			}
			if ask.ChargeTo != "" {
				withPayer++
			}
			if unknownCost(f, grant.Group, names) {
				t.Fatalf("granted an unknown cost by group %s\n%s", grant.Group, describe())
			}
			withProjects += min(len(grant.Projects), 1)
			withMounts += min(len(grant.Mounts), 1)
			if len(general) > 0 || len(fits[grant.Type.Name]) > 0 || len(others) > 0 {
				t.Fatalf("granted against %v %v %v\n%s", general, fits[grant.Type.Name], others, describe())
			}
			names = slices.DeleteFunc(names, func(name string) bool { return name == grant.Type.Name })
			if !slices.Equal(names, grant.AlternativeNames()) {
				t.Fatalf("granted alternatives %v\n%s", grant.AlternativeNames(), describe())
			}
			if len(names) > 0 {
				withOthers++
			}
			if ask.InstanceType == "" {
				for i, typ := range worldTypes {
					cheaper := worldPrices[i] != 0 && (!grant.PriceKnown || worldPrices[i] < grant.PricePerHour.PerHour)
					if len(fits[typ.Name]) == 0 && cheaper && !typ.BareMetal {
						t.Fatalf("%s is allowed and cheaper\n%s", typ.Name, describe())
					}
				}
			}
			continue
		}
		refused++
		named := rulesOf(wrong)
		typ, _ := strings.CutPrefix(ask.InstanceType, "ml.")
		_, known := fits[typ]
		switch {
		case known && !general["size"]:
			want := maps.Clone(general)
			maps.Copy(want, fits[typ])
			maps.Copy(want, others)
			if _, ok := f.domain.Images[imageName]; !ok && imageName == "" { // no image to hold against policies
				for _, rule := range named {
					if !want[rule] {
						t.Fatalf("refused for %s, which is not violated\n%s", rule, describe())
					}
				}
				break
			}
			if got := slices.Sorted(maps.Keys(want)); !slices.Equal(got, named) {
				t.Fatalf("refused for %v, violated are %v\n%s", named, got, describe())
			}
		case ask.InstanceType == "" && len(general) == 0 && len(others) > 0:
			for rule := range others {
				if !slices.Contains(named, rule) {
					t.Fatalf("%s is violated by an alternative and not named\n%s", rule, describe())
				}
			}
		case ask.InstanceType == "" && len(general) == 0:
			for i, typ := range worldTypes {
				if len(fits[typ.Name]) == 0 && !typ.BareMetal {
					t.Fatalf("%s at %v would do\n%s", typ.Name, worldPrices[i], describe())
				}
			}
		default:
			for rule := range general {
				if !slices.Contains(named, rule) {
					t.Fatalf("%s is violated and not named\n%s", rule, describe())
				}
			}
			if ask.InstanceType == "z1.huge" && !slices.Contains(named, "type") {
				t.Fatalf("the unknown type is not named\n%s", describe())
			}
		}
	}
	if granted < 500 || refused < 500 || min(withRole, withOthers, withProjects, withMounts, withPayer) < 50 {
		t.Errorf("%d granted, %d of them with a role, %d with alternatives, %d with projects, %d with mounts, %d charged to a project, and %d refused: the asks are not varied enough",
			granted, withRole, withOthers, withProjects, withMounts, withPayer, refused)
	}
}

// TestGroupPolicyNeverWidens grants at random and looks whether the domain's
// policy alone grants it too, on hosts shared no more widely.
func TestGroupPolicyNeverWidens(t *testing.T) {
	catalog := worldCatalog(t)
	r := rand.New(rand.NewPCG(3, 4))
	compared := 0
	for n := range 30_000 {
		f, ask := randomFacts(r, catalog), randomAsk(r)
		grant, wrong := decide(f, ask)
		if wrong != nil {
			continue
		}
		// Without policies of groups a cheaper one may do.
		ask.InstanceType, ask.Alternatives = grant.Type.Name, grant.AlternativeNames()
		plain := f
		plain.domain.Groups = nil
		alone, wrong := decide(plain, ask)
		if wrong != nil {
			t.Fatalf("ask %d %+v: granted %s to groups %v and refused by the domain's policy alone: %v", n, ask, grant.Type.Name, f.user.Groups, wrong)
		}
		if alone.Sharing.stricter(grant.Sharing) != grant.Sharing {
			t.Fatalf("ask %d: a policy of groups %v widens sharing from %s to %s", n, f.user.Groups, alone.Sharing, grant.Sharing)
		}
		if len(f.domain.Groups) > 0 {
			compared++
		}
	}
	if compared < 500 {
		t.Errorf("only %d grants had policies of groups", compared)
	}
}

// TestRestrictingNeverWidens adds a restriction to the domain's policy.
func TestRestrictingNeverWidens(t *testing.T) {
	catalog := worldCatalog(t)
	r := rand.New(rand.NewPCG(5, 6))
	for n := range 20_000 {
		f, ask := randomFacts(r, catalog), randomAsk(r)
		tight := f
		switch r.IntN(4) {
		case 3:
			if mounts := tight.domain.Policy.Mounts; len(mounts) > 0 {
				tight.domain.Policy.Mounts = mounts[1:]
			}
		case 2:
			if roles := tight.domain.Policy.Roles; len(roles) > 0 {
				tight.domain.Policy.Roles = roles[1:]
			}
		case 0:
			p := &tight.domain.Policy
			p.MaxPricePerHour = instancetype.Money(1 + r.IntN(600_000))
			if before := f.domain.Policy.MaxPricePerHour; before != 0 {
				p.MaxPricePerHour = min(p.MaxPricePerHour, before)
			}
		case 1:
			if types := tight.domain.Policy.Types; len(types) > 1 {
				tight.domain.Policy.Types = types[1:]
			}
		}
		_, before := decide(f, ask)
		_, after := decide(tight, ask)
		if before != nil && after == nil {
			t.Fatalf("ask %d %+v: refused under %+v, granted under %+v", n, ask, f.domain.Policy, tight.domain.Policy)
		}
	}
}
