package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

// Warm is room that is kept free on running hosts, with the image there, so that
// the next workloads like one start at once: no call of EC2 stands between. The
// room is on hosts that have other work or on hosts that are kept for it, which
// cost money while nobody uses them.
type Warm struct {
	// Like is the workload that there is to be room for: of it the image, as
	// workloads name it, the instance types, the market, the resources and the
	// sharing count; the others may be empty. Function Like of package session
	// returns that of sessions. In a pool the room is what shared
	// hosts have left; otherwise each slot is a host that nobody has used.
	Like launcher.Workload
	// Slots is how many there is room for at all times. At least 1.
	Slots int
	// Most lets the room follow the demand: there is room for as many as came in
	// the last two minutes of the same image, first type, market and resources,
	// at most for this many. Zero is Slots.
	Most int
	// MaxPerHour is the most that the hosts may cost an hour that are kept or
	// bought for this room alone. Zero is no limit. What does not fit in is not
	// bought.
	MaxPerHour instancetype.Money
}

// A WarmRoom is how much there is of what one [Warm] asks for.
type WarmRoom struct {
	// Slots is how many there should be now.
	Slots int
	// Ready is how many of them have room on a running host that has the image,
	// Coming how many on one that is being bought, boots or pulls the image.
	Ready, Coming int
	// Reason and Message say why the others are not to be had, if there are any.
	Reason  launcher.Kind
	Message string
}

// WarmRooms tells how much there is of what each of [Config.Warm] asks for, as it
// was when this process last looked. A process that does not work for the fleet,
// because Run is not active or another holds the lease, knows of none: it is nil.
func (l *Launcher) WarmRooms() []WarmRoom {
	if rooms := l.warm.Load(); rooms != nil {
		return slices.Clone(*rooms)
	}
	return nil
}

// warmFor is how far the demand is looked back at: about twice what a host takes
// from its purchase until it has an image.
const warmFor = 2 * time.Minute

// problems reports everything wrong with what is to be kept warm.
func (w Warm) problems(n int, check func(launcher.Workload) error) (problems []error) {
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("warm %d: %w", n, fmt.Errorf(format, args...)))
	}
	if w.Slots < 1 {
		bad("%d slots: want at least 1", w.Slots)
	}
	if w.Most != 0 && w.Most < w.Slots {
		bad("at most %d slots, and %d at all times: want no less, or 0 for as many", w.Most, w.Slots)
	}
	if w.MaxPerHour < 0 {
		bad("%v an hour at most: want a price, or 0 for no limit", w.MaxPerHour)
	}
	like := w.slot("like")
	if e, ok := errors.AsType[*launcher.Error](like.Validate()); ok {
		bad("like: %w", e.Err)
	}
	if err := check(like); err != nil {
		bad("like: %w", err)
	}
	return problems
}

// slot is the workload that a slot is for.
func (w Warm) slot(id launcher.ID) launcher.Workload {
	return launcher.Workload{
		ID: id, Owner: "warm", Image: w.Like.Image, InstanceType: w.Like.InstanceType, Alternatives: w.Like.Alternatives,
		Market: w.Like.Market, Resources: w.Like.Resources, Sharing: w.Like.Sharing,
	}
}

// A reserve is one slot of warm room, to be placed like a workload.
type reserve struct {
	workload launcher.Workload
	warm     int // which of Config.Warm
}

// reserved is what a plan has for one [Warm]: the hosts of its slots, of which those
// that are yet to be bought have no id, and the slots that nothing is to be had for.
type reserved struct {
	on    []string
	lacks []launcher.Workload
}

// tellWarm notes how much there is of what is to be kept warm.
func (r *reconciler) tellWarm(now time.Time) {
	if r.reserved == nil {
		return
	}
	rooms := make([]WarmRoom, len(r.l.cfg.Warm))
	for i, has := range r.reserved {
		room := &rooms[i]
		room.Slots = len(has.on) + len(has.lacks)
		for _, host := range has.on {
			if r.pulled.have(host, r.l.cfg.Warm[i].Like.Image) {
				room.Ready++
			} else {
				room.Coming++
			}
		}
		if len(has.lacks) == 0 {
			continue
		}
		if why := r.fleet.why(has.lacks[0], now); why != nil {
			room.Reason, room.Message = why.kind, why.message
		} else {
			room.Reason, room.Message = launcher.ErrCapacity, fmt.Sprintf("what is to be had costs more than is left of %v an hour", r.l.cfg.Warm[i].MaxPerHour)
		}
	}
	r.l.warm.Store(&rooms)
}

