package domain

import (
	"errors"
	"fmt"
	"strings"

	"github.com/atelier-go/atelier/instancetype"
)

// Size is an amount of room on a host. Unless it is zero, CPU and memory are
// both needed.
type Size struct {
	// MilliCPU is thousandths of a virtual CPU.
	MilliCPU int64
	// MemoryMiB is mebibytes of memory.
	MemoryMiB int64
	// GPUs is whole graphics processors.
	GPUs int64
}

// String formats s as "2 vCPU, 4 GiB".
func (s Size) String() string {
	text := decimal(s.MilliCPU, 1000) + " vCPU, " + decimal(s.MemoryMiB, 1024) + " GiB"
	if s.GPUs != 0 {
		text += fmt.Sprintf(", %d GPU", s.GPUs)
	}
	return text
}

func decimal(n, unit int64) string {
	s := fmt.Sprintf("%.2f", float64(n)/float64(unit))
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// checkSize reports whether there is a size to look for.
func checkSize(ask Ask, wrong *problems) bool {
	s := ask.Size
	switch {
	case s == Size{}:
		if ask.InstanceType == "" {
			wrong.add("size", ErrInvalid, errors.New("neither an instance type nor a size is asked for: want one of them"))
		}
		return false
	case s.MilliCPU <= 0 || s.MemoryMiB <= 0 || s.GPUs < 0:
		wrong.add("size", ErrInvalid, fmt.Errorf("size of %d milli-CPUs, %d MiB of memory, %d GPUs: want CPU and memory above zero and no negative GPUs",
			s.MilliCPU, s.MemoryMiB, s.GPUs))
		return false
	}
	return true
}

// roomOn reports why a size has no room on a type, or nil.
func roomOn(t instancetype.Type, s Size) error {
	var short []string
	if s.MilliCPU > int64(t.VCPUs)*1000 {
		short = append(short, fmt.Sprintf("%d vCPU", t.VCPUs))
	}
	if usable := t.UsableMemoryMiB(); s.MemoryMiB > usable {
		short = append(short, fmt.Sprintf("%s of its %s GiB for sessions", decimal(usable, 1024), decimal(t.MemoryMiB, 1024)))
	}
	if s.GPUs > int64(t.GPUs) {
		short = append(short, fmt.Sprintf("%d GPU", t.GPUs))
	}
	if short == nil {
		return nil
	}
	return fmt.Errorf("size %v: %s has only %s; ask for less, for a larger type, or for no size to get all of it",
		s, t.Name, strings.Join(short, ", "))
}
