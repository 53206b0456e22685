package fakeaws

import (
	"fmt"
	"slices"

	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"
)

func (c *Cloud) putLifecycleConfiguration(
	at call, in *awsefs.PutLifecycleConfigurationInput,
) (*awsefs.PutLifecycleConfigurationOutput, error) {
	fs, err := c.availableFileSystem(at, *in.FileSystemId)
	if err != nil {
		return nil, err
	}
	if err := validLifecycle(fs, in.LifecyclePolicies); err != nil {
		return nil, err
	}
	fs.policies = in.LifecyclePolicies
	return &awsefs.PutLifecycleConfigurationOutput{LifecyclePolicies: slices.Clone(fs.policies)}, nil
}

// validLifecycle checks what API_PutLifecycleConfiguration says of policies.
func validLifecycle(fs *fileSystem, policies []types.LifecyclePolicy) error {
	if len(policies) > 3 {
		return badRequest("at most 3 lifecycle policies")
	}
	var infrequent, archive int
	for _, p := range policies {
		set := 0
		if p.TransitionToIA != "" {
			set++
			infrequent = lifecycleDays(string(p.TransitionToIA))
		}
		if p.TransitionToArchive != "" {
			set++
			archive = lifecycleDays(string(p.TransitionToArchive))
		}
		if p.TransitionToPrimaryStorageClass != "" {
			set++
		}
		if set != 1 {
			return badRequest("each lifecycle policy must have one transition, not %d", set)
		}
	}
	switch {
	case archive != 0 && fs.in.ThroughputMode != types.ThroughputModeElastic:
		return badRequest("TransitionToArchive requires elastic throughput")
	case archive != 0 && archive <= infrequent:
		return badRequest("TransitionToArchive must be later than TransitionToIA")
	}
	return nil
}

// lifecycleDays reads "AFTER_30_DAYS".
func lifecycleDays(rule string) int {
	var days int
	fmt.Sscanf(rule, "AFTER_%d_", &days) //nolint:errcheck // the SDK's enums all match
	return days
}

func (c *Cloud) describeLifecycleConfiguration(
	at call, in *awsefs.DescribeLifecycleConfigurationInput,
) (*awsefs.DescribeLifecycleConfigurationOutput, error) {
	fs, err := c.fileSystem(at, *in.FileSystemId)
	if err != nil {
		return nil, err
	}
	return &awsefs.DescribeLifecycleConfigurationOutput{LifecyclePolicies: slices.Clone(fs.policies)}, nil
}