// reserves are the slots that there should be, given what came lately.
func (r *reconciler) reserves(now time.Time) (all []reserve) {
	for i, w := range r.l.cfg.Warm {
		n := min(max(w.Slots, r.arrivals.like(w.Like, now.Add(-warmFor))), max(w.Most, w.Slots))
		for slot := range n {
			like := w.slot(launcher.ID(fmt.Sprintf("warm %d.%d", i, slot))) // no workload has a space in it
			if like.Sharing != launcher.Pool {
				like.Sharing = launcher.Exclusive
			}
			all = append(all, reserve{like, i})
		}
	}
	return all
}

// reserve finds room for what is to be kept free, after the queue has what it
// needs. Hosts that are bought for it, or have nothing else, stay within the price
// that is set.
func (p *planner) reserve(slots []reserve, limits []Warm) {
	spent := make([]float64, len(limits))
	p.reserved = make([]reserved, len(limits))
	paid := map[*slot]bool{}
	for i := range slots {
		s := &slots[i]
		w := p.item(&s.workload, offer{})
		left := math.Inf(1) // of what may be spent
		if most := limits[s.warm].MaxPerHour; most > 0 {
			left = float64(most) - spent[s.warm]
		}
		free := func(h *slot) bool { return h.workloads > 0 || paid[h] } // it is there anyway
		within := func(h *slot) bool { return free(h) || p.terms(h.offer).cost() <= left }
		h := p.room(w, free)
		if h == nil {
			h = p.room(w, within)
		}
		if h == nil {
			o, ok, _ := p.choose(w, nil, left)
			if !ok {
				p.reserved[s.warm].lacks = append(p.reserved[s.warm].lacks, s.workload)
				continue
			}
			h = newSlot(o, p.terms(o))
			p.wants(o, w.class.offers)
		}
		if !free(h) {
			paid[h], spent[s.warm] = true, spent[s.warm]+p.terms(h.offer).cost()
		}
		if h.key == "" {
			h.key = w.key
			p.row(w.key).add(h)
		}
		h.take(w.Workload)
		p.reserved[s.warm].on = append(p.reserved[s.warm].on, h.id)
		if h.id != "" {
			p.keep[h.id] = append(p.keep[h.id], s.workload.Image)
		}
	}
}

// room returns the first host with room for a slot of which something holds.
func (p *planner) room(w item, holds func(*slot) bool) *slot {
	for _, key := range []string{w.key, ""} {
		for _, list := range p.row(key).hosts {
			for _, h := range list {
				if h.key == key && slices.Contains(w.class.offers, h.offer) && h.fits(w.Workload) && holds(h) {
					return h
				}
			}
		}
	}
	return nil
}

const (
	// pullsAtOnce is how many hosts pull images ahead at one time, and pullWithin
	// how long one may take: large images take some minutes.
	pullsAtOnce = 16
	pullWithin  = 15 * time.Minute
	// pullAgain is when one that failed is tried again.
	pullAgain = time.Minute
)

// pulls are the images that were pulled ahead, by host.
type pulls struct {
	mu   sync.Mutex
	done map[string]map[string]bool
}

func (p *pulls) have(host, image string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done[host][image]
}

func (p *pulls) add(host, image string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		p.done = map[string]map[string]bool{}
	}
	if p.done[host] == nil {
		p.done[host] = map[string]bool{}
	}
	p.done[host][image] = true
}

func (p *pulls) forget(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.done, host)
}

// pullAhead makes the images present on the hosts that are kept for them.
func (r *reconciler) pullAhead(ctx context.Context, keep map[string][]string) {
	for host, images := range keep {
		watch := r.hosts[host]
		if !watch.answers() {
			continue
		}
		for _, image := range images {
			if r.pulled.have(host, image) {
				continue
			}
			r.pulling.do(ctx, "pull "+host+" "+image, func(ctx context.Context) time.Duration {
				bound, cancel := context.WithTimeout(ctx, pullWithin)
				defer cancel()
				engine, err := watch.engine()
				if err == nil {
					err = engine.Pull(bound, image)
				}
				if err != nil {
					r.l.cfg.Logger.Warn("an image could not be pulled ahead; it is tried again, and the first that needs it pulls it", "instance", host, "image", image, "error", err)
					return pullAgain
				}
				r.pulled.add(host, image)
				return 0
			})
		}
	}
}
