package session_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// An operation does something random and tells what came of it.
type operation struct {
	name   string
	weight int
	do     func(*model, *rand.Rand) string
}

// operations are what may be done, by callers, by the owner and by the world.
func operations() []operation {
	return append([]operation{
		{"start", 50, (*model).start}, {"start again", 8, (*model).startAgain}, {"bad start", 4, (*model).startBadly},
		{"suspend", 24, (*model).suspend}, {"resume", 40, (*model).resume}, {"stop", 6, (*model).stop}, {"kill", 4, (*model).kill}, {"delete", 20, (*model).remove},
		{"keep", 8, (*model).keep}, {"report", 14, (*model).report}, {"list", 4, (*model).list}, {"explain", 4, (*model).explain},
		{"quote", 8, (*model).quote}, {"repeat", 10, (*model).repeat}, {"wait", 14, (*model).wait}, {"offboard", 1, (*model).offboard},
	}, troubles()...)
}

func (x *model) choose(r *rand.Rand) operation {
	all, sum := operations(), 0
	for _, op := range all {
		sum += op.weight
	}
	at := r.IntN(sum)
	for _, op := range all {
		if at -= op.weight; at < 0 {
			return op
		}
	}
	panic("unreachable")
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// pick returns one of the sessions that are not deleted, or nil.
func (x *model) pick(r *rand.Rand, want func(*life) bool) *life {
	x.mu.Lock()
	defer x.mu.Unlock()
	var found []*life
	for _, id := range x.ids {
		if l := x.lives[id]; !l.gone && (want == nil || want(l)) {
			found = append(found, l)
		}
	}
	if found == nil {
		return nil
	}
	return one(r, found...)
}

// server returns a process that answers.
func (x *model) server(r *rand.Rand) *server {
	var found []*server
	for _, s := range x.servers {
		if !s.paused() {
			found = append(found, s)
		}
	}
	return one(r, found...)
}

// asked is what a caller asked of one process, and what came of it.
type asked struct {
	s        *server
	before   time.Time
	troubled bool // its process was in trouble
	limited  bool // its caller has little time
	err      error
}

// ask makes a call, for which some callers have little time.
func (x *model) ask(r *rand.Rand, do func(context.Context, *server) error) asked {
	a := asked{s: x.server(r), before: time.Now(), limited: r.IntN(25) == 0}
	patience := 40 * time.Second
	if a.limited {
		patience = time.Duration(r.Int64N(int64(6 * time.Millisecond)))
	}
	ctx, cancel := context.WithTimeout(x.t.Context(), patience)
	defer cancel()
	a.err = do(ctx, a.s)
	a.troubled = a.s.roughs != [2]bool{}
	if took := time.Since(a.before); a.limited && !a.troubled && took > patience+20*time.Millisecond {
		x.t.Errorf("a caller who waits %v is answered after %v: %v", patience, took, a.err)
	}
	if a.err != nil && !errors.Is(a.err, context.DeadlineExceeded) {
		if _, ok := errors.AsType[*session.Error](a.err); !ok || session.StatusCode(a.err) == 500 && !errors.Is(a.err, session.ErrState) || x.gate.tells(a.err.Error()) {
			x.t.Errorf("operation %d: an error that does not say enough, or too much: %d, %v", x.number, session.StatusCode(a.err), a.err)
		}
	}
	return a
}

// unknown reports whether nobody knows what came of a call, and may not.
func (x *model) unknown(a asked) bool {
	switch {
	case errors.Is(a.err, context.DeadlineExceeded):
		if !a.limited && !a.troubled {
			x.t.Errorf("operation %d: nothing is in trouble, and it took longer than a caller waits: %v", x.number, a.err)
		}
	case errors.Is(a.err, session.ErrNotRunning):
		if !a.s.stood {
			x.t.Errorf("operation %d: %v", x.number, a.err)
		}
	case errors.Is(a.err, session.ErrUnavailable), errors.Is(a.err, domain.ErrUnavailable):
		if !a.troubled {
			x.t.Errorf("operation %d: nothing is in trouble: %v", x.number, a.err)
		}
	default:
		return false
	}
	return true
}

// outcome is an answer in a few words.
func outcome(id session.ID, s session.Session, err error) string {
	switch e, ok := errors.AsType[*session.Error](err); {
	case err == nil:
		return fmt.Sprintf("%s is %s", id, s.State)
	case ok:
		return fmt.Sprintf("%s: %v", id, e.Kind)
	}
	return fmt.Sprintf("%s: %v", id, err)
}

// order is a new order for a session.
func (x *model) order(op string, id session.ID, clean bool) session.Order {
	why := fmt.Sprintf("order %d", x.number)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.wishes[why] = &wish{op: op, id: id, clean: clean}
	return session.Order{ID: why, By: "somebody", Why: why}
}

// was reports whether a session was in one of some states since the operation began.
func (x *model) was(l *life, states ...session.State) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.ContainsFunc(l.during, func(s session.State) bool { return slices.Contains(states, s) })
}

