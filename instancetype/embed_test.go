package instancetype

import (
	"encoding/csv"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestEmbeddedIsTheData compares every field and price with the CSV files,
// read in another way than the generator's.
func TestEmbeddedIsTheData(t *testing.T) {
	c := Embedded()
	asOf := make(map[string]string)
	for _, row := range readCSV(t, "data/sources.csv") {
		asOf[row["source"]] = row["as_of"]
	}
	var names []string
	for _, row := range readCSV(t, "data/instance_types.csv") {
		names = append(names, row["name"])
		want := Type{
			Name: row["name"], Family: row["family"], Size: row["size"],
			VCPUs: int(number(t, row["vcpus"])), MemoryMiB: int64(number(t, row["memory_mib"])), Arch: Arch(row["arch"]),
			GPUs: int(number(t, row["gpus"])), GPUName: row["gpu_name"], GPUMemoryMiB: int64(number(t, row["gpu_memory_mib"])),
			NetworkGbps: number(t, row["network_gbps"]), NetworkPeakGbps: number(t, row["network_peak_gbps"]),
			EBSBaselineMbps: int(number(t, row["ebs_baseline_mbps"])), LocalStorageGB: int(number(t, row["local_storage_gb"])),
			MaxENIs: int(number(t, row["max_enis"])), IPsPerENI: int(number(t, row["ips_per_eni"])),
			Trunking: No, MaxBranchENIs: int(number(t, row["max_branch_enis"])),
			Hypervisor: Hypervisor(row["hypervisor"]), BareMetal: row["bare_metal"] == "true", Burstable: row["burstable"] == "true",
			CurrentGeneration: fact(row["current_generation"]), Hibernation: fact(row["hibernation_supported"]), Spot: fact(row["spot_supported"]),
			Source: row["spec_source"], AsOf: date(t, asOf[row["spec_source"]]),
		}
		switch {
		case row["max_branch_enis"] == "":
			want.Trunking = Unknown
		case want.MaxBranchENIs > 0:
			want.Trunking = Yes
		}
		got, err := c.Type(row["name"])
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.EqualFold(got.GPUManufacturer, row["gpu_manufacturer"]) {
			t.Errorf("%s: manufacturer %q, want %q", got.Name, got.GPUManufacturer, row["gpu_manufacturer"])
		}
		if ebsOnly := got.LocalStorageGB == 0; strconv.FormatBool(ebsOnly) != row["ebs_only"] {
			t.Errorf("%s: EBS only is %v, want %s", got.Name, ebsOnly, row["ebs_only"])
		}
		if disks := row["local_storage_disks"]; disks != "" {
			each := got.LocalStorageGB / max(1, got.LocalDisks)
			if d := strconv.Itoa(got.LocalDisks) + "x" + strconv.Itoa(each) + "GB-" + got.LocalDiskType; d != disks {
				t.Errorf("%s: disks %s, want %s", got.Name, d, disks)
			}
		} else if got.LocalDisks != 0 || got.LocalDiskType != "" {
			t.Errorf("%s: %d disks of type %q, want them unknown", got.Name, got.LocalDisks, got.LocalDiskType)
		}
		want.GPUManufacturer, want.LocalDisks, want.LocalDiskType = got.GPUManufacturer, got.LocalDisks, got.LocalDiskType
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", got.Name, got, want)
		}
	}
	slices.Sort(names)
	var all []string
	for ty := range c.All() {
		all = append(all, ty.Name)
	}
	if !slices.Equal(all, names) {
		t.Errorf("All yields %d names, not the %d of the data in order", len(all), len(names))
	}

	priced := 0
	for _, row := range readCSV(t, "data/instance_prices.csv") {
		got, ok := c.Price(row["name"], row["region"])
		if _, described := slices.BinarySearch(names, row["name"]); !described || row["currency"] != "USD" {
			if ok {
				t.Errorf("price of %s in %s is %+v, want it unknown", row["name"], row["region"], got)
			}
			continue
		}
		priced++
		perHour, err := ParseMoney(row["usd_per_hour"])
		if err != nil {
			t.Fatal(err)
		}
		want := Price{Type: row["name"], Region: row["region"], PerHour: perHour, Source: row["source"], AsOf: date(t, row["as_of"])}
		if !ok || got != want {
			t.Errorf("price:\n got %+v, %v\nwant %+v", got, ok, want)
		}
	}
	held := 0
	for region := range c.quotes {
		for name := range c.index {
			if p, ok := c.Price(name, region); ok {
				held++
				if p.PerHour <= 0 {
					t.Errorf("%+v is not above zero", p)
				}
			}
		}
	}
	if held != priced {
		t.Errorf("the catalog has %d prices, the data %d", held, priced)
	}
}

