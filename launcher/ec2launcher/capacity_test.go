package ec2launcher_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// A type that is sold out in one zone is bought in another; sold out in all, it
// is waited for with the reason told.
func TestSoldOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		subnets := w.cloud.Subnets()
		sell := func(n int, zones ...fakeaws.Subnet) {
			for _, s := range zones {
				if err := w.cloud.SetCapacity("t3.medium", s.Zone, n); err != nil {
					t.Fatal(err)
				}
			}
		}
		sell(0, subnets[0])
		w.launch(w.workload("a", "alice"))
		w.until("a", launcher.Running)
		if h := w.hosts(); len(h) != 1 || h[0].Zone == subnets[0].Zone {
			t.Errorf("hosts are %+v, want one outside %s", h, subnets[0].Zone)
		}
		// Sold out is HTTP 500, which the SDK would ask again and again.
		if n := w.calls("ec2:RunInstances"); n != 2 {
			t.Errorf("EC2 was asked %d times to sell, want once in each of two zones", n)
		}
		time.Sleep(4 * time.Minute) // what was learnt about the first zone is forgotten
		sell(0, subnets...)
		w.launch(w.workload("b", "bob"))
		time.Sleep(time.Minute)
		s, err := launcher.Get(t.Context(), w.fleet, "b")
		if err != nil || s.Phase != launcher.Queued || s.Reason != launcher.ErrCapacity || !strings.Contains(s.Message, "t3.medium") {
			t.Errorf("sold out everywhere it is %+v, %v; want queued for want of capacity, and the type named", s, err)
		}
		before := w.calls("ec2:RunInstances")
		for range 240 { // the reason stays told, also while it is tried again
			time.Sleep(time.Second / 2)
			if s, err := launcher.Get(t.Context(), w.fleet, "b"); err != nil || s.Reason != launcher.ErrCapacity {
				t.Fatalf("while it waits for capacity it is %+v, %v", s, err)
			}
		}
		if n := w.calls("ec2:RunInstances") - before; n > 0 {
			t.Errorf("sold-out zones were asked %d times again within three minutes", n)
		}
		sell(10, subnets...)
		w.until("b", launcher.Running)
	})
}

// A quota is said to be one, with whose turn it is.
func TestQuota(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		if err := w.cloud.SetQuota(fakeaws.QuotaStandard, 2); err != nil {
			t.Fatal(err)
		}
		w.launch(w.workload("a", "alice"))
		w.until("a", launcher.Running)
		w.launch(w.workload("b", "bob"))
		time.Sleep(time.Minute)
		s, err := launcher.Get(t.Context(), w.fleet, "b")
		if err != nil || s.Phase != launcher.Queued || s.Reason != launcher.ErrQuota || !strings.Contains(s.Message, "administrator") {
			t.Errorf("over the quota it is %+v, %v", s, err)
		}
		for range 300 { // the reason stays told, also while it is tried again
			time.Sleep(time.Second)
			if s, err := launcher.Get(t.Context(), w.fleet, "b"); err != nil || s.Reason != launcher.ErrQuota {
				t.Fatalf("while the quota is full it is %+v, %v", s, err)
			}
		}
		if err := w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		w.until("b", launcher.Running) // when alice's host has lingered and gone
	})
}

// What no waiting cures is said once, at once.
func TestDenied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Deny = []string{"ec2:RunInstances"}
		w := newWorld(t, account, nil)
		w.launch(w.workload("a", "alice"))
		s := w.until("a", launcher.Exited)
		if s.Reason != launcher.ErrDenied || !strings.Contains(s.Message, "UnauthorizedOperation") || !strings.Contains(s.Message, "administrator") {
			t.Errorf("it ended with %q: %q; want why, and whose turn it is", s.Reason, s.Message)
		}
		if n := w.calls("ec2:RunInstances"); n != 1 {
			t.Errorf("EC2 was asked %d times", n)
		}
	})
}