// expect checks an answer: an error of a kind only if the session was in one of the
// states that refuse, none only if it was in one of those that do not, and the state
// that it tells one that the session had.
func (x *model) expect(a asked, op string, l *life, s session.Session, refusing, obeying []session.State) string {
	switch {
	case x.unknown(a):
	case errors.Is(a.err, session.ErrState):
		if !x.was(l, refusing...) {
			x.t.Errorf("operation %d: %s %s, which was %v: %v", x.number, op, l.id, l.during, a.err)
		}
	case a.err != nil:
		x.t.Errorf("operation %d: %s %s, which was %v: %v", x.number, op, l.id, l.during, a.err)
	case !x.was(l, obeying...) || !x.was(l, s.State) || s.ID != l.id:
		x.t.Errorf("operation %d: %s %s, which was %v, is answered with %s, %s", x.number, op, l.id, l.during, s.ID, s.State)
	}
	return outcome(l.id, s, a.err)
}

var modelTypes = []string{"t3.medium", "m5.large", "r5.4xlarge"}

// wanted is a random request that makes sense.
func (x *model) wanted(r *rand.Rand, id session.ID) session.StartRequest {
	q := session.StartRequest{ID: id, User: one(r, "alice", "alice", "bob", "bob", "carol"), InstanceType: one(r, modelTypes...), Kind: plainKind()}
	switch r.IntN(8) {
	case 0, 1:
		q.Kind.Suspension, q.Kind.SuspendSignal, q.Kind.SavedCodes = session.SavesState, "SIGUSR1", []int{session.RStudioSaved}
	case 2:
		q.Kind.Ready = session.Probe{Port: "http", Path: "/"}
	case 3:
		q.Kind = session.Kind{Name: "job", Suspension: session.NoSuspension}
		q.Command = one(r, []string{"spin", "2m", ";", "exit", "3"}, []string{"exit", "0"}, []string{"wait"})
	}
	switch r.IntN(12) { // else it has all of a host, and others wait
	case 0, 1, 2, 3, 4:
		q.Size = domain.Size{MilliCPU: 1000, MemoryMiB: 2048}
	case 5, 6, 7, 8:
		q.InstanceType, q.Size = "", domain.Size{MilliCPU: 500, MemoryMiB: 1024}
		if r.IntN(3) == 0 {
			q.Kind = session.Kind{Name: "job", Suspension: session.NoSuspension}
			q.Command = []string{"allocate", "4096"} // and it is out of memory
		}
	case 9, 10:
		q.InstanceType, q.Size = "r5.4xlarge", domain.Size{MilliCPU: 4000, MemoryMiB: 24 << 10} // of which two find room
	}
	switch r.IntN(10) {
	case 0:
		q.Projects = []string{one(r, "alpha", "beta")}
	case 1:
		q.Role = reader
	case 2:
		q.OnInterruption = session.StaySuspended
	case 3:
		q.Market = one(r, launcher.Spot, launcher.SpotOrOnDemand)
	case 4:
		if q.InstanceType != "" && q.Size.MemoryMiB <= 2048 {
			q.Alternatives = []string{one(r, "t3.large", "m5.xlarge")}
		}
	case 5:
		q.Image = "custom"
	}
	if r.IntN(60) == 0 {
		q.Image = "broken"
	}
	return q
}

