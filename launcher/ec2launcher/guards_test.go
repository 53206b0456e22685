package ec2launcher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

var realistic = fakeaws.Config{Delays: fakeaws.Realistic()}

// bubble runs a test on virtual time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// instances returns the instances that EC2 shows in one of the states.
func (w *world) instances(states ...string) []ec2types.Instance {
	w.Helper()
	out, err := awsec2.NewFromConfig(w.cloud.Config()).DescribeInstances(w.Context(), &awsec2.DescribeInstancesInput{
		Filters: []ec2types.Filter{{Name: aws.String("instance-state-name"), Values: states}},
	})
	if err != nil {
		w.Fatal(err)
	}
	var found []ec2types.Instance
	for _, r := range out.Reservations {
		found = append(found, r.Instances...)
	}
	return found
}

// A purchase whose answer was lost with the process that made it is made again
// with the same token, and brings the same host.
func TestPurchaseIsJournalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Faults = []fakeaws.Fault{{Action: "ec2:RunInstances", Nth: 1, After: true, Crash: true}}
		w := newWorld(t, account, nil)
		crashed := w.cloud.Crashed()
		w.launch(w.workload("a", "alice"))
		<-crashed
		w.restart()
		w.until("a", launcher.Running)
		if n := len(w.instances("pending", "running")); n != 1 {
			t.Errorf("%d instances were bought for one workload", n)
		}
	})
}

// An instance with the fleet's tag and no record is taken on, and released
// when it turns out to be empty.
func TestInstanceWithoutRecordIsTakenOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		ami, err := w.cloud.AddAMI("x86_64")
		if err != nil {
			t.Fatal(err)
		}
		_, err = awsec2.NewFromConfig(w.cloud.Config()).RunInstances(t.Context(), &awsec2.RunInstancesInput{
			ImageId: aws.String(ami), InstanceType: "t3.medium", MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
			SubnetId: aws.String(w.cfg.Subnets[0]),
			TagSpecifications: []ec2types.TagSpecification{{ResourceType: "instance", Tags: []ec2types.Tag{
				{Key: aws.String("atelier:fleet"), Value: aws.String("test")},
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if hosts := w.hosts(); len(hosts) != 1 || hosts[0].State != ec2launcher.HostReady {
			t.Fatalf("the fleet has the hosts %+v, want the one without a record, ready", hosts)
		}
		time.Sleep(10 * time.Minute)
		if left := w.instances("pending", "running"); len(left) != 0 {
			t.Errorf("%d instances are left", len(left))
		}
	})
}

// What a host that does not answer runs is unknown, not finished, until the
// host has been ended and EC2 has confirmed it.
func TestSilentHostIsFenced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		host := w.until("a", launcher.Running).Host
		if err := w.cloud.Partition(host, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Minute)
		if s, err := launcher.Get(t.Context(), w.fleet, "a"); err != nil || s.Phase != launcher.Running || !s.Unknown {
			t.Errorf("on a silent host it is %+v, %v; want running and unknown", s, err)
		}
		s := w.until("a", launcher.Exited)
		if s.Reason != launcher.ErrHostLost || !strings.Contains(s.Message, "silent") {
			t.Errorf("it ended with %q: %q; want %q and why", s.Reason, s.Message, launcher.ErrHostLost)
		}
		if n := len(w.instances("pending", "running", "shutting-down")); n != 0 {
			t.Error("the workload was given up before its host was gone")
		}
	})
}

// A host that answers again in time goes on as if nothing had been.
func TestSilenceThatEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		host := w.until("a", launcher.Running).Host
		for _, cut := range []bool{true, false} {
			if err := w.cloud.Partition(host, cut); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Minute)
		}
		time.Sleep(time.Hour)
		if s, err := launcher.Get(t.Context(), w.fleet, "a"); err != nil || s.Phase != launcher.Running || s.Unknown || s.Host != host {
			t.Errorf("after the silence it is %+v, %v; want running on %s", s, err, host)
		}
	})
}

