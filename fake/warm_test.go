package fake_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
)

// TestWarmSessions: a fleet that is told to keep room for sessions like one keeps
// it, and the first to come starts without waiting for a host or for its image.
func TestWarmSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := session.StartRequest{ID: "first", User: "alice", InstanceType: "m5.large", Size: domain.Size{MilliCPU: 1000, MemoryMiB: 2048}}
		w := fake.New(t, fake.Config{
			Policy: domain.Policy{Sharing: domain.Pool},
			AWS:    fakeaws.Config{Delays: fakeaws.Realistic()},
			Fleet: func(w *fake.World, c *ec2launcher.Config) {
				like, err := session.Like(context.Background(), w.Domain, q)
				if err != nil {
					t.Fatal(err)
				}
				c.Warm = []ec2launcher.Warm{{Like: like, Slots: 1}}
			},
		})
		time.Sleep(10 * time.Minute) // virtual: a host is bought, boots and has the image
		asked := time.Now()
		if _, err := w.Sessions.Start(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Sessions.Wait(t.Context(), q.ID, session.Running); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(asked); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
