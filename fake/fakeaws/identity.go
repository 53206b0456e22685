package fakeaws

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
)

// hash derives a number from the seed and what it is for.
func (c *Cloud) hash(parts ...any) uint64 { return hashOf(c.seed, parts...) }

func hashOf(seed uint64, parts ...any) uint64 {
	h := fnv.New64a()
	var first [8]byte
	binary.LittleEndian.PutUint64(first[:], seed)
	_, _ = h.Write(first[:]) // a hash never fails
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "\x00%v", p)
	}
	return mix(h.Sum64())
}

// mix spreads a hash over all bits (the finaliser of splitmix64), since the
// low bits of FNV are weak for short inputs.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// share maps a hash to [0, 1).
func share(x uint64) float64 { return float64(x>>11) / (math.MaxUint64>>11 + 1) }

// resourceID makes an identifier in the form AWS uses since 2016: a prefix and
// 17 hexadecimal digits ("i-0123456789abcdef0").
func resourceID(prefix string, id uint64) string {
	return fmt.Sprintf("%s-0%016x", prefix, id)
}

// requestIDOf makes a request id in the form of a UUID.
func requestIDOf(id uint64) string {
	low := mix(id)
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", id>>32, id>>16&0xffff, id&0xffff, low>>48, low&0xffffffffffff)
}
