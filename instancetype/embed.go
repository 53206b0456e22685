package instancetype

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:generate go run ./internal/gen

//go:embed catalog.gz
var catalogGz []byte

// Embedded returns the catalog built into this package: 1,395 types, as EC2
// described them on 2026-08-22 or, if retired, earlier; on-demand prices in
// 34 regions, of us-east-1 and GovCloud as of 2026-07-20 and of the others as
// of 2025-05-28. [Type.AsOf] and [Price.AsOf] say which; data/README.md names
// the sources. Prices of p4 and p5 types fell after the earlier of these days.
//
// It is loaded once, when first asked for, in a few milliseconds.
func Embedded() *Catalog { return embedded() }

var embedded = sync.OnceValue(func() *Catalog {
	c, err := load(catalogGz)
	if err != nil { // a test loads these same bytes
		panic("instancetype: embedded catalog: " + err.Error())
	}
	return c
})

// load reads what internal/gen writes: gzipped text of three sections, each
// ended by an empty line. Fields are parted by tabs; an empty one is unknown.
//
//	source  as of                                  a line per source of types
//	name  vCPUs  ...                               a line per type, see readType
//	@region  source  as of / type  micro-dollars   a line per price, under its region
func load(gz []byte) (*Catalog, error) {
	r, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(8 * len(gz)) // more than it was compressed by
	if _, err := b.ReadFrom(r); err != nil {
		return nil, err
	}
	text := b.String()
	sources, text, _ := strings.Cut(text, "\n\n")
	described, priced, _ := strings.Cut(text, "\n\n")

	dates := make(map[string]time.Time)
	for line := range strings.Lines(sources + "\n") {
		l := fields{line: strings.TrimSuffix(line, "\n")}
		source, asOf := l.text(), l.date()
		if l.err != nil {
			return nil, l.err
		}
		dates[source] = asOf
	}
	types := make([]Type, 0, strings.Count(described, "\n")+1)
	// Cloned, so that the types do not keep the text of the prices in memory.
	for line := range strings.SplitSeq(strings.Clone(described), "\n") {
		t, err := readType(line, dates)
		if err != nil {
			return nil, err
		}
		types = append(types, t)
	}
	prices := make([]Price, 0, strings.Count(priced, "\n"))
	var of Price
	for line := range strings.SplitSeq(strings.TrimSuffix(priced, "\n"), "\n") {
		region, header := strings.CutPrefix(line, "@")
		l := fields{line: region}
		if header {
			of = Price{Region: strings.Clone(l.text()), Source: strings.Clone(l.text()), AsOf: l.date()}
		} else {
			of.Type, of.PerHour = l.text(), Money(l.int())
			prices = append(prices, of)
		}
		if l.err != nil {
			return nil, l.err
		}
	}
	return New(types, prices)
}

func readType(line string, dates map[string]time.Time) (Type, error) {
	l := fields{line: line}
	t := Type{
		Name:              l.text(),
		VCPUs:             int(l.int()),
		MemoryMiB:         l.int(),
		Arch:              Arch(l.text()),
		GPUs:              int(l.int()),
		GPUName:           l.text(),
		GPUManufacturer:   l.text(),
		GPUMemoryMiB:      l.int(),
		NetworkGbps:       l.float(),
		NetworkPeakGbps:   l.float(),
		EBSBaselineMbps:   int(l.int()),
		LocalStorageGB:    int(l.int()),
		LocalDisks:        int(l.int()),
		LocalDiskType:     l.text(),
		MaxENIs:           int(l.int()),
		IPsPerENI:         int(l.int()),
		Trunking:          l.fact(),
		MaxBranchENIs:     int(l.int()),
		Hypervisor:        Hypervisor(l.text()),
		BareMetal:         l.fact() == Yes,
		Burstable:         l.fact() == Yes,
		CurrentGeneration: l.fact(),
		Hibernation:       l.fact(),
		Spot:              l.fact(),
		Source:            l.text(),
	}
	t.AsOf = dates[t.Source]
	return t, l.err
}

// fields reads a line field by field and keeps the first error.
type fields struct {
	line string
	err  error
}

func (f *fields) text() string {
	var s string
	s, f.line, _ = strings.Cut(f.line, "\t")
	return s
}

func (f *fields) int() int64 {
	s := f.text()
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	f.keep(err)
	return n
}

func (f *fields) float() float64 {
	s := f.text()
	if s == "" {
		return 0
	}
	n, err := strconv.ParseFloat(s, 64)
	f.keep(err)
	return n
}

func (f *fields) fact() Fact {
	switch s := f.text(); s {
	case "":
		return Unknown
	case "0":
		return No
	case "1":
		return Yes
	default:
		f.keep(fmt.Errorf("fact %q", s))
		return Unknown
	}
}

func (f *fields) date() time.Time {
	d, err := time.Parse(time.DateOnly, f.text())
	f.keep(err)
	return d
}

func (f *fields) keep(err error) {
	if f.err == nil {
		f.err = err
	}
}
