package fakelauncher_test

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

// A crash ends everything at once, and nothing answers any more.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { breaks(t, (*fakelauncher.Launcher).Crash, false) })
}

// Behind a cut network the containers go on.
func TestSetReachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		breaks(t, func(l *fakelauncher.Launcher) { l.SetReachable(false) }, true)
	})
}

func breaks(t *testing.T, cut func(*fakelauncher.Launcher), survives bool) {
	l := newHost(t, nil, fakelauncher.Config{})
	w := work("a", "serve", "80")
	w.Ports = []launcher.Port{{Name: "http", Number: 80}}
	launch(t, l, w)
	synctest.Wait()
	c, err := l.Dial(t.Context(), "a", "http")
	must(t, err)
	r, err := l.Logs(t.Context(), "a", launcher.LogOptions{Follow: true})
	must(t, err)
	watched := make(chan error, 1)
	go func() {
		var last error
		for _, err := range l.Watch(t.Context(), launcher.Filter{}) {
			last = err
		}
		watched <- last
	}()
	read := make(chan error, 2)
	go func() { read <- second(io.Copy(io.Discard, r)) }()
	dialled := make(chan error, 1)
	go func() { dialled <- second(c.Read(make([]byte, 1))) }()
	synctest.Wait()
	cut(l)
	if err := <-dialled; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection ends with %v; want a reset", err)
	}
	_, listed := launcher.Get(t.Context(), l, "a")
	for what, err := range map[string]error{
		"Watch": <-watched, "the read of followed logs": <-read, "List": listed,
		"Launch": second(l.Launch(t.Context(), work("b", "wait"))),
		"Stop":   l.Stop(t.Context(), "a", launcher.StopOptions{}),
		"Dial":   second(l.Dial(t.Context(), "a", "http")),
		"Logs":   second(l.Logs(t.Context(), "a", launcher.LogOptions{})),
		"Usage":  second(l.Usage(t.Context(), "a")),
		"Pull":   l.Pull(t.Context(), "x"), "Room": second(l.Room(t.Context())),
	} {
		if !errors.Is(err, launcher.ErrUnavailable) {
			t.Errorf("%s = %v; want ErrUnavailable", what, err)
		}
	}
	time.Sleep(time.Hour)
	l.SetReachable(true)
	s, err := launcher.Get(t.Context(), l, "a")
	if !survives {
		if !errors.Is(err, launcher.ErrUnavailable) {
			t.Errorf("after a crash the host answers %+v, %v", s, err)
		}
		return
	}
	if err != nil || s.Phase != launcher.Running {
		t.Errorf("after the network came back it is %+v, %v; want it running", s, err)
	}
	c, err = l.Dial(t.Context(), "a", "http")
	must(t, err, second(io.WriteString(c, "hi")), second(io.ReadFull(c, make([]byte, 2))))
	c.Close()
}

func TestCloseWaitsForPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		returned := false
		l := newHost(t, func(ctx context.Context, _ *fakelauncher.Proc) int {
			<-ctx.Done()
			time.Sleep(time.Minute)
			returned = true
			return 0
		}, fakelauncher.Config{})
		launch(t, l, work("a"))
		l.Close()
		if !returned {
			t.Error("Close returned before the program")
		}
		l.Close()
	})
}

func TestDialNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHost(t, nil, fakelauncher.Config{})
		w := work("a", "wait")
		w.Ports = []launcher.Port{{Name: "http", Number: 80}}
		launch(t, l, w)
		if _, err := l.Dial(t.Context(), "a", "http"); !errors.Is(err, launcher.ErrUnavailable) || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial of a port nobody listens on = %v; want ErrUnavailable, refused", err)
		}
	})
}

func TestListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHost(t, func(ctx context.Context, p *fakelauncher.Proc) int {
			ln, err := p.Listen(80)
			must(t, err)
			if _, err := p.Listen(80); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("Listen on a taken port = %v; want EADDRINUSE", err)
			}
			if _, err := p.Listen(0); err == nil {
				t.Error("Listen on port 0 succeeded")
			}
			ln.Close()
			if _, err := ln.Accept(); err == nil {
				t.Error("Accept on a closed listener succeeded")
			}
			_, err = p.Listen(80)
			must(t, err)
			<-ctx.Done()
			return 0
		}, fakelauncher.Config{})
		w := work("a")
		w.Ports = []launcher.Port{{Name: "http", Number: 80}}
		launch(t, l, w)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for n := 0; ; n++ {
			c, err := l.Dial(ctx, "a", "http")
			if err == nil {
				defer c.Close()
				continue
			}
			if n != 128 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with %d connections nobody accepts, Dial = %v; want it to wait from 128 on", n, err)
			}
			break
		}
	})
}
