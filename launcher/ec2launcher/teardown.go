package ec2launcher

import (
	"context"
	"fmt"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/launcher"
)

// Teardown deletes what [Launcher.Setup] has made, the hosts' logs and keys
// among it, and nothing else: not the hosts, not the store's records. It
// refuses with [launcher.ErrConflict] as long as an instance of the fleet is
// not terminated; end the workloads, wait until Run has released the hosts,
// and then end Run. It needs the credentials of [Policies].Setup, may be called
// again after any failure, and then goes on. What is not there, and what
// lacks the fleet's tag, it leaves alone.
func (l *Launcher) Teardown(ctx context.Context) error {
	return l.administer(ctx, "teardown", func(ctx context.Context) error {
		instances, err := l.describe(ctx, nil)
		if err != nil {
			return step("the fleet's instances", err)
		}
		live := 0
		for _, i := range instances {
			if stateOf(i) != ec2types.InstanceStateNameTerminated {
				live++
			}
		}
		if live > 0 {
			return fail("teardown", "", launcher.ErrConflict, fmt.Errorf(
				"%d instances of the fleet are not terminated: end the workloads and wait until Run has released the hosts", live))
		}
		if err := l.removeGroups(ctx); err != nil {
			return step("security group "+l.engineGroupName(), err)
		}
		for _, name := range []string{l.hostSecret(), l.clientSecret()} {
			if err := l.removeSecret(ctx, name); err != nil {
				return step("secret "+name, err)
			}
		}
		l.keys.forget()
		if err := l.removeLogGroup(ctx); err != nil {
			return step("log group "+l.logGroupName(), err)
		}
		if err := l.removeRole(ctx); err != nil {
			return step("the hosts' role "+l.hostRole(), err)
		}
		l.cfg.Logger.Info("teardown: what Setup made is gone")
		return nil
	})
}
