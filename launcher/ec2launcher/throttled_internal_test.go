package ec2launcher

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/domain/store"
)

// A seller is an EC2 that answers purchases.
type seller struct {
	EC2
	run func() error
}

func (s seller) RunInstances(context.Context, *ec2.RunInstancesInput, ...func(*ec2.Options)) (*ec2.RunInstancesOutput, error) {
	return nil, s.run()
}

// TestThrottledWhileAnotherBuys: a process that was suspended while its call was
// throttled does not withdraw the purchase that another makes by then.
func TestThrottledWhileAnotherBuys(t *testing.T) {
	for _, meanwhile := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := store.NewMemory()
			process := func(run func() error) *fleet {
				l, err := New(Services{EC2: seller{run: run}, SSM: struct{ SSM }{}}, "us-east-1", Config{
					Fleet: "test", Store: s, Subnets: []string{"subnet-1"}, SecurityGroups: []string{"sg-1"}, AMI: "ami-1",
					Connect: func(context.Context, Host) (HostLauncher, error) { return nil, nil },
				})
				if err != nil {
					t.Fatal(err)
				}
				l.budget.installed = true
				l.budget.lane("RunInstances").instances.empty(time.Now())
				return &fleet{l: l, capacity: &capacity{}}
			}
			other := process(func() error { return context.DeadlineExceeded })
			var token string
			f := process(func() error {
				if meanwhile {
					if err := other.buy(t.Context(), token); err != nil {
						t.Error(err)
					}
				}
				return &smithy.GenericAPIError{Code: "RequestLimitExceeded"}
			})
			b, err := f.order(t.Context(), 1, need{offer{instanceType: "t3.medium"}, 60}, subnet{id: "subnet-1"}, "ami-1")
			if err != nil {
				t.Fatal(err)
			}
			token = b.Token
			if err := f.buy(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			_, err = f.l.buys.Get(t.Context(), token)
			if kept := err == nil; kept != meanwhile {
				t.Errorf("another makes the call (%t), and afterwards the purchase is kept (%t): %v", meanwhile, kept, err)
			}
		})
	}
}
