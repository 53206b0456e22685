package session

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

// maxRequest is the size of the largest StartRequest as JSON, in bytes. It
// leaves a record room within [store.MaxValue].
const maxRequest = 128 << 10

// A StartRequest asks for a session.
type StartRequest struct {
	// ID names the session and makes the request safe to repeat. See [NewID].
	// Required.
	ID ID
	// Order is who asks, and why. Its ID counts for nothing: the session's does.
	Order Order `json:"-"`
	// User is whose session it is. Required.
	User string
	// Image is the name of an image of the domain. Empty is the default one.
	Image string `json:",omitempty"`
	// InstanceType is the EC2 or SageMaker name of the type of its host. Empty
	// is the cheapest that has room for Size. One of the two is required.
	InstanceType string `json:",omitempty"`
	// Alternatives are the names of types its host may have instead, at most
	// 20, in no order of preference: the host is of whichever costs the least
	// for what will fill it, and of another while that is sold out. Without a
	// Size the session has all of whichever it is. Each must be one that the
	// user may have, with room for Size.
	Alternatives []string `json:",omitempty"`
	// Market is how its host may be bought. Zero is on demand. Policies do not
	// look at it.
	Market launcher.Market `json:",omitempty"`
	// OnInterruption says what becomes of it when AWS takes its host back. Zero
	// is [ResumeElsewhere].
	OnInterruption InterruptionPolicy `json:",omitempty"`
	// Size is the room it gets on the host. Zero, with an InstanceType, is all
	// of it.
	Size domain.Size `json:",omitzero"`
	// Role is the ARN of an IAM role as which the session acts in AWS, which
	// the domain's policy has to list. Empty is none: it then has no
	// credentials. It needs [Config.CredentialsURL].
	Role string `json:",omitempty"`
	// Projects are the names of projects of the domain that it has, at most 10,
	// each at /projects/ and its name, with a supplementary group for it. One of
	// the user's groups has to be among the project's.
	Projects []string `json:",omitempty"`
	// Mounts are the names of mounts that it has, at most 10, each at /mnt/ and
	// its name. The domain's policy has to list them, and says what they are.
	Mounts []string `json:",omitempty"`
	// ChargeTo is the name of the project of the domain that pays: the session
	// counts in its account and against its budget, beside the user's, the group's
	// and the domain's. One of the user's groups has to be among the project's; the
	// session need not have its directory. Empty is none, whatever Projects has. It
	// stays so when it is resumed.
	ChargeTo string `json:",omitempty"`
	// Kind is what sort of program it runs. Zero is [RStudio].
	Kind Kind `json:",omitzero"`
	// Entrypoint takes the place of the image's own, and of its command; see
	// [launcher.Workload]. Nil keeps both.
	Entrypoint []string `json:",omitempty"`
	// Command replaces the image's own. Nil keeps it.
	Command []string `json:",omitempty"`
	// Dir is the working directory of its process, an absolute path. Empty is the
	// image's. One that does not exist may be made, as root's: see [launcher.Workload].
	Dir string `json:",omitempty"`
	// Env is added to the image's environment. It is not secret. HOME, USER and
	// LOGNAME are set by the manager.
	Env map[string]string `json:",omitempty"`
	// Stdin is written to the standard input of each generation.
	Stdin []byte `json:",omitempty"`
	// Labels are the caller's, to filter by. The prefix "atelier." is taken.
	Labels map[string]string `json:",omitempty"`
	// Annotations are what the caller keeps with the session, for itself alone: they
	// are in [Session.Annotations] and nowhere else. No launcher, host, container,
	// log or audit record is told of them, and nothing is found by them. Keys and
	// values are any UTF-8; a key has 1 to 63 bytes and not the prefix "atelier.", a
	// value as many as the request may have, which is 128 KiB as JSON with all else.
	Annotations map[string]string `json:",omitempty"`
}

// problems reports everything wrong with q that needs no look-up.
func (q StartRequest) problems() []error {
	var found []error
	if err := q.ID.check(); err != nil {
		found = append(found, err)
	}
	found = append(found, q.Order.problems()...)
	found = append(found, q.Kind.problems()...)
	found = append(found, q.OnInterruption.problems()...)
	for _, k := range []string{"HOME", "USER", "LOGNAME"} {
		if _, ok := q.Env[k]; ok {
			found = append(found, fmt.Errorf("environment variable %s: is set by the manager; leave it out", k))
		}
	}
	if slices.ContainsFunc(slices.Concat(q.Entrypoint, q.Command, texts(q.Env), texts(q.Labels), texts(q.Annotations)), func(s string) bool { return !utf8.ValidString(s) }) {
		found = append(found, errors.New("entry point, command, environment, labels and annotations must be UTF-8"))
	}
	for _, k := range slices.Sorted(maps.Keys(q.Labels)) {
		if k == "" || len(k) > 63 || len(q.Labels[k]) > 256 || reserved(k) {
			found = append(found, fmt.Errorf("label %.40q: want a key of 1 to 63 bytes that does not begin with %s, and a value of at most 256", k, labelPrefix))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(q.Annotations)) {
		if k == "" || len(k) > 63 || reserved(k) {
			found = append(found, fmt.Errorf("annotation %.40q: want a key of 1 to 63 bytes that does not begin with %s", k, labelPrefix))
		}
	}
	// What launchers will look at: better now than when it has to start.
	draft := launcher.Workload{
		ID: "draft", Owner: "draft", Image: "draft",
		Entrypoint: q.Entrypoint, Command: q.Command, Dir: q.Dir, Env: q.Env, StopSignal: q.Kind.StopSignal, Ports: q.Kind.Ports,
		Mounts: []launcher.Mount{{Source: "home", Target: q.Kind.home("user")}},
	}
	if e, ok := errors.AsType[*launcher.Error](draft.Validate()); ok {
		found = append(found, e.Err)
	}
	return found
}

// homeProblems reports that the home of a user with a login would hide projects or
// mounts, or be hidden.
func (q StartRequest) homeProblems(login string) []error {
	var found []error
	home := q.Kind.home(login) + "/"
	for dir, names := range map[string][]string{projectsDir: q.Projects, mountsDir: q.Mounts} {
		if len(names) > 0 && (strings.HasPrefix(home, dir) || strings.HasPrefix(dir, home)) {
			found = append(found, fmt.Errorf("kind: home %.80q: %s is where the session has %q; want another place", q.Kind.Home, dir, names))
		}
	}
	return found
}

// texts is all keys and values of a map.
func texts(m map[string]string) []string {
	return slices.AppendSeq(slices.Collect(maps.Keys(m)), maps.Values(m))
}

// canonical returns q as it is stored, sharing nothing with the caller's, and
// its bytes, by which two requests are compared.
func (q StartRequest) canonical() (StartRequest, []byte, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return q, nil, err
	}
	if len(text) > maxRequest {
		return q, text, fmt.Errorf("the request has %d bytes, at most %d: put large input into the user's home", len(text), maxRequest)
	}
	var stored StartRequest
	err = json.Unmarshal(text, &stored)
	return stored, text, err
}

