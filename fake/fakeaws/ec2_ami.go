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

// addPublicAMIs makes the ECS-optimised Amazon Linux 2023 images that AWS
// publishes, under the names of
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/retrieve-ecs-optimized_AMI.html.
func (c *Cloud) addPublicAMIs() {
	for _, a := range []ami{
		{parameter: "recommended", arch: instancetype.X86_64},
		{parameter: "arm64/recommended", arch: instancetype.ARM64},
		{parameter: "gpu/recommended", arch: instancetype.X86_64},
	} {
		a.parameter = "/aws/service/ecs/optimized-ami/amazon-linux-2023/" + a.parameter + "/image_id"
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