// TestEmbeddedDoc keeps the figures of Embedded's doc comment true.
func TestEmbeddedDoc(t *testing.T) {
	c := Embedded()
	if len(c.types) != 1395 || len(c.quotes) != 34 {
		t.Errorf("%d types and %d regions, documented are 1,395 and 34", len(c.types), len(c.quotes))
	}
	for region := range c.quotes {
		want := "2025-05-28"
		if region == "us-east-1" || strings.HasPrefix(region, "us-gov-") {
			want = "2026-07-20"
		}
		for name := range c.index {
			if p, ok := c.Price(name, region); ok && p.AsOf.Format(time.DateOnly) != want {
				t.Errorf("price of %s in %s is of %v, documented is %s", name, region, p.AsOf, want)
			}
		}
	}
	for ty := range c.All() {
		if ty.Source == "moto" && ty.AsOf.Format(time.DateOnly) != "2026-08-22" || ty.AsOf.IsZero() {
			t.Errorf("%s is described as of %v", ty.Name, ty.AsOf)
		}
	}
}

func TestEmbeddedByMany(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if c := Embedded(); c != Embedded() || len(c.Offers("us-east-1", Requirements{MinGPUs: 1})) == 0 {
				t.Error("another catalog, or an empty one")
			}
		})
	}
	wg.Wait()
}

// TestLoadDamaged feeds load what internal/gen would not write.
func TestLoadDamaged(t *testing.T) {
	const (
		source = "moto\t2026-08-22\n\n"
		large  = "z9.large\t2\t8192\tarm64\t0\t\t\t\t1.5\t\t\t0\t\t\t3\t10\t1\t9\tnitro\t0\t0\t1\t\t1\tmoto\n\n"
		price  = "@eu-west-1\tmoto\t2026-08-22\nz9.large\t41600\n"
	)
	c, err := load(gz(t, source+large+price))
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := c.Price("z9.large", "eu-west-1"); !ok || p.PerHour != 41600 {
		t.Fatalf("sound text: price %+v, %v", p, ok)
	}
	for name, text := range map[string]string{
		"date":     strings.Replace(source, "22", "32", 1) + large + price,
		"number":   source + strings.Replace(large, "8192", "8GiB", 1) + price,
		"decimal":  source + strings.Replace(large, "1.5", "1,5", 1) + price,
		"fact":     source + strings.Replace(large, "nitro\t0", "nitro\tno", 1) + price,
		"arch":     source + strings.Replace(large, "arm64", "arm", 1) + price,
		"price":    source + large + strings.Replace(price, "41600", "0.0416", 1),
		"no price": source + large + strings.Replace(price, "41600", "", 1),
		"as of":    source + large + strings.Replace(price, "2026", "26", 1),
		"stranger": source + large + strings.Replace(price, "z9", "z8", 1),
	} {
		if _, err := load(gz(t, text)); err == nil {
			t.Errorf("%s: damaged text was loaded", name)
		}
	}
	for _, n := range []int{0, 5, len(catalogGz) / 2, len(catalogGz) - 1} {
		if _, err := load(catalogGz[:n]); err == nil {
			t.Errorf("the first %d bytes were loaded", n)
		}
	}
}

func readCSV(t *testing.T, file string) []map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var records []map[string]string
	for _, row := range rows[1:] {
		record := make(map[string]string)
		for i, cell := range row {
			record[rows[0][i]] = cell
		}
		records = append(records, record)
	}
	return records
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	if s == "" {
		return 0
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func date(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func fact(s string) Fact {
	return map[string]Fact{"true": Yes, "false": No}[s]
}
