package session_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// troubles are what the owner and the world do.
func troubles() []operation {
	return []operation{
		{"policy", 6, (*model).newPolicy}, {"member", 6, (*model).member}, {"project", 3, (*model).project},
		{"exit", 5, (*model).exit}, {"lose host", 3, (*model).loseHost}, {"notice", 6, (*model).notice}, {"take host", 4, (*model).takeHost},
		{"silent host", 4, (*model).silence}, {"cut", 2, (*model).cut}, {"rough store", 5, (*model).roughStore}, {"rough launcher", 5, (*model).roughLauncher},
		{"kill process", 4, (*model).killProcess}, {"end process", 2, (*model).endProcess}, {"pause process", 3, (*model).pause}, {"more processes", 2, (*model).more},
		{"hours", 1, (*model).hours}, {"stray", 2, (*model).stray},
	}
}

// reportedFor is how long a process may keep what was reported to it to itself.
const reportedFor = 70 * time.Second

// worry notes that something is put into trouble: what was reported of late may be
// lost with it.
func (x *model) worry() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rough, x.calm = time.Now(), time.Now()
	for _, l := range x.lives {
		if time.Since(l.used) < reportedFor {
			l.used = l.solid
		}
	}
}

// trouble reports whether anything is in trouble.
func (x *model) trouble() bool {
	if len(x.blind) > 0 {
		return true
	}
	return slices.ContainsFunc(x.servers, func(s *server) bool { return s.paused() || s.roughs != [2]bool{} || s.line.down })
}

// settleTrouble ends what has been in trouble for long.
func (x *model) settleTrouble() {
	if !x.trouble() {
		return
	}
	if time.Since(x.rough) > 3*time.Minute {
		x.soothe()
	}
	x.calm = time.Now()
}

// soothe ends all trouble.
func (x *model) soothe() {
	for _, s := range x.servers {
		x.wake(s)
		s.trouble(false, false)
		s.line.cut(false)
	}
	x.aws.set(func() { clear(x.blind) })
	x.calm = time.Now()
}

// wake has a process go on that stood still.
func (x *model) wake(s *server) {
	if s.goOn != nil {
		s.goOn()
		s.goOn = nil
	}
}

// policy sets the owner's policies.
func (x *model) policy(all, lab domain.Policy) {
	all.Roles = []string{reader}
	check(x.t, x.domain.SetPolicy(x.t.Context(), all))
	check(x.t, x.domain.SetGroupPolicy(x.t.Context(), "lab", &lab))
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rules = append(x.rules, ruling{from: time.Now(), all: all, lab: lab})
}

func (x *model) newPolicy(r *rand.Rand) string {
	draw := func() (p domain.Policy) {
		const dollar = 1_000_000
		if r.IntN(3) == 0 {
			p.Types = one(r, []string{"t3.*", "m5.*"}, []string{"m5.*", "r5.4xlarge", "t3.*"}, []string{"t3.*"})
		}
		if r.IntN(2) == 0 {
			p.Sessions = 2 + r.IntN(5)
		}
		if r.IntN(2) == 0 {
			p.SessionsPerUser = 1 + r.IntN(3)
		}
		if r.IntN(3) == 0 {
			p.BudgetPerUser = one[instancetype.Money](r, dollar/3, dollar, 20*dollar)
		}
		if r.IntN(4) == 0 {
			p.Budget = one[instancetype.Money](r, dollar/2, 5*dollar, 400*dollar)
		}
		if r.IntN(2) == 0 {
			p.Idle = []domain.IdleRule{{After: 5*time.Minute + time.Duration(r.Int64N(int64(one(r, 10*time.Minute, time.Hour)))), Stop: r.IntN(4) == 0}}
		}
		if r.IntN(4) == 0 {
			p.MaxLifetime = 10*time.Minute + time.Duration(r.Int64N(int64(4*time.Hour)))
		}
		return p
	}
	all, lab := domain.Policy{}, domain.Policy{}
	if r.IntN(6) > 0 {
		all = draw()
	}
	if r.IntN(2) > 0 {
		lab = draw()
	}
	x.policy(all, lab)
	return fmt.Sprintf("%+v, lab %+v", all, lab)
}

// onboard makes somebody a member.
func (x *model) onboard(user string, groups []string) {
	_, err := x.domain.Onboard(x.t.Context(), domain.OnboardRequest{User: user, Groups: groups})
	check(x.t, err)
	p := x.users[user]
	if p == nil {
		p = &person{spent: map[string]int64{}}
		x.users[user] = p
	}
	p.groups, p.member, p.unsure = groups, true, false
}

