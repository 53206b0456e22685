package instancetype

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Type is an EC2 instance type. Its values compare with ==.
//
// EC2 reports these facts in DescribeInstanceTypes; a field names its member
// there where the two differ in name.
type Type struct {
	// Name is EC2's name ("r5.4xlarge"): the family, a dot, the size.
	Name string
	// Family is the part before the dot ("r5"). [New] derives it.
	Family string
	// Size is the part after the dot ("4xlarge"). [New] derives it.
	Size string

	// VCPUs is the number of virtual CPUs (DefaultVCpus), at least 1.
	VCPUs int
	// MemoryMiB is the nominal memory in mebibytes, at least 1. An operating
	// system sees less.
	MemoryMiB int64
	// Arch is the processor architecture. Types that also run i386 are X86_64.
	Arch Arch

	// GPUs is the number of whole graphics processors. A type with a share of
	// one (g6f.large) has 0 and a GPUName.
	GPUs int
	// GPUName is the model ("T4"), empty without GPU.
	GPUName string
	// GPUManufacturer is its maker ("NVIDIA"), empty without GPU or if unknown.
	GPUManufacturer string
	// GPUMemoryMiB is the memory of all GPUs of the type together, in mebibytes.
	GPUMemoryMiB int64

	// NetworkGbps is the baseline bandwidth of all network cards together, in
	// gigabits per second. Zero is unknown.
	NetworkGbps float64
	// NetworkPeakGbps is the bandwidth it may burst to. Zero is unknown.
	NetworkPeakGbps float64
	// EBSBaselineMbps is the bandwidth to EBS volumes in megabits per second.
	// Zero is unknown.
	EBSBaselineMbps int

	// LocalStorageGB is the size of all disks of the instance together, in
	// gigabytes. Zero is a type with EBS volumes only.
	LocalStorageGB int
	// LocalDisks is their number. Zero, with LocalStorageGB, is unknown.
	LocalDisks int
	// LocalDiskType is "ssd" or "hdd"; empty without disks or if unknown.
	LocalDiskType string

	// MaxENIs is how many network interfaces may be attached. Zero is unknown.
	MaxENIs int
	// IPsPerENI is how many IPv4 addresses each may have. Zero is unknown.
	IPsPerENI int
	// Trunking is whether branch network interfaces can be attached.
	Trunking Fact
	// MaxBranchENIs is how many, if Trunking is Yes; otherwise zero.
	MaxBranchENIs int

	// Hypervisor is Nitro or Xen. It is empty on bare metal, else if unknown.
	Hypervisor Hypervisor
	// BareMetal is whether the instance is the whole machine.
	BareMetal bool
	// Burstable is whether CPU beyond a baseline is paid by credits
	// (BurstablePerformanceSupported).
	Burstable bool
	// CurrentGeneration is AWS's own flag. It reads No for types in wide use,
	// such as m5, r5 and g5.
	CurrentGeneration Fact
	// Hibernation is whether an instance can be hibernated.
	Hibernation Fact
	// Spot is whether it can be bought on the spot market.
	Spot Fact

	// Source is where these facts come from ("moto"), empty if not recorded.
	Source string
	// AsOf is the day they were true, or zero.
	AsOf time.Time
}

// UsableMemoryMiB is an estimate of the memory a host of the type leaves to
// containers: 93%. The rest is the firmware's, the kernel's and the container
// engine's; Karpenter assumes 7.5% for the first two (its setting
// vm-memory-overhead-percent).
func (t Type) UsableMemoryMiB() int64 { return t.MemoryMiB * 93 / 100 }

// An Arch is a processor architecture, by the name EC2 gives it.
type Arch string

// The architectures of EC2 instance types. Those of Macs run macOS alone.
const (
	X86_64    Arch = "x86_64"
	ARM64     Arch = "arm64"
	X86_64Mac Arch = "x86_64_mac"
	ARM64Mac  Arch = "arm64_mac"
)

func (a Arch) valid() bool {
	return a == X86_64 || a == ARM64 || a.mac()
}

func (a Arch) mac() bool { return a == X86_64Mac || a == ARM64Mac }

// A Hypervisor is what virtualises an instance, by the name EC2 gives it.
type Hypervisor string

// The hypervisors of EC2.
const (
	Nitro Hypervisor = "nitro"
	Xen   Hypervisor = "xen"
)

// A Fact is yes, no or, in its zero value, unknown.
type Fact uint8

// The values of a Fact.
const (
	Unknown Fact = iota
	No
	Yes
)

// String returns "yes", "no" or "unknown".
func (f Fact) String() string {
	switch f {
	case Yes:
		return "yes"
	case No:
		return "no"
	}
	return "unknown"
}

// withName returns t with Family and Size derived from Name, or everything
// that is wrong with it.
func (t Type) withName() (Type, error) {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("type %.40q: "+format, append([]any{t.Name}, args...)...))
	}
	family, size, ok := splitName(t.Name)
	switch {
	case !ok:
		bad(`want a name of lower-case letters, digits and hyphens with one dot, such as "r5.4xlarge"`)
	case t.Family != "" && t.Family != family || t.Size != "" && t.Size != size:
		bad("family %q and size %q are not those of the name", t.Family, t.Size)
	}
	if t.VCPUs < 1 || t.MemoryMiB < 1 {
		bad("%d vCPUs and %d MiB of memory: want at least 1 of each", t.VCPUs, t.MemoryMiB)
	}
	if !t.Arch.valid() {
		bad("architecture %q: want %s, %s, %s or %s", t.Arch, X86_64, ARM64, X86_64Mac, ARM64Mac)
	}
	if t.GPUs < 0 || t.GPUMemoryMiB < 0 || t.NetworkGbps < 0 || t.NetworkPeakGbps < 0 || t.EBSBaselineMbps < 0 ||
		t.LocalStorageGB < 0 || t.LocalDisks < 0 || t.MaxENIs < 0 || t.IPsPerENI < 0 || t.MaxBranchENIs < 0 {
		bad("a quantity is negative")
	}
	if (t.MaxBranchENIs > 0) != (t.Trunking == Yes) {
		bad("trunking is %v with %d branch network interfaces", t.Trunking, t.MaxBranchENIs)
	}
	if t.CurrentGeneration > Yes || t.Hibernation > Yes || t.Spot > Yes || t.Trunking > Yes {
		bad("a fact is none of yes, no and unknown")
	}
	t.Family, t.Size = family, size
	return t, errors.Join(problems...)
}

// splitName parts an EC2 name at its only dot.
func splitName(name string) (family, size string, ok bool) {
	family, size, _ = strings.Cut(name, ".")
	return family, size, isLabel(family) && isLabel(size)
}

func isLabel(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != ""
}
