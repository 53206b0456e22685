package ec2launcher_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

// serving is a workload that answers on a port of its host, or on any. There is room
// for several on one host, whoever has them.
func (w *world) serving(id string, hostPort int) launcher.Workload {
	work := w.workload(id, "owner-of-"+id)
	work.InstanceType, work.Sharing = "m5.xlarge", launcher.Pool
	work.Command = []string{"serve", "8787"}
	work.Ports = []launcher.Port{{Name: "http", Number: 8787, HostPort: hostPort}}
	return work
}

// serves waits until a workload runs, checks that it is reached where its status says,
// on a port of its host if that is not 0, and returns both.
func (w *world) serves(id launcher.ID, hostPort int) (host string, port int) {
	w.Helper()
	s := w.until(id, launcher.Running)
	address, text, err := net.SplitHostPort(s.Endpoints["http"])
	if err != nil {
		w.Fatalf("%s is at %v: %v", id, s.Endpoints, err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || hostPort != 0 && port != hostPort {
		w.Errorf("%s is at %s; want port %d", id, s.Endpoints["http"], hostPort)
	}
	for _, h := range w.hosts() {
		if h.ID == s.Host && h.Address != address {
			w.Errorf("%s is at %s, and its host at %s", id, address, h.Address)
		}
	}
	synctest.Wait() // it listens
	conn, err := w.fleet.Dial(w.Context(), id, "http")
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close()
	got := make([]byte, 5)
	_, err = io.WriteString(conn, "hello")
	if _, readErr := io.ReadFull(conn, got); err != nil || readErr != nil || string(got) != "hello" {
		w.Errorf("%s answers %q, %v, %v", id, got, err, readErr)
	}
	return s.Host, port
}

// refusals is how often hosts have refused a workload for want of room.
func (w *world) refusals(id launcher.ID) int {
	w.Helper()
	r, err := w.store.Get(w.Context(), "test.workloads", string(id))
	if err != nil {
		w.Fatal(err)
	}
	var record struct{ Refusals int }
	if err := json.Unmarshal(r.Value, &record); err != nil {
		w.Fatal(err)
	}
	return record.Refusals
}

// Workloads that name the same port of their host are on hosts of their own, and what
// names another shares one with them.
func TestFixedHostPorts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()}, nil)
		for id, port := range map[string]int{"a": 8787, "b": 8787, "c": 8888, "d": 65535} {
			w.launch(w.serving(id, port))
		}
		hosts := map[string]bool{}
		a, _ := w.serves("a", 8787)
		b, _ := w.serves("b", 8787)
		c, _ := w.serves("c", 8888)
		d, _ := w.serves("d", 65535)
		hosts[a], hosts[b], hosts[c], hosts[d] = true, true, true, true
		if a == b || len(hosts) != 2 {
			t.Errorf("they are on %s, %s, %s and %s; want two hosts, a and b on one each", a, b, c, d)
		}
		for _, id := range []launcher.ID{"a", "b", "c", "d"} {
			if n := w.refusals(id); n != 0 {
				t.Errorf("%s was refused %d times", id, n)
			}
		}

		// A host whose port is free again is used again.
		if err := w.fleet.Stop(t.Context(), "b", launcher.StopOptions{Signal: "SIGKILL"}); err != nil {
			t.Fatal(err)
		}
		w.until("b", launcher.Exited)
		w.launch(w.serving("e", 8787))
		if e, _ := w.serves("e", 8787); e != b {
			t.Errorf("it is on %s; the port was free on %s", e, b)
		}
	})
}

// A port that the engine has given to another workload is not asked of its host.
func TestFixedHostPortThatTheEngineGave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()}, nil)
		w.launch(w.serving("any", 0))
		first, port := w.serves("any", 0)
		w.launch(w.serving("fixed", port))
		if second, _ := w.serves("fixed", port); second == first {
			t.Errorf("both are on %s at %d", first, port)
		}
		if n := w.refusals("fixed"); n != 0 {
			t.Errorf("it was asked of a host that had given the port away, %d times", n)
		}
		w.launch(w.serving("other", port+1)) // its host is not taken for full
		if other, _ := w.serves("other", port+1); other != first {
			t.Errorf("what has its port free on %s is on %s", first, other)
		}
	})
}

// Of two that come at once the engine may give one's port to the other: then it goes
// to another host.
func TestFixedHostPortThatTheEngineGives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()}, nil)
		const first = 30000 // of those that the engine gives
		var names []launcher.ID
		for n := range 4 {
			any, fixed := fmt.Sprint("any-", n), fmt.Sprint("fixed-", n)
			w.launch(w.serving(any, 0))
			w.launch(w.serving(fixed, first+n))
			names = append(names, launcher.ID(any), launcher.ID(fixed))
		}
		at := map[string]bool{}
		for _, id := range names {
			want := 0
			if n, ok := strings.CutPrefix(string(id), "fixed-"); ok {
				want = first + int(n[0]-'0')
			}
			host, port := w.serves(id, want)
			where := fmt.Sprint(host, ":", port)
			if at[where] {
				t.Errorf("two are at %s", where)
			}
			at[where] = true
		}
	})
}

// A port that a host needs, or that nobody reaches, is refused before anything is bought.
func TestFixedHostPortRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{}, nil)
		for _, port := range []int{1, 22, 1023, 2376} {
			_, err := w.fleet.Launch(t.Context(), w.serving("a", port))
			wantError(t, err, launcher.ErrInvalid, `port "http": host port `+strconv.Itoa(port), "1024 to 65535 other than 2376", "0 for any")
		}
		bad := w.serving("a", 80)
		bad.InstanceType, bad.Owner = "t3.colossal", ""
		_, err := w.fleet.Launch(t.Context(), bad)
		wantError(t, err, launcher.ErrInvalid, "host port 80", "t3.colossal", "owner")
		bad = w.serving("a", -1)
		_, err = w.fleet.Launch(t.Context(), bad)
		wantError(t, err, launcher.ErrInvalid, "host port -1")
		if n := w.calls("ec2:RunInstances"); n != 0 {
			t.Errorf("%d purchases", n)
		}
		w.launch(w.serving("a", 1024))
		w.serves("a", 1024)
	})
}

func wantError(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%v; want %v", err, kind)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %q", err, word)
		}
	}
}
