// Package hosttest boots hosts without EC2: the user data of package hostboot
// runs for real, in namespaces of its own on a copy of this machine's files,
// with this machine's Docker, containerd, automounter, iptables and curl.
// Stand-ins are systemd, the EFS mount helper, the data disk, and AWS.
package hosttest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/internal/realtest"
)

const (
	// Address is the host's, Outside that of whatever is beyond it.
	Address, Outside = "10.99.0.1", "10.99.0.2"
	// VPC and VPCToo are the ranges of the host's VPC.
	VPC, VPCToo = "10.99.0.0/16", "100.64.0.0/16"
	// DNS is EC2's name server, which listens beyond the host if a test does.
	DNS             = "169.254.169.253"
	metadataAddress = "169.254.169.254"
	endpoint        = Outside + ":8000"
)

// Config is what a host boots with.
type Config struct {
	UserData string
	// AWS answers the host.
	AWS *AWS
	// KeysWithin is how long the host tries to get its keys, in seconds.
	KeysWithin int
}

// A Machine is a host that boots, or has booted. It ends with its test.
type Machine struct {
	testing.TB
	pid     int    // the first process of the host's namespaces
	outside int    // a process in the network beyond
	disk    string // the data disk's device
}

var (
	//go:embed init.sh
	initScript string
	//go:embed systemctl.sh
	systemctl string
	//go:embed mount.sh
	mount string
	//go:embed mount.efs.sh
	mountEFS string
	//go:embed cloud-init.py
	cloudInit string
)

// needed are programs that a host has.
var needed = []string{
	"automount", "containerd", "curl", "docker", "dockerd", "ip", "ip6tables", "iptables", "losetup", "mkfs.xfs", "nsenter", "pgrep", "python3", "ss", "unshare",
}

// New makes a machine that has not booted yet. Without root or a program that a
// host has it skips the test.
func New(t testing.TB, c Config) *Machine {
	t.Helper()
	dockertest.Engine(t) // which tells whether containers can run here at all
	if os.Getuid() != 0 {
		realtest.Missing(t, "a host of the test's own needs root")
	}
	for _, name := range needed {
		if _, err := exec.LookPath(name); err != nil {
			realtest.Missing(t, "a host of the test's own needs %s: %v", name, err)
		}
	}
	dir, err := os.MkdirTemp("/tmp", "host-") //nolint:usetesting // mounts outlive the test by a moment
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &Machine{TB: t}
	m.outside = m.start("unshare", "--net", "sh", "-c", "ip link set lo up && ip addr add "+metadataAddress+"/32 dev lo && ip addr add "+DNS+"/32 dev lo && exec sleep infinity")
	parent := m.start("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", initScript, "init", dir)
	m.Await("the machine is there", func() bool {
		out, _ := exec.Command("pgrep", "-P", strconv.Itoa(parent)).Output()
		m.pid, _ = strconv.Atoi(strings.TrimSpace(string(out)))
		return m.pid > 0 && m.Has("/run/ready")
	})
	t.Cleanup(m.end)
	m.connect()

	disk := filepath.Join(dir, "disk")
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 4<<30)); err != nil { // little of it is written
		t.Fatal(err)
	}
	m.disk = strings.TrimSpace(m.command("losetup", "--find", "--show", disk))
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", m.disk).Run() })

	m.Write("/usr/bin/systemctl", systemctl, 0o755)
	m.Write("/usr/local/bin/mount", mount, 0o755)
	m.Write("/sbin/mount.efs", mountEFS, 0o755)
	m.Write("/run/user-data", c.UserData, 0o600)
	m.command("nsenter", m.enter("python3", "-c", cloudInit)...)
	env := []string{m.Read("/etc/atelier/host.env")}
	for name, value := range map[string]string{
		"SECRETS_ENDPOINT": "http://" + endpoint, "LOGS_ENDPOINT": "http://" + endpoint,
		"DATA_DEVICE": m.disk, "KEYS_WITHIN": strconv.Itoa(c.KeysWithin),
	} {
		env = append(env, name+"="+value+"\n") // the last one counts
	}
	m.Write("/etc/atelier/host.env", strings.Join(env, ""), 0o644)
	c.AWS.serve(m)
	return m
}

// Boot does what cloud-init does after it has written the files.
func (m *Machine) Boot() (string, error) { return m.Run("bash", "/run/runcmd") }

// DataDevice is the host's data disk.
func (m *Machine) DataDevice() string { return m.disk }

// Run runs a command on the host and returns its output.
func (m *Machine) Run(args ...string) (string, error) {
	out, err := exec.Command("nsenter", m.enter(args...)...).CombinedOutput()
	return string(out), err
}

// enter is a command line that runs on the host.
func (m *Machine) enter(args ...string) []string {
	return append([]string{"--target", strconv.Itoa(m.pid), "--mount", "--net", "--pid", "--root", "--", "env", "--chdir=/"}, args...)
}

