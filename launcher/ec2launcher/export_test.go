package ec2launcher

import "context"

// Describe asks EC2 about a launcher's fleet, as the reconciler does.
func Describe(ctx context.Context, l *Launcher) error {
	_, err := l.describe(ctx)
	return err
}

// Terminate asks EC2 to end instances, as the reconciler does.
func Terminate(ctx context.Context, l *Launcher, ids []string) error { return l.terminate(ctx, ids) }