// A host that fails takes its workloads with it; the fleet says so, and goes on.
func TestHostCrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		host := w.until("a", launcher.Running).Host
		if err := w.cloud.CrashHost(host); err != nil {
			t.Fatal(err)
		}
		if s := w.until("a", launcher.Exited); s.Reason != launcher.ErrHostLost {
			t.Errorf("it ended with %q (%s), want %q", s.Reason, s.Message, launcher.ErrHostLost)
		}
		w.launch(w.workload("b", "alice"))
		if s := w.until("b", launcher.Running); s.Host == host {
			t.Error("the next workload was placed on the dead host")
		}
	})
}

// A host whose engine never answers is replaced, and what waited for it moves.
func TestHostThatNeverComesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var first atomic.Pointer[string]
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			connect := c.Connect
			c.Connect = func(ctx context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
				first.CompareAndSwap(nil, &h.ID)
				if *first.Load() == h.ID {
					return nil, errors.New("connection refused")
				}
				return connect(ctx, h)
			}
		})
		w.launch(w.workload("a", "alice"))
		s := w.until("a", launcher.Running)
		if s.Host == *first.Load() {
			t.Error("it runs on a host that never came up")
		}
		time.Sleep(5 * time.Minute)
		if n := len(w.instances("running")); n != 1 {
			t.Errorf("%d instances run, want 1", n)
		}
	})
}

// A host is not released while anything runs there, also if no record knows it.
func TestReleaseSparesWhatRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		host := w.until("a", launcher.Running).Host
		engine, err := w.cloud.Host(host)
		if err != nil {
			t.Fatal(err)
		}
		stray := w.workload("stray", "alice")
		if _, err := engine.Launch(t.Context(), stray); err != nil {
			t.Fatal(err)
		}
		if err := w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := len(w.instances("running")); n != 1 {
			t.Fatal("a host was ended under a running container")
		}
		s, err := launcher.Get(t.Context(), w.fleet, "stray")
		if err != nil || s.Phase != launcher.Running || s.Owner != "alice" {
			t.Errorf("what runs without a record is listed as %+v, %v", s, err)
		}
		if err := w.fleet.Stop(t.Context(), "stray", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		w.until("stray", launcher.Exited)
	})
}

// A host that is due for release when the process starts is looked at before
// it goes: the records may not know all that runs there.
func TestReleaseLooksFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		host := w.until("a", launcher.Running).Host
		if err := w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		w.until("a", launcher.Exited)
		time.Sleep(2 * time.Minute) // it lingers
		w.stop()
		engine, err := w.cloud.Host(host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Launch(t.Context(), w.workload("stray", "alice")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		w.start()
		time.Sleep(10 * time.Minute)
		if n := len(w.instances("running")); n != 1 {
			t.Error("a host was ended under a running container")
		}
	})
}

// A host is heard at once, not when all hosts are looked at next: also where no record
// of the fleet has changed, and where the store fails meanwhile.
func TestHostIsHeardAtOnce(t *testing.T) {
	const soon = 3 * time.Second
	for name, failing := range map[string]string{"Healthy": "nothing", "TheRecordFails": ".workloads", "AnotherHostsRecordFails": ".hosts"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var sick atomic.Bool
				w := newWorld(t, realistic, func(c *ec2launcher.Config) {
					c.Store = &hooked{Store: c.Store, put: func(r store.Record) error {
						if sick.Load() && strings.HasSuffix(r.Collection, failing) {
							return errBoom
						}
						return nil
					}}
				})
				on := map[string]launcher.ID{}
				for _, id := range []launcher.ID{"a", "b"} {
					work := w.workload(string(id), "alice")
					work.Sharing = launcher.Exclusive
					w.launch(work)
					on[w.until(id, launcher.Running).Host] = id
				}
				hosts := slices.Sorted(maps.Keys(on))
				engine, err := w.cloud.Host(hosts[1])
				if err != nil {
					t.Fatal(err)
				}
				// The record of the first is to be written in every pass from here on.
				if err := w.fleet.Stop(t.Context(), on[hosts[0]], launcher.StopOptions{}); err != nil {
					t.Fatal(err)
				}
				sick.Store(failing == ".hosts")
				for n := range 5 { // some of them right before all are looked at
					time.Sleep(7 * time.Second)
					sick.Store(true)
					stray := w.workload(fmt.Sprintf("stray%d", n), "alice")
					if _, err := engine.Launch(t.Context(), stray); err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Second)
					sick.Store(false)
					time.Sleep(soon)
					if s, err := launcher.Get(t.Context(), w.fleet, stray.ID); err != nil || s.Phase != launcher.Running {
						t.Errorf("what runs on a host without a record is %+v, %v after %v", s, err, soon)
					}
					sick.Store(failing == ".hosts" && n < 4)
				}
			})
		})
	}
}

