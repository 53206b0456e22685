package instancetype

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Money is an amount of US dollars in millionths, exact where EC2's prices
// are. It reaches ±9.2 trillion dollars; sums within that are plain addition.
type Money int64

// Dollar is one US dollar.
const Dollar Money = 1_000_000

// Over returns what a price per hour comes to over d, rounded to the nearest
// millionth of a dollar, halves away from zero. What Money cannot hold is cut
// to its largest or smallest value.
func (m Money) Over(d time.Duration) Money {
	hi, lo := bits.Mul64(magnitude(int64(m)), magnitude(int64(d)))
	lo, carry := bits.Add64(lo, uint64(time.Hour)/2, 0)
	hi += carry
	negative := (m < 0) != (d < 0)
	if hi < uint64(time.Hour) {
		q, _ := bits.Div64(hi, lo, uint64(time.Hour))
		switch {
		case negative && q <= 1<<63:
			return Money(-q)
		case !negative && q <= math.MaxInt64:
			return Money(q)
		}
	}
	if negative {
		return math.MinInt64
	}
	return math.MaxInt64
}

// String formats m as "$0.0416": at least two decimals, at most six.
func (m Money) String() string {
	u := magnitude(int64(m))
	s := fmt.Sprintf("$%d.%06d", u/uint64(Dollar), u%uint64(Dollar))
	for range 4 {
		s = strings.TrimSuffix(s, "0")
	}
	if m < 0 {
		s = "-" + s
	}
	return s
}

// ParseMoney reads an amount as [Money.String] writes it, with or without the
// dollar sign and with up to six decimals: "12.50", "$0.0416", "-3". Anything
// else, and what Money cannot hold, is [ErrInvalid].
func ParseMoney(s string) (Money, error) {
	digits, negative := strings.CutPrefix(s, "-")
	digits = strings.TrimPrefix(digits, "$")
	whole, decimals, point := strings.Cut(digits, ".")
	if !isDigits(whole) || point && !isDigits(decimals) || len(decimals) > 6 {
		return 0, fmt.Errorf("%w: amount %.40q: want dollars with up to six decimals, such as 12.50", ErrInvalid, s)
	}
	u, err := strconv.ParseUint(whole+decimals+strings.Repeat("0", 6-len(decimals)), 10, 64)
	switch {
	case err == nil && negative && u <= 1<<63:
		return Money(-u), nil
	case err == nil && !negative && u <= math.MaxInt64:
		return Money(u), nil
	}
	return 0, fmt.Errorf("%w: amount %.40q is out of range", ErrInvalid, s)
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// magnitude is the absolute value, also of the smallest int64.
func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}
