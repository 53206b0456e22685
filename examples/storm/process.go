package main

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// A process is one life of the program that runs the fleet.
type process struct {
	fleet *ec2launcher.Launcher
	died  <-chan struct{} // closed when it is killed
}

var errKilled = errors.New("the process was killed")

// alive returns errKilled once the process was.
func (p *process) alive() error {
	select {
	case <-p.died:
		return errKilled
	default:
		return nil
	}
}

// start makes a process over what those before it have left.
func (s *storm) start() (*process, error) {
	p := &process{died: s.cloud.Crashed()}
	cfg, account := s.cfg, s.cloud.Config()
	if s.Faults {
		cfg.Store = mortal{cfg.Store, p}
	}
	cfg.Connect = func(ctx context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
		if err := pace.Sleep(ctx, s.slow); err != nil {
			return nil, err
		}
		host, err := s.cloud.Host(h.ID)
		if err != nil {
			return nil, err
		}
		return counted{host, s.census, h.ID}, p.alive() // asked last: the way might be its successor's
	}
	var err error
	if p.fleet, err = ec2launcher.NewFromConfig(account, cfg); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
	return p, nil
}

// serve keeps a process running, that one and when it has died another, until ctx
// ends.
func (s *storm) serve(ctx context.Context, p *process) error {
	for {
		if err := s.live(ctx, p); err != nil || ctx.Err() != nil {
			return err
		}
		s.mu.Lock()
		s.crashes++
		s.mu.Unlock()
		select {
		case <-time.After(restartAfter):
		case <-ctx.Done():
			return nil
		}
		var err error
		if p, err = s.start(); err != nil {
			return err
		}
	}
}

// live runs a process until it dies or ctx ends.
func (s *storm) live(ctx context.Context, p *process) error {
	life, end := p.bind(ctx)
	defer end()
	var watching sync.WaitGroup
	var watchErr error
	watching.Go(func() { watchErr = s.watch(life, p.fleet) })
	err := p.fleet.Run(life)
	if err == nil && life.Err() == nil {
		err = errors.New("the fleet's Run has returned")
	}
	end()
	watching.Wait()
	return errors.Join(err, watchErr)
}

// bind returns a context that ends with ctx and when the process dies.
func (p *process) bind(ctx context.Context) (life context.Context, end context.CancelFunc) {
	life, end = context.WithCancel(ctx)
	go func() {
		select {
		case <-p.died:
			end()
		case <-life.Done():
		}
	}()
	return life, end
}

// ask makes a call as a portal does: if the process has died before it answered,
// its successor is asked.
func (s *storm) ask(ctx context.Context, call func(context.Context, *ec2launcher.Launcher) error) error {
	for {
		s.mu.Lock()
		p := s.process
		s.mu.Unlock()
		life, end := p.bind(ctx)
		err := call(life, p.fleet)
		end()
		if err == nil || p.alive() == nil {
			return err
		}
		if err := pace.Sleep(ctx, retryAfter); err != nil {
			return err
		}
	}
}

// A mortal is the store as one process sees it: once that is killed, nothing it
// does has an effect any more.
type mortal struct {
	store.Store
	p *process
}

func (m mortal) Get(ctx context.Context, collection, id string) (store.Record, error) {
	if err := m.p.alive(); err != nil {
		return store.Record{}, err
	}
	return m.Store.Get(ctx, collection, id)
}

func (m mortal) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	if err := m.p.alive(); err != nil {
		return func(yield func(store.Record, error) bool) { yield(store.Record{}, err) }
	}
	return m.Store.List(ctx, collection, after)
}

func (m mortal) Put(ctx context.Context, r store.Record) (version int64, err error) {
	if err := m.p.alive(); err != nil {
		return 0, err
	}
	return m.Store.Put(ctx, r)
}

func (m mortal) Delete(ctx context.Context, collection, id string, version int64) error {
	if err := m.p.alive(); err != nil {
		return err
	}
	return m.Store.Delete(ctx, collection, id, version)
}
