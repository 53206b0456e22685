package domain

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/atelier-go/atelier/instancetype"
)

// FuzzCost compares with the definition, and cuts the time in two and into months.
func FuzzCost(f *testing.F) {
	f.Add(int64(41_600), int64(1_764_000_000), int64(3600), int64(1800), int64(0))
	f.Add(int64(1), int64(1_767_225_599), int64(2), int64(1), int64(999_999_999))         // over New Year
	f.Add(int64(24_780_000), int64(1_772_323_200), int64(90*24*3600), int64(1), int64(5)) // three months
	f.Add(int64(math.MaxInt64), int64(0), int64(7200), int64(3), int64(0))
	f.Fuzz(func(t *testing.T, rate, begin, ran, cut, nano int64) {
		ran = int64(uint64(ran) % (5 * 366 * 24 * 3600))
		cut = int64(uint64(cut) % uint64(ran+1))
		begin = int64(uint64(begin) % 4_000_000_000)
		nano = int64(uint64(nano) % 1e9)
		perHour := instancetype.Money(rate & math.MaxInt64)
		from, to := time.Unix(begin, nano), time.Unix(begin+ran, nano/2)
		got := Cost(perHour, from, to)

		exact := new(big.Int).Mul(big.NewInt(int64(perHour)), big.NewInt(ran))
		exact.Add(exact, big.NewInt(1800)).Quo(exact, big.NewInt(3600))
		want := instancetype.Money(math.MaxInt64)
		if exact.IsInt64() {
			want = instancetype.Money(exact.Int64())
		}
		if got != want {
			t.Fatalf("%v an hour for %d s: %v, want %v", perHour, ran, got, want)
		}
		middle := time.Unix(begin+cut, nano)
		if parts := plus(Cost(perHour, from, middle), Cost(perHour, middle, to)); parts-got > 1 || got-parts > 1 {
			t.Fatalf("%v an hour for %d s: %v, in two parts %v", perHour, ran, got, parts)
		}
		var sum instancetype.Money
		for month, _ := monthOf(from); month.Before(to); month = month.AddDate(0, 1, 0) {
			sum += costIn(month, perHour, from, to)
		}
		if sum != got {
			t.Fatalf("%v an hour for %d s: %v, in months %v", perHour, ran, got, sum)
		}
	})
}

func TestCost(t *testing.T) {
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, c := range []struct {
		name     string
		from, to time.Time
		want     map[string]instancetype.Money // at 3.60 an hour, a thousandth a second
	}{
		{"a minute", at("2026-11-23T09:00:00Z"), at("2026-11-23T09:01:00Z"), map[string]instancetype.Money{"2026-11": 60_000}},
		{"fractions do not count", at("2026-11-23T09:00:00.9Z"), at("2026-11-23T09:00:01.1Z"), map[string]instancetype.Money{"2026-11": 1_000}},
		{"never ran", time.Time{}, at("2026-11-23T09:00:00Z"), nil},
		{"backwards", at("2026-11-23T09:00:00Z"), at("2026-11-23T08:00:00Z"), nil},
		{"over New Year", at("2026-12-31T23:59:00Z"), at("2027-01-01T00:02:00Z"), map[string]instancetype.Money{"2026-12": 60_000, "2027-01": 120_000}},
		{"to the end of a month", at("2026-12-31T23:59:00Z"), at("2027-01-01T00:00:00Z"), map[string]instancetype.Money{"2026-12": 60_000}},
		{"months are of UTC", at("2026-12-31T18:59:00-05:00"), at("2027-01-01T01:01:00+01:00"), map[string]instancetype.Money{"2026-12": 60_000, "2027-01": 60_000}},
		{"a leap February", at("2028-01-31T23:59:59Z"), at("2028-03-01T00:00:01Z"), map[string]instancetype.Money{"2028-01": 1_000, "2028-02": 29 * 86_400_000, "2028-03": 1_000}},
	} {
		var sum instancetype.Money
		for month := at("2026-01-01T00:00:00Z"); month.Year() < 2030; month = month.AddDate(0, 1, 0) {
			got := costIn(month.Add(100*time.Hour), 3_600_000, c.from, c.to)
			sum += got
			if got != c.want[monthName(month)] {
				t.Errorf("%s: %v in %s, want %v", c.name, got, monthName(month), c.want[monthName(month)])
			}
		}
		if whole := Cost(3_600_000, c.from, c.to); whole != sum {
			t.Errorf("%s: %v, its months are %v", c.name, whole, sum)
		}
	}
	if got := Cost(-1, begun, begun.Add(time.Hour)); got != 0 {
		t.Errorf("a negative rate costs %v", got)
	}
}