// refused is what the domain has against a session of a user on some types, or nil.
func (x *model) refused(user string, types, projects []string) error {
	p := x.users[user]
	if p == nil {
		return domain.ErrNotFound
	}
	if p.unsure {
		u, err := x.domain.User(context.Background(), user)
		check(x.t, err)
		p.member = u.Offboarded.IsZero()
	}
	if !p.member {
		return domain.ErrNotAllowed
	}
	now := x.rules[len(x.rules)-1]
	policies := []domain.Policy{now.all}
	if slices.Contains(p.groups, "lab") {
		policies = append(policies, now.lab)
	}
	for _, t := range types {
		for _, policy := range policies {
			if t != "" && len(policy.Types) > 0 && !slices.ContainsFunc(policy.Types, func(pattern string) bool { ok, _ := path.Match(pattern, t); return ok }) {
				return domain.ErrNotAllowed
			}
		}
	}
	for _, name := range projects {
		open, known := x.open[name]
		if !known {
			return domain.ErrNotFound
		}
		if !open || !slices.Contains(p.groups, "lab") {
			return domain.ErrNotAllowed
		}
	}
	return nil
}

// full reports whether an account of a user is as full as a refusal says.
func (x *model) full(user string, err error) bool {
	now := x.rules[len(x.rules)-1]
	for _, of := range []struct {
		scope    domain.Scope
		name     string
		sessions int
		budget   int64
	}{
		{domain.ScopeUser, user, now.all.SessionsPerUser, int64(now.all.BudgetPerUser)},
		{domain.ScopeUser, user, now.lab.SessionsPerUser, int64(now.lab.BudgetPerUser)},
		{domain.ScopeGroup, "lab", now.lab.Sessions, int64(now.lab.Budget)},
		{domain.ScopeDomain, "research", now.all.Sessions, int64(now.all.Budget)},
	} {
		a, failed := x.domain.Account(context.Background(), of.scope, of.name)
		check(x.t, failed)
		const dearest = 1_100_000 // an hour of any of the types, in millionths of a dollar
		if errors.Is(err, domain.ErrLimit) && of.sessions > 0 && len(a.Live)+x.justEnded() >= of.sessions ||
			errors.Is(err, domain.ErrBudget) && of.budget > 0 && int64(a.Used(time.Now()))+dearest > of.budget {
			return true
		}
	}
	return false
}

// justEnded is how many sessions may have been settled since they were counted.
func (x *model) justEnded() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range x.lives {
		if !counts(l.now.State) && time.Since(l.now.Since) < time.Minute {
			n++
		}
	}
	return n
}

// decided checks what the domain said of a start or resume, and reports whether it
// was a refusal.
func (x *model) decided(a asked, what, user string, types, projects []string) bool {
	want := x.refused(user, types, projects)
	switch {
	case a.err == nil && want != nil:
		x.t.Errorf("operation %d: %s of %s is allowed, and should be %v", x.number, what, user, want)
	case errors.Is(a.err, domain.ErrLimit), errors.Is(a.err, domain.ErrBudget):
		if !x.full(user, a.err) {
			x.t.Errorf("operation %d: %s of %s: there is room: %v", x.number, what, user, a.err)
		}
		return true
	case want != nil && errors.Is(a.err, want):
		return true
	}
	return false
}

