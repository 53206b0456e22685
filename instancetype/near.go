package instancetype

import (
	"cmp"
	"slices"
	"strings"
)

// near returns up to three names like name: those a slip or two of the
// keyboard away, else those of the same family. Likeliest is the fewest slips,
// then the longest beginning in common.
func (c *Catalog) near(name string) []string {
	const most, slips = 3, 2
	name = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "ml.")
	if name == "" || len(name) > 40 {
		return nil
	}
	type candidate struct {
		name             string
		distance, common int
	}
	var nearby, related []candidate
	family, _, _ := strings.Cut(name, ".")
	for i := range c.types {
		t := &c.types[i]
		if apart := len(name) - len(t.Name); t.Family != family && (apart > slips || -apart > slips) {
			continue
		}
		k := candidate{t.Name, distance(name, t.Name), common(name, t.Name)}
		if k.distance <= slips {
			nearby = append(nearby, k)
		}
		if t.Family == family {
			related = append(related, k)
		}
	}
	if len(nearby) == 0 {
		nearby = related
	}
	slices.SortStableFunc(nearby, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(b.common, a.common))
	})
	var names []string
	for _, k := range nearby[:min(most, len(nearby))] {
		names = append(names, k.name)
	}
	return names
}

// common is the length of the beginning that a and b share.
func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// distance is the number of bytes inserted, removed, replaced or swapped with
// their neighbour that turn a into b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
