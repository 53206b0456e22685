package positlauncher

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

const (
	// maxChunk is how many bytes of output a message has at most, and escaped how many
	// one of them may take there ("\u0001").
	maxChunk = 32 << 10
	escaped  = 6
	// again is how long after output could not be read it is tried once more.
	again = 2 * time.Second
)

var outputStreams = map[wire.OutputType]launcher.Stream{
	wire.Both: launcher.Both, wire.Stdout: launcher.Stdout, wire.Stderr: launcher.Stderr,
}

// streamOutput tells what a job writes, from the beginning of its present run until it
// has ended.
func (s *server) streamOutput(ctx context.Context, q wire.Request) error {
	j, err := s.job(ctx, q)
	if err != nil {
		return err
	}
	w := &outputStream{out: s.out, request: q.ID, kind: q.OutputType, chunk: max(1, min(maxChunk, s.config().MaxMessage/escaped-aside/escaped))}
	id := session.ID(j.ID)
	for generation := 0; ; {
		now, err := s.board.until(ctx, id, func(s session.Session) bool {
			return s.Generation > generation && !s.StartedAt.IsZero() || status(s).Final()
		})
		if err != nil {
			return err
		}
		if now.Generation > generation && !now.StartedAt.IsZero() {
			if err := w.finish(ctx); err != nil {
				return err
			}
			generation = now.Generation
			if err := s.copyOutput(ctx, now, w); err != nil {
				return err
			}
			continue
		}
		return w.end(ctx)
	}
}

// copyOutput tells what one run of a job writes, until that has ended. Where a host
// does not answer it goes on where it was, as long as the run may still be there.
func (s *server) copyOutput(ctx context.Context, run session.Session, w *outputStream) error {
	for p := new(place); ; {
		err := s.readOutput(ctx, run, p, w)
		now, _ := s.board.session(run.ID)
		over := !now.EndedAt.IsZero() || now.ID == ""
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil, now.ID != "" && now.Generation != run.Generation: // what was left of it cannot be read any more
			return nil
		case errors.Is(err, launcher.ErrNotFound) && !p.begun && over:
			return wire.Errorf(wire.JobOutputNotFound, "what job %s wrote is not kept any more", run.ID)
		case over && errors.Is(err, launcher.ErrNotFound):
			return nil
		}
		s.config().Logger.Info("the output of a job could not be read; it is tried again", "session", run.ID, "error", err)
		if err := pace.Sleep(ctx, again); err != nil {
			return err
		}
		if over { // and it will not be there for ever
			if err := s.readOutput(ctx, run, p, w); err != nil {
				return wire.Errorf(wire.JobOutputNotFound, "what job %s wrote cannot be read: %v", run.ID, err)
			}
			return nil
		}
	}
}

// readOutput tells what a run of a job has written from a place on, and has that pass
// it. If the job runs anew meanwhile, it is none of that run's.
func (s *server) readOutput(ctx context.Context, run session.Session, p *place, w *outputStream) error {
	open := func(o launcher.LogOptions) (io.ReadCloser, error) { return s.manager.Logs(ctx, run.ID, o) }
	logs, lost, err := p.open(open, launcher.LogOptions{Stream: outputStreams[w.kind]})
	if err != nil {
		return err
	}
	defer func() { _ = logs.Close() }() // it was only read
	now, err := s.manager.Get(ctx, run.ID)
	if err != nil {
		return err
	}
	if now.Generation != run.Generation {
		s.board.put(now)
		return nil
	}
	if lost {
		s.config().Logger.Warn("a job has written more than its host keeps while that could not be read: some of it is lost", "session", run.ID)
	}
	for buf := make([]byte, w.chunk); ; {
		n, err := logs.Read(buf)
		p.pass(buf[:n])
		if n > 0 {
			if err := w.write(ctx, buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// An outputStream is the output of a job in messages.
type outputStream struct {
	out     *outbox
	request uint64
	kind    wire.OutputType
	chunk   int
	told    uint64
	rest    []byte // the beginning of a character whose end was not written yet
}

// write tells of a piece of output. Messages have whole characters.
func (w *outputStream) write(ctx context.Context, p []byte) error {
	text := slices.Concat(w.rest, p)
	whole := len(text)
	for i := 1; i <= min(utf8.UTFMax-1, len(text)); i++ {
		if b := text[len(text)-i]; utf8.RuneStart(b) {
			if !utf8.FullRune(text[len(text)-i:]) {
				whole -= i
			}
			break
		}
	}
	w.rest = append([]byte(nil), text[whole:]...)
	if whole == 0 {
		return nil
	}
	return w.send(ctx, string(text[:whole]), false)
}

// finish tells the rest of what a run has written.
func (w *outputStream) finish(ctx context.Context) error {
	if len(w.rest) == 0 {
		return nil
	}
	rest := string(w.rest)
	w.rest = nil
	return w.send(ctx, rest, false)
}

// end tells the rest, and that nothing follows.
func (w *outputStream) end(ctx context.Context) error { return w.send(ctx, string(w.rest), true) }

func (w *outputStream) send(ctx context.Context, text string, complete bool) error {
	w.told++
	return w.out.stream(ctx, w.request, &wire.JobOutput{
		Header:     wire.Header{Type: wire.JobOutputResponse, RequestID: w.request},
		SequenceID: w.told, Output: text, OutputType: w.kind, Complete: complete,
	})
}
