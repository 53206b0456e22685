package workbench_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/workbench"
)

// few are types in which every rule is in reach of chance.
func few(t testing.TB) *instancetype.Catalog {
	t.Helper()
	types := []instancetype.Type{
		{Name: "a1.small", VCPUs: 1, MemoryMiB: 2 << 10, Arch: instancetype.ARM64},
		{Name: "a1.large", VCPUs: 4, MemoryMiB: 8 << 10, Arch: instancetype.ARM64},
		{Name: "t3.small", VCPUs: 2, MemoryMiB: 2 << 10, Arch: instancetype.X86_64},
		{Name: "t3.large", VCPUs: 2, MemoryMiB: 8 << 10, Arch: instancetype.X86_64},
		{Name: "r5.large", VCPUs: 2, MemoryMiB: 16 << 10, Arch: instancetype.X86_64},
		{Name: "g4.xlarge", VCPUs: 4, MemoryMiB: 16 << 10, Arch: instancetype.X86_64, GPUs: 1, GPUName: "T4", GPUManufacturer: "NVIDIA"},
		{Name: "new.large", VCPUs: 2, MemoryMiB: 8 << 10, Arch: instancetype.X86_64}, // without a price
		{Name: "r5.metal", VCPUs: 96, MemoryMiB: 768 << 10, Arch: instancetype.X86_64, BareMetal: true},
		{Name: "mac1.metal", VCPUs: 12, MemoryMiB: 32 << 10, Arch: instancetype.X86_64Mac, BareMetal: true},
	}
	var prices []instancetype.Price
	for i, p := range []instancetype.Money{10_000, 40_000, 20_000, 80_000, 126_000, 526_000, 0, 6_048_000, 1_083_000} {
		if p != 0 {
			prices = append(prices, instancetype.Price{Type: types[i].Name, Region: "us-east-1", PerHour: p})
		}
	}
	c, err := instancetype.New(types, prices)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// someDomain is a domain with three images and no policy.
func someDomain(t testing.TB, catalog *instancetype.Catalog, faults ...fakeaws.Fault) *domain.Domain {
	t.Helper()
	cloud, err := fakeaws.New(fakeaws.Config{Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	client, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory(), Catalog: catalog})
	if err != nil {
		t.Fatal(err)
	}
	d, err := client.Create(t.Context(), domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID}})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []struct {
		name      string
		platforms []string
	}{{"rstudio", []string{"linux/amd64"}}, {"graviton", []string{"linux/arm64"}}, {"both", []string{"linux/amd64", "linux/arm64"}}} {
		if _, err := cloud.PushImage("example.com/"+i.name+":1", fakeaws.Image{Platforms: i.platforms}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Attach(t.Context(), domain.AttachRequest{Name: i.name, Reference: "example.com/" + i.name + ":1"}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func someOf[T any](r *rand.Rand, from ...T) []T {
	var taken []T
	for _, v := range from {
		if r.IntN(3) == 0 {
			taken = append(taken, v)
		}
	}
	return taken
}

func somePolicy(r *rand.Rand) domain.Policy {
	var p domain.Policy
	if r.IntN(2) == 0 {
		p.Types = someOf(r, "a1.*", "t3.small", "t3.*", "r5.large", "r5.*", "g4.xlarge", "new.large", "*.large")
	}
	if r.IntN(3) == 0 {
		p.Images = someOf(r, "rstudio", "graviton", "both", "gone")
	}
	switch r.IntN(6) {
	case 0:
		p.MaxPricePerHour = instancetype.Money(20_000 + r.Int64N(600_000))
	case 1:
		p.Budget = 100 * instancetype.Dollar
	case 2:
		p.BudgetPerUser = 100 * instancetype.Dollar
	}
	return p
}

// granted asks Authorize for every type and image, and for a size of one's own.
func granted(ctx context.Context, t testing.TB, d *domain.Domain, user string) choice {
	t.Helper()
	types, images := map[string]bool{}, map[string]bool{}
	for typ := range d.Catalog().All() {
		for img, err := range d.Images(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			_, err := d.Authorize(ctx, domain.Ask{User: user, InstanceType: typ.Name, Image: img.Name})
			if err != nil && !errors.Is(err, domain.ErrNotAllowed) && !errors.Is(err, domain.ErrInvalid) {
				t.Fatal(err)
			}
			if err == nil {
				types[typ.Name], images[img.Name] = true, true
			}
		}
	}
	return choice{types, images}
}

type choice struct{ types, images map[string]bool }

// TestMenusFollowAuthorize holds, for random policies, that a user's menu lists a
// type or an image if and only if Authorize would grant it to that user.
func TestMenusFollowAuthorize(t *testing.T) {
	members := map[string][]string{
		"non": nil, "ann": {"a"}, "bob": {"b"}, "cyd": {"c"}, "dee": {"a", "b"}, "eve": {"c", "b"}, "fay": {"a", "b", "c"}, "gus": {"silent", "c"},
	}
	logins, groupsOf := map[string]string{}, map[string][]string{}
	for user, groups := range members {
		logins[user] = user + strings.Repeat(".doe", len(groups)%2) // or else no other
		groupsOf[logins[user]] = groups
	}
	synctest.Test(t, func(t *testing.T) {
		d := someDomain(t, few(t))
		ctx := t.Context()
		for user, groups := range members {
			if _, err := d.Onboard(ctx, domain.OnboardRequest{User: user, Login: logins[user], Groups: groups}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Onboard(ctx, domain.OnboardRequest{User: "gone", Groups: []string{"a", "b"}}); err != nil {
			t.Fatal(err)
		}
		if err := d.Offboard(ctx, "gone"); err != nil {
			t.Fatal(err)
		}
		var made, refused, own int
		for seed := range uint64(60) {
			r := rand.New(rand.NewPCG(seed, 0))
			if err := d.SetPolicy(ctx, somePolicy(r)); err != nil {
				t.Fatal(err)
			}
			for _, g := range []string{"a", "b", "c"} {
				p := somePolicy(r)
				policy := &p
				if r.IntN(4) == 0 {
					policy = nil
				}
				if err := d.SetGroupPolicy(ctx, g, policy); err != nil {
					t.Fatal(err)
				}
			}
			c, err := minimal().For(ctx, d)
			may := map[string]choice{}
			for user := range members {
				may[user] = granted(ctx, t, d, user)
			}
			if slices.ContainsFunc([]string{"non", "ann", "bob", "cyd"}, func(user string) bool { return len(may[user].types) == 0 }) {
				if refused++; !errors.Is(err, domain.ErrState) {
					t.Fatalf("seed %d: %v, want %q: somebody may have nothing", seed, err, domain.ErrState)
				}
				continue
			}
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			made++
			files := mustFiles(t, c)
			menus := read(t, files, "launcher.ec2.profiles.conf")
			own += strings.Count(string(content(t, files, "launcher.ec2.profiles.conf")), "\n[")
			for _, m := range menus {
				if m.name == "gone" {
					t.Errorf("seed %d: a menu for who was offboarded", seed)
				}
				without := slices.DeleteFunc(slices.Clone(menus), func(other paragraph) bool { return other.name == m.name })
				if m.name != "*" && cmp.Equal(shown(without, m.name, groupsOf[m.name]...), m.values) {
					t.Errorf("seed %d: the menu of %s says what is said without it", seed, m.name)
				}
			}
			for user, groups := range members {
				menu := shown(menus, logins[user], groups...)
				if diff := cmp.Diff(menu, lastShown(menus, logins[user], groups...)); diff != "" {
					t.Errorf("seed %d: %s is shown another by who takes the last that applies\n%s", seed, user, diff)
				}
				types, images := may[user].types, may[user].images
				got := [][]string{slices.Sorted(slices.Values(strings.Split(menu["resource-profiles"], ","))), strings.Split(menu["container-images"], ",")}
				want := [][]string{slices.Sorted(maps.Keys(types)), slices.Sorted(maps.Keys(images))}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("seed %d: %s (-granted +listed)\n%s", seed, user, diff)
				}
				if !images[menu["default-container-image"]] {
					t.Errorf("seed %d: %s is preselected image %q of %v", seed, user, menu["default-container-image"], images)
				}
			}
			checkResources(t, read(t, files, "launcher.ec2.resources.conf"), d)
		}
		t.Logf("%d menus of %d configurations, %d refused", own, made, refused)
		if made < 20 || refused < 10 || own < 2*made {
			t.Error("chance has left out a case")
		}
	})
}

// checkResources holds that profiles are in the order of their price, with what a
// session would get.
func checkResources(t *testing.T, profiles []paragraph, d *domain.Domain) {
	t.Helper()
	var before instancetype.Money
	for _, p := range profiles {
		typ, err := d.Catalog().Type(p.name)
		if err != nil {
			t.Fatal(err)
		}
		price, priced := d.Catalog().Price(p.name, d.Region())
		if !priced {
			price.PerHour = 1 << 60
		}
		if price.PerHour < before {
			t.Errorf("%s at %v comes after what costs %v", p.name, price.PerHour, before)
		}
		before = price.PerHour
		if p.values["cpus"] != fmt.Sprint(typ.VCPUs) || p.values["mem-mb"] != fmt.Sprint(typ.MemoryMiB*93/100*1048576/1000000) {
			t.Errorf("%s: %v", p.name, p.values)
		}
	}
}

// TestProfileTitles shows what people read of types of every sort.
func TestProfileTitles(t *testing.T) {
	types := []instancetype.Type{
		{Name: "a.amd", VCPUs: 4, MemoryMiB: 16 << 10, Arch: instancetype.X86_64, GPUs: 2, GPUName: "Radeon Pro V520", GPUManufacturer: "AMD"},
		{Name: "b.share", VCPUs: 2, MemoryMiB: 3 << 9, Arch: instancetype.X86_64, GPUName: "L4", GPUManufacturer: "NVIDIA"},
		{Name: "c.unpriced", VCPUs: 1, MemoryMiB: 1 << 9, Arch: instancetype.X86_64},
		{Name: "d.nameless", VCPUs: 8, MemoryMiB: 61 << 10, Arch: instancetype.X86_64, GPUs: 1},
	}
	var prices []instancetype.Price
	for i, name := range []string{"a.amd", "b.share", "d.nameless"} {
		prices = append(prices, instancetype.Price{Type: name, Region: "us-east-1", PerHour: instancetype.Money(i+1) * instancetype.Dollar})
	}
	catalog, err := instancetype.New(types, prices)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c, err := minimal().For(t.Context(), someDomain(t, catalog))
		if err != nil {
			t.Fatal(err)
		}
		want := []workbench.Profile{
			{Name: "a.amd", Title: "a.amd (4 vCPU, 16 GiB, 2 Radeon Pro V520, $1.00 an hour)", CPUs: 4, MemoryMiB: 15237, AMDGPUs: 2},
			{Name: "b.share", Title: "b.share (2 vCPU, 1.5 GiB, part of one L4, $2.00 an hour)", CPUs: 2, MemoryMiB: 1428},
			{Name: "d.nameless", Title: "d.nameless (8 vCPU, 61 GiB, 1 GPU, $3.00 an hour)", CPUs: 8, MemoryMiB: 58091},
			{Name: "c.unpriced", Title: "c.unpriced (1 vCPU, 0.5 GiB, price unknown)", CPUs: 1, MemoryMiB: 476},
		}
		if diff := cmp.Diff(want, c.Profiles); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// TestCustomSizes holds that a size that a menu allows is one that some type has
// room for, as far as CPUs and memory go each by itself.
func TestCustomSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := someDomain(t, few(t))
		ctx := t.Context()
		if _, err := d.Onboard(ctx, domain.OnboardRequest{User: "ann"}); err != nil {
			t.Fatal(err)
		}
		c, err := minimal().For(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		everyone := c.Menus[0]
		grant := func(cpus int, memory int64) error {
			_, err := d.Authorize(ctx, domain.Ask{User: "ann", Image: "rstudio", Size: domain.Size{MilliCPU: int64(cpus) * 1000, MemoryMiB: memory}})
			return err
		}
		if err := errors.Join(grant(everyone.MaxCPUs, 1), grant(1, everyone.MaxMemoryMiB)); err != nil {
			t.Error(err)
		}
		if grant(everyone.MaxCPUs+1, 1) == nil || grant(1, everyone.MaxMemoryMiB+1) == nil {
			t.Errorf("more than %d CPUs or %d MiB is granted", everyone.MaxCPUs, everyone.MaxMemoryMiB)
		}
		if err := d.SetPolicy(ctx, domain.Policy{Types: []string{"r5.metal"}}); err != nil {
			t.Fatal(err)
		}
		if c, err = c.For(ctx, d); err != nil || c.Menus[0].MaxCPUs != 0 || len(c.Profiles) != 1 {
			t.Errorf("%+v, %v: want bare metal by name, and no size", c.Menus, err)
		}
	})
}

// TestLongMenus holds what of a policy that allows everything is listed.
func TestLongMenus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := someDomain(t, instancetype.Embedded())
		if _, err := d.Onboard(t.Context(), domain.OnboardRequest{User: "ann"}); err != nil {
			t.Fatal(err)
		}
		list := func(allowed ...string) []string {
			if err := d.SetPolicy(t.Context(), domain.Policy{Types: allowed}); err != nil {
				t.Fatal(err)
			}
			c, err := minimal().For(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			return c.Menus[0].Profiles
		}
		few := []string{"t3.*", "m5.*", "c5.*", "r5.*", "g4dn.xlarge"}
		var want []string
		for _, o := range d.Catalog().Offers(d.Region(), instancetype.Requirements{Allowed: few, BareMetal: true}) {
			want = append(want, o.Type.Name)
		}
		if diff := cmp.Diff(want, list(few...)); diff != "" || len(want) > 50 {
			t.Errorf("%d types are all listed: (-want +got)\n%s", len(want), diff)
		}
		listed := list()
		if len(listed) != 50 {
			t.Fatalf("%d of all types are listed", len(listed))
		}
		price := func(name string) instancetype.Money {
			p, ok := d.Catalog().Price(name, d.Region())
			if !ok {
				t.Fatalf("%s has no price", name)
			}
			return p.PerHour
		}
		for i, a := range listed {
			x, _ := d.Catalog().Type(a)
			if _, err := d.Authorize(t.Context(), domain.Ask{User: "ann", Image: "both", InstanceType: a}); err != nil {
				t.Error(err)
			}
			for _, b := range listed[:i] {
				y, _ := d.Catalog().Type(b)
				if price(b) > price(a) || x.Arch == y.Arch && y.VCPUs >= x.VCPUs && y.MemoryMiB >= x.MemoryMiB && y.GPUs >= x.GPUs && (x.GPUName == "" || x.GPUName == y.GPUName) {
					t.Errorf("%s is listed after %s, which outdoes it or costs more", a, b)
				}
			}
		}
		t.Logf("the dearest of those listed is %s, %v an hour", listed[49], price(listed[49]))
	})
}

func TestForTellsAllThatHaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := someDomain(t, few(t))
		for group, p := range map[string]domain.Policy{"poor": {MaxPricePerHour: 1}, "blind": {Images: []string{"gone"}}, "odd": {Images: []string{"rstudio"}, Types: []string{"a1.*"}}} {
			if err := d.SetGroupPolicy(t.Context(), group, &p); err != nil {
				t.Fatal(err)
			}
		}
		_, err := minimal().For(t.Context(), d)
		for _, want := range []string{"group poor: ", "group blind: ", "group odd: ", "domain research"} {
			if !errors.Is(err, domain.ErrState) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		if err := d.SetPolicy(t.Context(), domain.Policy{Images: []string{"gone"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := minimal().For(t.Context(), d); !errors.Is(err, domain.ErrState) || strings.Contains(err.Error(), "group") {
			t.Errorf("%v, want one sentence about the domain", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := minimal().For(ctx, d); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want the context's error", err)
		}
	})
}

func TestForRefusesADomainThatIsBeingDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := someDomain(t, few(t), fakeaws.Fault{Action: "ec2:DeleteSecurityGroup", Status: 403, Code: "UnauthorizedOperation"})
		if err := d.Client().Delete(t.Context(), d.Name()); !errors.Is(err, domain.ErrDenied) {
			t.Fatal(err)
		}
		if _, err := minimal().For(t.Context(), d); !errors.Is(err, domain.ErrState) || !strings.Contains(err.Error(), "it is being deleted") {
			t.Errorf("%v, want %q", err, domain.ErrState)
		}
	})
}

// TestForKeepsWhatIsNotTheDomains holds that For sets nothing but what it names.
func TestForKeepsWhatIsNotTheDomains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := someDomain(t, few(t))
		before := full()
		before.Jupyter.Image, before.VSCode = "both", workbench.Editor{}
		after, err := before.For(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		mustFiles(t, after)
		if after.Plugin.Domain != "research" || after.Plugin.Region != "us-east-1" || after.Plugin.Store != before.Plugin.Store || len(after.Menus) != 1 {
			t.Errorf("%+v", after.Plugin)
		}
		after.Plugin, after.Profiles, after.Menus = before.Plugin, before.Profiles, before.Menus
		if diff := cmp.Diff(before, after); diff != "" {
			t.Error(diff)
		}
	})
}
