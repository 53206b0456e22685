package fake_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
)

// BenchmarkSession is a session from Start over Running to Stopped, through
// the manager, the fleet and the SDK's clients, on an account where AWS and
// the hosts take no time.
func BenchmarkSession(b *testing.B) {
	for _, c := range []struct {
		name   string
		linger time.Duration
	}{
		{"host=lingering", time.Hour}, // the first session buys it
		{"host=bought", -1},           // each session buys its own
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx := context.Background()
			w, end, err := fake.Start(ctx, fake.Config{Fleet: func(_ *fake.World, f *ec2launcher.Config) { f.Linger = c.linger }})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := end(); err != nil {
					b.Error(err)
				}
			}()
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				id := session.ID(fmt.Sprintf("s%d", n))
				if _, err := w.Sessions.Start(ctx, session.StartRequest{ID: id, User: "alice", InstanceType: "t3.medium"}); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Sessions.Wait(ctx, id, session.Running); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Sessions.Stop(ctx, id, session.Order{}); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Sessions.Wait(ctx, id, session.Stopped); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