func (x *model) start(r *rand.Rand) string {
	live, all := 0, 0
	x.mu.Lock()
	for _, l := range x.lives {
		if !l.gone {
			all++
		}
		if !l.gone && !l.now.State.Ended() {
			live++
		}
	}
	x.mu.Unlock()
	if live >= 7 || all >= 12 {
		return ""
	}
	return x.startOf(r, x.wanted(r, session.ID(fmt.Sprint("s", x.number))))
}

func (x *model) startOf(r *rand.Rand, q session.StartRequest) string {
	q.Order = x.order("start", q.ID, false)
	x.mu.Lock()
	l := &life{id: q.ID, request: q}
	x.lives[q.ID] = l
	x.ids = append(x.ids, q.ID)
	x.mu.Unlock()
	var s session.Session
	a := x.ask(r, func(ctx context.Context, m *server) (err error) { s, err = m.Start(ctx, q); return err })
	types := append([]string{q.InstanceType}, q.Alternatives...)
	switch {
	case x.unknown(a):
		return outcome(q.ID, s, a.err)
	case x.decided(a, "a start", q.User, types, q.Projects):
		if _, err := x.observer.Get(context.Background(), q.ID); !errors.Is(err, session.ErrNotFound) {
			x.t.Errorf("operation %d: %s was refused and is there", x.number, q.ID)
		}
	case a.err != nil || s.State != session.Pending || s.Generation != 1 || s.User != q.User:
		x.t.Errorf("operation %d: start of %+v: %+v, %v", x.number, q, s, a.err)
	}
	x.mu.Lock()
	if l.now.ID == "" { // there is none, and will not be
		delete(x.lives, q.ID)
		x.ids = slices.DeleteFunc(x.ids, func(id session.ID) bool { return id == q.ID })
	}
	x.mu.Unlock()
	return outcome(q.ID, s, a.err)
}

// startAgain repeats the request of a session, or makes another with its ID.
func (x *model) startAgain(r *rand.Rand) string {
	x.mu.Lock()
	var l *life
	if len(x.ids) > 0 {
		l = x.lives[one(r, x.ids...)]
	}
	x.mu.Unlock()
	if l == nil || l.gone && time.Since(l.ended) > 23*time.Hour {
		return ""
	}
	if l.now.ID == "" { // nobody knows what came of the first
		x.forget(l)
		return x.startOf(r, l.request)
	}
	q := l.request
	other := r.IntN(3) == 0
	if other {
		q.Env = map[string]string{"OTHER": "1"}
	}
	var s session.Session
	a := x.ask(r, func(ctx context.Context, m *server) (err error) { s, err = m.Start(ctx, q); return err })
	switch {
	case x.unknown(a):
	case other || l.gone:
		if !errors.Is(a.err, session.ErrConflict) {
			x.t.Errorf("operation %d: another start of %s, deleted %v: %+v, %v", x.number, l.id, l.gone, s, a.err)
		}
	case a.err != nil || !x.was(l, s.State):
		x.t.Errorf("operation %d: the start of %s again, which was %v: %s, %v", x.number, l.id, l.during, s.State, a.err)
	}
	return outcome(l.id, s, a.err)
}

// forget drops a session of which nobody knows whether it is there.
func (x *model) forget(l *life) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.lives, l.id)
	x.ids = slices.DeleteFunc(x.ids, func(id session.ID) bool { return id == l.id })
}

