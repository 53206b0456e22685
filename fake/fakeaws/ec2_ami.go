package fakeaws

import (
	"fmt"
	"strings"

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

// AddInstanceProfile makes an IAM instance profile and returns its ARN. Adding
// it again does nothing.
func (c *Cloud) AddInstanceProfile(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ec2.profiles[name] = true
	return c.profileARN(name)
}

func (c *Cloud) profileARN(name string) string {
	return "arn:aws:iam::" + c.account + ":instance-profile/" + name
}

// profile finds an instance profile by its name or ARN.
func (c *Cloud) profile(name, arn string) (string, error) {
	switch {
	case name != "" && arn != "":
		return "", ec2Refuse("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'")
	case arn != "":
		name, ok := strings.CutPrefix(arn, c.profileARN(""))
		if !ok || !c.ec2.profiles[name] {
			return "", ec2Refuse("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN", arn)
		}
		return name, nil
	case !c.ec2.profiles[name]:
		return "", ec2Refuse("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", name)
	}
	return name, nil
}
