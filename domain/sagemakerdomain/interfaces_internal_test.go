package sagemakerdomain

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Whose a network interface is, by all that people have exported and the API reference says.
func TestInterfaces(t *testing.T) {
	const id = "d-g7djlrunxivy"
	for _, test := range []struct {
		description, tag   string
		left               bool
		target, fileSystem string
	}{
		{description: "[DO NOT DELETE] ENI managed by SageMaker for Studio Domain(d-g7djlrunxivy) - a09d795df1d5926f328cb6564db19ab2", left: true},
		{description: "[DO NOT DELETE] ENI managed by SageMaker for Studio Domain(d-other) - a09d795df1d5926f328cb6564db19ab2"},
		{tag: "arn:aws:sagemaker:us-east-1:123456789012:node/d-g7djlrunxivy/default-20230916t105232/system-jupyterserver", left: true},
		{tag: "arn:aws:sagemaker:us-east-1:123456789012:domain/d-g7djlrunxivy", left: true},
		{tag: "arn:aws:sagemaker:us-east-1:123456789012:node/d-g7djlrunxivyz/default/system"},
		{description: "of a host"},
		{description: "EFS mount target for fs-0a5da8a67f02347db (fsmt-08c866316a3505533)", target: "fsmt-08c866316a3505533", fileSystem: "fs-0a5da8a67f02347db"},
		{description: "Mount target fsmt-08c866316a3505533 for file system fs-0a5da8a67f02347db", target: "fsmt-08c866316a3505533", fileSystem: "fs-0a5da8a67f02347db"},
		{description: "EFS mount target for somebody"},
	} {
		n := ec2types.NetworkInterface{Description: &test.description, TagSet: []ec2types.Tag{{Key: aws.String(tagManaged), Value: &test.tag}}}
		target, fileSystem, ok := mountTargetOf(n)
		if leftBy(n, id) != test.left || target != test.target || fileSystem != test.fileSystem || ok != (target != "") {
			t.Errorf("%q, %q: left %t, %s of %s, %t", test.description, test.tag, leftBy(n, id), target, fileSystem, ok)
		}
	}
}