func (x *model) startBadly(r *rand.Rand) string {
	id := session.ID(fmt.Sprint("bad", x.number))
	q := x.wanted(r, id)
	want := error(session.ErrInvalid)
	switch r.IntN(6) {
	case 0:
		q.ID = "Not an ID"
	case 1:
		q.User = ""
	case 2:
		q.InstanceType, q.Size, q.Alternatives = "", domain.Size{}, nil
	case 3:
		q.Env = map[string]string{"HOME": "/"}
	case 4:
		q.InstanceType = "t3.colossal"
	case 5:
		q.User, want = "dave", domain.ErrNotFound
	}
	a := x.ask(r, func(ctx context.Context, m *server) error { return second(m.Start(ctx, q)) })
	if !x.unknown(a) && !errors.Is(a.err, want) && !errors.Is(a.err, domain.ErrInvalid) {
		x.t.Errorf("operation %d: start of %+v: %v", x.number, q, a.err)
	}
	if _, err := x.observer.Get(context.Background(), id); !errors.Is(err, session.ErrNotFound) {
		x.t.Errorf("operation %d: %s makes no sense and is there: %v", x.number, id, err)
	}
	return outcome(id, session.Session{}, a.err)
}

func (x *model) suspend(r *rand.Rand) string {
	l := x.pick(r, func(l *life) bool { return l.now.State == session.Running || r.IntN(4) == 0 })
	if l == nil || l.now.ID == "" {
		return ""
	}
	return x.give(r, l, x.order("suspend", l.id, false), "suspend")
}

func (x *model) stop(r *rand.Rand) string {
	l := x.pick(r, nil)
	if l == nil || l.now.ID == "" {
		return ""
	}
	return x.give(r, l, x.order("stop", l.id, false), "stop")
}

func (x *model) kill(r *rand.Rand) string {
	l := x.pick(r, nil)
	if l == nil || l.now.ID == "" {
		return ""
	}
	return x.give(r, l, x.order("kill", l.id, false), "kill")
}

// give gives an order to suspend, stop or kill a session.
func (x *model) give(r *rand.Rand, l *life, o session.Order, op string) string {
	var s session.Session
	x.mu.Lock()
	l.parted = true
	x.mu.Unlock()
	a := x.ask(r, func(ctx context.Context, m *server) (err error) {
		switch op {
		case "stop":
			s, err = m.Stop(ctx, l.id, o)
		case "kill":
			s, err = m.Kill(ctx, l.id, o)
		default:
			s, err = m.Suspend(ctx, l.id, o)
		}
		return err
	})
	if a.err == nil {
		x.mu.Lock()
		l.ordered = append(l.ordered, o.ID)
		l.stopped = l.stopped || op != "suspend"
		if op == "kill" && l.killed.IsZero() {
			l.killed = time.Now()
		}
		x.mu.Unlock()
	}
	all := []session.State{session.Pending, session.Starting, session.Running, session.Suspending, session.Suspended, session.Stopping, session.Stopped, session.Failed}
	if op != "suspend" {
		return x.expect(a, op, l, s, nil, all)
	}
	refusing := []session.State{session.Pending, session.Starting, session.Stopping, session.Stopped, session.Failed}
	obeying := []session.State{session.Running, session.Suspending, session.Suspended}
	if l.request.Kind.Suspension == session.NoSuspension {
		refusing, obeying = append(refusing, session.Running), obeying[1:] // as AWS may have taken its host
	}
	return x.expect(a, op, l, s, refusing, obeying)
}