func TestPerHour(t *testing.T) {
	offer := func(name string, vcpus int, memory int64, gpus int, price instancetype.Money) instancetype.Offer {
		return instancetype.Offer{
			Type:  instancetype.Type{Name: name, VCPUs: vcpus, MemoryMiB: memory, GPUs: gpus},
			Price: instancetype.Price{PerHour: price}, Priced: price != 0,
		}
	}
	grant := func(o instancetype.Offer, s Size, others ...instancetype.Offer) Grant {
		return Grant{Type: o.Type, PricePerHour: o.Price, PriceKnown: o.Priced, Size: s, Sharing: PerUser, Alternatives: others}
	}
	small, gpu := offer("m.small", 4, 10_000, 0, 100_000), offer("g.large", 8, 100_000, 4, 4_000_000)
	unknown := offer("new.large", 4, 10_000, 0, 0)
	half := Size{MilliCPU: 2000, MemoryMiB: 1000}
	exclusive := grant(small, half)
	exclusive.Sharing = Exclusive
	spot := grant(small, half)
	spot.Market = Spot
	for _, c := range []struct {
		name  string
		grant Grant
		typ   string
		want  instancetype.Money
		known bool
	}{
		{"all of it", grant(small, Size{}), "m.small", 100_000, true},
		{"by CPU", grant(small, half), "m.small", 50_000, true},
		{"by the memory for sessions", grant(small, Size{1000, 4650, 0}), "m.small", 50_000, true},
		{"by GPU", grant(gpu, Size{1000, 1000, 3}), "g.large", 3_000_000, true},
		{"no GPU of a host with some", grant(gpu, Size{2000, 1000, 0}), "g.large", 1_000_000, true},
		{"rounded up", grant(small, Size{333, 1, 0}), "m.small", 8_325, true},
		{"rounded up to a millionth", grant(offer("m", 3, 10_000, 0, 100), Size{1000, 1, 0}), "m", 34, true},
		{"more than there is", grant(small, Size{9000, 1, 0}), "m.small", 100_000, true},
		{"a host of its own", exclusive, "m.small", 100_000, true},
		{"spot at the list price", spot, "m.small", 50_000, true},
		{"the dearest of three", grant(small, half, gpu, offer("m.b", 4, 10_000, 0, 200_000)), "", 1_000_000, true},
		{"an alternative", grant(small, half, gpu), "g.large", 1_000_000, true},
		{"the main one beside a dearer", grant(small, half, gpu), "m.small", 50_000, true},
		{"without a price", grant(unknown, half), "", 0, false},
		{"one of them without a price", grant(small, half, unknown), "", 0, false},
		{"with a price beside one without", grant(small, half, unknown), "m.small", 50_000, true},
		{"another's type", grant(small, half), "g.large", 0, false},
		{"the largest price", grant(offer("m", 3, 10_000, 0, math.MaxInt64), Size{2999, 1, 0}), "m", 9220297579509157549, true},
	} {
		if got, known := c.grant.PerHour(c.typ); got != c.want || known != c.known {
			t.Errorf("%s: %v (%d), %t, want %v, %t", c.name, got, got, known, c.want, c.known)
		}
	}
}
