package session

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/pace"
)

// mirrorEvery is how often the store is read for what other processes have
// written.
const mirrorEvery = 2 * time.Second

// A mirror takes over what other processes have written: it tells this one's
// watchers, and has this one work for what changed, so that the sessions of a
// process that died are not left alone.
type mirror struct {
	manager *Manager
	// versions are those read last. What has not changed is not decoded.
	versions map[ID]int64
}

func newMirror(m *Manager) *mirror {
	r := &mirror{manager: m, versions: map[ID]int64{}}
	for _, known := range m.hub.All() { // of an earlier Run
		r.versions[known.ID] = 0
	}
	return r
}

// prime reads the store, so that the first Watch begins with all there is. It
// gives up only when ctx ends.
func (r *mirror) prime(ctx context.Context) error {
	for pause := newPause(); ; {
		err := r.pass(ctx)
		if err == nil {
			return nil
		}
		r.manager.log.Warn("the store does not answer", "op", "prime", "error", err)
		if err := pace.Sleep(ctx, pause.NextBackOff()); err != nil {
			return err
		}
	}
}

// pass reads the store once.
func (r *mirror) pass(ctx context.Context) error {
	m := r.manager
	seen := make(map[ID]int64, len(r.versions))
	for stored, err := range m.domain.Store().List(ctx, collection(m.domain.Name()), "") {
		if err != nil {
			return err
		}
		id := ID(stored.ID)
		seen[id] = stored.Version
		if r.versions[id] == stored.Version {
			continue
		}
		var rec record
		if err := json.Unmarshal(stored.Value, &rec); err != nil {
			// One that cannot be read must not hold up the others.
			m.log.Error("a record of the store makes no sense; an administrator has to look at it", "session", id, "error", err)
			continue
		}
		if m.publish(rec) {
			m.jobs.enqueue(id)
		}
	}
	for id := range r.versions {
		if _, still := seen[id]; still {
			continue
		}
		// It may have been made while the store was read.
		if _, err := m.records.Get(ctx, string(id)); errors.Is(err, store.ErrNotFound) {
			m.unpublish(id)
		}
	}
	r.versions = seen
	return nil
}
