package launchertest

import (
	"github.com/atelier-go/atelier/launcher"
)

var mountClauses = []clause{
	{name: "Mount/Outlives", test: mountOutlives, needs: needsDir},
	{name: "Mount/Shared", test: mountShared, needs: needsDir},
	{name: "Mount/ReadOnly", test: mountReadOnly, needs: needsDir},
	{name: "Mount/OwnFiles", test: mountOwnFiles, needs: needsDir},
}

// mounted returns a workload of an ordinary user with the directory at /data.
func (r *run) mounted(name, source string, readOnly bool, command ...string) launcher.Workload {
	w := r.workload(name, command...)
	w.User = launcher.User{UID: 1000, GID: 1000}
	w.Mounts = []launcher.Mount{{Source: source, Target: "/data", ReadOnly: readOnly}}
	return w
}

func mountOutlives(r *run) {
	dir := r.Dir("data")
	r.says(r.mounted("writer", dir, false, "write", "/data/file", "kept"), "")
	r.stop(r.id("writer"), launcher.StopOptions{Forget: true})
	r.says(r.mounted("reader", dir, false, "read", "/data/file"), "kept")
}

func mountShared(r *run) {
	dir := r.Dir("data")
	w := r.mounted("writer", dir, false, "write", "/data/file", "shared", ";", "say", "written", ";", "wait")
	r.start(w, "written")
	r.says(r.mounted("reader", dir, false, "read", "/data/file"), "shared")
}

func mountReadOnly(r *run) {
	dir := r.Dir("data")
	r.says(r.mounted("writer", dir, false, "write", "/data/file", "kept"), "")
	w := r.mounted("intruder", dir, true, "write", "/data/file", "changed")
	r.launch(w)
	r.exitCode(w.ID, 1)
	r.says(r.mounted("reader", dir, true, "read", "/data/file"), "kept")
}

// What is not in a mount belongs to one container alone.
func mountOwnFiles(r *run) {
	r.says(r.mounted("writer", r.Dir("data"), false, "write", "/tmp/file", "own", ";", "read", "/tmp/file"), "own")
	w := r.mounted("reader", r.Dir("data"), false, "read", "/tmp/file")
	r.launch(w)
	r.exitCode(w.ID, 1)
}
