package positlauncher_test

import (
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, world(t, fake.Config{AWS: fakeaws.Config{Delays: fakeaws.Realistic()}}), positlauncher.Config{})
		t.Log(l.ask(wire.BootstrapRequest, map[string]any{"version": wire.API}))
		t.Log(l.ask(wire.ClusterInfoRequest, nil))
		id := l.submit(wire.Job{Name: "one", Exe: "say", Args: []string{"hello"}})
		t.Log(l.await(id, wire.Finished))
		id = l.submit(wire.Job{Name: "two", Command: "serve 8787", Stdin: "hello\n", ExposedPorts: []wire.Port{{TargetPort: 8787}}})
		t.Log(l.await(id, wire.Running))
		t.Log(l.ask(wire.JobNetworkRequest, map[string]any{"jobId": id}))
		t.Log(l.ask(wire.ControlJobRequest, map[string]any{"jobId": id, "operation": wire.Stop}))
		t.Log(l.await(id, wire.Finished))
	})
}
