package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/launcher"
)

// draft is a record in a state, of which a launch was asked for a while ago.
func draft(s State, now time.Time) record {
	r := record{
		ID: "s1", State: s, Generation: 1, Request: StartRequest{ID: "s1", Kind: Kind{Name: "plain"}},
		Grant: domain.Grant{Domain: "research"}, Since: now.Add(-time.Minute), Asked: now.Add(-time.Minute),
		Gone: s == Suspended || s.Ended(), Charged: 1,
	}
	if machine[s].deadline != nil {
		r.Deadline = now.Add(time.Minute)
	}
	return r
}

func sees(r record, phase launcher.Phase) sighting {
	return sighting{sure: true, status: launcher.Status{ID: r.workloadID(), Phase: phase}}
}

// The decisions, one by one.
func TestNext(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	nothing, blind := sighting{sure: true}, sighting{}
	never := func(r *record) { r.Asked = time.Time{} }
	justNow := func(r *record) { r.Asked = now.Add(-time.Second) }
	late := func(r *record) { r.Deadline = now }
	killed := func(r *record) { r.Killed = true }
	loose := func(r *record) { r.Gone = false }
	resumed := func(r *record) { r.Generation = 2 }
	saves := func(r *record) { r.Request.Kind = RStudio() }
	unready := func(r record) sighting {
		s := sees(r, launcher.Running)
		s.status.Reason, s.unready = ErrNotReady, true
		return s
	}
	told := func(r *record) { r.Reason = ErrNotReady }
	goOn := func(r *record) { r.GoOn = true }
	often := func(r *record) { r.GoOn, r.Since, r.Interruptions = true, now, 2 }
	exited := func(reason launcher.Kind) func(record) sighting {
		return func(r record) sighting {
			s := sees(r, launcher.Exited)
			s.status.Reason = reason
			return s
		}
	}
	exitedWith := func(code int) func(record) sighting {
		return func(r record) sighting {
			s := sees(r, launcher.Exited)
			s.status.ExitCode = code
			return s
		}
	}
	is := func(s sighting) func(record) sighting { return func(record) sighting { return s } }
	in := func(p launcher.Phase) func(record) sighting {
		return func(r record) sighting { return sees(r, p) }
	}
	silent := func(p launcher.Phase) func(record) sighting {
		return func(r record) sighting {
			s := sees(r, p)
			s.status.Unknown = true
			return s
		}
	}
	notice := func(p launcher.Phase) func(record) sighting {
		return func(r record) sighting {
			s := sees(r, p)
			s.status.Interruption = now.Add(2 * time.Minute)
			return s
		}
	}
	for _, test := range []struct {
		state State
		sight func(record) sighting
		with  []func(*record)
		want  string
	}{
		{Pending, is(nothing), []func(*record){never}, "launch"},
		{Pending, is(nothing), nil, "launch"},
		{Pending, is(blind), nil, "wait"},
		{Pending, is(nothing), []func(*record){never, late}, "deadline"},
		{Pending, is(blind), []func(*record){late}, "deadline"},
		{Pending, in(launcher.Queued), []func(*record){late}, "accepted"},
		{Pending, in(launcher.Queued), nil, "accepted"},
		{Pending, in(launcher.Running), []func(*record){late}, "runs"},
		{Pending, exited(""), nil, "exited"},
		{Pending, exited(launcher.ErrImage), nil, "failed"},
		{Pending, is(nothing), []func(*record){func(r *record) { r.Asked = now.Add(-oblivion) }}, "failed"},

		{Starting, in(launcher.Provisioning), nil, "wait"},
		{Starting, in(launcher.Running), []func(*record){late}, "runs"},
		{Starting, in(launcher.Starting), []func(*record){late}, "deadline"},
		{Starting, is(blind), []func(*record){late}, "deadline"},
		{Starting, is(nothing), []func(*record){justNow}, "wait"},
		{Starting, is(nothing), nil, "failed"},

		{Running, in(launcher.Running), nil, "wait"},
		{Running, silent(launcher.Running), nil, "note"},
		{Running, silent(launcher.Exited), nil, "wait"},
		{Running, is(blind), nil, "wait"},
		{Running, is(nothing), []func(*record){justNow}, "wait"},
		{Running, is(nothing), nil, "failed"},
		{Running, exited(launcher.ErrHostLost), nil, "failed"},

		{Pending, exited(launcher.ErrInterrupted), nil, "interrupted"},
		{Starting, exited(launcher.ErrInterrupted), nil, "interrupted"},
		{Running, exited(launcher.ErrInterrupted), nil, "interrupted"},
		{Suspending, exited(launcher.ErrInterrupted), []func(*record){goOn}, "interrupted"},
		{Stopping, exited(launcher.ErrInterrupted), nil, "interrupted"},
		{Failed, exited(launcher.ErrInterrupted), []func(*record){loose}, "interrupted"},
		{Pending, notice(launcher.Queued), nil, "accepted"},
		{Pending, notice(launcher.Running), nil, "runs"},
		{Starting, notice(launcher.Starting), nil, "note"},
		{Starting, notice(launcher.Running), nil, "runs"},
		{Running, notice(launcher.Running), nil, "notice"},
		{Running, notice(launcher.Stopping), nil, "notice"},
		{Running, notice(launcher.Exited), nil, "exited"},
		{Suspending, notice(launcher.Running), []func(*record){goOn}, "stop"},
		{Suspending, notice(launcher.Stopping), []func(*record){goOn}, "wait"},
		{Suspended, is(nothing), []func(*record){goOn}, "go on"},
		{Suspended, is(blind), []func(*record){goOn}, "go on"},
		{Suspended, is(nothing), []func(*record){often}, "wait"},
		{Suspended, is(nothing), []func(*record){goOn, loose, justNow}, "wait"},

		{Pending, is(blind), []func(*record){late, resumed}, "resume failed"},
		{Pending, exited(launcher.ErrImage), []func(*record){resumed}, "resume failed"},
		{Starting, in(launcher.Starting), []func(*record){late, resumed}, "resume failed"},
		{Starting, is(nothing), []func(*record){resumed}, "resume failed"},
		{Starting, exited(""), []func(*record){resumed}, "exited"},
		{Running, is(nothing), []func(*record){resumed}, "failed"},

		{Pending, unready, nil, "accepted"},
		{Starting, unready, nil, "note"},
		{Starting, unready, []func(*record){late}, "deadline"},
		{Starting, unready, []func(*record){late, told}, "deadline"},
		{Starting, unready, []func(*record){told}, "wait"},

		{Suspending, in(launcher.Stopping), []func(*record){saves}, "wait"},
		{Suspending, in(launcher.Stopping), []func(*record){saves, late}, "not saved"},
		{Suspending, is(blind), []func(*record){saves, late}, "wait"},
		{Suspending, silent(launcher.Stopping), []func(*record){saves, late}, "wait"},
		{Suspending, is(blind), []func(*record){saves, func(r *record) { r.Deadline = now.Add(-blindFor) }}, "deadline"},
		{Running, exitedWith(RStudioSaved), []func(*record){saves, func(r *record) { r.Unsuspended = now }}, "saved late"},
		{Running, exitedWith(RStudioSaved), []func(*record){saves}, "exited"},
		{Running, exitedWith(1), []func(*record){saves, func(r *record) { r.Unsuspended = now }}, "exited"},
		{Suspending, in(launcher.Stopping), []func(*record){saves, late, killed}, "after kill"},
		{Suspending, in(launcher.Stopping), []func(*record){saves, late, func(r *record) { r.Forced = true }}, "deadline"},
		{Suspending, in(launcher.Stopping), []func(*record){saves, late, func(r *record) { r.Interruption = now }}, "deadline"},
		{Suspending, in(launcher.Stopping), []func(*record){saves, func(r *record) { r.Unsuspended = now }}, "stop"},

		{Suspending, in(launcher.Running), nil, "stop"},
		{Suspending, in(launcher.Stopping), nil, "wait"},
		{Suspending, is(blind), nil, "stop"},
		{Suspending, in(launcher.Stopping), []func(*record){late}, "deadline"},
		{Suspending, in(launcher.Stopping), []func(*record){killed}, "kill"},
		{Suspending, in(launcher.Stopping), []func(*record){killed, late}, "after kill"},
		{Suspending, silent(launcher.Exited), []func(*record){killed}, "kill"},
		{Suspending, exited(""), []func(*record){late}, "exited"},
		{Suspending, is(nothing), []func(*record){justNow}, "wait"},
		{Suspending, is(nothing), nil, "exited"},

		{Stopping, is(nothing), []func(*record){never}, "exited"},
		{Stopping, is(nothing), []func(*record){justNow}, "wait"},
		{Stopping, in(launcher.Queued), nil, "stop"},
		{Stopping, is(nothing), []func(*record){never, killed}, "exited"},
		{Stopping, is(nothing), []func(*record){justNow, killed}, "wait"},
		{Stopping, in(launcher.Queued), []func(*record){killed}, "kill"},
		{Stopping, in(launcher.Stopping), []func(*record){killed}, "kill"},
		{Stopping, is(blind), []func(*record){killed}, "kill"},
		{Stopping, in(launcher.Stopping), []func(*record){late}, "deadline"},
		{Stopping, in(launcher.Stopping), []func(*record){killed, late}, "after kill"},
		{Stopping, in(launcher.Stopping), []func(*record){func(r *record) { r.Hastened = true }}, "stop"},

		{Suspended, in(launcher.Running), nil, "wait"},
		{Stopped, is(nothing), nil, "wait"},
		{Failed, is(nothing), nil, "wait"},
		{Failed, in(launcher.Starting), []func(*record){loose}, "kill"},
		{Failed, in(launcher.Starting), []func(*record){loose, func(r *record) { r.Since = now }}, "stop"},
		{Failed, is(blind), []func(*record){loose}, "kill"},
		{Failed, is(nothing), []func(*record){loose, justNow}, "wait"},
		{Failed, is(nothing), []func(*record){loose, never}, "wait"},
		{Failed, exited(""), []func(*record){loose}, "exited"},
	} {
		r := draft(test.state, now)
		for _, change := range test.with {
			change(&r)
		}
		sight := test.sight(r)
		if got := next(r, sight, now).String(); got != test.want {
			t.Errorf("%s, asked %v ago, seen %+v: %s, want %s", test.state, now.Sub(r.Asked), sight, got, test.want)
		}
	}
}