// Docker runs the engine's command on the host and returns its output, without
// the last line's end.
func (m *Machine) Docker(args ...string) string {
	m.Helper()
	out, err := m.Run(append([]string{"docker"}, args...)...)
	if err != nil {
		m.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSuffix(out, "\n")
}

// Load gives the host's engine the images of package dockertest.
func (m *Machine) Load() {
	m.Helper()
	archive := "/run/images.tar"
	m.command("docker", "save", "-o", m.Path(archive), dockertest.Image, dockertest.Hostile)
	m.Docker("load", "-q", "-i", archive)
}

// Path is where a file of the host's is for this process.
func (m *Machine) Path(name string) string { return fmt.Sprintf("/proc/%d/root%s", m.pid, name) }

// Has reports whether the host has a file.
func (m *Machine) Has(name string) bool {
	_, err := os.Lstat(m.Path(name))
	return err == nil
}

// Read returns what is in a file of the host's; nothing if there is none.
func (m *Machine) Read(name string) string {
	text, err := os.ReadFile(m.Path(name))
	if err != nil && !os.IsNotExist(err) {
		m.Fatal(err)
	}
	return string(text)
}

// Write makes a file on the host.
func (m *Machine) Write(name, text string, mode os.FileMode) {
	m.Helper()
	_ = os.Remove(m.Path(name)) // it may be a link
	if err := os.WriteFile(m.Path(name), []byte(text), mode); err != nil {
		m.Fatal(err)
	}
}

// Dial connects from beyond the host to one of its ports.
func (m *Machine) Dial(port int) (net.Conn, error) {
	return m.DialContext(m.Context(), "tcp", net.JoinHostPort(Address, strconv.Itoa(port)))
}

// DialContext connects from beyond the host.
func (m *Machine) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = within(m.outside, func() error {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Take gives the host another address.
func (m *Machine) Take(address string) {
	m.Helper()
	m.command("nsenter", m.enter("ip", "address", "replace", address+"/32", "dev", "lo")...)
}

// RestartEngine ends the engine and starts it again, which breaks every
// connection to it.
func (m *Machine) RestartEngine(signal string) {
	m.Helper()
	if out, err := m.Run("pkill", "-"+signal, "-x", "dockerd"); err != nil {
		m.Fatal(err, out)
	}
	m.Await("the engine has ended", func() bool {
		_, err := m.Run("pgrep", "-x", "dockerd")
		return err != nil
	})
	_, _ = m.Run("rm", "-f", "/var/run/docker.pid") // which a killed one leaves
	if out, err := m.Run("systemctl", "start", "docker.service"); err != nil {
		m.Fatal(err, out, m.Read("/run/docker.log"))
	}
}

// Listen accepts connections beyond the host until the test ends.
func (m *Machine) Listen(address string) net.Listener { return m.listen(m.outside, address) }

// ListenInside accepts connections on the host.
func (m *Machine) ListenInside(address string) net.Listener { return m.listen(m.pid, address) }

func (m *Machine) listen(where int, address string) (l net.Listener) {
	m.Helper()
	err := within(where, func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { l.Close() })
	return l
}

// Await waits until something is so.
func (m *Machine) Await(what string, so func() bool) {
	m.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.Fatalf("not within half a minute: %s", what)
		}
	}
}

// connect lays a cable between the host and what is beyond, which is also its way
// to the metadata service.
func (m *Machine) connect() {
	m.Helper()
	host, beyond := strconv.Itoa(m.pid), strconv.Itoa(m.outside)
	m.Await("there are two networks", func() bool {
		here, _ := os.Readlink("/proc/self/ns/net")
		there, err := os.Readlink("/proc/" + beyond + "/ns/net")
		return err == nil && here != there
	})
	name := "at" + host // in this network for a moment
	m.command("ip", "link", "add", name, "netns", beyond, "type", "veth", "peer", "name", "eth0", "netns", host)
	for where, lines := range map[string][]string{
		beyond: {"addr add " + Outside + "/24 dev " + name, "link set " + name + " up", "route add default via " + Address},
		host:   {"addr add " + Address + "/24 dev eth0", "link set eth0 up", "route add default via " + Outside},
	} {
		for _, line := range lines {
			m.command("nsenter", append([]string{"--target", where, "--net", "--", "ip"}, strings.Fields(line)...)...)
		}
	}
}

// end removes what runs on the host: the kernel's record of containers is not in
// its namespaces.
func (m *Machine) end() {
	if m.Failed() {
		for _, name := range []string{"/run/atelier/boot.log", "/run/docker.log"} {
			text := m.Read(name)
			m.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
		}
	}
	if m.Has("/run/docker.sock") {
		_, _ = m.Run("sh", "-c", "docker ps -aq | xargs -r docker rm -f")
	}
}

// start starts a command that runs for as long as the test.
func (m *Machine) start(name string, args ...string) int {
	m.Helper()
	c := exec.Command(name, args...)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c.Process.Pid
}

// command runs a command here and returns its output.
func (m *Machine) command(name string, args ...string) string {
	m.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		m.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// within runs f in the network of a process.
func within(pid int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil {
			err = unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
			network.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