// What its host has forgotten is lost; it is not run again.
func TestForgottenByItsHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		host := w.until("a", launcher.Running).Host
		w.stop()
		engine, err := w.cloud.Host(host)
		if err != nil {
			t.Fatal(err)
		}
		if err := engine.Stop(t.Context(), "a", launcher.StopOptions{Signal: "SIGKILL", Forget: true}); err != nil {
			t.Fatal(err)
		}
		w.start()
		if s := w.until("a", launcher.Exited); s.Reason != launcher.ErrHostLost {
			t.Errorf("it ended with %q (%s), want %q", s.Reason, s.Message, launcher.ErrHostLost)
		}
		for s, err := range engine.List(t.Context(), launcher.Filter{}) {
			t.Errorf("its host runs %+v, %v", s, err)
		}
	})
}

// A workload that is stopped while its host boots never starts.
func TestStopBeforeTheHostIsUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		time.Sleep(5 * time.Second)
		if err := w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		if s, err := launcher.Get(t.Context(), w.fleet, "a"); err != nil || s.Phase != launcher.Exited || !s.StartedAt.IsZero() {
			t.Errorf("stopped before its host was up it is %+v, %v", s, err)
		}
		time.Sleep(10 * time.Minute)
		if n := len(w.instances("pending", "running")); n != 0 {
			t.Errorf("%d hosts are left", n)
		}
	})
}

// Using a launcher that does not run is an error, and so is running it twice.
func TestRunIsNeeded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		time.Sleep(time.Second)
		if err := w.fleet.Run(t.Context()); !errors.Is(err, launcher.ErrConflict) {
			t.Errorf("a second Run returned %v", err)
		}
		idle, err := ec2launcher.NewFromConfig(w.cloud.Config(), w.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := idle.Launch(t.Context(), w.workload("a", "alice")); !errors.Is(err, launcher.ErrNotRunning) {
			t.Errorf("Launch without Run returned %v", err)
		}
		if err := idle.Stop(t.Context(), "a", launcher.StopOptions{}); !errors.Is(err, launcher.ErrNotRunning) {
			t.Errorf("Stop without Run returned %v", err)
		}
		for _, err := range idle.Watch(t.Context(), launcher.Filter{}) {
			if !errors.Is(err, launcher.ErrNotRunning) {
				t.Errorf("Watch without Run yielded %v", err)
			}
		}
	})
}

// Two processes are one fleet: either takes requests, and when the one that
// works ends, the other goes on.
func TestTwoProcesses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		time.Sleep(time.Second)
		stopFirst := w.stop
		w.start() // the second process; the first holds the lease
		w.until("a", launcher.Running)
		serving := w.workload("b", "alice")
		serving.Command, serving.Ports = []string{"serve", "80"}, []launcher.Port{{Name: "http", Number: 80}}
		w.launch(serving)
		w.until("b", launcher.Running)
		var conn io.ReadWriteCloser
		for conn == nil {
			c, err := w.fleet.Dial(t.Context(), "b", "http")
			if err == nil {
				conn = c
			}
			time.Sleep(time.Second)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		conn.Close()
		stopFirst()
		w.launch(w.workload("c", "carol"))
		w.until("c", launcher.Running)
		if n := len(w.instances("pending", "running")); n != 2 {
			t.Errorf("%d instances, want one for alice and one for carol", n)
		}
	})
}