// Who shares a host with whom is the workload's choice.
func TestSharing(t *testing.T) {
	for _, c := range []struct {
		sharing launcher.Sharing
		hosts   int
	}{{launcher.PerOwner, 2}, {launcher.Exclusive, 4}, {launcher.Pool, 1}} {
		t.Run("sharing="+string(c.sharing), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, realistic, nil)
				ids := []string{"a", "b", "c", "d"}
				for i, id := range ids {
					work := w.workload(id, []string{"alice", "bob"}[i%2])
					work.Sharing = c.sharing
					w.launch(work)
				}
				on := map[string]bool{}
				for _, id := range ids {
					on[w.until(launcher.ID(id), launcher.Running).Host] = true
				}
				if len(on) != c.hosts {
					t.Errorf("four workloads of two owners run on %d hosts, want %d", len(on), c.hosts)
				}
			})
		})
	}
}

// A host of one's own is shared with nobody, not even with oneself.
func TestExclusiveStaysAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		alone := w.workload("a", "alice")
		alone.Sharing = launcher.Exclusive
		w.launch(alone)
		host := w.until("a", launcher.Running).Host
		w.launch(w.workload("b", "alice"))
		if s := w.until("b", launcher.Running); s.Host == host {
			t.Error("another workload of the owner's was placed beside an exclusive one")
		}
		if err := w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		w.until("a", launcher.Exited)
		time.Sleep(2 * time.Minute)
		for _, h := range w.hosts() {
			if h.ID == host {
				t.Error("a host that nobody may use any more lingers")
			}
		}
	})
}

// An empty host lingers for the next workload, and then goes.
func TestLinger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		host := w.until("a", launcher.Running).Host
		stop := func(id launcher.ID) {
			if err := w.fleet.Stop(t.Context(), id, launcher.StopOptions{}); err != nil {
				t.Fatal(err)
			}
			w.until(id, launcher.Exited)
		}
		stop("a")
		time.Sleep(4 * time.Minute)
		w.launch(w.workload("b", "alice"))
		if s := w.until("b", launcher.Running); s.Host != host {
			t.Errorf("it runs on %s, want the lingering %s", s.Host, host)
		}
		stop("b")
		time.Sleep(4 * time.Minute)
		if n := len(w.instances("running")); n != 1 {
			t.Error("the host went before it had lingered")
		}
		time.Sleep(3 * time.Minute)
		if n := len(w.instances("pending", "running")); n != 0 {
			t.Error("the host lingers on")
		}
	})
}

// Credentials that have expired are renewed by somebody; nobody's session ends
// for them.
func TestExpiredCredentials(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		for n := 1; n <= 3; n++ {
			account.Faults = append(account.Faults, fakeaws.Fault{Action: "ec2:RunInstances", Nth: n, Status: 400, Code: "RequestExpired"})
		}
		w := newWorld(t, account, nil)
		w.launch(w.workload("a", "alice"))
		w.until("a", launcher.Running)
		if n := w.calls("ec2:RunInstances"); n != 4 {
			t.Errorf("EC2 was asked %d times, want 4: the first three were refused", n)
		}
	})
}

// TestReasonsBesideWhatIsTooSmall: an alternative that has no room for a workload
// hides neither why the others are not to be had nor that they never will be.
func TestReasonsBesideWhatIsTooSmall(t *testing.T) {
	for name, test := range map[string]struct {
		account fakeaws.Config
		says    string
		phase   launcher.Phase
	}{
		"SoldOut": {fakeaws.Config{Delays: fakeaws.Realistic(), SoldOut: []fakeaws.Shortage{{Type: "*"}}}, "AWS has no r5.large", launcher.Queued},
		"Denied":  {fakeaws.Config{Delays: fakeaws.Realistic(), Deny: []string{"ec2:RunInstances"}}, "UnauthorizedOperation", launcher.Exited},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, test.account, nil)
				a := w.workload("a", "alice")
				a.InstanceType, a.Alternatives = "t3.medium", []string{"r5.large"}
				a.Resources = launcher.Resources{MilliCPU: 1000, MemoryMiB: 8 << 10}
				w.launch(a)
				time.Sleep(time.Minute)
				s, err := launcher.Get(t.Context(), w.fleet, "a")
				if err != nil || s.Phase != test.phase || !strings.Contains(s.Message, test.says) {
					t.Errorf("it is %+v, %v", s, err)
				}
			})
		})
	}
}

