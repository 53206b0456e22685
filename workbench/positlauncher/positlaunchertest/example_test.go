package positlaunchertest_test

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/positlaunchertest"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// The whole contract, for an executable.
func ExampleSuite() {
	suite := positlaunchertest.Suite{
		RealTime: true,
		New: func(testing.TB) positlaunchertest.Harness {
			return positlaunchertest.Harness{
				Start: func(t testing.TB, args ...string) positlaunchertest.Plugin {
					return positlaunchertest.Command(t, exec.Command("./plugin", args...))
				},
				User: "alice", OtherUser: "bob", Image: "busybox:1.36", SlowStart: true,
				Limits: positlaunchertest.Limits{Start: 3 * time.Minute},
			}
		},
	}
	_ = func(t *testing.T) { suite.Run(t) } // func TestPlugin(t *testing.T)
}

// A test of one's own, which sees a job through.
func ExampleConnect() {
	hello := func(t *testing.T) {
		plugin := positlaunchertest.Command(t, exec.Command("./plugin"))
		l := positlaunchertest.Connect(t, plugin, positlaunchertest.Options{Heartbeat: time.Second})
		if err := l.Bootstrap(); err != nil {
			t.Fatal(err)
		}
		alice := l.As("alice")
		job, err := alice.Submit(wire.Job{Name: "hello", Command: "echo hello", Container: &wire.Container{Image: "busybox:1.36"}})
		if err != nil {
			t.Fatal(err)
		}
		output, err := alice.Output(job.ID, "stdout")
		if err != nil {
			t.Fatal(err)
		}
		pieces, err := output.All(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pieces {
			fmt.Print(p.Text)
		}
	}
	_ = hello // func TestHello(t *testing.T)
}