// String is a step in a test.
func (s step) String() string {
	switch {
	case s.happened:
		return s.event.String()
	case s.note:
		return "note"
	case s.call != "":
		return string(s.call)
	}
	return "wait"
}

// Whatever is recorded and seen: a container is launched only if none of this
// session can be live, and a silent host ends nothing.
func TestNextIsSafe(t *testing.T) {
	now := time.Now()
	phases := []launcher.Phase{"", launcher.Queued, launcher.Provisioning, launcher.Starting, launcher.Running, launcher.Stopping, launcher.Exited}
	property := func(state, phase uint8, sure, unknown, gone, killed, hastened, goOn, notice, taken bool, times uint8, asked, since, deadline int16) bool {
		r := draft(states()[int(state)%len(states())], now)
		r.Gone, r.Killed, r.Hastened = gone || r.Gone && r.State != Failed, killed, hastened
		r.GoOn, r.Interruptions = goOn && (r.State == Suspending || r.State == Suspended), int(times)
		ago := func(seconds int16) time.Time { return now.Add(-time.Duration(seconds) * time.Second) }
		if r.Asked = ago(asked); asked%5 == 0 {
			r.Asked = time.Time{}
		}
		r.Since = ago(since)
		if machine[r.State].deadline != nil {
			r.Deadline = ago(deadline)
		}
		var sight sighting
		if sight.sure = sure; sure {
			if p := phases[int(phase)%len(phases)]; p != "" {
				sight.status = launcher.Status{ID: r.workloadID(), Phase: p, Unknown: unknown}
				if taken && p == launcher.Exited {
					sight.status.Reason = launcher.ErrInterrupted
				}
				if notice {
					sight.status.Interruption = now.Add(time.Minute)
				}
			}
		}
		got := next(r, sight, now)
		there := sight.status.ID != ""
		switch {
		case got.call == callLaunch && (there || !sure || r.State != Pending):
			t.Errorf("%s, %+v: launches", r.State, sight)
		case got.call == callGoOn && (r.State != Suspended || r.loose() || !r.GoOn):
			t.Errorf("%s, loose %v, go on %v: resumed by itself", r.State, r.loose(), r.GoOn)
		case got.happened && (got.event == sawExit || got.event == sawInterrupted || got.event == sawFailure) && !r.Asked.IsZero() &&
			(!sure || unknown && there || there && sight.status.Phase != launcher.Exited || !there && now.Sub(r.Asked) < fence):
			t.Errorf("%s, %+v, asked %v ago: taken for ended", r.State, sight, now.Sub(r.Asked))
		case !r.Deadline.IsZero() && !now.Before(r.Deadline) && !r.settled() && !got.happened && !got.note:
			t.Errorf("%s, %+v: past its deadline and %s", r.State, sight, got)
		case got.happened && machine[r.State].on[got.event].refuse != "":
			t.Errorf("%s: the reconciler is refused %s", r.State, got.event)
		case !r.settled() && r.State != Running && !got.happened && !got.note && got.call == "" && got.again.IsZero():
			t.Errorf("%s, %+v: never looked at again", r.State, sight)
		}
		return !t.Failed()
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 20000}); err != nil {
		t.Error(err)
	}
}