// ask is what the domain is asked about q.
func (q StartRequest) ask() domain.Ask {
	return domain.Ask{
		User: q.User, Image: q.Image, InstanceType: q.InstanceType, Alternatives: q.Alternatives,
		Market: new(domain.Market(q.Market)), Size: q.Size, Role: q.Role,
		Projects: q.Projects, Mounts: q.Mounts, ChargeTo: q.ChargeTo,
	}
}

// Start asks for a session and returns it, usually Pending; [Manager.Wait]
// for it to run. The domain decides once, now, whether the user may have it,
// on which instance type and by which image digest.
//
// It is idempotent by the request's ID: the same request again returns the
// session it made, in whatever state that is; another request with the ID is
// [ErrConflict]. A request that makes no sense is refused with one error that
// names every problem, and what the domain refuses with its error, such as
// [domain.ErrNotAllowed], [domain.ErrLimit] or [domain.ErrBudget]; then there is no
// session. After any other error, a
// cancelled context among them, there may be one: repeat the request.
func (m *Manager) Start(ctx context.Context, q StartRequest) (_ Session, err error) {
	const op = "start"
	defer m.telemetry.asked(ctx, op, &err)
	id, order := q.ID, q.Order
	q.Kind = q.Kind.withDefault()
	problems := append(q.problems(), m.roleProblems(q.Role)...)
	q, text, err := q.canonical()
	if err != nil {
		problems = append(problems, err)
	}
	if problems == nil {
		if err := m.awake(ctx, op, id); err != nil {
			return Session{}, err
		}
		if s, err := m.started(ctx, id, text); !errors.Is(err, store.ErrNotFound) {
			return s, m.refuse(ctx, op, id, q.User, order, fail(ctx, op, id, err))
		}
	}
	grant, err := m.domain.Authorize(ctx, q.ask())
	problems = append(problems, q.homeProblems(cmp.Or(grant.User.Login, q.User))...)
	if problems != nil {
		if err != nil && ctx.Err() == nil { // what is wrong in the domain's eyes, in the same breath
			problems = append(problems, err)
		}
		return Session{}, &Error{Op: op, ID: id, Kind: ErrInvalid, Err: errors.Join(problems...)}
	}
	if err != nil {
		return Session{}, m.refuse(ctx, op, id, q.User, order, fail(ctx, op, id, err))
	}
	now := time.Now()
	if err := m.reserve(ctx, id, 1, grant, now); err != nil {
		return Session{}, m.refuse(ctx, op, id, q.User, order, fail(ctx, op, id, err))
	}
	r := record{ID: id, Revision: 1, Request: q, Grant: grant, Created: now, Generation: 1, State: Pending, Since: now, Start: start{Asked: toMillisecond(now)}}
	r.Access = m.access(id, r.Generation, grant)
	r.Deadline = now.Add(m.deadlines.Pending)
	r.follow(op, order, now)
	r.trail(record{}, op, order, now)
	if err := m.records.Create(ctx, string(id), r); err != nil {
		if errors.Is(err, store.ErrConflict) { // another call was faster
			s, err := m.started(ctx, id, text)
			return s, fail(ctx, op, id, err)
		}
		return Session{}, fail(ctx, op, id, err)
	}
	m.log.Info("asked", "session", id, "generation", r.Generation, "user", q.User, "op", op, "by", order.By, "image", grant.Image.Name, "type", grant.Type.Name)
	m.telemetry.moved(ctx, record{}, r, "Start")
	m.announce(ctx, r)
	return r.session(), nil
}

// started returns the session of an ID if it was made by the same request.
func (m *Manager) started(ctx context.Context, id ID, request []byte) (Session, error) {
	r, err := m.records.Get(ctx, string(id))
	if err != nil {
		return Session{}, err
	}
	conflict := func(why string) (Session, error) {
		return Session{}, &Error{Op: "start", ID: id, Kind: ErrConflict, Err: errors.New(why)}
	}
	if !r.Deleted.IsZero() {
		return conflict("a session of this ID was deleted less than a day ago; choose another ID")
	}
	if _, text, err := r.Request.canonical(); err != nil || !bytes.Equal(text, request) {
		return conflict("a session of this ID was asked for differently; choose another ID, or repeat that request exactly")
	}
	m.jobs.enqueue(id)
	return r.session(), nil
}
