package positlauncher_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/positlaunchertest"
)

// TestContract runs the contract of plugins over a fleet of EC2 hosts in an account
// in memory, with the delays that were measured there.
func TestContract(t *testing.T) {
	positlaunchertest.Suite{New: func(t testing.TB) positlaunchertest.Harness {
		w := fake.New(t, fake.Config{
			Images: map[string]fakelauncher.Program{"jobs": fake.Job}, AWS: fakeaws.Config{Delays: fakeaws.Realistic()},
		})
		for user, login := range map[string]string{"alice": "alice.smith", "bob": "_bob"} { // by which the Launcher knows them
			if _, err := w.Domain.Onboard(t.Context(), domain.OnboardRequest{User: user, Login: login}); err != nil {
				t.Fatal(err)
			}
		}
		at := &address{w.Sessions}
		return positlaunchertest.Harness{
			Start: func(t testing.TB, args ...string) positlaunchertest.Plugin {
				return positlaunchertest.InProcess(t, func(ctx context.Context, in io.Reader, out io.Writer) error {
					c := positlauncher.ParseArguments(args).Apply(positlauncher.Config{Cluster: "EC2"})
					return positlauncher.Serve(ctx, in, out, w.Sessions, c)
				})
			},
			User: "alice.smith", OtherUser: "_bob", Cluster: "EC2", Image: "jobs", Jobs: positlaunchertest.FakeJobs(),
			Dial: at.dial, Suspend: true, SlowStart: true, NoShell: true,
			Limits: positlaunchertest.Limits{Start: 10 * time.Minute, Complete: 10 * time.Minute},
		}
	}}.Run(t)
}

// address finds whose address a job's is: nothing else reaches the hosts in memory.
type address struct{ sessions *session.Manager }

func (a *address) dial(ctx context.Context, at string) (net.Conn, error) {
	for s, err := range a.sessions.List(ctx, session.Filter{States: []session.State{session.Running}}) {
		if err != nil {
			return nil, err
		}
		for port, endpoint := range s.Endpoints {
			if endpoint == at {
				return a.sessions.Dial(ctx, s.ID, port)
			}
		}
	}
	return nil, &net.AddrError{Err: "no job is there", Addr: at}
}
