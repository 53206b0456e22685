package launchertest

import (
	"slices"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

var listClauses = []clause{
	{name: "List/Complete", test: listComplete},
	{name: "List/Filter", test: listFilter},
	{name: "List/EarlyBreak", test: listEarlyBreak},
	{name: "List/CopiesStatus", test: listCopies},
	{name: "List/KeepsExits", test: listKeepsExits},
	{name: "List/DropsOldExits", test: listDropsOldExits},
}

// some launches workloads in several phases and returns their IDs in order.
func (r *run) some() []launcher.ID {
	r.Helper()
	r.launch(r.workload("d", "wait"))
	r.start(r.workload("b", "wait"), "")
	for _, name := range []string{"c", "a"} {
		r.launch(r.workload(name, "exit", "0"))
		r.exit(r.id(name))
	}
	return []launcher.ID{r.id("a"), r.id("b"), r.id("c"), r.id("d")}
}

func listComplete(r *run) {
	want := r.some()
	if got := ids(r.list(r.mine())); !slices.Equal(got, want) {
		r.Errorf("List yields %v; want all, by ID: %v", got, want)
	}
	all := ids(r.list(launcher.Filter{}))
	if !slices.IsSorted(all) {
		r.Errorf("List without a filter yields %v; want the order of IDs", all)
	}
	for _, id := range want {
		if !slices.Contains(all, id) {
			r.Errorf("List without a filter lacks %s: %v", id, all)
		}
	}
}

func listFilter(r *run) {
	a, b, c := r.workload("a", "wait"), r.workload("b", "wait"), r.workload("c", "wait")
	b.Owner, c.Labels["color"] = "bob", "green"
	for _, w := range []launcher.Workload{a, b, c} {
		r.launch(w)
	}
	green := r.mine()
	green.Labels["color"] = "green"
	owner := r.mine()
	owner.Owner = "bob"
	both := owner
	both.IDs = []launcher.ID{a.ID}
	for what, f := range map[string]struct {
		filter launcher.Filter
		want   []launcher.ID
	}{
		"IDs":            {launcher.Filter{IDs: []launcher.ID{c.ID, a.ID, r.id("absent"), a.ID}}, []launcher.ID{a.ID, c.ID}},
		"owner":          {owner, []launcher.ID{b.ID}},
		"label":          {green, []launcher.ID{c.ID}},
		"ID and owner":   {both, []launcher.ID{}},
		"an absent name": {launcher.Filter{IDs: []launcher.ID{r.id("absent")}}, []launcher.ID{}},
	} {
		if got := ids(r.list(f.filter)); !slices.Equal(got, f.want) {
			r.Errorf("List by %s yields %v; want %v", what, got, f.want)
		}
	}
}

func listEarlyBreak(r *run) {
	r.some()
	n := 0
	for _, err := range r.Launcher.List(r.ctx, r.mine()) {
		if err != nil {
			r.Fatal(err)
		}
		n++
		break
	}
	if n != 1 {
		r.Errorf("a loop that was left at once ran %d times", n)
	}
}

func listCopies(r *run) {
	w := r.workload("a", "wait")
	w.Labels["color"] = "green"
	r.start(w, "")
	for s, err := range r.Launcher.List(r.ctx, r.mine()) {
		if err != nil {
			r.Fatal(err)
		}
		s.Labels["color"] = "red"
	}
	if s, _ := launcher.Get(r.ctx, r.Launcher, w.ID); s.Labels["color"] != "green" {
		r.Errorf("label color is %q; want a caller's change of a listed status to change nothing", s.Labels["color"])
	}
}

func listKeepsExits(r *run) {
	w := r.workload("a", "say", "hello", ";", "exit", "3")
	r.launch(w)
	s := r.exitCode(w.ID, 3)
	if !r.realTime {
		time.Sleep(time.Until(s.ExitedAt.Add(launcher.Retention - time.Minute)))
	}
	r.exitCode(w.ID, 3)
	if got := r.output(w.ID, launcher.Both); got != "hello\n" {
		r.Errorf("a minute before the end of the retention the logs are %q; want %q", got, "hello\n")
	}
}

func listDropsOldExits(r *run) {
	if r.realTime {
		r.Skip("the retention is too long for the wall clock")
	}
	w := r.workload("a", "exit", "3")
	r.launch(w)
	s := r.exit(w.ID)
	time.Sleep(time.Until(s.ExitedAt.Add(launcher.Retention)))
	r.eventually("an exit older than the retention is dropped", func() bool { return r.unknown(w.ID) })
}
