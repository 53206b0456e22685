package instancetype

import (
	"errors"
	"math"
	"math/big"
	"testing"
	"time"
)

func TestMoneyString(t *testing.T) {
	for m, want := range map[Money]string{
		0: "$0.00", 1: "$0.000001", 41600: "$0.0416", 500_000: "$0.50", Dollar: "$1.00", 1_008_000: "$1.008",
		-41600: "-$0.0416", 12_345_678_900: "$12345.6789",
		math.MaxInt64: "$9223372036854.775807", math.MinInt64: "-$9223372036854.775808",
	} {
		if got := m.String(); got != want {
			t.Errorf("%d is %s, want %s", int64(m), got, want)
		}
		if got, err := ParseMoney(want); err != nil || got != m {
			t.Errorf("%s is read as %d, %v, want %d", want, int64(got), err, int64(m))
		}
	}
}

func TestParseMoneyRefuses(t *testing.T) {
	for _, s := range []string{"", "$", "-", ".5", "5.", "1.2.3", "1,50", "1e3", " 1", "1 ", "+1", "$-1", "--1", "0x1", "1.0000001",
		"9223372036854.775808", "-9223372036854.775809", "99999999999999999999999", "١"} {
		if m, err := ParseMoney(s); !errors.Is(err, ErrInvalid) || m != 0 {
			t.Errorf("%q is read as %v, %v", s, m, err)
		}
	}
}

func TestMoneyOver(t *testing.T) {
	for _, test := range []struct {
		perHour Money
		over    time.Duration
		want    Money
	}{
		{1_008_000, time.Hour, 1_008_000},
		{1_008_000, time.Second, 280},
		{1_008_000, 0, 0},
		{1, 30 * time.Minute, 1},                      // half away from zero
		{1, 30*time.Minute - 1, 0},                    // just below
		{-1, 30 * time.Minute, -1},                    // also when negative
		{1, -30 * time.Minute, -1},                    //
		{-1, -30 * time.Minute, 1},                    //
		{55_040_000, 10000 * time.Hour, 550_400e6},    // beyond 64 bits on the way
		{math.MaxInt64, time.Hour, math.MaxInt64},     //
		{math.MinInt64, time.Hour, math.MinInt64},     //
		{math.MaxInt64, 2 * time.Hour, math.MaxInt64}, // cut
		{math.MinInt64, 2 * time.Hour, math.MinInt64}, //
		{math.MaxInt64, 90 * time.Minute, math.MaxInt64},
		{math.MinInt64, 90 * time.Minute, math.MinInt64},
		{math.MinInt64, -time.Hour, math.MaxInt64},    //
		{math.MaxInt64, math.MaxInt64, math.MaxInt64}, //
		{math.MinInt64, math.MaxInt64, math.MinInt64}, //
	} {
		if got := test.perHour.Over(test.over); got != test.want {
			t.Errorf("%v over %v is %d, want %d", test.perHour, test.over, int64(got), int64(test.want))
		}
	}
}

// FuzzMoneyOver compares with arithmetic that cannot overflow.
func FuzzMoneyOver(f *testing.F) {
	f.Add(int64(41600), int64(time.Minute))
	f.Add(int64(-1), int64(30*time.Minute))
	f.Add(int64(math.MinInt64), int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, perHour, over int64) {
		product := new(big.Int).Mul(big.NewInt(perHour), big.NewInt(over))
		want := new(big.Int).Abs(product)
		want.Add(want, big.NewInt(int64(time.Hour)/2)).Quo(want, big.NewInt(int64(time.Hour)))
		if product.Sign() < 0 {
			want.Neg(want)
		}
		exact := want.Int64()
		if !want.IsInt64() {
			exact = math.MaxInt64
			if want.Sign() < 0 {
				exact = math.MinInt64
			}
		}
		if got := int64(Money(perHour).Over(time.Duration(over))); got != exact {
			t.Errorf("%d over %d is %d, want %d", perHour, over, got, exact)
		}
	})
}

// FuzzParseMoney: what is read is written and read again as the same.
func FuzzParseMoney(f *testing.F) {
	for _, s := range []string{"12.5", "$0.0416", "-3", "00.10", "9223372036854.775807", "x", "1.0000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMoney(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if again, err := ParseMoney(m.String()); err != nil || again != m {
			t.Errorf("%q is %v, then %v, %v", s, m, again, err)
		}
	})
}