func (x *model) member(r *rand.Rand) string {
	user := one(r, "alice", "bob", "carol")
	var groups []string
	if r.IntN(3) > 0 {
		groups = []string{"lab"}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.onboard(user, groups)
	return fmt.Sprint(user, groups)
}

func (x *model) project(r *rand.Rand) string {
	name := one(r, "alpha", "beta")
	_, known := x.open[name]
	var groups []string
	if r.IntN(3) > 0 {
		groups = []string{"lab"}
	}
	if !known {
		_, err := x.domain.CreateProject(x.t.Context(), domain.CreateProjectRequest{Name: name, Groups: groups})
		check(x.t, err)
	} else {
		check(x.t, x.domain.SetProjectGroups(x.t.Context(), name, groups))
	}
	x.open[name] = groups != nil
	return fmt.Sprint(name, groups)
}

// living is one of the containers that live.
func (x *model) living(r *rand.Rand) (launcher.ID, *life) {
	l := x.pick(r, func(l *life) bool { return l.now.ID != "" && x.alive(l.id, l.now.Generation) })
	if l == nil {
		return "", nil
	}
	return containerOf(l.id, l.now.Generation), l
}

// exit ends a program: of itself, or as if it had crashed.
func (x *model) exit(r *rand.Rand) string {
	id, l := x.living(r)
	if l == nil {
		return ""
	}
	x.mu.Lock()
	l.parted = true
	x.mu.Unlock()
	o := launcher.StopOptions{Signal: one(r, "", "SIGKILL")}
	if err := x.host.Stop(context.Background(), id, o); err != nil && !errors.Is(err, launcher.ErrNotFound) {
		x.t.Error(err)
	}
	return fmt.Sprint(id, o.Signal)
}

func (x *model) loseHost(r *rand.Rand) string {
	id, l := x.living(r)
	if l == nil {
		return ""
	}
	x.aws.set(func() { x.lost[id] = true })
	_ = x.host.Stop(context.Background(), id, launcher.StopOptions{Signal: "SIGKILL"})
	return string(id)
}

func (x *model) notice(r *rand.Rand) string {
	id, l := x.living(r)
	if l == nil {
		return ""
	}
	x.aws.announce(id, time.Duration(1+r.Int64N(int64(2*time.Minute))))
	return string(id)
}

func (x *model) takeHost(r *rand.Rand) string {
	id, l := x.living(r)
	if l == nil {
		return ""
	}
	x.aws.take(id)
	return string(id)
}

func (x *model) silence(r *rand.Rand) string {
	id, l := x.living(r)
	if l == nil {
		return ""
	}
	x.worry()
	x.aws.set(func() { x.blind[id] = true })
	return string(id)
}

func (x *model) cut(r *rand.Rand) string {
	x.worry()
	all := r.IntN(3) == 0
	for _, s := range x.servers {
		s.line.cut(all || r.IntN(2) == 0)
	}
	return fmt.Sprint(all)
}

func (x *model) roughStore(r *rand.Rand) string {
	s := one(r, x.servers...)
	x.worry()
	s.trouble(true, s.roughs[1])
	return fmt.Sprint(s.name)
}

func (x *model) roughLauncher(r *rand.Rand) string {
	s := one(r, x.servers...)
	x.worry()
	s.trouble(s.roughs[0], true)
	return fmt.Sprint(s.name)
}

// replace puts another process in the place of one that has ended.
func (x *model) replace(s *server) string {
	x.wake(s)
	s.end()
	next := x.serve()
	x.servers[slices.Index(x.servers, s)] = next
	return fmt.Sprint(s.name, " by ", next.name)
}

func (x *model) killProcess(r *rand.Rand) string {
	s := one(r, x.servers...)
	x.worry()
	s.fuse.die()
	return x.replace(s)
}

func (x *model) endProcess(r *rand.Rand) string {
	s := one(r, x.servers...)
	x.worry()
	return x.replace(s)
}

// pause has a process stand still in the middle of whatever it does.
func (x *model) pause(r *rand.Rand) string {
	s := one(r, x.servers...)
	if s.paused() || !slices.ContainsFunc(x.servers, func(o *server) bool { return o != s && !o.paused() }) {
		return ""
	}
	x.worry()
	s.goOn, s.stood = s.fuse.pause(), true
	return fmt.Sprint(s.name)
}

// more begins a process beside the others, or ends one.
func (x *model) more(r *rand.Rand) string {
	x.worry()
	if len(x.servers) < 3 {
		x.servers = append(x.servers, x.serve())
		return fmt.Sprint(len(x.servers))
	}
	at := r.IntN(len(x.servers))
	s := x.servers[at]
	x.servers = slices.Delete(x.servers, at, at+1)
	if !slices.ContainsFunc(x.servers, func(o *server) bool { return !o.paused() }) {
		x.wake(x.servers[0])
	}
	x.wake(s)
	s.end()
	return fmt.Sprint(len(x.servers))
}

// stray runs a container of a session that the store does not know, as one that was
// set back to an earlier day would not.
func (x *model) stray(*rand.Rand) string {
	id := session.ID(fmt.Sprint("ghost", x.number))
	_, err := x.host.Launch(context.Background(), launcher.Workload{
		ID: containerOf(id, 1), Owner: "research/ghost", Image: "ghost", Command: []string{"wait"}, Resources: launcher.Resources{MilliCPU: 100, MemoryMiB: 100},
		Labels: map[string]string{"atelier.domain": "research", "atelier.session": string(id), "atelier.generation": "1"},
	})
	return fmt.Sprint(id, " ", err == nil) // there may be no room
}

// hours lets time go by in which rules come true.
func (x *model) hours(r *rand.Rand) string {
	if r.IntN(4) > 0 {
		return ""
	}
	if x.trouble() {
		x.soothe()
	}
	d := time.Duration(r.Int64N(int64(50 * time.Minute)))
	time.Sleep(d)
	return d.Round(time.Second).String()
}
