package instancetype

import (
	"slices"
	"strings"
)

// FromSageMaker returns the EC2 name of a SageMaker instance type name:
// "ml.r5.4xlarge" is "r5.4xlarge". It does not look whether EC2 has the type.
//
// Of the values of AppInstanceType in SageMaker's API (service/sagemaker
// v1.287.1) two are no "ml." before an EC2 name: "system", which the API
// documents as ml.t3.medium (ResourceSpec) and is "t3.medium" here, and
// "ml.geospatial.interactive", which names no EC2 type and, like everything
// else, returns false.
func FromSageMaker(name string) (ec2Name string, ok bool) {
	if name == "system" {
		return "t3.medium", true
	}
	rest, ml := strings.CutPrefix(name, "ml.")
	if _, _, ok := splitName(rest); !ml || !ok || rest == "geospatial.interactive" {
		return "", false
	}
	return rest, true
}

// SageMakerName returns the name SageMaker's apps know t by, "ml.r5.4xlarge",
// and whether they do: it has 174 of EC2's types, the values of
// AppInstanceType in SageMaker's API (service/sagemaker v1.287.1). Which of
// those a kind of app may use is fewer.
func (t Type) SageMakerName() (name string, ok bool) {
	family, size, _ := splitName(t.Name)
	if !slices.Contains(strings.Fields(sageMakerSizes(family)), size) {
		return "", false
	}
	return "ml." + t.Name, true
}

// sageMakerSizes lists the sizes AppInstanceType has of a family.
func sageMakerSizes(family string) string {
	switch family {
	case "t3":
		return "micro small medium large xlarge 2xlarge"
	case "m5", "m5d", "r5":
		return "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"
	case "c5":
		return "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge"
	case "m6i", "m6id", "c6i", "c6id", "r6i", "r6id":
		return "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge"
	case "m7i", "c7i", "r7i":
		return "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge"
	case "g4dn":
		return "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"
	case "g5", "g6", "g6e":
		return "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge"
	case "g7", "g7e":
		return "2xlarge 4xlarge 8xlarge 12xlarge 24xlarge 48xlarge"
	case "p3":
		return "2xlarge 8xlarge 16xlarge"
	case "p3dn", "p4d", "p4de":
		return "24xlarge"
	case "p5":
		return "4xlarge 48xlarge"
	case "p5en", "p6-b200":
		return "48xlarge"
	case "trn1":
		return "2xlarge 32xlarge"
	case "trn1n":
		return "32xlarge"
	}
	return ""
}
