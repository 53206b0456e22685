package instancetype

import (
	"bytes"
	"compress/gzip"
	"errors"
	"slices"
	"strings"
	"testing"
)

func gz(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestKnownTypes holds the catalog against AWS's pages of instance types and
// prices, for types that sessions are likely to run on.
func TestKnownTypes(t *testing.T) {
	for _, want := range []struct {
		name    string
		vcpus   int
		gib     float64
		arch    Arch
		gpus    int
		gpu     string
		price   string
		enis    int
		burst   bool
		current Fact
	}{
		{"t3.medium", 2, 4, X86_64, 0, "", "$0.0416", 3, true, Yes},
		{"t3.nano", 2, 0.5, X86_64, 0, "", "$0.0052", 2, true, Yes},
		{"t4g.small", 2, 2, ARM64, 0, "", "$0.0168", 3, true, Yes},
		{"m5.large", 2, 8, X86_64, 0, "", "$0.096", 3, false, No},
		{"r5.4xlarge", 16, 128, X86_64, 0, "", "$1.008", 8, false, No},
		{"c5.9xlarge", 36, 72, X86_64, 0, "", "$1.53", 8, false, No},
		{"m7g.2xlarge", 8, 32, ARM64, 0, "", "$0.3264", 4, false, Yes},
		{"g4dn.xlarge", 4, 16, X86_64, 1, "T4", "$0.526", 3, false, Yes},
		{"g5.12xlarge", 48, 192, X86_64, 4, "A10G", "$5.672", 15, false, No},
		{"p4d.24xlarge", 96, 1152, X86_64, 8, "A100", "$21.957642", 60, false, Yes},
		{"p3.2xlarge", 8, 61, X86_64, 1, "V100", "$3.06", 4, false, Unknown},
	} {
		got, err := Embedded().Type(want.name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got.VCPUs != want.vcpus || got.MemoryMiB != int64(want.gib*1024) || got.Arch != want.arch || got.GPUs != want.gpus ||
			got.GPUName != want.gpu || got.MaxENIs != want.enis || got.Burstable != want.burst || got.CurrentGeneration != want.current {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		if p, ok := Embedded().Price(want.name, "us-east-1"); !ok || p.PerHour.String() != want.price {
			t.Errorf("%s costs %v (%v), want %s", want.name, p.PerHour, ok, want.price)
		}
	}
}

func TestUnknownIsNotZero(t *testing.T) {
	c := Embedded()
	for _, q := range [][2]string{
		{"t3.medium", "cn-north-1"}, // sold there, for yuan
		{"t3.medium", "us-east-9"},
		{"t3.medium", ""},
		{"mac2.metal", "us-east-1"},
		{"cc2.8xlarge", "us-east-1"},
		{"t3.none", "us-east-1"},
		{"ml.geospatial.interactive", "us-east-1"},
	} {
		if p, ok := c.Price(q[0], q[1]); ok || p != (Price{}) {
			t.Errorf("price of %s in %q is %+v, %v, want it unknown", q[0], q[1], p, ok)
		}
	}
	for name, want := range map[string]Type{
		"g3.4xlarge":     {Trunking: Unknown, Spot: Unknown, Hibernation: Unknown},
		"t3.medium":      {Trunking: No, Spot: Yes, Hibernation: Yes},
		"m5.large":       {Trunking: Yes, MaxBranchENIs: 9, Spot: Yes, Hibernation: Yes},
		"hpc6a.48xlarge": {Trunking: Unknown, Spot: No, Hibernation: No},
	} {
		got, err := c.Type(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got.Trunking != want.Trunking || got.MaxBranchENIs != want.MaxBranchENIs || got.Spot != want.Spot || got.Hibernation != want.Hibernation {
			t.Errorf("%s: %+v, want the facts of %+v", name, got, want)
		}
	}
	if got := []string{Unknown.String(), No.String(), Yes.String()}; !slices.Equal(got, []string{"unknown", "no", "yes"}) {
		t.Error(got)
	}
}

func TestUnknownType(t *testing.T) {
	for name, near := range map[string]string{
		"r5.4xlarg":                        "r5.4xlarge r5.24xlarge r5.2xlarge",
		"ml.r5.4xlrage":                    "r5.4xlarge r5.24xlarge r5.2xlarge",
		"T3.Medium":                        "t3.medium t3a.medium t2.medium",
		" t3.medium":                       "t3.medium t3a.medium t2.medium", //nolint:gocritic // the space is the point
		"t3.humongous":                     "t3.medium t3.micro t3.nano",
		"t3medium":                         "t3.medium t3a.medium t2.medium",
		"zz99.what":                        "",
		"ml.geospatial.interactive":        "",
		"ml.ml.t3.medium":                  "",
		"":                                 "",
		"ml.":                              "",
		strings.Repeat("r5.4xlarge", 1000): "",
	} {
		_, err := Embedded().Type(name)
		unknown, ok := errors.AsType[*UnknownError](err)
		if !ok || !errors.Is(err, ErrUnknown) {
			t.Errorf("%.40q: error %v, want an UnknownError", name, err)
			continue
		}
		if unknown.Name != name || strings.Join(unknown.Near, " ") != near {
			t.Errorf("%.40q: near are %q, want %q", name, unknown.Near, near)
		}
		if len(err.Error()) > 200 || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%.40q: sentence %q", name, err)
		}
	}
}

func TestNewReportsEveryProblem(t *testing.T) {
	sound := Type{Name: "z9.large", VCPUs: 2, MemoryMiB: 8192, Arch: ARM64}
	price := Price{Type: "z9.large", Region: "eu-west-1", PerHour: 1}
	for name, test := range map[string]struct {
		spoil func(t *Type, p *Price)
		want  string
	}{
		"no name":      {func(t *Type, _ *Price) { t.Name = "" }, `type ""`},
		"no dot":       {func(t *Type, _ *Price) { t.Name = "z9large" }, `type "z9large"`},
		"two dots":     {func(t *Type, _ *Price) { t.Name = "ml.z9.large" }, `type "ml.z9.large"`},
		"upper case":   {func(t *Type, _ *Price) { t.Name = "Z9.large" }, `type "Z9.large"`},
		"control":      {func(t *Type, _ *Price) { t.Name = "z9.\nlarge" }, `type "z9.\nlarge"`},
		"family":       {func(t *Type, _ *Price) { t.Family = "z8" }, `family "z8"`},
		"size":         {func(t *Type, _ *Price) { t.Size = "small" }, `size "small"`},
		"CPUs":         {func(t *Type, _ *Price) { t.VCPUs = 0 }, "0 vCPUs"},
		"memory":       {func(t *Type, _ *Price) { t.MemoryMiB = -1 }, "-1 MiB"},
		"architecture": {func(t *Type, _ *Price) { t.Arch = "mips" }, `architecture "mips"`},
		"quantity":     {func(t *Type, _ *Price) { t.IPsPerENI = -1 }, "negative"},
		"trunking":     {func(t *Type, _ *Price) { t.MaxBranchENIs = 3 }, "3 branch"},
		"no branches":  {func(t *Type, _ *Price) { t.Trunking = Yes }, "0 branch"},
		"fact":         {func(t *Type, _ *Price) { t.Spot = 3 }, "fact"},
		"stranger":     {func(_ *Type, p *Price) { p.Type = "z9.small" }, `price of "z9.small"`},
		"region":       {func(_ *Type, p *Price) { p.Region = "" }, "region is empty"},
		"free":         {func(_ *Type, p *Price) { p.PerHour = 0 }, "more than zero"},
	} {
		ty, p := sound, price
		test.spoil(&ty, &p)
		if _, err := New([]Type{ty}, []Price{p}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that says %s", name, err, test.want)
		}
	}
	_, err := New([]Type{sound, {Name: "X"}, sound}, []Price{price, {Region: "r"}, price})
	for _, want := range []string{`"z9.large" is given twice`, `type "X": want a name`, `"X": 0 vCPUs`, `"X": architecture`,
		`price of "" in "r": no such type`, "more than zero", `price of "z9.large" in "eu-west-1": is given twice`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\ndoes not say %s", err, want)
		}
	}
}

func TestNewCopies(t *testing.T) {
	types := []Type{{Name: "z9.small", VCPUs: 1, MemoryMiB: 1, Arch: X86_64}, {Name: "a9.small", VCPUs: 1, MemoryMiB: 1, Arch: X86_64}}
	c, err := New(types, nil)
	if err != nil {
		t.Fatal(err)
	}
	if types[0].Name != "z9.small" || types[0].Family != "" {
		t.Errorf("the caller's types were changed: %+v", types)
	}
	types[1].VCPUs = 99
	got, err := c.Type("a9.small")
	if err != nil || got.VCPUs != 1 || got.Family != "a9" || got.Size != "small" {
		t.Errorf("got %+v, %v", got, err)
	}
	for ty := range c.All() {
		if ty.Name != "a9.small" {
			t.Errorf("All begins with %s", ty.Name)
		}
		break
	}
}

func TestZeroCatalogIsEmpty(t *testing.T) {
	var c Catalog
	if _, err := c.Type("t3.medium"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if _, ok := c.Price("t3.medium", "us-east-1"); ok || len(c.Offers("us-east-1", Requirements{})) != 0 {
		t.Error("the zero catalog has a price or an offer")
	}
	for ty := range c.All() {
		t.Errorf("the zero catalog has %s", ty.Name)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	c := Embedded()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.Type("ml.r5.4xlarge"); err != nil {
			t.Error(err)
		}
		if _, ok := c.Price("r5.4xlarge", "us-east-1"); !ok {
			t.Error("no price")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzType: a name is known, and then comes back as EC2 writes it, or the
// error suggests names that are known.
func FuzzType(f *testing.F) {
	for _, name := range []string{"t3.medium", "ml.r5.4xlarge", "system", "ml.geospatial.interactive", "r5.4xlarg", "", ".", "ml.", "t3.", "\xff.\x00", "u-12tb1.112xlarge"} {
		f.Add(name)
	}
	c := Embedded()
	f.Fuzz(func(t *testing.T, name string) {
		got, err := c.Type(name)
		_, priced := c.Price(name, "us-east-1")
		if err == nil {
			if got.Name != name && "ml."+got.Name != name && name != "system" {
				t.Errorf("%q is %q", name, got.Name)
			}
			if got.Family+"."+got.Size != got.Name {
				t.Errorf("%q is family %q, size %q", name, got.Family, got.Size)
			}
			return
		}
		unknown, ok := errors.AsType[*UnknownError](err)
		if !ok || unknown.Name != name || len(unknown.Near) > 3 || priced {
			t.Fatalf("%q: %v, near %q, priced %v", name, err, unknown.Near, priced)
		}
		for _, near := range unknown.Near {
			if _, err := c.Type(near); err != nil {
				t.Errorf("%q suggests %q: %v", name, near, err)
			}
		}
	})
}