func TestStray(t *testing.T) {
	now := time.Now()
	workload := func(session, generation string, p launcher.Phase) launcher.Status {
		return launcher.Status{ID: "w", Phase: p, Labels: map[string]string{labelSession: session, labelGeneration: generation}}
	}
	for _, s := range states() {
		for _, loose := range []bool{false, true} {
			r := draft(s, now)
			r.Generation = 2
			if loose {
				r.Gone = false
			}
			r.GoOn = s == Suspended // what is resumed later wants nothing of now
			want := r.still()       // a live one that a record wants is left alone
			if got := strays(workload("s1", "2", launcher.Running), r); got != want {
				t.Errorf("live, %s, loose %v: stray %v", s, loose, got)
			}
			if strays(workload("s1", "2", launcher.Exited), r) {
				t.Errorf("exited, %s: its logs would be forgotten", s)
			}
			r.Deleted = now
			for _, p := range []launcher.Phase{launcher.Running, launcher.Exited} {
				if !strays(workload("s1", "2", p), r) {
					t.Errorf("%s of a deleted session is kept", p)
				}
			}
		}
	}
	for _, w := range []launcher.Status{workload("s1", "2", launcher.Running), workload("s1", "x", launcher.Running), workload("", "", launcher.Running)} {
		if !strays(w, draft(Running, now)) {
			t.Errorf("%v is kept", w.Labels)
		}
	}
}

