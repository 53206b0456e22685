package session

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A Timeline says when the present generation of a session came to each stage of
// its start, and where. A time is zero while the stage has not been reached, and
// where it is not known: in records of earlier versions of this library. Those from
// Host to Mount are of the host that the session has; if it comes to nothing they
// begin again.
//
// Times are to the millisecond, by the clocks of whoever saw it: the manager, the
// launcher or the host. Where these disagree, a stage is told at the time of the
// one before it, never earlier.
type Timeline struct {
	// Asked is when it was started, or resumed.
	Asked time.Time
	// Queued is when the launcher took it.
	Queued time.Time
	// Host is when it was given its host: at once where one had room, else when one
	// was bought.
	Host time.Time
	// Boot is when the host's engine answered: with Host, if it did before.
	Boot time.Time
	// Pull is when its image was on the host.
	Pull time.Time
	// Mount is when its container was made, for which its home has to be there.
	Mount time.Time
	// Began is when its process began.
	Began time.Time
	// Ready is when the manager saw that it runs and, if its kind has a probe,
	// serves ([Kind.Ready]).
	Ready time.Time

	// InstanceType and Zone are the host's: m5.xlarge, us-east-1a. Empty before
	// there is one, and if it has none.
	InstanceType, Zone string
}

// stage is one stage of a start.
type stage struct {
	name string
	at   time.Time
	// doing is what goes on until it is reached, for people.
	doing string
}

// stages are all there are, in order.
func (t Timeline) stages() []stage {
	host := "its host"
	if t.InstanceType != "" {
		host += ", " + where(t.InstanceType, t.Zone) + ","
	}
	return []stage{
		{"queued", t.Queued, "it waits for the launcher to take it"},
		{"host", t.Host, "it waits for a host"},
		{"boot", t.Boot, host + " boots"},
		{"pull", t.Pull, "its image is being pulled"},
		{"mount", t.Mount, "its home is being mounted and its container made"},
		{"began", t.Began, "its process is about to begin"},
		{"ready", t.Ready, "it does not serve yet"},
	}
}

// reached are the stages that were, in order.
func (t Timeline) reached() (all []stage) {
	for _, s := range t.stages() {
		if !s.at.IsZero() {
			all = append(all, s)
		}
	}
	return all
}

// pending is the stage after the last that was reached. Before one that is not
// known there may be others that are.
func (t Timeline) pending() (next stage, ok bool) {
	for _, s := range slices.Backward(t.stages()) {
		if !s.at.IsZero() {
			break
		}
		next, ok = s, true
	}
	return next, ok
}

// since is how long after it was asked for something was. What is not known to have
// been asked for is counted from the first that is known.
func (t Timeline) since(at time.Time) time.Duration {
	begun := t.Asked
	if all := t.reached(); begun.IsZero() && len(all) > 0 {
		begun = all[0].at
	}
	return max(0, at.Sub(begun))
}

func where(instanceType, zone string) string {
	if zone == "" {
		return instanceType
	}
	return instanceType + " in " + zone
}

// String tells how long after it was asked for each stage was reached, to the
// second, or to the millisecond within the first:
//
//	queued 0s, host 41s (m5.xlarge in us-east-1a), boot 58s, pull 1m20s, mount 1m21s, began 1m22s, ready 1m25s
//
// It is empty if nothing is known.
func (t Timeline) String() string {
	var parts []string
	for _, s := range t.reached() {
		part := s.name + " " + brief(t.since(s.at))
		if s.name == "host" && t.InstanceType != "" {
			part += " (" + where(t.InstanceType, t.Zone) + ")"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

func brief(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return short(d)
}

// LogValue is a group of how long after it was asked for each stage was reached,
// for [slog].
func (t Timeline) LogValue() slog.Value {
	var all []slog.Attr
	for _, s := range t.reached() {
		all = append(all, slog.Duration(s.name, t.since(s.at)))
	}
	return slog.GroupValue(all...)
}

// ascending is t with no stage before an earlier one.
func (t Timeline) ascending() Timeline {
	last := t.Asked
	for _, at := range []*time.Time{&t.Queued, &t.Host, &t.Boot, &t.Pull, &t.Mount, &t.Began, &t.Ready} {
		if at.IsZero() {
			continue
		}
		if at.Before(last) {
			*at = last
		}
		last = *at
	}
	return t
}

// start is what a record keeps of the timeline of the present generation beside
// when its container began.
type start struct {
	Asked  time.Time `json:",omitzero"`
	Queued time.Time `json:",omitzero"`
	// Host to Mount are as the launcher tells them.
	Host  time.Time `json:",omitzero"`
	Boot  time.Time `json:",omitzero"`
	Pull  time.Time `json:",omitzero"`
	Mount time.Time `json:",omitzero"`
	Ready time.Time `json:",omitzero"`
	Zone  string    `json:",omitempty"`
}

// toMillisecond is a time as it is kept: short, and the same after it was stored.
func toMillisecond(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// note takes over what the launcher tells. A status without the time it was queued
// is one that this package has made of nothing.
func (s *start) note(of launcher.Status) {
	if of.QueuedAt.IsZero() {
		return
	}
	at := of.Reached
	s.Queued, s.Zone = toMillisecond(of.QueuedAt), of.Zone
	s.Host, s.Boot, s.Pull, s.Mount = toMillisecond(at.Host), toMillisecond(at.Boot), toMillisecond(at.Pull), toMillisecond(at.Mount)
}

// timeline is what callers see of it.
func (r record) timeline() Timeline {
	t := Timeline{
		Asked: r.Start.Asked, Queued: r.Start.Queued, Host: r.Start.Host, Boot: r.Start.Boot, Pull: r.Start.Pull,
		Mount: r.Start.Mount, Ready: r.Start.Ready, Zone: r.Start.Zone, InstanceType: r.Type,
	}
	if !r.Started.IsZero() {
		t.Began = toMillisecond(r.Started)
	}
	if t.Asked.IsZero() && r.Generation == 1 { // a record of an earlier version
		t.Asked = toMillisecond(r.Created)
	}
	return t.ascending()
}

// progress says what a session that starts waits for, if its launcher does not.
func (r record) progress() string {
	if r.Message != "" || r.State != Pending && r.State != Starting {
		return ""
	}
	next, ok := r.timeline().pending()
	if !ok {
		return ""
	}
	return next.doing
}

// ready tells of a session that has come to run.
func (m *Manager) ready(r record) {
	m.log.Info("session is ready", "session", r.ID, "generation", r.Generation, "user", r.Request.User,
		"host", r.Host, "type", r.session().InstanceType, "zone", r.Start.Zone, "start", r.timeline())
}