func (x *model) resume(r *rand.Rand) string {
	l := x.pick(r, func(l *life) bool { return l.now.State == session.Suspended || r.IntN(5) == 0 })
	if l == nil || l.now.ID == "" {
		return ""
	}
	q := session.ResumeRequest{Clean: r.IntN(12) == 0}
	types := append([]string{l.now.InstanceType}, l.now.Alternatives...)
	if r.IntN(3) == 0 {
		q.InstanceType, types = one(r, modelTypes...), nil
		types = append(types, q.InstanceType)
		q.Size = domain.Size{MilliCPU: 1000, MemoryMiB: 2048}
	}
	if r.IntN(10) == 0 {
		q.Market = new(one(r, launcher.OnDemand, launcher.Spot))
	}
	q.Order = x.order("resume", l.id, q.Clean)
	x.mu.Lock()
	x.wishes[q.Order.ID].resume = q
	x.mu.Unlock()
	generation := l.now.Generation
	var s session.Session
	a := x.ask(r, func(ctx context.Context, m *server) (err error) { s, err = m.Resume(ctx, l.id, q); return err })
	if a.err == nil {
		x.mu.Lock()
		l.ordered = append(l.ordered, q.Order.ID)
		x.mu.Unlock()
	}
	if x.was(l, session.Suspended) && a.err != nil && x.decided(a, "a resume", l.now.User, types, l.now.Projects) {
		return outcome(l.id, s, a.err)
	}
	if a.err == nil && s.Generation > generation+1 {
		x.t.Errorf("operation %d: %s was resumed from generation %d to %d", x.number, l.id, generation, s.Generation)
	}
	refusing := []session.State{session.Suspending, session.Stopping, session.Stopped, session.Failed}
	if q.InstanceType != "" || q.Market != nil {
		refusing = append(refusing, session.Pending, session.Starting, session.Running)
	}
	return x.expect(a, "resume", l, s, refusing, []session.State{session.Suspended, session.Pending, session.Starting, session.Running})
}

// remove deletes a session.
func (x *model) remove(r *rand.Rand) string {
	l := x.pick(r, func(l *life) bool { return l.now.State.Ended() || r.IntN(25) == 0 })
	if l == nil || l.now.ID == "" {
		return ""
	}
	o := x.order("delete", l.id, false)
	a := x.ask(r, func(ctx context.Context, m *server) error { return m.Delete(ctx, l.id, o) })
	x.mu.Lock()
	defer x.mu.Unlock()
	l.ended = time.Now()
	switch {
	case x.unknown(a):
	case a.err == nil && !l.gone, l.gone && a.err != nil:
		x.t.Errorf("operation %d: delete %s, which was %v, and it is deleted: %v; %v", x.number, l.id, l.during, l.gone, a.err)
	case a.err != nil && !errors.Is(a.err, session.ErrState):
		x.t.Errorf("operation %d: delete %s, which was %v: %v", x.number, l.id, l.during, a.err)
	}
	return outcome(l.id, session.Session{}, a.err)
}

// repeat gives an order again that was obeyed, or one of its name for something else.
func (x *model) repeat(r *rand.Rand) string {
	l := x.pick(r, func(l *life) bool { return len(l.ordered) > 0 })
	if l == nil {
		return ""
	}
	recent := l.ordered[max(0, len(l.ordered)-8):]
	name := one(r, recent...)
	w := x.wishes[name]
	o := session.Order{ID: name, By: "somebody", Why: name}
	op, again := w.op, w.resume
	again.Order = o
	switch r.IntN(4) {
	case 0:
		op = one(r, "stop", "suspend", "resume", "kill")
	case 1:
		again.Clean = !again.Clean
	}
	mistaken := op != w.op || op == "resume" && again.Clean != w.resume.Clean
	var s session.Session
	a := x.ask(r, func(ctx context.Context, m *server) (err error) {
		switch op {
		case "stop":
			s, err = m.Stop(ctx, l.id, o)
		case "kill":
			s, err = m.Kill(ctx, l.id, o)
		case "suspend":
			s, err = m.Suspend(ctx, l.id, o)
		case "resume":
			s, err = m.Resume(ctx, l.id, again)
		default:
			s, err = m.Keep(ctx, l.id, time.Time{}, o)
		}
		return err
	})
	switch {
	case x.unknown(a):
	case mistaken:
		if !errors.Is(a.err, session.ErrConflict) {
			x.t.Errorf("operation %d: %s, which was to %s %s, is to %s it: %v", x.number, name, w.op, l.id, op, a.err)
		}
	case a.err != nil || !x.was(l, s.State):
		x.t.Errorf("operation %d: %s again, which was to %s %s, which was %v: %s, %v", x.number, name, w.op, l.id, l.during, s.State, a.err)
	}
	return name + " again, " + outcome(l.id, s, a.err)
}

