package fakeaws_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

const echoImage = "registry.example.com/echo:1"

// echo serves its port until it is told to end.
func echo(ctx context.Context, p *fakelauncher.Proc) int {
	l, err := p.Listen(80)
	if err != nil {
		return 1
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return 0
		}
		_, _ = io.Copy(conn, conn) // until either side hangs up
	}
}

// host buys an instance and connects to it.
func (a account) host(t *testing.T) (string, *fakeaws.Host) {
	t.Helper()
	if _, err := a.PushImage(echoImage, fakeaws.Image{Program: echo}); err != nil {
		t.Fatal(err)
	}
	out, err := a.ec2.RunInstances(t.Context(), a.launch("host"))
	if err != nil {
		t.Fatal(err)
	}
	id := ids(out)[0]
	h, err := a.Host(id)
	if err != nil {
		t.Fatal(err)
	}
	return id, h
}

func workload(id launcher.ID) launcher.Workload {
	return launcher.Workload{ID: id, Owner: "alice", Image: echoImage, Ports: []launcher.Port{{Name: "http", Number: 80}}}
}

// TestHostBoots: a host answers from when it is up, with the room of its type.
func TestHostBoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		_, h := a.host(t)
		up := time.Now().Add(a.delays().InstanceRunning + a.delays().HostReady)
		time.Sleep(time.Until(up) - 1)
		if _, err := h.Room(t.Context()); !errors.Is(err, launcher.ErrUnavailable) {
			t.Errorf("a moment before: %v", err)
		}
		time.Sleep(time.Nanosecond)
		room, err := h.Room(t.Context())
		if want := (launcher.Resources{MilliCPU: 2000, MemoryMiB: 4096 * 93 / 100}); err != nil || room != want {
			t.Errorf("room %v, want %v: %v", room, want, err)
		}
		begun := time.Now()
		if _, err := h.Launch(t.Context(), workload("w")); err != nil {
			t.Fatal(err)
		}
		if _, err := launcher.Wait(t.Context(), h, "w", func(s launcher.Status) bool { return s.Phase == launcher.Running }); err != nil {
			t.Fatal(err)
		}
		if took, want := time.Since(begun), a.delays().Pull+a.delays().ContainerStart; took != want {
			t.Errorf("pull and start took %v, want %v", took, want)
		}
	})
}

func (account) delays() fakeaws.Delays { return fakeaws.Realistic() }

// running returns a host on which w runs and listens, in a bubble.
func (a account) running(t *testing.T) (string, *fakeaws.Host) {
	t.Helper()
	id, h := a.host(t)
	if _, err := h.Launch(t.Context(), workload("w")); err != nil {
		t.Fatal(err)
	}
	if _, err := launcher.Wait(t.Context(), h, "w", func(s launcher.Status) bool { return s.Phase == launcher.Running }); err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // it listens
	return id, h
}

// TestHostEnds: whatever ends a host, calls, watches and connections know at
// once, and what is told of the container is not its exit.
func TestHostEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(*testing.T, account, string)
		want   error
		reason string // of the instance's state
		back   bool   // a new connection finds the container running
	}{
		"terminate": {want: launcher.ErrUnavailable, reason: "Client.UserInitiatedShutdown", end: func(t *testing.T, a account, id string) {
			if _, err := a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
				t.Error(err)
			}
		}},
		"host failure": {want: launcher.ErrUnavailable, reason: "Server.InternalError", end: func(t *testing.T, a account, id string) {
			if err := errors.Join(a.CrashHost(id), a.CrashHost(id)); err != nil {
				t.Error(err)
			}
		}},
		"partition": {want: launcher.ErrUnavailable, back: true, end: func(t *testing.T, a account, id string) {
			if err := a.Partition(id, true); err != nil {
				t.Error(err)
			}
		}},
		"the program crashes": {want: fakeaws.ErrCrashed, back: true, end: func(_ *testing.T, a account, _ string) { a.Crash() }},
		"the cloud is closed": {want: launcher.ErrUnavailable, end: func(t *testing.T, a account, _ string) {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{InstanceGone: time.Minute}})
				id, h := a.running(t)
				conn, err := h.Dial(t.Context(), "w", "http")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
					t.Fatal(err)
				}
				logs, err := h.Logs(t.Context(), "w", launcher.LogOptions{Follow: true})
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 3)
				go func() { _, err := conn.Read(make([]byte, 1)); ended <- err }()
				go func() {
					_, err := logs.Read(make([]byte, 1))
					if err == nil || err == io.EOF || !errors.Is(err, c.want) {
						t.Errorf("logs: %v, want %v", err, c.want)
					}
					ended <- errors.Join(err, logs.Close())
				}()
				go func() {
					for s, err := range h.Watch(context.Background(), launcher.Filter{}) {
						if err != nil {
							if !errors.Is(err, c.want) {
								t.Errorf("watch: %v, want %v", err, c.want)
							}
							ended <- err
						} else if s.Phase == launcher.Exited {
							t.Error("an exit was told")
						}
					}
				}()
				synctest.Wait()
				c.end(t, a, id)
				for range 3 {
					if err := <-ended; err == nil {
						t.Error("something went on")
					}
				}
				for op, err := range map[string]error{
					"room": second(h.Room(t.Context())), "launch": second(h.Launch(t.Context(), workload("v"))), "pull": h.Pull(t.Context(), echoImage),
					"stop": h.Stop(t.Context(), "w", launcher.StopOptions{}), "dial": second(h.Dial(t.Context(), "w", "http")),
					"logs": second(h.Logs(t.Context(), "w", launcher.LogOptions{})), "get": second(launcher.Get(t.Context(), h, "w")),
					"usage": second(h.Usage(t.Context(), "w")),
				} {
					if !errors.Is(err, c.want) || !errors.Is(err, launcher.ErrUnavailable) {
						t.Errorf("%s: %v, want %v", op, err, c.want)
					}
				}
				if c.back {
					if err := a.Partition(id, false); err != nil {
						t.Fatal(err)
					}
					h, err := a.Host(id)
					if err != nil {
						t.Fatal(err)
					}
					if s, err := launcher.Get(t.Context(), h, "w"); err != nil || s.Phase != launcher.Running {
						t.Errorf("afterwards: %s, %v", s.Phase, err)
					}
				}
				if c.reason != "" {
					time.Sleep(time.Minute)
					i := a.listed(t)[0]
					if *i.StateReason.Code != c.reason || i.State.Name != types.InstanceStateNameTerminated {
						t.Errorf("the instance is %s by %s, want terminated by %s", i.State.Name, *i.StateReason.Code, c.reason)
					}
				}
			})
		})
	}
}

