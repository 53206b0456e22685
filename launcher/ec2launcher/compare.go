package ec2launcher

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// describing is what keeps hosts unseen if it fails.
const describing = "describe"

// describe asks EC2 about the fleet when that is due, beside the loop: often about
// the hosts that are on their way in or out, while there are any, and about all
// from time to time.
func (r *reconciler) describe(ctx context.Context, w *world) {
	var moving []string // as far as it is time for them
	if r.bought.Load() || w.now.Sub(r.glancedAt) >= busyDescribe {
		candidates := maps.Clone(r.restless)
		maps.Copy(candidates, w.spoke) // as those that are new do
		for id := range candidates {
			if h, known := r.known.Get(id); known && r.moving(h) {
				moving = append(moving, id)
			}
		}
	}
	due := r.l.changed.Load() || w.now.Sub(r.describedAt) >= idleDescribe || len(moving) > maxFilter
	switch {
	case due && r.compare(ctx, "describe all", nil):
		r.describedAt, r.glancedAt = w.now, w.now
		r.bought.Store(false)
	case len(moving) > 0 && r.compare(ctx, "describe", atMost(maxFilter, moving)):
		r.glancedAt = w.now
		r.bought.Store(false)
	}
}

// atMost returns the first of ids: the others follow when these have come up, or are
// seen by a look at all.
func atMost(n int, ids []string) []string {
	slices.Sort(ids)
	return ids[:min(n, len(ids))]
}

// moving reports whether EC2 is about to show something else of a host, or should.
func (r *reconciler) moving(h *Host) bool {
	switch {
	case h.State == HostBooting && !h.Running, h.live() && !h.UnreachableSince.IsZero():
		return true
	case h.State == HostTerminating: // what was given work waits for its end
		return len(r.board.on[h.ID]) > 0
	}
	return false
}

// compare asks EC2 about some hosts, or with nil about all, and brings their
// records up to what it shows, unless it is at that. It reports whether it does.
// All take a call for each thousand, for which those on their way do not wait: their
// records only move forward, whichever answer comes first.
func (r *reconciler) compare(ctx context.Context, key string, ids []string) bool {
	return r.task(ctx, key, func(ctx context.Context) error {
		if ids == nil {
			r.l.changed.Store(false) // what is bought from here on may not be in the answer
		}
		seen, err := r.l.describe(ctx, ids) // before the records: what is bought between is in neither or in the records
		if err != nil {
			r.trouble.set(describing, &refusal{kind: judge(err).kind, message: explain(err)})
			if ids == nil {
				r.l.changed.Store(true) // it is asked again
			}
			return err
		}
		r.trouble.set(describing, nil)
		if ids != nil {
			return r.compareSome(ctx, ids, seen)
		}
		return r.compareAll(ctx, seen)
	})
}

func (r *reconciler) compareSome(ctx context.Context, ids []string, seen map[string]ec2types.Instance) error {
	if _, err := r.glanced.Update(ctx); err != nil {
		return err
	}
	for _, id := range ids {
		if h, known := r.glanced.Get(id); known {
			if err := r.compareHost(ctx, h, seen, time.Now()); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareAll also takes on instances of the fleet that have no record: what was
// bought is never lost sight of, and a host that is not needed is released like any
// other.
func (r *reconciler) compareAll(ctx context.Context, seen map[string]ec2types.Instance) error {
	open := map[string]bool{}
	for b, err := range r.l.buys.All(ctx) {
		if err != nil {
			return err
		}
		open[b.Token] = true
	}
	known := map[string]bool{}
	now := time.Now()
	for h, err := range r.compared.All(ctx) {
		if err != nil {
			return err
		}
		known[h.ID] = true
		if err := r.compareHost(ctx, h, seen, now); err != nil {
			return err
		}
	}
	for id, i := range seen {
		if known[id] || open[tagOf(i, tagBuy)] || stateOf(i) == ec2types.InstanceStateNameTerminated {
			continue
		}
		r.l.cfg.Logger.Warn("an instance of the fleet had no record and is taken on", "instance", id)
		if err := r.l.adopt(ctx, i, now); err != nil {
			return err
		}
	}
	return nil
}

// compareHost brings the record of a host up to what EC2 shows of the fleet.
func (r *reconciler) compareHost(ctx context.Context, h *Host, seen map[string]ec2types.Instance, now time.Time) error {
	i, shown := seen[h.ID]
	if h.shows(i, shown) {
		return nil
	}
	if !shown {
		if !h.live() || now.Sub(h.BoughtAt) < consistent {
			return nil // not found is no proof of absence so soon after a purchase
		}
		// Somebody may have taken its tags away: it is asked for by its id.
		var err error
		if i, shown, err = r.l.find(ctx, h.ID); err != nil {
			return err
		}
	}
	return r.changeHost(ctx, *h, func(h *Host) {
		h.compare(i, shown, now)
		if !h.PriceKnown { // a spot price may have become known
			h.PricePerHour, h.PriceKnown = r.l.price(h.offer(), h.Zone)
		}
	})
}

// shows reports whether a host's record says all that EC2 shows of it: that of a
// host that goes on running.
func (h *Host) shows(i ec2types.Instance, shown bool) bool {
	return shown && h.State == HostReady && h.Running && h.PriceKnown &&
		stateOf(i) == ec2types.InstanceStateNameRunning && h.Address == aws.ToString(i.PrivateIpAddress)
}

// compare brings a host's record up to what EC2 shows of it.
func (h *Host) compare(i ec2types.Instance, shown bool, now time.Time) {
	if h.State == HostGone {
		return
	}
	state := ec2types.InstanceStateNameTerminated
	if shown {
		state = stateOf(i)
	}
	switch state {
	case ec2types.InstanceStateNameTerminated:
		h.State, h.GoneAt = HostGone, now
		if shown && i.StateReason != nil && aws.ToString(i.StateReason.Code) == spotTermination && h.Interruption.IsZero() {
			h.Interruption = now // its notice was missed
		}
		if h.Fault == "" && shown && i.StateReason != nil {
			h.Fault = aws.ToString(i.StateReason.Message)
		}
	case ec2types.InstanceStateNameShuttingDown, ec2types.InstanceStateNameStopping, ec2types.InstanceStateNameStopped:
		if h.State != HostTerminating {
			h.State, h.EndingSince, h.Fault = HostTerminating, now, "EC2 or its operating system is ending it"
		}
	case ec2types.InstanceStateNameRunning:
		h.Running, h.Address = true, aws.ToString(i.PrivateIpAddress)
	}
}

// spotTermination is the reason of an instance's end that EC2 took back.
const spotTermination = "Server.SpotInstanceTermination"

func stateOf(i ec2types.Instance) ec2types.InstanceStateName {
	if i.State == nil {
		return ""
	}
	return i.State.Name
}