// TestReasonOfAHostThatCameToNothing: what was to run on a host that never came up
// tells so until it runs elsewhere.
func TestReasonOfAHostThatCameToNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Stillborn = 1
		w := newWorld(t, account, func(c *ec2launcher.Config) { c.BootDeadline = 2 * time.Minute })
		w.launch(w.workload("a", "alice"))
		w.told("a", func(s launcher.Status) bool {
			return strings.Contains(s.Message, "came to nothing: its engine did not answer")
		})
		for range 60 {
			time.Sleep(2 * time.Second)
			if s, err := launcher.Get(t.Context(), w.fleet, "a"); err != nil || s.Reason != launcher.ErrUnavailable || !strings.Contains(s.Message, "came to nothing") {
				t.Fatalf("it is %+v, %v", s, err)
			}
		}
	})
}

// TestLingerAnew: a host that gets work while it lingers is kept for as long again
// when that has ended, however long it ran.
func TestLingerAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) { c.Linger = 4 * time.Minute })
		first := w.run(w.workload("a", "alice"))
		time.Sleep(20 * time.Minute)
		w.must(w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}))
		time.Sleep(2 * time.Minute)
		if again := w.run(w.workload("b", "alice")); again.Host != first.Host {
			t.Fatal("it runs elsewhere")
		}
		time.Sleep(20 * time.Minute)
		w.must(w.fleet.Stop(t.Context(), "b", launcher.StopOptions{}))
		time.Sleep(3 * time.Minute)
		if h := w.host(first.Host); h.State != ec2launcher.HostReady {
			t.Errorf("three minutes later it is %s", h.State)
		}
		time.Sleep(3 * time.Minute)
		if h := w.host(first.Host); h.State == ec2launcher.HostReady {
			t.Error("it is kept for longer than it should")
		}
	})
}

// TestNothingIsBoughtTwice: two that wait for hosts of different types, of which one
// would also take the other's, get one each.
func TestNothingIsBoughtTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		either, only := w.workload("either", "alice"), w.workload("only", "bob")
		either.InstanceType, either.Alternatives = "t3.large", []string{"c5d.large"} // which is smaller, and dearer
		either.Resources.MemoryMiB, either.Sharing = 2<<10, launcher.Exclusive
		only.InstanceType, only.Sharing = "c5d.large", launcher.Exclusive
		w.launch(either)
		w.launch(only)
		w.until("either", launcher.Running)
		w.until("only", launcher.Running)
		if n := len(w.hosts()); n != 2 {
			t.Errorf("%d hosts were bought: %+v", n, w.hosts())
		}
	})
}

// TestOvercommit: processors that are given away twice hold twice as many, and none
// gets more than the machine has.
func TestOvercommit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) { c.Overcommit.CPU = 2 })
		hosts := map[string]bool{}
		for _, id := range []string{"a", "b", "c", "d"} {
			work := w.pooled(id)
			work.Resources.MilliCPU = 1000
			hosts[w.run(work).Host] = true
		}
		if len(hosts) != 1 {
			t.Errorf("four halves of a machine are on %d", len(hosts))
		}
		large := w.pooled("large")
		large.Resources.MilliCPU = 3000
		if _, err := w.fleet.Launch(t.Context(), large); !errors.Is(err, launcher.ErrInvalid) {
			t.Errorf("more than the machine has: %v", err)
		}
	})
}
