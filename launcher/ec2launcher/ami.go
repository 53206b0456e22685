package ec2launcher

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"golang.org/x/sync/singleflight"

	"github.com/atelier-go/atelier/instancetype"
)

// amis knows what hosts boot from.
type amis struct {
	ssm   SSM
	fixed string

	asking singleflight.Group // by parameter name
	mu     sync.Mutex
	found  map[string]string // likewise
}

// known returns the image for a type, if it is known.
func (a *amis) known(t instancetype.Type) (id string, ok bool) {
	if a.fixed != "" {
		return a.fixed, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	id, ok = a.found[parameter(t)]
	return id, ok
}

// learn asks for the image for a type, once.
func (a *amis) learn(ctx context.Context, catalog *instancetype.Catalog, instanceType string) error {
	t, err := catalog.Type(instanceType)
	if err != nil {
		return err
	}
	if _, ok := a.known(t); ok {
		return nil
	}
	_, err, _ = a.asking.Do(parameter(t), func() (any, error) {
		out, err := a.ssm.GetParameter(ctx, &awsssm.GetParameterInput{Name: aws.String(parameter(t))})
		if err != nil {
			return nil, err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.found == nil {
			a.found = map[string]string{}
		}
		a.found[parameter(t)] = aws.ToString(out.Parameter.Value)
		return nil, nil
	})
	return err
}

// parameter names the public parameter that holds the current ECS-optimised
// Amazon Linux 2023 image for a type ("Retrieving Amazon ECS-optimized Linux AMI
// metadata", Amazon ECS developer guide).
func parameter(t instancetype.Type) string {
	variant := ""
	switch {
	case t.GPUs > 0:
		variant = "gpu/"
	case t.Arch == instancetype.ARM64:
		variant = "arm64/"
	}
	return "/aws/service/ecs/optimized-ami/amazon-linux-2023/" + variant + "recommended/image_id"
}