// Every kind has the status the documentation says; a kind that is forgotten
// there would be a 500.
func TestStatusCode(t *testing.T) {
	golden := map[int][]error{
		200: {nil},
		400: {launcher.ErrInvalid, domain.ErrInvalid},
		401: {ErrToken},
		402: {domain.ErrBudget},
		403: {domain.ErrNotAllowed},
		404: {launcher.ErrNotFound, domain.ErrNotFound},
		409: {ErrState, launcher.ErrConflict, domain.ErrConflict, domain.ErrState, launcher.ErrNotRunning, ErrNotSaved, ErrIdle, ErrLifetime},
		429: {launcher.ErrThrottled, domain.ErrThrottled, domain.ErrLimit},
		500: {launcher.ErrDenied, launcher.ErrImage, launcher.ErrMount, launcher.ErrOutOfMemory, domain.ErrDenied, errors.New("unheard of")},
		501: {launcher.ErrUnsupported, errors.ErrUnsupported},
		503: {ErrNotRunning, launcher.ErrCapacity, launcher.ErrQuota, launcher.ErrUnavailable, launcher.ErrInterrupted, launcher.ErrHostLost,
			domain.ErrUnavailable, domain.ErrQuota, ErrNotReady},
		504: {ErrDeadline},
	}
	checked := map[error]bool{}
	for _, code := range slices.Sorted(maps.Keys(golden)) {
		for _, kind := range golden[code] {
			checked[kind] = true
			errs := []error{kind}
			if kind != nil {
				errs = append(errs, fmt.Errorf("wrapped: %w", kind), &Error{Op: "start", ID: "s1", Kind: kind})
			}
			for _, err := range errs {
				if got := StatusCode(err); got != code {
					t.Errorf("StatusCode(%v) = %d, want %d", err, got, code)
				}
			}
		}
	}
	for _, c := range codes() {
		if !checked[c.kind] && !errors.Is(c.kind, errors.ErrUnsupported) && c.code != 499 && c.code != 504 {
			t.Errorf("%v is in the table and not in this test", c.kind)
		}
	}
	// A store that refuses the program is an administrator's turn, whatever its words.
	for err, want := range map[error]int{
		&dynamostore.Error{Op: "get", Kind: dynamostore.ErrDenied}: 500, &dynamostore.Error{Op: "get", Kind: dynamostore.ErrNoTable}: 500,
		&dynamostore.Error{Op: "get", Kind: dynamostore.ErrWrongTable}: 500, &dynamostore.Error{Op: "get", Kind: dynamostore.ErrThrottled}: 503,
		&dynamostore.Error{Op: "get", Kind: dynamostore.ErrUnavailable}: 503, errors.New("a disk is full"): 503,
	} {
		if got := fail(t.Context(), "get", "s1", err); StatusCode(got) != want || !errors.Is(got, err) {
			t.Errorf("StatusCode(%v) = %d, want %d", got, StatusCode(got), want)
		}
	}
	// The kind that is printed decides over what lies behind it.
	both := &Error{Op: "wait", ID: "s1", Kind: ErrState, Err: launcher.ErrOutOfMemory}
	if got := StatusCode(both); got != 409 {
		t.Errorf("StatusCode(%v) = %d, want 409", both, got)
	}
	several := &domain.Error{Op: "authorize", Name: "d/u", Kind: domain.ErrNotFound, Err: errors.Join(domain.ErrNotAllowed, domain.ErrNotFound)}
	for _, err := range []error{
		several,
		&Error{Op: "start", ID: "s1", Kind: several.Kind, Err: several},
		fmt.Errorf("portal: %w", errors.Join(errors.New("first"), several)),
	} {
		if got := StatusCode(err); got != 404 {
			t.Errorf("StatusCode(%v) = %d, want 404", err, got)
		}
	}
	late := &launcher.Error{Op: "dial", Kind: launcher.ErrUnavailable, Err: context.DeadlineExceeded}
	if got := StatusCode(late); got != 504 {
		t.Errorf("StatusCode(%v) = %d, want 504", late, got)
	}
}

