package ec2launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// noticeEvery is how often EC2 is asked whether it takes spot instances back,
	// while there are any: often enough that most of the notice is left.
	noticeEvery = 5 * time.Second
	// noticeFor is from EC2's notice until it ends a spot instance ("Spot
	// Instance interruption notices", Amazon EC2 user guide).
	noticeFor = 2 * time.Minute
)

// reclaimed are the status codes of a request whose instance EC2 takes back: it
// is closed with one of the first when the notice is given, while the instance
// runs for two minutes more, or marked ("Get the status of a Spot Instance
// request", Amazon EC2 user guide).
var reclaimed = []string{
	"instance-terminated-no-capacity", "instance-terminated-by-price", "instance-terminated-capacity-oversubscribed",
	"instance-terminated-by-service", "instance-terminated-launch-group-constraint", "marked-for-termination",
}

// notices asks EC2, when that is due, whether it takes spot instances of the fleet
// back, beside the loop: one call however many there are.
func (r *reconciler) notices(ctx context.Context, w *world) {
	if w.now.Sub(r.noticedAt) < noticeEvery {
		return
	}
	r.noticedAt = w.now
	spot := false
	for h := range r.known.Values() {
		spot = spot || h.Market == launcher.Spot && h.live() && h.State != HostTerminating && h.Interruption.IsZero()
	}
	if !spot {
		return
	}
	r.task(ctx, "notices", func(ctx context.Context) error {
		pages := awsec2.NewDescribeSpotInstanceRequestsPaginator(r.l.ec2, &awsec2.DescribeSpotInstanceRequestsInput{
			Filters: append([]ec2types.Filter{{Name: aws.String("status-code"), Values: reclaimed}}, filter("tag:"+tagFleet, r.l.cfg.Fleet)...),
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, q := range page.SpotInstanceRequests {
				if q.Status == nil || q.InstanceId == nil {
					continue
				}
				noticed := time.Now()
				if q.Status.UpdateTime != nil {
					noticed = *q.Status.UpdateTime
				}
				if err := r.l.interrupted(ctx, aws.ToString(q.InstanceId), noticed.Add(noticeFor)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// interrupted records that EC2 takes a host back at a time: it gets no more work,
// and what runs there is told.
func (l *Launcher) interrupted(ctx context.Context, id string, at time.Time) error {
	return l.warn(ctx, id, func(h *Host) bool {
		news := h.Interruption.IsZero()
		if news {
			h.Interruption = at
		}
		return news
	})
}

// warn changes what is known of AWS's intentions for a host. What runs there is
// told by every process when it looks at the records next.
func (l *Launcher) warn(ctx context.Context, id string, change func(*Host) bool) error {
	changed := false
	h, err := l.hosts.Update(ctx, id, func(h *Host) error {
		if changed = h.live() && change(h); !changed {
			return store.ErrUnchanged
		}
		return nil
	})
	if err != nil || !changed {
		return ignoreNotFound(err)
	}
	l.cfg.Logger.Warn("AWS takes a host back", "instance", id, "at", h.Interruption, "endangered", h.Endangered)
	l.wake()
	return nil
}

// HandleEvent takes in one event of Amazon EventBridge about an instance, the JSON
// document as it is delivered to a queue or function of the caller's: "EC2 Spot
// Instance Interruption Warning", "EC2 Instance Rebalance Recommendation" and "EC2
// Instance State-change Notification", which a rule with the source "aws.ec2"
// matches. It is not needed: the launcher asks EC2 by itself, and learns of
// interruptions within seconds. Only recommendations reach it no other way; what
// runs on such a host is then [launcher.Status.Endangered], and no more is placed
// there.
//
// Events of other kinds and instances are ignored; a document that is none, and a
// warning without its time, is [launcher.ErrInvalid]. It needs no Run, in any process
// of the fleet, and may be called again with the same event; but a change of state
// only makes the process look at once that works for the fleet.
func (l *Launcher) HandleEvent(ctx context.Context, event []byte) error {
	var e struct {
		DetailType string    `json:"detail-type"`
		Source     string    `json:"source"`
		Time       time.Time `json:"time"`
		Detail     struct {
			InstanceID string `json:"instance-id"`
		} `json:"detail"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return fail("handle event", "", launcher.ErrInvalid, fmt.Errorf("it is no event of EventBridge: %w", err))
	}
	if e.DetailType == "" || e.Source == "" {
		return fail("handle event", "", launcher.ErrInvalid, errors.New("it is no event of EventBridge: it has no detail-type or no source"))
	}
	if e.Source != "aws.ec2" || e.Detail.InstanceID == "" {
		return nil
	}
	var err error
	switch e.DetailType {
	case "EC2 Spot Instance Interruption Warning":
		if e.Time.IsZero() {
			return fail("handle event", "", launcher.ErrInvalid, errors.New("the warning has no time"))
		}
		err = l.interrupted(ctx, e.Detail.InstanceID, e.Time.Add(noticeFor))
	case "EC2 Instance Rebalance Recommendation":
		err = l.warn(ctx, e.Detail.InstanceID, func(h *Host) bool {
			news := !h.Endangered
			h.Endangered = true
			return news
		})
	case "EC2 Instance State-change Notification":
		if _, err = l.hosts.Get(ctx, e.Detail.InstanceID); err == nil {
			l.changed.Store(true)
			l.wake()
		} else if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalid) {
			err = nil // another's
		}
	}
	if err != nil {
		return l.storeFailed("handle event", "", err)
	}
	return nil
}
