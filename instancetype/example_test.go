package instancetype_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/atelier-go/atelier/instancetype"
)

func ExampleEmbedded() {
	catalog := instancetype.Embedded()
	t, err := catalog.Type("ml.r5.4xlarge")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(t.Name, t.VCPUs, "vCPUs", t.MemoryMiB>>10, "GiB", t.Arch)
	if p, ok := catalog.Price(t.Name, "us-east-1"); ok {
		fmt.Println(p.PerHour, "an hour on", p.AsOf.Format(time.DateOnly))
	}
	_, err = catalog.Type("r5.4xlarg")
	fmt.Println(err)
	// Output:
	// r5.4xlarge 16 vCPUs 128 GiB x86_64
	// $1.008 an hour on 2026-07-20
	// unknown instance type "r5.4xlarg": did you mean r5.4xlarge, r5.24xlarge, r5.2xlarge?
}

func ExampleNew() {
	catalog, err := instancetype.New(
		[]instancetype.Type{{Name: "z9.large", VCPUs: 2, MemoryMiB: 8 << 10, Arch: instancetype.ARM64}},
		[]instancetype.Price{{Type: "z9.large", Region: "eu-west-1", PerHour: instancetype.Dollar / 10}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, ok := catalog.Price("z9.large", "eu-west-1")
	fmt.Println(p.PerHour, ok)
	// Output: $0.10 true
}

func ExampleCatalog_Offers() {
	offers := instancetype.Embedded().Offers("us-east-1", instancetype.Requirements{
		MinVCPUs:     2,
		MinMemoryMiB: 8 << 10,
		Arch:         instancetype.X86_64,
		Allowed:      []string{"t3.*", "m5.*", "r5.*"},
	})
	for _, o := range offers[:3] {
		fmt.Println(o.Type.Name, o.Price.PerHour)
	}
	// Output:
	// t3.large $0.0832
	// m5.large $0.096
	// r5.large $0.126
}

func ExampleCatalog_Check() {
	err := instancetype.Embedded().Check("t3.nano", "us-east-1", instancetype.Requirements{
		MinMemoryMiB: 4 << 10,
		Arch:         instancetype.ARM64,
		Allowed:      []string{"r5.*"},
	})
	if refused, ok := errors.AsType[*instancetype.RefusedError](err); ok {
		for _, reason := range refused.Reasons {
			fmt.Println(reason)
		}
	}
	// Output:
	// 512 MiB of memory, at least 4096 required
	// architecture is x86_64, arm64 required
	// not among those allowed, ["r5.*"]
}

func ExampleMoney_Over() {
	perHour := 1008 * instancetype.Dollar / 1000
	fmt.Println(perHour.Over(90*time.Minute), perHour.Over(time.Second))
	// Output: $1.512 $0.00028
}

func ExampleParseMoney() {
	m, err := instancetype.ParseMoney("12.5")
	fmt.Println(m, err)
	// Output: $12.50 <nil>
}

func ExampleFromSageMaker() {
	for _, name := range []string{"ml.t3.medium", "system", "ml.geospatial.interactive"} {
		fmt.Println(instancetype.FromSageMaker(name))
	}
	// Output:
	// t3.medium true
	// t3.medium true
	//  false
}