// Why a session ended counts for more than that it is not what was waited for.
func TestStatusCodeOfAnEnd(t *testing.T) {
	for reason, want := range map[launcher.Kind]int{
		"":                          409,
		launcher.ErrCapacity:        503,
		launcher.ErrQuota:           503,
		launcher.ErrHostLost:        503,
		launcher.ErrDenied:          500,
		launcher.ErrOutOfMemory:     500,
		ErrDeadline:                 504,
		launcher.Kind("unheard of"): 500,
	} {
		err := &Error{Op: "wait", ID: "s1", Kind: ErrState, Err: endError{Session{State: Failed, Reason: reason}}}
		if got := StatusCode(fmt.Errorf("portal: %w", err)); got != want || !errors.Is(err, ErrState) {
			t.Errorf("StatusCode(%v) = %d, want %d", err, got, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, test := range []struct {
		err  *Error
		want string
	}{
		{&Error{Op: "stop", ID: "s1", Kind: ErrNotFound}, "session: stop s1: not found"},
		{&Error{Op: "run", Kind: ErrConflict, Err: errors.New("this manager runs already")}, "session: run: conflict: this manager runs already"},
		{&Error{Op: "get", ID: "a\nb", Kind: ErrInvalid}, `session: get "a\nb": invalid`},
		{&Error{Op: "start", ID: "s1", Kind: domain.ErrNotAllowed, Err: &domain.Error{Op: "authorize", Name: "d/u", Kind: domain.ErrNotAllowed}},
			"session: start s1: domain: authorize d/u: not allowed"},
		{&Error{Op: "dial", ID: "s1", Kind: launcher.ErrNotFound, Err: &launcher.Error{Op: "dial", ID: "d.s1.1", Kind: launcher.ErrNotFound}},
			"session: dial s1: launcher: dial d.s1.1: not found"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
		if !errors.Is(test.err, test.err.Kind) {
			t.Errorf("%v is not its kind", test.err)
		}
	}
}

// The longest names make a workload's ID a launcher accepts.
func TestLongestWorkloadID(t *testing.T) {
	r := record{ID: "abcdefghijklmnopqrst", Generation: 1 << 40}
	r.Grant.Domain, r.Grant.User.Name, r.Grant.User.Login = "abcdefghijklmnopqrst", "abcdefghijklmnopqrst", strings.Repeat("a", 32)
	w := r.workload()
	w.Image = "any"
	if err := w.Validate(); err != nil {
		t.Error(err)
	}
}
