package session

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// IsReady is ready, for tests that use package fake, which imports this one.
func (k Kind) IsReady(ctx context.Context, dial func(ctx context.Context, port string) (net.Conn, error)) (bool, string) {
	return k.ready(ctx, dial)
}

// LastUse is activity.
func (k Kind) LastUse(ctx context.Context, dial func(ctx context.Context, port string) (net.Conn, error)) (time.Time, bool, string, error) {
	return k.activity(ctx, dial)
}

// Unsuspendable is unsuspendable.
func (k Kind) Unsuspendable() string { return k.unsuspendable() }

// KeptState is keptState.
func (k Kind) KeptState(code int) bool { return k.keptState(code) }

// SuspendOptions is suspendOptions.
func (k Kind) SuspendOptions() (signal string, grace time.Duration) {
	o := k.suspendOptions()
	return o.Signal, o.Grace
}

// Update is update: one flag for all that is compared with generated text.
var Update = update

// ErrSilent is errSilent.
var ErrSilent = errSilent

// Pass returns a function that does once what Run does again and again.
func (m *Manager) Pass() func(context.Context) error {
	r, w := newMirror(m), sweeper{manager: m, suspects: map[launcher.ID]time.Time{}}
	return func(ctx context.Context) error {
		r.next, r.refreshed, r.last = time.Now().Add(mirrorEvery), time.Time{}, time.Now()
		m.jobs.due(time.Now())
		m.share(ctx)
		return errors.Join(r.follow(ctx), m.watchIdle(ctx), w.sweep(ctx))
	}
}

// Instruments are the instruments of the documentation: of each the kind, unit and
// description, by name.
func Instruments() map[string]string {
	all := map[string]string{}
	for _, i := range instruments {
		all[i.Name] = string(i.Kind) + " " + i.Unit + " " + i.About
	}
	return all
}