func (x *model) keep(r *rand.Rand) string {
	l := x.pick(r, nil)
	if l == nil || l.now.ID == "" {
		return ""
	}
	until := time.Now().Add(time.Duration(1 + r.Int64N(int64(5*time.Hour))))
	if r.IntN(4) == 0 {
		until = time.Time{}
	}
	o := x.order("keep", l.id, false)
	var s session.Session
	a := x.ask(r, func(ctx context.Context, m *server) (err error) { s, err = m.Keep(ctx, l.id, until, o); return err })
	if a.err == nil {
		if !s.KeptUntil.Equal(until) {
			x.t.Errorf("operation %d: %s is kept until %v, and was to be until %v", x.number, l.id, s.KeptUntil, until)
		}
		x.mu.Lock()
		l.ordered = append(l.ordered, o.ID)
		x.mu.Unlock()
	}
	over := []session.State{session.Stopping, session.Stopped, session.Failed}
	return x.expect(a, "keep", l, s, over, []session.State{session.Pending, session.Starting, session.Running, session.Suspending, session.Suspended})
}

func (x *model) report(r *rand.Rand) string {
	l := x.pick(r, func(l *life) bool { return l.now.State == session.Running || r.IntN(4) == 0 })
	if l == nil || l.now.ID == "" {
		return ""
	}
	e := session.Evidence{Source: one[session.Source](r, session.Traffic, "mine"), Used: time.Now(), Confidence: one(r, 0, 0.9, 0.2)}
	generation := l.now.Generation
	a := x.ask(r, func(ctx context.Context, m *server) error { return m.Report(ctx, l.id, e) })
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.unknown(a):
	case a.err != nil:
		x.t.Errorf("operation %d: report on %s: %v", x.number, l.id, a.err)
	case !x.trouble() && e.Confidence != 0.2 && l.now.State == session.Running && l.now.Generation == generation && !slices.Contains(l.during, session.Starting) &&
		time.Since(l.now.Since) > 3*time.Second: // every process has heard that it runs
		if time.Since(l.used) > reportedFor {
			l.solid = l.used
		}
		l.used = e.Used
	}
	return outcome(l.id, l.now, a.err)
}

// wait waits for a session, most often one that was begun a moment ago.
func (x *model) wait(r *rand.Rand) string {
	l := x.pick(r, func(l *life) bool { return l.now.State == session.Pending || r.IntN(8) == 0 })
	if l == nil || l.now.ID == "" {
		return ""
	}
	want := []session.State{session.Running, session.Suspended}
	patience := time.Duration(r.Int64N(int64(3 * time.Second)))
	var s session.Session
	a := x.ask(r, func(ctx context.Context, m *server) (err error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		s, err = m.Wait(ctx, l.id, want...)
		return err
	})
	switch {
	case errors.Is(a.err, context.DeadlineExceeded):
	case errors.Is(a.err, session.ErrState): // and why it ended
		if !s.State.Ended() || !x.was(l, s.State) {
			x.t.Errorf("operation %d: the wait for %s, which was %v, ended with %s, %v", x.number, l.id, l.during, s.State, a.err)
		}
	case x.unknown(a):
	case a.err != nil || !slices.Contains(want, s.State):
		x.t.Errorf("operation %d: the wait for %s, which was %v: %s, %v", x.number, l.id, l.during, s.State, a.err)
	}
	return outcome(l.id, s, a.err)
}

