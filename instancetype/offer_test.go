package instancetype

import (
	"errors"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
)

// meets says, apart from the code under test, whether a type will do.
func meets(c *Catalog, ty Type, region string, r Requirements) bool {
	p, priced := c.Price(ty.Name, region)
	allowed := len(r.Allowed) == 0
	for _, pattern := range r.Allowed {
		ok, err := path.Match(strings.TrimPrefix(pattern, "ml."), ty.Name)
		allowed = allowed || ok && err == nil
	}
	linux := ty.Arch == X86_64 || ty.Arch == ARM64
	return ty.VCPUs >= r.MinVCPUs && ty.MemoryMiB >= r.MinMemoryMiB && ty.GPUs >= r.MinGPUs &&
		(r.GPUName == "" || strings.EqualFold(r.GPUName, ty.GPUName)) &&
		(ty.Arch == r.Arch || r.Arch == "" && linux) &&
		(r.MaxPerHour == 0 || priced && p.PerHour <= r.MaxPerHour) &&
		allowed && (!r.NoBurstable || !ty.Burstable) && (!ty.BareMetal || r.BareMetal) &&
		(!r.CurrentGeneration || ty.CurrentGeneration == Yes)
}

// TestOffersAndCheckAgree draws requirements: the offers are exactly what
// meets them, in order, and Check agrees with a reason for each refusal.
func TestOffersAndCheckAgree(t *testing.T) {
	c := Embedded()
	random := rand.New(rand.NewPCG(2, 26))
	regions := []string{"us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1", "nowhere"}
	var offered, refused int
	for range 150 {
		r := Requirements{
			MinVCPUs:          seldom(random, 1, 2, 16, 97),
			MinMemoryMiB:      seldom[int64](random, 512, 16<<10, 1<<20),
			MinGPUs:           seldom(random, 1, 8),
			GPUName:           seldom(random, "t4", "L4", "A100", "none"),
			Arch:              seldom(random, X86_64, ARM64, ARM64Mac),
			MaxPerHour:        seldom(random, 41600, Dollar, 30*Dollar),
			Allowed:           seldom(random, []string{"t3.*", "ml.r5.4xlarge"}, []string{"*.2xlarge"}, []string{"*5*large", "*.metal*"}),
			NoBurstable:       seldom(random, true),
			CurrentGeneration: seldom(random, true),
			BareMetal:         seldom(random, true),
		}
		region := regions[random.IntN(len(regions))]
		offers := c.Offers(region, r)
		names := make(map[string]bool)
		for i, o := range offers {
			names[o.Type.Name] = true
			p, priced := c.Price(o.Type.Name, region)
			if o.Price != p || o.Priced != priced {
				t.Errorf("%s in %s is offered at %+v, the price is %+v", o.Type.Name, region, o.Price, p)
			}
			if i > 0 && !before(offers[i-1], o) {
				t.Errorf("%+v in %s: %s is offered before %s", r, region, offers[i-1].Type.Name, o.Type.Name)
			}
		}
		for ty := range c.All() {
			want := meets(c, ty, region, r)
			err := c.Check(ty.Name, region, r)
			if names[ty.Name] != want || (err == nil) != want {
				t.Errorf("%+v: %s in %s meets them: %v; offered: %v; checked: %v", r, ty.Name, region, want, names[ty.Name], err)
			}
			if want {
				offered++
				continue
			}
			refused++
			no, ok := errors.AsType[*RefusedError](err)
			if !ok || !errors.Is(err, ErrRefused) || len(no.Reasons) == 0 || slices.Contains(no.Reasons, "") || no.Type != ty.Name || no.Region != region {
				t.Errorf("%s in %s: error %#v", ty.Name, region, err)
			}
		}
		if len(names) != len(offers) || t.Failed() {
			t.Fatalf("%+v in %s: %d offers of %d types", r, region, len(offers), len(names))
		}
	}
	if offered < 1000 || refused < 1000 {
		t.Errorf("the draws offer %d and refuse %d, too few to show anything", offered, refused)
	}
}

// seldom draws one of the values, or mostly the zero value, so that most
// draws are met by some types.
func seldom[T any](random *rand.Rand, values ...T) T {
	var zero T
	if random.IntN(3) > 0 {
		return zero
	}
	return values[random.IntN(len(values))]
}

// before is the documented order.
func before(a, b Offer) bool {
	if a.Priced != b.Priced {
		return a.Priced
	}
	x, y := a.Type, b.Type
	if a.Priced {
		if a.Price.PerHour != b.Price.PerHour {
			return a.Price.PerHour < b.Price.PerHour
		}
		x, y = y, x // more for the same price comes first
	}
	if x.VCPUs != y.VCPUs {
		return x.VCPUs < y.VCPUs
	}
	if x.MemoryMiB != y.MemoryMiB {
		return x.MemoryMiB < y.MemoryMiB
	}
	return a.Type.Name < b.Type.Name
}

