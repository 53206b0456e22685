package ec2launcher

import (
	"context"
	"reflect"

	"github.com/atelier-go/atelier/launcher"
)

// publish tells the watchers of this process of a record, unless they have
// seen it, or a later one.
func (l *Launcher) publish(rec *workloadRecord) {
	l.published.Lock()
	defer l.published.Unlock()
	id, told := rec.Workload.ID, telling{rec.Revision, l.outlooks[rec.Host]}
	last, known := l.told[id]
	if known && (told == last || told.revision < last.revision) {
		return
	}
	l.told[id] = told
	s := rec.status(told.on)
	if known, ok := l.hub.Get(id); !ok || !reflect.DeepEqual(known, s) {
		l.hub.Set(id, s)
	}
}

// telling is what a workload's status was last told from.
type telling struct {
	revision int64
	on       outlook
}

// unpublish forgets a workload. Watchers that have not seen its exit, as it was
// recorded and forgotten by another process since the last look, see that it
// has ended, which is all that is known here.
func (l *Launcher) unpublish(id launcher.ID) {
	l.published.Lock()
	defer l.published.Unlock()
	if s, ok := l.hub.Get(id); ok && s.Phase != launcher.Exited {
		s.Phase, s.Endpoints, s.Unknown, s.Message = launcher.Exited, nil, false, "it has ended and was forgotten"
		l.hub.Set(id, s)
	}
	delete(l.told, id)
	l.hub.Delete(id)
}

// hostOutlooks returns those of the hosts, and with no host's ID the fleet's.
func (l *Launcher) hostOutlooks(ctx context.Context) (map[string]outlook, error) {
	fleet, err := l.fleet.Get(ctx, onlyFleet)
	if ignoreNotFound(err) != nil {
		return nil, err
	}
	all := map[string]outlook{"": fleet.outlook()}
	for h, err := range l.hosts.All(ctx) {
		if err != nil {
			return nil, err
		}
		all[h.ID] = h.outlook()
	}
	return all, nil
}
