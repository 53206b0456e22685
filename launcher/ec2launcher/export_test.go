package ec2launcher

import "context"

// Describe asks EC2 about a launcher's fleet, as the reconciler does.
func Describe(ctx context.Context, l *Launcher) error {
	_, err := l.describe(ctx)
	return err
}
