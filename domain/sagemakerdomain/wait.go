package sagemakerdomain

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/internal/refusal"
)

// Status is what a domain, a user profile, a space or an app is in, in SageMaker's
// words. Domains, profiles and spaces have all but Deleted; apps have no Updating,
// Update_Failed and Delete_Failed, and nothing for one that is suspended. Errors and [Progress]
// tell of images in these words too, which have others of their own ("CREATE_FAILED").
type Status string

// The statuses ("Amazon SageMaker AI domain entities and statuses", developer guide).
const (
	Pending      Status = "Pending"
	InService    Status = "InService"
	Updating     Status = "Updating"
	Deleting     Status = "Deleting"
	Deleted      Status = "Deleted" // of apps, which are listed for another 24 hours
	Failed       Status = "Failed"
	UpdateFailed Status = "Update_Failed"
	DeleteFailed Status = "Delete_Failed"
)

// live reports whether an app of this status runs, begins or ends: whether it keeps its
// owner from being deleted.
func (s Status) live() bool { return s == Pending || s == InService || s == Deleting }

// moving reports whether the status passes by itself.
func (s Status) moving() bool { return s == Pending || s == Updating || s == Deleting }

// advice is what to do about a status that stays and is not InService.
func (s Status) advice() string {
	switch s {
	case Failed:
		return "it cannot be repaired: delete it and create it again"
	case UpdateFailed:
		return "it still works as it was: update it again"
	case DeleteFailed:
		return "it cannot be used any more: delete it again"
	}
	return "SageMaker has a status that this package does not know"
}

// explain says in one sentence what has become of something, or nil if all is well or
// still under way. A reason that begins with one of AWS's codes has its kind, any other is
// [domain.ErrState]: there is no list of reasons.
func explain(what string, s Status, reason string) error {
	if s == InService || s == Deleted || s.moving() {
		return nil
	}
	kind := domain.ErrState
	advice := s.advice()
	if code, _, found := strings.Cut(reason, ":"); found {
		if k, known := kinds[strings.TrimSpace(code)]; known {
			kind, advice = k, whoseTurn(k)+"; "+advice
		}
	}
	return refusal.New(kind, "%s is %s: SageMaker says %q; %s", what, s, cmp.Or(reason, "no reason"), advice)
}

// seen is what one look at something found.
type seen struct {
	status   Status
	reason   string
	modified time.Time
	gone     bool
	waited   time.Duration
}

// A watch is a wait for one thing.
type watch struct {
	domain, step, resource string
	limit                  time.Duration
	// agreed is for how long looks have to find it InService, one after the other, until it is
	// taken for so. Zero is that one is enough.
	agreed time.Duration
	look   func(context.Context) (seen, error)
}

// patience is how many looks in a row may fail before a wait gives up. The SDK has
// retried each of them.
const patience = 5

// until looks until done is true or fails. A look that fails because AWS is busy or down
// is repeated; what is not there is seen as gone; every other error ends the wait.
func (c *Client) until(ctx context.Context, w watch, done func(seen) (bool, error)) error {
	began, failures := time.Now(), 0
	var last seen
	err := pace.Poll(ctx, w.limit, errLate, func() (bool, error) {
		s, err := w.look(ctx)
		s.waited = time.Since(began)
		switch {
		case err == nil:
			failures = 0
		case refusal.Code(err) == notFound:
			s, failures = seen{gone: true, waited: s.waited}, 0
		default:
			failures++
			if kind := kindOf(err); failures > patience || ctx.Err() != nil || kind != domain.ErrThrottled && kind != domain.ErrUnavailable {
				return false, err
			}
			s.status = last.status
		}
		last = s
		if err == nil || s.gone {
			if ok, err := done(s); ok || err != nil {
				return ok, err
			}
		}
		c.progress(Progress{Domain: w.domain, Step: w.step, Resource: w.resource, State: string(s.status), Waited: s.waited})
		return false, nil
	})
	if errors.Is(err, errLate) {
		return refusal.New(domain.ErrState, "%s %s is still %s after %v: call again to go on waiting", w.step, w.resource,
			cmp.Or(string(last.status), "not visible"), last.waited.Round(time.Second))
	}
	return err
}

var errLate = errors.New("AWS takes longer than it should")

// untilServes waits until something is InService. What was read before the last change is
// not taken for its outcome: after is the time of the change before, from which a
// read of the new state differs.
func (c *Client) untilServes(ctx context.Context, w watch, after time.Time) error {
	serves, since := false, time.Duration(0)
	return c.until(ctx, w, func(s seen) (bool, error) {
		if s.status != InService || s.gone {
			serves = false
		}
		late := s.waited > visibleWithin
		switch {
		case s.gone:
			if late {
				return false, refusal.New(domain.ErrNotFound, "%s %s does not exist any more: somebody else has deleted it", w.step, w.resource)
			}
			return false, nil
		case !after.IsZero() && !s.modified.After(after) && !late && !s.status.moving():
			return false, nil
		case s.status == InService:
			if !serves {
				serves, since = true, s.waited
			}
			return s.waited-since >= w.agreed, nil
		case s.status == Deleting, s.status == Deleted:
			if late {
				return false, refusal.New(domain.ErrState, "%s %s is %s: somebody else deletes it", w.step, w.resource, s.status)
			}
			return false, nil
		case s.status.moving():
			return false, nil
		}
		return false, explain(w.step+" "+w.resource, s.status, s.reason)
	})
}

// untilGone waits until something that was told to go, and was seen before, is not there.
// A failure to delete that was there before is not taken for this one's. What was not seen
// before may be too new for that: it has to have had the time to show.
func (c *Client) untilGone(ctx context.Context, w watch, before seen) error {
	hidden := before.gone
	return c.until(ctx, w, func(s seen) (bool, error) {
		late := s.waited > visibleWithin
		hidden = hidden && s.gone
		switch {
		case s.status == Deleted, s.gone && (!hidden || late):
			return true, nil
		case s.status == DeleteFailed && (s.modified.After(before.modified) || late):
			return false, explain(w.step+" "+w.resource, s.status, s.reason)
		}
		return false, nil
	})
}

// untilStill waits until nothing is under way of something, and returns what it is in.
func (c *Client) untilStill(ctx context.Context, w watch) (last seen, err error) {
	err = c.until(ctx, w, func(s seen) (bool, error) {
		last = s
		return s.gone || !s.status.moving(), nil
	})
	return last, err
}
