package instancetype

import "testing"

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := load(catalogGz); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkType(b *testing.B) {
	c := Embedded()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Type("r5.4xlarge"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrice(b *testing.B) {
	c := Embedded()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := c.Price("r5.4xlarge", "us-east-1"); !ok {
			b.Fatal("unknown")
		}
	}
}

func BenchmarkOffers(b *testing.B) {
	c := Embedded()
	r := Requirements{MinVCPUs: 4, MinMemoryMiB: 16 << 10, Arch: X86_64, Allowed: []string{"m*.*", "r*.*", "t3.*"}}
	b.ReportAllocs()
	for b.Loop() {
		if len(c.Offers("us-east-1", r)) == 0 {
			b.Fatal("no offers")
		}
	}
}

func BenchmarkUnknown(b *testing.B) {
	c := Embedded()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Type("r5.4xlareg"); err == nil {
			b.Fatal("known")
		}
	}
}