func (x *model) list(r *rand.Rand) string {
	f := session.Filter{User: one(r, "", "alice", "bob")}
	if r.IntN(2) == 0 {
		f.States = []session.State{session.Running, session.Suspended}
	}
	read := func(m *session.Manager) (all []session.Session, err error) {
		for s, err := range m.List(x.t.Context(), f) {
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		return all, nil
	}
	got, err := read(x.server(r).Manager)
	check(x.t, err)
	x.mu.Lock()
	defer x.mu.Unlock()
	var want []session.Session
	for _, id := range slices.Sorted(slices.Values(x.ids)) {
		l := x.lives[id]
		if s := l.now; !l.gone && s.ID != "" && (f.User == "" || f.User == s.User) && (f.States == nil || slices.Contains(f.States, s.State)) {
			want = append(want, s)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		x.t.Errorf("operation %d: the list (-want +got)\n%s", x.number, diff)
	}
	return fmt.Sprint(len(got))
}

func (x *model) explain(r *rand.Rand) string {
	l := x.pick(r, nil)
	if l == nil || l.now.ID == "" {
		return ""
	}
	var e session.Explanation
	a := x.ask(r, func(ctx context.Context, m *server) (err error) { e, err = m.Explain(ctx, l.id); return err })
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.unknown(a) && (a.err != nil || !slices.Contains(l.during, e.Session.State) || e.String() == "") {
		x.t.Errorf("operation %d: explain %s, which was %v: %s, %v", x.number, l.id, l.during, e.Session.State, a.err)
	}
	return outcome(l.id, e.Session, a.err)
}

// quote asks what a session would cost, and what stands against it, then starts it.
func (x *model) quote(r *rand.Rand) string {
	q := x.wanted(r, session.ID(fmt.Sprint("q", x.number)))
	var quote domain.Quote
	a := x.ask(r, func(ctx context.Context, m *server) (err error) { quote, err = m.Quote(ctx, q); return err })
	if x.unknown(a) {
		return outcome(q.ID, session.Session{}, a.err)
	}
	if want := x.refused(q.User, append([]string{q.InstanceType}, q.Alternatives...), q.Projects); (a.err != nil) != (want != nil) || want != nil && !errors.Is(a.err, want) {
		x.t.Errorf("operation %d: a quote for %+v: %v, want %v", x.number, q, a.err, want)
	}
	if a.err != nil || x.trouble() {
		return outcome(q.ID, session.Session{}, a.err)
	}
	answer := x.startOf(r, q)
	refused := x.justEnded() == 0 && slices.ContainsFunc(quote.Limits, func(s domain.Standing) bool { return s.Refusal != "" })
	x.mu.Lock()
	defer x.mu.Unlock()
	l, there := x.lives[q.ID]
	if there && l.now.ID != "" && (refused || l.now.PerHour != quote.PerHour) {
		x.t.Errorf("operation %d: %s is started at %v; the quote was %v, refused %v", x.number, q.ID, l.now.PerHour, quote.PerHour, refused)
	}
	return fmt.Sprint(refused, ", ", answer)
}

// offboard ends a user's membership with all their sessions.
func (x *model) offboard(r *rand.Rand) string {
	user := one(r, "alice", "bob", "carol")
	x.mu.Lock()
	for _, l := range x.lives {
		l.parted = l.parted || l.now.User == user
	}
	x.mu.Unlock()
	ctx, cancel := context.WithTimeout(x.t.Context(), 4*time.Minute)
	defer cancel()
	s := x.server(r)
	err := s.Offboard(ctx, user, session.Order{By: "owner"})
	p := x.users[user]
	p.unsure = true
	switch {
	case err == nil:
		p.member, p.unsure = false, false
		x.mu.Lock()
		for _, l := range x.lives {
			if l.now.User == user && !l.gone && (!l.now.State.Ended() || x.alive(l.id, l.now.Generation)) {
				x.t.Errorf("operation %d: %s was offboarded, and %s is %s", x.number, user, l.id, l.now.State)
			}
		}
		x.mu.Unlock()
	case !x.trouble() && time.Since(x.calm) > 5*time.Minute:
		x.t.Errorf("operation %d: offboarding %s: %v", x.number, user, err)
	}
	return fmt.Sprintf("%s: %v", user, err)
}
