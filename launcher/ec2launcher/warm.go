package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

// Warm is room that is kept free on running hosts, with the image there, so that
// the next workloads like one start at once: no call of EC2 stands between. The
// room is on hosts that have other work or on hosts that are kept for it, which
// cost money while nobody uses them.
type Warm struct {
	// Like is the workload that there is to be room for: of it the image, the
	// instance types, the market, the resources and the sharing count. In a pool
	// the room is what shared hosts have left; otherwise each slot is a host that
	// nobody has used.
	Like launcher.Workload
	// Slots is how many there is room for at all times. At least 1.
	Slots int
	// Most lets the room follow the demand: there is room for as many as came in
	// the last two minutes, at most for this many. Zero is Slots.
	Most int
	// MaxPerHour is the most that the hosts may cost an hour that are kept or
	// bought for this room alone. Zero is no limit. What does not fit in is not
	// bought.
	MaxPerHour instancetype.Money
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
	if w.Like.Image == "" {
		bad("like has no image: want the one to have ready")
	}
	if err := check(w.Like); err != nil {
		bad("like: %w", err)
	}
	return problems
}

// A reserve is one slot of warm room, to be placed like a workload.
type reserve struct {
	workload launcher.Workload
	warm     int // which of Config.Warm
}

// reserves are the slots that there should be, given what came lately.
func (r *reconciler) reserves(now time.Time) (all []reserve) {
	for i, w := range r.l.cfg.Warm {
		n := min(max(w.Slots, r.arrivals.like(w.Like, now.Add(-warmFor))), max(w.Most, w.Slots))
		for slot := range n {
			like := w.Like
			like.ID = launcher.ID(fmt.Sprintf("warm %d.%d", i, slot)) // no workload has a space in it
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
	paid := map[*slot]bool{}
	for i := range slots {
		s := &slots[i]
		w := p.item(&s.workload, offer{})
		most := float64(limits[s.warm].MaxPerHour)
		afford := func(h *slot) bool {
			cost := p.terms(h.offer).cost()
			if h.workloads > 0 || paid[h] {
				return true // it is there anyway
			}
			if most > 0 && spent[s.warm]+cost > most {
				return false
			}
			paid[h], spent[s.warm] = true, spent[s.warm]+cost
			return true
		}
		h := p.find(p.row(w.key), &w.class.own, w.class.offers, w, long)
		if h == nil {
			if h = p.find(p.row(""), &w.class.unused, w.class.begins, w, long); h == nil {
				o, ok, _ := p.choose(w, nil)
				if !ok {
					continue
				}
				if h = newSlot(o, p.terms(o)); !afford(h) {
					continue
				}
				p.wants(o)
			} else if !afford(h) {
				continue
			}
			h.key = w.key
			p.row(w.key).add(h)
		} else if !afford(h) {
			continue
		}
		h.take(w.Workload)
		if h.id != "" {
			p.keep[h.id] = append(p.keep[h.id], s.workload.Image)
		}
	}
}

// pullAhead makes the images present on the hosts that are kept for them.
func (r *reconciler) pullAhead(ctx context.Context, keep map[string][]string) {
	for host, images := range keep {
		watch := r.hosts[host]
		if !watch.answers() {
			continue
		}
		for _, image := range images {
			if r.pulled[host][image] {
				continue
			}
			if r.pulled[host] == nil {
				r.pulled[host] = map[string]bool{}
			}
			r.pulled[host][image] = true
			r.task(ctx, "pull "+host+" "+image, func(ctx context.Context) error {
				engine, err := watch.engine()
				if err == nil {
					err = engine.Pull(ctx, image)
				}
				if err != nil && !errors.Is(err, launcher.ErrUnavailable) {
					r.l.cfg.Logger.Warn("an image could not be pulled ahead; the first that needs it pulls it", "instance", host, "image", image, "error", err)
					return nil
				}
				return err
			})
		}
	}
}
