package hostboot_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/launcher/ec2launcher/internal/hostboot"
	"github.com/atelier-go/atelier/launcher/ec2launcher/internal/hosttest"
)

const serverName = "research.hosts.atelier.internal"

// An authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// issue returns a certificate and its key, as PEM, valid until a time.
func (a authority) issue(t *testing.T, use x509.ExtKeyUsage, until time.Time) (cert, key []byte) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "one"}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, own.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

// client is a configuration with a certificate of the authority's.
func (a authority) client(t *testing.T, until time.Time) *tls.Config {
	t.Helper()
	pair, err := tls.X509KeyPair(a.issue(t, x509.ExtKeyUsageClientAuth, until))
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// secret is what a host reads.
func (a authority) secret(t *testing.T) string {
	t.Helper()
	cert, key := a.issue(t, x509.ExtKeyUsageServerAuth, a.cert.NotAfter)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	text, err := json.Marshal(map[string]string{"ca": string(ca), "cert": string(cert), "key": string(key)})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// boot returns a host that has booted.
func boot(t *testing.T, a authority) *hosttest.Machine {
	t.Helper()
	m := hosttest.New(t, hosttest.Config{
		UserData: hostboot.UserData(config), KeysWithin: 20,
		AWS: &hosttest.AWS{Region: config.Region, SecretName: config.Secret, Secret: a.secret(t)},
	})
	if out, err := m.Boot(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return m
}

func TestBoot(t *testing.T) {
	ours := newAuthority(t)
	m := boot(t, ours)

	t.Run("Order", func(t *testing.T) {
		want := []string{
			"daemon-reload", "enable --now atelier-power.timer", "mask --now --no-block ecs.service", "stop docker.socket docker.service",
			"enable --now autofs.service", "reset-failed docker.service docker.socket", "start docker.service",
		}
		if got := strings.Split(strings.TrimSpace(m.Read("/run/systemctl.log")), "\n"); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("systemd was told %q, want %q", got, want)
		}
	})
	t.Run("Disk", func(t *testing.T) {
		out, err := m.Run("findmnt", "-no", "FSTYPE", "/var/lib/docker")
		if calls := m.Read("/run/mount.log"); err != nil || out != "xfs\n" || !strings.HasPrefix(calls, "-o prjquota /dev/loop") {
			t.Errorf("images and containers are on %q (%v), mounted by %q; want xfs with project quotas", out, err, calls)
		}
		if out, err := m.Run("/usr/local/libexec/atelier/disk"); err != nil {
			t.Errorf("again: %v\n%s", err, out)
		}
	})
	t.Run("Keys", func(t *testing.T) {
		out, err := m.Run("stat", "-c", "%a %U", "/run/atelier/tls", "/run/atelier/tls/ca.pem", "/run/atelier/tls/cert.pem", "/run/atelier/tls/key.pem")
		if want := "700 root\n600 root\n600 root\n600 root\n"; err != nil || out != want {
			t.Errorf("keys have %q (%v), want %q", out, err, want)
		}
		out, err = m.Run("findmnt", "-no", "FSTYPE", "--target", "/run/atelier/tls")
		if err != nil || out != "tmpfs\n" {
			t.Errorf("keys are on %q (%v), want memory", out, err)
		}
	})
	t.Run("Certificates", func(t *testing.T) { certificates(t, m, ours) })
	m.Load()
	t.Run("Engine", func(t *testing.T) {
		if got := m.Docker("info", "-f", "{{.Labels}}"); got != "["+hostboot.InstanceLabel+"=i-0123456789abcdef0]" {
			t.Errorf("the engine says of itself %s", got)
		}
		if got := m.Docker("info", "-f", "{{.LiveRestoreEnabled}} {{.LoggingDriver}} {{.Driver}}"); got != "true local overlay2" {
			t.Errorf("the engine is %q", got)
		}
		if got := m.Docker("network", "inspect", "-f", `{{index .Options "com.docker.network.bridge.enable_icc"}}`, "bridge"); got != "false" {
			t.Errorf("on the default network containers reach each other: %s", got)
		}
		m.Docker("create", "--name", "logs", dockertest.Image)
		if got, want := m.Docker("inspect", "-f", "{{.HostConfig.LogConfig}}", "logs"), "{local map[max-file:5 max-size:20m]}"; got != want {
			t.Errorf("logs are %q, want %q", got, want)
		}
		if got := m.Docker("run", "--rm", dockertest.Image, "read", "/proc/self/status"); !strings.Contains(got, "NoNewPrivs:\t1") {
			t.Errorf("containers may gain privileges: %s", got)
		}
	})
	t.Run("Homes", func(t *testing.T) { homes(t, m) })
	t.Run("EngineRestart", func(t *testing.T) { restart(t, m) })
	t.Run("PowerOff", func(t *testing.T) { powerOff(t, m, ours) })
}

// certificates shows who is answered: whoever has the right one, and nobody else.
func certificates(t *testing.T, m *hosttest.Machine, ours authority) {
	day := time.Now().Add(24 * time.Hour)
	for name, c := range map[string]struct {
		config *tls.Config
		want   string // in the error; the engine's own words depend on its age
	}{
		"Ours":    {ours.client(t, day), ""},
		"None":    {&tls.Config{}, "remote error: tls: "},
		"Foreign": {newAuthority(t).client(t, day), "remote error: tls: "},
		"Expired": {ours.client(t, time.Now().Add(-time.Hour)), "remote error: tls: "},
	} {
		t.Run(name, func(t *testing.T) {
			roots := x509.NewCertPool()
			roots.AddCert(ours.cert)
			c.config.RootCAs, c.config.ServerName, c.config.MinVersion = roots, serverName, tls.VersionTLS13
			// Foreign certificates are not offered by themselves: who asks has said which are known.
			if len(c.config.Certificates) > 0 {
				pair := c.config.Certificates[0]
				c.config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			got, err := ping(m, c.config)
			switch {
			case c.want == "" && (err != nil || !strings.HasSuffix(got, "OK")):
				t.Errorf("answer %q, error %v", got, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("answer %q, error %v; want an error with %q", got, err, c.want)
			}
		})
	}
	t.Run("Plain", func(t *testing.T) {
		conn, err := m.Dial(config.EnginePort)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got, _ := exchange(conn); strings.Contains(got, "200 OK") {
			t.Errorf("without TLS: %q", got)
		}
	})
}

// ping asks the engine whether it is there.
func ping(m *hosttest.Machine, c *tls.Config) (string, error) {
	plain, err := m.Dial(config.EnginePort)
	if err != nil {
		return "", err
	}
	conn := tls.Client(plain, c)
	defer conn.Close()
	return exchange(conn)
}

func exchange(conn net.Conn) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "GET /_ping HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	got, err := io.ReadAll(conn)
	return string(got), err
}

const (
	fileSystem = "fs-0123456789abcdef0"
	point      = "fsap-0fedcba9876543210"
)

// homes shows that access points are mounted when they are touched, also by the
// engine, and that nothing else is.
func homes(t *testing.T, m *hosttest.Machine) {
	if m.Has("/run/mount.efs.log") {
		t.Fatal("something is mounted before it was touched:", m.Read("/run/mount.efs.log"))
	}
	// What a container has mounted does not keep a home from expiring, which would
	// take its way to EFS from under it.
	if out, err := m.Run("findmnt", "-no", "OPTIONS", "/efs"); err != nil || !strings.Contains(out, ",timeout=0,") {
		t.Errorf("homes are mounted for %q (%v), want for good", out, err)
	}
	home := "/efs/" + fileSystem + "." + point
	got := m.Docker("run", "--rm", "--mount", "type=bind,source="+home+",target=/home", dockertest.Image, "read", "/home/name")
	if got != point {
		t.Errorf("in the container is %q, want what is in %s", got, point)
	}
	want := fileSystem + ":/ " + home + " -n -o rw,tls,iam,accesspoint=" + point + "\n"
	if got := m.Read("/run/mount.efs.log"); got != want {
		t.Errorf("the mount helper was called with %q, want %q", got, want)
	}
	for _, name := range []string{
		fileSystem, point, fileSystem + "." + point + ",noresvport", "fs-01234567.fsap-0123456G", "fs-01234567.fsap-0123456", "-o.x", "$(touch /pwned).fsap-01234567",
	} {
		if out, err := m.Run("ls", "/efs/"+name+"/"); err == nil {
			t.Errorf("/efs/%s: %s", name, out)
		}
	}
	if got := m.Read("/run/mount.efs.log"); got != want || m.Has("/pwned") {
		t.Errorf("after other names the mount helper was called with %q", got)
	}
}

// restart shows that neither containers nor rules are lost with the engine.
func restart(t *testing.T, m *hosttest.Machine) {
	id := m.Docker("run", "-d", dockertest.Image, "wait")
	before := rules(t, m)
	for _, kill := range []string{"TERM", "KILL"} {
		// As a host's owner might, or another program on it.
		if out, err := m.Run("iptables", "-F", "ATELIER-CONTAINER"); err != nil {
			t.Fatal(err, out)
		}
		m.RestartEngine(kill)
		if after := rules(t, m); after != before {
			t.Errorf("after a restart by %s the rules are\n%s\nwant\n%s", kill, after, before)
		}
		if got := m.Docker("inspect", "-f", "{{.State.Running}}", id); got != "true" {
			t.Errorf("after a restart by %s the container runs: %s", kill, got)
		}
	}
	m.Docker("rm", "-f", id)
}

// rules are our chains, and where they are called from: before anything that
// accepts.
func rules(t *testing.T, m *hosttest.Machine) string {
	t.Helper()
	var ours strings.Builder
	for _, tables := range []string{"iptables", "ip6tables"} {
		out, err := m.Run(tables, "-S")
		if err != nil {
			t.Fatal(err, out)
		}
		accepts := map[string]bool{}
		called := 0
		for line := range strings.Lines(out) {
			f := strings.Fields(line)
			chain, target := f[1], f[len(f)-1]
			switch {
			case f[0] != "-A":
			case strings.HasPrefix(chain, "ATELIER-"):
				ours.WriteString(tables + " " + line)
			case strings.HasPrefix(target, "ATELIER-") || target == "DOCKER-USER":
				called++
				if accepts[chain] {
					t.Errorf("%s: something is accepted before %s", tables, line)
				}
			case !strings.HasPrefix(target, "DOCKER-ISOLATION-"): // which drops, or returns
				accepts[chain] = true
			}
		}
		if called != 3 {
			t.Errorf("%s: our chains are called from %d places, want FORWARD, DOCKER-USER and INPUT:\n%s", tables, called, out)
		}
	}
	return ours.String()
}

// powerOff shows that a host stays up for a container and for a visitor, and
// without either until the time is over.
func powerOff(t *testing.T, m *hosttest.Machine, ours authority) {
	const check, busy, off = "/usr/local/libexec/atelier/power", "/run/atelier/busy", "/run/powered-off"
	look := func(what string, want bool) {
		t.Helper()
		if out, err := m.Run(check); err != nil {
			t.Fatal(err, out)
		}
		if m.Has(off) != want {
			t.Errorf("%s: powers off %v, want %v", what, !want, want)
		}
		m.Run("rm", "-f", off)
	}
	long := "-" + strconv.Itoa(int(config.PowerOffAfter.Seconds())+5) + " seconds"
	age := func() {
		t.Helper()
		if out, err := m.Run("touch", "-d", long, busy); err != nil {
			t.Fatal(err, out)
		}
	}
	look("just booted", false)
	id := m.Docker("run", "-d", dockertest.Image, "wait")
	age()
	look("a container runs", false)
	m.Docker("rm", "-f", id)
	look("a container has just ended", false)

	roots := x509.NewCertPool()
	roots.AddCert(ours.cert)
	visitor := ours.client(t, time.Now().Add(time.Hour))
	visitor.RootCAs, visitor.ServerName = roots, serverName
	plain, err := m.Dial(config.EnginePort)
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(plain, visitor)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	age()
	look("somebody is connected", false)
	conn.Close()
	m.Await("the connection is over", func() bool {
		out, _ := m.Run("ss", "-Htn", "state", "established", "sport", "=", ":"+strconv.Itoa(config.EnginePort))
		return out == ""
	})
	look("somebody has just left", false)
	age()
	look("empty and unvisited", true)
	if out, err := m.Run("rm", busy); err != nil {
		t.Fatal(err, out)
	}
	look("rebooted", true)
}

// TestBootEnds: whatever ends a boot early powers the host off, and soon.
func TestBootEnds(t *testing.T) {
	kill := func(signal string) func(m *hosttest.Machine) {
		return func(m *hosttest.Machine) {
			m.Write("/usr/local/libexec/atelier/disk", "#!/bin/bash\n"+signal+"kill -TERM $PPID; exec sleep 300 >/dev/null 2>&1\n", 0o755)
		}
	}
	for name, c := range map[string]struct {
		spoil func(m *hosttest.Machine)
		mute  bool // nobody is left to hear of it
	}{
		"Killed":       {spoil: kill("pkill -TERM -x tee; ")},
		"KilledAgain":  {spoil: kill("(sleep 1; pkill -TERM -x boot) >/dev/null 2>&1 & ")},
		"ReaderKilled": {spoil: kill("pkill -KILL -x tee; "), mute: true},
		"Unset": {spoil: func(m *hosttest.Machine) {
			m.Write("/etc/atelier/host.env", strings.Replace(m.Read("/etc/atelier/host.env"), "GPU=", "GONE=", 1), 0o644)
		}},
		"NoMetadata": {spoil: func(m *hosttest.Machine) {
			if out, err := m.Run("iptables", "-A", "OUTPUT", "-d", "169.254.169.254", "-j", "DROP"); err != nil {
				t.Fatal(err, out)
			}
		}},
		"NothingKnown": {spoil: func(m *hosttest.Machine) { m.Write("/etc/atelier/host.env", "false", 0o644) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := hosttest.New(t, hosttest.Config{UserData: hostboot.UserData(config), KeysWithin: 3, AWS: &hosttest.AWS{Region: config.Region}})
			c.spoil(m)
			begun := time.Now()
			out, err := m.Boot()
			if err == nil || !m.Has("/run/powered-off") || !c.mute && !strings.Contains(out, "this host powers off") {
				t.Errorf("the boot ends with %v, and the host powers off %v\n%s", err, m.Has("/run/powered-off"), out)
			}
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			if calls := m.Read("/run/systemctl.log"); !strings.HasPrefix(calls, "daemon-reload\nenable --now atelier-power.timer\n") {
				t.Errorf("what powers off an empty host does not run from the beginning:\n%s", calls)
			}
		})
	}
}

// TestPlace: a host knows every range of its VPC, or does not go on.
func TestPlace(t *testing.T) {
	const place = "/usr/local/libexec/atelier/place"
	const network = "network/interfaces/macs/02:00:00:00:00:01/"
	aws := &hosttest.AWS{IPv6: "2001:db8:1::/56\n2001:db8:2::/56"}
	m := hosttest.New(t, hosttest.Config{UserData: hostboot.UserData(config), AWS: aws})
	m.Run("mkdir", "/run/atelier")
	var mu sync.Mutex
	seen := map[string]bool{}
	once := func(path string) int { // the first request for anything
		mu.Lock()
		defer mu.Unlock()
		if seen[path] {
			return 0
		}
		seen[path] = true
		return 503
	}
	for name, c := range map[string]struct {
		broken func(string) int
		ok     bool
	}{
		"Whole":      {func(string) int { return 0 }, true},
		"BusyAtOnce": {once, true},
		"NoIPv4":     {func(p string) int { return map[string]int{network + "vpc-ipv4-cidr-blocks": 404}[p] }, false},
		"NoList":     {func(p string) int { return map[string]int{network: 404}[p] }, false},
		"Busy":       {func(p string) int { return map[string]int{network + "vpc-ipv6-cidr-blocks": 503}[p] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			m.Run("rm", "-f", "/run/atelier/place.env")
			aws.Break(c.broken)
			out, err := m.Run(place)
			got := m.Read("/run/atelier/place.env")
			if !c.ok && (err == nil || got != "") {
				t.Errorf("it goes on (%v) with\n%s", err, got)
			}
			want := "INSTANCE=i-0123456789abcdef0\nVPC_IPV4=\"10.99.0.0/16 100.64.0.0/16\"\nVPC_IPV6=\"2001:db8:1::/56 2001:db8:2::/56\"\n"
			if c.ok && (err != nil || got != want) {
				t.Errorf("%v %s\n%s", err, out, got)
			}
		})
	}
	aws.Break(nil)
	if out, err := m.Run(place); err != nil {
		t.Fatal(err, out)
	}
	if out, err := m.Run("/usr/local/libexec/atelier/firewall"); err != nil {
		t.Fatal(err, out)
	}
	for tables, ranges := range map[string][]string{"iptables": {hosttest.VPC, hosttest.VPCToo}, "ip6tables": strings.Fields(aws.IPv6)} {
		out, err := m.Run(tables, "-S", "ATELIER-CONTAINER")
		for _, r := range ranges {
			if err != nil || !strings.Contains(out, "-d "+r+" -p tcp -m tcp --dport 30000:32767 -m conntrack --ctdir ORIGINAL -j REJECT") {
				t.Errorf("no rule for sessions on other hosts in %s (%v):\n%s", r, err, out)
			}
		}
	}
	m.Write("/run/atelier/place.env", "VPC_IPV4=\nVPC_IPV6=\n", 0o644)
	if out, err := m.Run("/usr/local/libexec/atelier/firewall"); err == nil {
		t.Errorf("without the VPC's ranges there is a firewall:\n%s", out)
	}
}

// TestComplaint: whatever AWS answers, only its own words of error are told.
func TestComplaint(t *testing.T) {
	m := hosttest.New(t, hosttest.Config{UserData: hostboot.UserData(config), AWS: &hosttest.AWS{}})
	for answer, want := range map[string]string{
		`{"__type":"AccessDenied","message":"no","SecretString":"x"}`: "AccessDenied no\n",
		`["SecretString"]`: "\n", `"SecretString"`: "\n", `7`: "\n", `{"Secret`: "\n", ``: "\n",
	} {
		if out, err := m.Run("bash", "-c", `. /usr/local/libexec/atelier/aws.sh; complaint <<<"$1"`, "complaint", answer); err != nil || out != want {
			t.Errorf("of %s it says %q, %v", answer, out, err)
		}
	}
}

// TestKeysAreNotTold: an answer that breaks off is not printed.
func TestKeysAreNotTold(t *testing.T) {
	m := hosttest.New(t, hosttest.Config{UserData: hostboot.UserData(config), KeysWithin: 1, AWS: &hosttest.AWS{}})
	m.Write("/usr/local/bin/curl", `#!/bin/bash
case "$*" in
*GetSecretValue*) echo '{"SecretString":"half of a priv'; exit 18 ;;
*) exec /usr/bin/curl "$@" ;;
esac
`, 0o755)
	out, err := m.Run("/usr/local/libexec/atelier/keys")
	if err == nil || !strings.Contains(out, "cannot be read") || strings.Contains(out, "half of") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestBootFails(t *testing.T) {
	aws := &hosttest.AWS{Region: config.Region, SecretName: config.Secret}
	m := hosttest.New(t, hosttest.Config{UserData: hostboot.UserData(config), KeysWithin: 3, AWS: aws})
	out, err := m.Boot()
	if err == nil || !m.Has("/run/powered-off") {
		t.Fatalf("a host without keys boots, and powers off %v\n%s", m.Has("/run/powered-off"), out)
	}
	for _, want := range []string{"is not authorized to perform secretsmanager:GetSecretValue", "this host powers off"} {
		if !strings.Contains(out, want) {
			t.Errorf("the console does not say %q:\n%s", want, out)
		}
		if !strings.Contains(aws.Log(), want) {
			t.Errorf("the log stream does not say %q:\n%s", want, aws.Log())
		}
	}
	if !strings.HasPrefix(aws.Log(), "stream "+config.LogGroup+" i-") {
		t.Errorf("the log is %q, want a stream named after the instance in %s", aws.Log(), config.LogGroup)
	}
	if conn, err := m.Dial(config.EnginePort); err == nil {
		conn.Close()
		t.Error("something answers at the engine's port")
	}
}

// TestDataDisk: where udev makes no link, the data disk is the one EBS disk that
// nothing is on; in doubt none is touched.
func TestDataDisk(t *testing.T) {
	const script = "/usr/local/libexec/atelier/disk"
	m := hosttest.New(t, hosttest.Config{UserData: hostboot.UserData(config), AWS: &hosttest.AWS{}})
	device := m.DataDevice()
	m.Write("/etc/atelier/host.env", m.Read("/etc/atelier/host.env")+"DATA_DEVICE=/dev/absent\n", 0o644)
	disk := func(path, model, more string) string {
		return `{"path":"` + path + `", "model":"` + model + `", ` + more + `}`
	}
	const ebs, instanceStore = "Amazon Elastic Block Store              ", "Amazon EC2 NVMe Instance Storage"
	root := disk("/dev/nvme0n1", ebs, `"mountpoint":null, "children":[{"path":"/dev/nvme0n1p1", "model":null, "mountpoint":"/"}]`)
	store := disk("/dev/nvme2n1", instanceStore, `"mountpoint":null`)
	ours := disk(device, ebs, `"mountpoint":null`)
	lsblk := func(disks ...string) {
		m.Write("/usr/local/bin/lsblk", "#!/bin/sh\necho '"+`{"blockdevices":[`+strings.Join(disks, ",")+"]}'\n", 0o755)
	}

	lsblk(root, ours, store, disk("/dev/nvme3n1", ebs, `"mountpoint":null`))
	if out, err := m.Run(script); err == nil || !strings.Contains(out, "which disk is /dev/absent? There is "+device+"\n/dev/nvme3n1") {
		t.Errorf("with two disks: %v\n%s", err, out)
	}
	lsblk(root, ours, store)
	if out, err := m.Run("mkfs.ext4", "-q", device); err != nil {
		t.Fatal(err, out)
	}
	if out, err := m.Run(script); err == nil || !strings.Contains(out, "another file system than ours") {
		t.Errorf("with somebody's files: %v\n%s", err, out)
	}
	if out, err := m.Run("wipefs", "-aq", device); err != nil {
		t.Fatal(err, out)
	}
	if out, err := m.Run(script); err != nil {
		t.Fatal(err, out)
	}
	if out, err := m.Run("findmnt", "-no", "SOURCE", "/var/lib/docker"); err != nil || out != device+"\n" {
		t.Errorf("images and containers are on %q (%v), want %s", out, err, device)
	}
}
