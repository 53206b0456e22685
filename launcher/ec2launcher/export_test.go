package ec2launcher

import "context"

// Describe asks EC2 about a launcher's fleet, as the reconciler does.
func Describe(ctx context.Context, l *Launcher) error {
	_, err := l.describe(ctx, nil)
	return err
}

// Terminate asks EC2 to end instances, as the reconciler does.
func Terminate(ctx context.Context, l *Launcher, ids []string) error { return l.terminate(ctx, ids) }

// Instruments are the instruments of the documentation: of each the kind, unit and
// description, by name.
func Instruments() map[string]string {
	all := map[string]string{}
	for _, i := range instruments {
		all[i.Name] = string(i.Kind) + " " + i.Unit + " " + i.About
	}
	return all
}
