package positlauncher

import (
	"context"
	"errors"
	"time"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// usageEvery is how often what a job uses is told.
const usageEvery = 5 * time.Second

// streamUsage tells what a job uses while it runs. Virtual memory is always zero:
// nothing measures it for a container as a whole.
func (s *server) streamUsage(ctx context.Context, q wire.Request) error {
	j, err := s.job(ctx, q)
	if err != nil {
		return err
	}
	id := session.ID(j.ID)
	last := wire.ResourceUtil{Header: wire.Header{Type: wire.ResourceUtilResponse}}
	told := uint64(0)
	tell := func() error {
		m := last
		told++
		m.Sequences = []wire.Sequence{{RequestID: q.ID, SequenceID: told}}
		return s.out.stream(ctx, q.ID, &m)
	}
	var before launcher.Usage
	for {
		now, err := s.board.until(ctx, id, func(s session.Session) bool {
			return s.State == session.Running || status(s).Final()
		})
		if err != nil {
			return err
		}
		if status(now).Final() {
			last.Complete = true
			return tell()
		}
		use, err := s.manager.Usage(ctx, id)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errors.ErrUnsupported):
			return err
		case err == nil: // else its host does not answer, or it has just ended
			if before.StartedAt.IsZero() || !before.StartedAt.Equal(use.StartedAt) {
				before = launcher.Usage{StartedAt: use.StartedAt, At: use.StartedAt}
			}
			if cores, ok := use.Cores(before); ok {
				last.CPUPercent = 100 * cores
			}
			before = use
			last.CPUTime = use.CPU.Seconds()
			last.ResidentMemory = float64(use.MemoryBytes) / megabyte
			if err := tell(); err != nil {
				return err
			}
		}
		if err := s.rest(ctx, id, usageEvery); err != nil {
			return err
		}
	}
}

// rest waits for a time, or until a job has ended.
func (s *server) rest(ctx context.Context, id session.ID, d time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	_, err := s.board.until(limited, id, func(s session.Session) bool { return status(s).Final() })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
