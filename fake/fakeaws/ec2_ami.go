package fakeaws

import (
	"fmt"

	"github.com/atelier-go/atelier/instancetype"
)

// ami is a machine image.
type ami struct {
	id   string
	arch instancetype.Arch
	// parameter is the public SSM parameter that tells the id, if one does.
	parameter string
}

var amiIDPattern = idPattern("ami")

// addPublicAMIs makes the Amazon Linux 2023 images that AWS publishes: the
// ECS-optimised ones, under the names of
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/retrieve-ecs-optimized_AMI.html,
// and the standard ones, under those of
// https://docs.aws.amazon.com/linux/al2023/ug/ec2.html.
func (c *Cloud) addPublicAMIs() {
	const ecs, standard = "/aws/service/ecs/optimized-ami/amazon-linux-2023/", "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
	for _, a := range []ami{
		{parameter: ecs + "recommended/image_id", arch: instancetype.X86_64},
		{parameter: ecs + "arm64/recommended/image_id", arch: instancetype.ARM64},
		{parameter: ecs + "gpu/recommended/image_id", arch: instancetype.X86_64},
		{parameter: standard + "x86_64", arch: instancetype.X86_64},
		{parameter: standard + "arm64", arch: instancetype.ARM64},
	} {
		a.id = resourceID("ami", c.hash("ami", a.parameter))
		c.ec2.amis[a.id] = a
	}
}

// AddAMI registers a machine image of the account's own for an architecture
// ("x86_64", "arm64") and returns its id. Hosts boot from it as from the public
// one: with a container engine.
func (c *Cloud) AddAMI(architecture string) (string, error) {
	arch := instancetype.Arch(architecture)
	if arch != instancetype.X86_64 && arch != instancetype.ARM64 {
		return "", fmt.Errorf("fakeaws: add AMI: architecture %q: want %s or %s", architecture, instancetype.X86_64, instancetype.ARM64)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := ami{id: resourceID("ami", c.hash("ami", len(c.ec2.amis))), arch: arch}
	c.ec2.amis[a.id] = a
	return a.id, nil
}
