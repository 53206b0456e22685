package hostboot_test

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/launcher/ec2launcher/internal/hosttest"
)

// TestIsolation shows what a container reaches of what it must not: nothing with
// the host's rules, and each thing without the rule for it, so that it is the
// rule that does it. The containers' network lets them reach each other as far
// as the engine goes.
func TestIsolation(t *testing.T) {
	m := boot(t, newAuthority(t))
	m.Load()
	m.Docker("network", "create", "-o", "com.docker.network.bridge.name=atelier0", "sessions")
	m.Docker("run", "-d", "--name", "other", "--network", "sessions", "-p", "30000:8787", dockertest.Image, "serve", "8787")
	other := m.Docker("inspect", "-f", "{{.NetworkSettings.Networks.sessions.IPAddress}}", "other")
	gateway := m.Docker("inspect", "-f", "{{.NetworkSettings.Networks.sessions.Gateway}}", "other")
	for _, l := range []net.Listener{
		m.Listen(hosttest.Outside + ":2049"), m.Listen(hosttest.Outside + ":" + strconv.Itoa(config.EnginePort)), m.Listen(hosttest.Outside + ":443"), m.Listen(hosttest.Outside + ":30001"),
		m.Listen(hosttest.DNS + ":53"), m.Listen(hosttest.DNS + ":123"), m.ListenInside(":9100"),
	} {
		go accept(l)
	}
	reach := func(network, address string) bool {
		t.Helper()
		got := m.Docker("run", "--rm", "--network", network, dockertest.Hostile, "connect", address)
		if got != "connected" && !strings.HasPrefix(got, "refused: ") {
			t.Fatalf("connect %s: %q", address, got)
		}
		return got == "connected"
	}
	iptables := func(args ...string) {
		t.Helper()
		if out, err := m.Run(append([]string{"iptables"}, args...)...); err != nil {
			t.Fatalf("iptables %q: %v\n%s", args, err, out)
		}
	}
	engine := strconv.Itoa(config.EnginePort)
	for _, c := range []struct {
		name, network, address, rule string
	}{
		{"Container", "sessions", other + ":8787", "ATELIER-CONTAINER -o atelier0 -j REJECT"},
		{"PublishedPort", "sessions", hosttest.Address + ":30000", "ATELIER-CONTAINER -o atelier0 -j REJECT"},
		{"PublishedPortByGateway", "sessions", gateway + ":30000", "ATELIER-CONTAINER -o atelier0 -j REJECT"},
		{"Metadata", "sessions", "169.254.169.254:80", "ATELIER-CONTAINER -d 169.254.0.0/16 -j REJECT"},
		{"MetadataFromDefaultNetwork", "bridge", "169.254.169.254:80", "ATELIER-CONTAINER -d 169.254.0.0/16 -j REJECT"},
		{"FileSystem", "sessions", hosttest.Outside + ":2049", "ATELIER-CONTAINER -p tcp --dport 2049 -m conntrack --ctdir ORIGINAL -j REJECT"},
		{"Engine", "sessions", hosttest.Address + ":" + engine, "ATELIER-INPUT -i atelier0 -j REJECT"},
		{"EngineByGateway", "sessions", gateway + ":" + engine, "ATELIER-INPUT -i atelier0 -j REJECT"},
		{"EngineOfAnotherHost", "sessions", hosttest.Outside + ":" + engine, "ATELIER-CONTAINER -p tcp --dport " + engine + " -m conntrack --ctdir ORIGINAL -j REJECT"},
		{"SessionOfAnotherHost", "sessions", hosttest.Outside + ":30001", "ATELIER-CONTAINER -d " + hosttest.VPC + " -p tcp --dport 30000:32767 -m conntrack --ctdir ORIGINAL -j REJECT"},
		{"HostPort", "sessions", hosttest.Address + ":9100", "ATELIER-INPUT -i atelier0 -j REJECT"},
		{"HostPortFromDefaultNetwork", "bridge", hosttest.Address + ":9100", "ATELIER-INPUT -i docker0 -j REJECT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Run("WithRule", func(t *testing.T) {
				if reach(c.network, c.address) {
					t.Errorf("a container reaches %s", c.address)
				}
			})
			t.Run("WithoutRule", func(t *testing.T) {
				iptables(append([]string{"-D"}, strings.Fields(c.rule)...)...)
				if !reach(c.network, c.address) {
					t.Errorf("without its rule a container does not reach %s either: this shows nothing", c.address)
				}
				if out, err := m.Run("/usr/local/libexec/atelier/firewall"); err != nil {
					t.Fatal(err, out)
				}
			})
		})
	}
	t.Run("NetworkBeyond", func(t *testing.T) {
		for address, want := range map[string]bool{hosttest.Outside + ":443": true, hosttest.DNS + ":53": true, hosttest.DNS + ":123": false} {
			if reach("sessions", address) != want {
				t.Errorf("a container reaches %s: %v", address, !want)
			}
		}
	})
	t.Run("FromOutside", func(t *testing.T) {
		if out, err := m.Run("pgrep", "-x", "docker-proxy"); err == nil {
			t.Errorf("a program of the engine's stands between, which hides who calls: %s", out)
		}
		conn, err := m.Dial(30000)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
			t.Errorf("the session's port answers %q, %v", got, err)
		}
	})
}

// accept takes connections until there are none to come.
func accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.Close()
	}
}
