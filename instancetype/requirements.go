package instancetype

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Requirements say which instance types will do. The zero value takes every
// type that can run Linux containers and is not bare metal.
type Requirements struct {
	// MinVCPUs is the least number of virtual CPUs.
	MinVCPUs int
	// MinMemoryMiB is the least nominal memory, in mebibytes.
	MinMemoryMiB int64
	// MinGPUs is the least number of whole GPUs. Zero takes types with and
	// without.
	MinGPUs int
	// GPUName is the GPU model ("T4"), in any case; empty is any or none. With
	// MinGPUs zero, a share of such a GPU will do.
	GPUName string
	// Arch is the processor architecture. Empty is X86_64 or ARM64; Macs must
	// be named.
	Arch Arch
	// MaxPerHour is the highest price; zero is no limit. With a limit, a type
	// whose price is unknown is refused.
	MaxPerHour Money
	// Allowed holds names and patterns of which one must match: "r5.4xlarge",
	// "t3.*", "ml.m5*.large". An asterisk stands for any characters, as in
	// EC2's AllowedInstanceTypes. Empty allows every name.
	Allowed []string
	// NoBurstable refuses types whose CPU is limited by credits.
	NoBurstable bool
	// CurrentGeneration refuses types not known to be what AWS calls current.
	// Beware: that refuses m5, r5 and g5.
	CurrentGeneration bool
	// BareMetal takes bare metal too. Macs, which are all bare metal, need it.
	BareMetal bool
}

// Validate reports everything in r that makes no sense, as one [ErrInvalid].
// Requirements that are not valid are met by no type.
func (r Requirements) Validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if r.MinVCPUs < 0 || r.MinMemoryMiB < 0 || r.MinGPUs < 0 {
		bad("%d vCPUs, %d MiB of memory, %d GPUs: the least may not be negative", r.MinVCPUs, r.MinMemoryMiB, r.MinGPUs)
	}
	if r.MaxPerHour < 0 {
		bad("highest price %v may not be negative", r.MaxPerHour)
	}
	if r.Arch != "" && !r.Arch.valid() {
		bad("architecture %.40q: want %s, %s, %s, %s or empty", r.Arch, X86_64, ARM64, X86_64Mac, ARM64Mac)
	}
	for _, p := range r.Allowed {
		if !validPattern(p) {
			bad(`pattern %.40q: want an instance type such as "t3.medium" or, with asterisks, a pattern such as "t3.*"`, p)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w requirements: %w", ErrInvalid, errors.Join(problems...))
}

// refuse calls because for every requirement of r that o does not meet.
func (r *Requirements) refuse(o *Offer, because func(format string, args ...any)) {
	t := &o.Type
	if t.VCPUs < r.MinVCPUs {
		because("%d vCPUs, at least %d required", t.VCPUs, r.MinVCPUs)
	}
	if t.MemoryMiB < r.MinMemoryMiB {
		because("%d MiB of memory, at least %d required", t.MemoryMiB, r.MinMemoryMiB)
	}
	if t.GPUs < r.MinGPUs {
		because("%d whole GPUs, at least %d required", t.GPUs, r.MinGPUs)
	}
	switch {
	case r.GPUName == "" || strings.EqualFold(t.GPUName, r.GPUName):
	case t.GPUName == "":
		because("no GPU, %q required", r.GPUName)
	default:
		because("GPU is %s, %q required", t.GPUName, r.GPUName)
	}
	switch {
	case r.Arch != "" && t.Arch != r.Arch:
		because("architecture is %s, %s required", t.Arch, r.Arch)
	case r.Arch == "" && t.Arch.mac():
		because("architecture is %s, which runs no Linux", t.Arch)
	}
	switch {
	case r.MaxPerHour == 0:
	case !o.Priced:
		because("price is unknown, at most %v an hour allowed", r.MaxPerHour)
	case o.Price.PerHour > r.MaxPerHour:
		because("%v an hour, at most %v allowed", o.Price.PerHour, r.MaxPerHour)
	}
	if len(r.Allowed) > 0 && !slices.ContainsFunc(r.Allowed, func(p string) bool { return matches(p, t.Name) }) {
		because("not among those allowed, %q", r.Allowed)
	}
	if r.NoBurstable && t.Burstable {
		because("CPU is burstable, which is not wanted")
	}
	if r.CurrentGeneration && t.CurrentGeneration != Yes {
		because("not known to be of the current generation")
	}
	if !r.BareMetal && t.BareMetal {
		because("bare metal is not asked for")
	}
}

// validPattern reports whether p could match a name.
func validPattern(p string) bool {
	if p == "system" {
		return true
	}
	p = strings.TrimPrefix(p, "ml.")
	return strings.ContainsAny(p, ".*") && strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789-.*") == ""
}

// matches reports whether an EC2 name fits an EC2 or SageMaker pattern.
func matches(pattern, name string) bool {
	if pattern == "system" {
		pattern, _ = FromSageMaker(pattern)
	}
	part, pattern, star := strings.Cut(strings.TrimPrefix(pattern, "ml."), "*")
	name, ok := strings.CutPrefix(name, part)
	for ok && star {
		if part, pattern, star = strings.Cut(pattern, "*"); !star {
			return strings.HasSuffix(name, part)
		}
		_, name, ok = strings.Cut(name, part) // the leftmost place leaves the most room
	}
	return ok && name == ""
}