// What makes no sense is refused before anything is recorded or bought.
func TestBadInput(t *testing.T) {
	if _, err := ec2launcher.New(ec2launcher.Services{}, "", ec2launcher.Config{
		Access: []string{"10.0.0.1/8", "everybody", "sg-1", "sg-1"},
		Fleet:  "My Fleet", Subnets: []string{"subnet-1", "subnet-1", "x"}, Tags: map[string]string{"aws:x": "y"}, BootDeadline: -time.Second, AMI: "foo", DiskGiB: 70000,
		HostPaths: []string{"data", "/", "/etc/shadow.d", "/var/run/docker.sock", "/efs/fs-1", "/srv/a/../b", "/srv/c", "/srv/c", "/srv/d", "/srv/d/e"},
	}); err == nil {
		t.Error("a configuration in which everything is wrong was taken")
	} else {
		for _, problem := range []string{"client", "region", "fleet", "store", "Secrets client", "70000 GiB", "listed twice", `subnet 2 is "x"`, "security groups", "foo", "aws:x", "boot deadline", "10.0.0.0/8",
			`host path "data": want an absolute`, `host path "/": want`, "/etc is the system's", "/var is the system's", "/efs is the system's", `host path "/srv/a/../b": want`,
			`host path "/srv/c" is listed twice`, `host path "/srv/d/e" is within "/srv/d"`, `access 1 is "everybody"`, `access "sg-1" is listed twice`} {
			if !strings.Contains(err.Error(), problem) {
				t.Errorf("the error does not speak of %s:\n%v", problem, err)
			}
		}
	}
	for what, change := range map[string]func(*launcher.Workload){
		"no type":       func(w *launcher.Workload) { w.InstanceType = "" },
		"unknown type":  func(w *launcher.Workload) { w.InstanceType = "r5.5xlarge" },
		"managed name":  func(w *launcher.Workload) { w.InstanceType = "ml.t3.medium" },
		"too much room": func(w *launcher.Workload) { w.Resources.MemoryMiB = 4000 },
		"no owner":      func(w *launcher.Workload) { w.Owner = "" },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, realistic, nil)
				work := w.workload("a", "alice")
				change(&work)
				if _, err := w.fleet.Launch(t.Context(), work); !errors.Is(err, launcher.ErrInvalid) {
					t.Errorf("Launch returned %v", err)
				}
				time.Sleep(time.Minute)
				if _, err := launcher.Get(t.Context(), w.fleet, "a"); !errors.Is(err, launcher.ErrNotFound) || w.calls("ec2:RunInstances") != 0 {
					t.Errorf("something came of it: %v, %d purchases", err, w.calls("ec2:RunInstances"))
				}
			})
		})
	}
}

// A host's record keeps the mounts it has been given, each once.
func TestMountsAreKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		source := w.fileSystem()
		alice, bob := source("alice"), source("bob")
		var host string
		for i, home := range []string{alice, alice, bob} { // beside each other, on one host
			l := w.workload(string(rune('a'+i)), "alice")
			l.Sharing, l.Mounts = launcher.Pool, []launcher.Mount{{Source: home, Target: "/home/x"}}
			l.Resources = launcher.Resources{MilliCPU: 100, MemoryMiB: 100}
			w.launch(l)
			host = w.until(l.ID, launcher.Running).Host
		}
		look := func(when string) {
			t.Helper()
			homes := []string{alice, bob}
			slices.Sort(homes)
			if hosts := w.hosts(); len(hosts) != 1 || hosts[0].ID != host || !slices.Equal(hosts[0].Mounts, homes) {
				t.Errorf("%s the fleet's hosts are %+v", when, hosts)
			}
		}
		look("with two homes on it")
		for _, id := range []launcher.ID{"a", "b", "c"} {
			if err := w.fleet.Stop(t.Context(), id, launcher.StopOptions{Signal: "SIGKILL"}); err != nil {
				t.Fatal(err)
			}
			w.until(id, launcher.Exited)
		}
		look("when all have ended")
		again := w.workload("d", "alice")
		again.Sharing, again.Mounts = launcher.Pool, []launcher.Mount{{Source: alice, Target: "/home/x"}}
		again.Resources = launcher.Resources{MilliCPU: 100, MemoryMiB: 100}
		w.launch(again)
		w.until("d", launcher.Running)
		look("with one of them again")
	})
}