// TestOffersDefault: the zero value offers every Linux type that is no bare
// metal, retired ones too, and the unpriced after the priced.
func TestOffersDefault(t *testing.T) {
	offers := Embedded().Offers("us-east-1", Requirements{})
	if offers[0].Type.Name != "t4g.nano" || offers[len(offers)-1].Priced || !offers[len(offers)/2].Priced {
		t.Errorf("begins with %s, ends with %+v", offers[0].Type.Name, offers[len(offers)-1])
	}
	for _, o := range offers {
		if o.Type.BareMetal || o.Type.Arch.mac() {
			t.Errorf("offers %s", o.Type.Name)
		}
	}
	if offers := Embedded().Offers("cn-north-1", Requirements{MinVCPUs: 2, Allowed: []string{"t3.*"}}); len(offers) != 7 || offers[0].Priced || offers[0].Type.Name != "t3.nano" {
		t.Errorf("without prices: %+v", offers)
	}
}

func TestCheckGivesEveryReason(t *testing.T) {
	none := Requirements{
		MinVCPUs: 1000, MinMemoryMiB: 1 << 40, MinGPUs: 99, GPUName: "T4", Arch: ARM64, MaxPerHour: 1, Allowed: []string{"r5.*", "ml.m5.large"},
		NoBurstable: true, CurrentGeneration: true,
	}
	for _, test := range []struct {
		name string
		r    Requirements
		want []string
	}{
		{"ml.t2.micro", none, []string{
			"1 vCPUs, at least 1000 required", "1024 MiB of memory, at least 1099511627776 required", "0 whole GPUs, at least 99 required",
			`no GPU, "T4" required`, "architecture is x86_64, arm64 required", "$0.0116 an hour, at most $0.000001 allowed",
			`not among those allowed, ["r5.*" "ml.m5.large"]`, "CPU is burstable, which is not wanted",
		}},
		{"mac2.metal", Requirements{MaxPerHour: Dollar}, []string{
			"architecture is arm64_mac, which runs no Linux", "price is unknown, at most $1.00 an hour allowed", "bare metal is not asked for",
		}},
		{"g5.xlarge", Requirements{GPUName: "T4", CurrentGeneration: true}, []string{
			`GPU is A10G, "T4" required`, "not known to be of the current generation",
		}},
	} {
		err := Embedded().Check(test.name, "us-east-1", test.r)
		no, ok := errors.AsType[*RefusedError](err)
		if !ok || !slices.Equal(no.Reasons, test.want) {
			t.Errorf("%s: %v\nwant %q", test.name, err, test.want)
		}
	}
	if err := Embedded().Check("t3.meduim", "us-east-1", none); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

func TestRequirementsValidate(t *testing.T) {
	c := Embedded()
	for want, r := range map[string]Requirements{
		"-1 vCPUs":          {MinVCPUs: -1},
		"-2 MiB":            {MinMemoryMiB: -2},
		"-3 GPUs":           {MinGPUs: -3},
		"price -$0.000001":  {MaxPerHour: -1},
		`"amd64"`:           {Arch: "amd64"},
		`pattern ""`:        {Allowed: []string{"t3.*", ""}},
		`pattern "t3"`:      {Allowed: []string{"t3"}},
		`pattern "T3.*"`:    {Allowed: []string{"T3.*"}},
		`pattern "t[34].*"`: {Allowed: []string{"t[34].*"}},
		`pattern "ml."`:     {Allowed: []string{"ml."}},
	} {
		err := r.Validate()
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one that says %s", r, err, want)
		}
		if offers := c.Offers("us-east-1", r); len(offers) != 0 {
			t.Errorf("%+v: %d offers", r, len(offers))
		}
		if err := c.Check("t3.medium", "us-east-1", r); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: checked with %v", r, err)
		}
	}
	err := Requirements{MinVCPUs: -1, MaxPerHour: -1, Arch: "x", Allowed: []string{"[", "]"}}.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("want five problems at once: %v", err)
	}
}

// FuzzMatches compares with path.Match, which agrees on these characters.
func FuzzMatches(f *testing.F) {
	for _, pattern := range []string{"t3.*", "*", "**", "*.*", "r5*.4xlarge", "*3.*edium", "ml.t3.medium", "*m*.m*", "t3.medium", "t3.medium*", "system"} {
		for _, name := range []string{"t3.medium", "t3.mediums", "t3.", "r5.4xlarge", ""} {
			f.Add(pattern, name)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !validPattern(pattern) || strings.Contains(name, "/") {
			return
		}
		plain := strings.TrimPrefix(pattern, "ml.")
		if pattern == "system" {
			plain = "t3.medium"
		}
		want, err := path.Match(plain, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := matches(pattern, name); got != want {
			t.Errorf("%q matches %q: %v", pattern, name, got)
		}
	})
}