func second[T any](_ T, err error) error { return err }

// TestHostOfNothing: what never was has no host, and what has ended has none
// that answers.
func TestHostOfNothing(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	for err := range errs(second(a.Host("i-00000000")), a.CrashHost("i-00000000"), a.Partition("i-00000000", true)) {
		if !errors.Is(err, launcher.ErrNotFound) {
			t.Errorf("got %v, want not found", err)
		}
	}
	out, err := a.ec2.RunInstances(t.Context(), a.launch("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CrashHost(ids(out)[0]); err != nil {
		t.Fatal(err)
	}
	h, err := a.Host(ids(out)[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Room(t.Context()); !errors.Is(err, launcher.ErrUnavailable) {
		t.Errorf("a host that has ended: %v", err)
	}
}

// TestHostArchitecture: an image that is not for the host's processor cannot run.
func TestHostArchitecture(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	arm, err := a.AddAMI("arm64")
	if err != nil {
		t.Fatal(err)
	}
	for image, platform := range map[string]string{"example.com/intel:1": "linux/amd64", "example.com/arm:1": "linux/arm64"} {
		if _, err := a.PushImage(image, fakeaws.Image{Platforms: []string{platform}}); err != nil {
			t.Fatal(err)
		}
	}
	in := a.launch("x")
	in.InstanceType, in.ImageId = types.InstanceTypeM7gLarge, aws.String(arm)
	out, err := a.ec2.RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	h, err := a.Host(ids(out)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Pull(t.Context(), "example.com/arm:1"); err != nil {
		t.Error(err)
	}
	if err := h.Pull(t.Context(), "example.com/intel:1"); !errors.Is(err, launcher.ErrImage) {
		t.Errorf("another architecture: %v", err)
	}
}

// TestBill: from running to the request to end, by the second, a minute at
// least; one that never ran costs nothing.
func TestBill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{InstanceRunning: 20 * time.Second, InstanceGone: time.Minute}})
		buy := func(token string, kind types.InstanceType) func() {
			in := a.launch(token)
			in.InstanceType = kind
			out, err := a.ec2.RunInstances(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				if _, err := a.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: ids(out)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		never := buy("never", "t3.medium")
		time.Sleep(19 * time.Second)
		never()
		short := buy("short", "t3.medium")
		time.Sleep(50 * time.Second) // it runs for 30
		short()
		long := buy("long", "r5.4xlarge")
		time.Sleep(20*time.Second + 90*time.Minute + time.Millisecond)
		long()
		buy("going on", "t3.medium")
		time.Sleep(20*time.Second + 61*time.Second)
		b := a.Bill()
		var got []string
		for _, l := range b.Lines {
			got = append(got, fmt.Sprint(l.Type, " ", l.Billed, " ", l.PerHour, " ", l.Cost, " ", l.To.IsZero()))
		}
		want := []string{
			"t3.medium 1m0s $0.0416 $0.000693 false",
			"r5.4xlarge 1h30m1s $1.008 $1.51228 false",
			"t3.medium 1m1s $0.0416 $0.000705 true",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("lines\n%q, want\n%q", got, want)
		}
		if b.Total.String() != "$1.513678" || b.Unpriced != 0 {
			t.Errorf("total %v, %d unpriced", b.Total, b.Unpriced)
		}
	})
}
