package hostboot_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/atelier-go/atelier/workbench/internal/hostboot"
)

const (
	packageText = "a package"
	licenseKey  = "KEY-0000-SECRET"
	// The last digits of a home's access point are its uid, as the stand-in has it.
	alice = "alice:200001:200001:/home/alice:fsap-00000000000030d41:project-genome=200007"
	bob   = "bob:200002:200002:/home/bob:fsap-00000000000030d42:"
	// pluginText prints what is in a file.
	pluginText = "#!/bin/bash\n[ \"$1\" = accounts ] && exec cat /run/accounts\n"
)

// secretOf is what Deploy publishes.
func secretOf(files ...string) string {
	var entries []string
	for n := 0; n < len(files); n += 4 {
		entries = append(entries, fmt.Sprintf(`{"path":%q,"mode":%q,"owner":%q,"content":%q}`, files[n], files[n+1], files[n+2],
			base64.StdEncoding.EncodeToString([]byte(files[n+3]))))
	}
	return `{"files":[` + strings.Join(entries, ",") + `]}`
}

// prepared is a machine that has what it asks for.
func prepared(t *testing.T, c hostboot.Config) *machine {
	m := newMachine(t, c)
	m.write("/run/secrets/atelier.research.workbench", secretOf(
		"/etc/rstudio/rserver.conf", "0644", "root:root", "www-port=8787\n",
		"/etc/rstudio/secure-cookie-key", "0600", "rstudio-server:rstudio-server", "a cookie's key"), 0o600)
	m.write("/run/secrets/arn:aws:secretsmanager:us-east-1:123456789012:secret:posit-AbCdEf", licenseKey, 0o600)
	m.write("/run/web/rstudio-workbench.rpm", packageText, 0o644)
	m.write("/run/web/plugin", pluginText, 0o644)
	m.write("/run/accounts", alice+"\n"+bob+"\n", 0o644)
	return m
}

func TestBoot(t *testing.T) {
	m := prepared(t, most())
	out, err := m.boot()
	if err != nil || !strings.HasSuffix(out, "atelier: Workbench runs\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Run("Disk", func(t *testing.T) {
		for _, c := range [][2]string{{"/var/lib/atelier-data", "xfs"}, {"/var/lib/rstudio-server", "xfs"}, {"/var/lib/rstudio-launcher", "xfs"}} {
			if got := m.must("findmnt", "-no", "FSTYPE", c[0]); got != c[1] {
				t.Errorf("%s is on %q", c[0], got)
			}
		}
	})
	t.Run("Files", func(t *testing.T) {
		got := m.must("stat", "-c", "%a %U:%G %n", "/etc/rstudio/rserver.conf", "/etc/rstudio/secure-cookie-key", "/usr/lib/rstudio-server/bin/rstudio-ec2-launcher")
		want := "644 root:root /etc/rstudio/rserver.conf\n600 rstudio-server:rstudio-server /etc/rstudio/secure-cookie-key\n" +
			"755 root:root /usr/lib/rstudio-server/bin/rstudio-ec2-launcher"
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if got := m.read("/etc/rstudio/secure-cookie-key"); got != "a cookie's key" {
			t.Errorf("the key is %q", got)
		}
	})
	t.Run("Mounts", func(t *testing.T) {
		log := m.read("/run/mount.efs.log")
		for _, want := range []string{"nodev,nosuid,tls,iam\n", "accesspoint=fsap-00000000000000001", "accesspoint=fsap-00000000000030d41"} {
			if !strings.Contains(log, want) {
				t.Errorf("mounts were %q, want one with %q", log, want)
			}
		}
	})
	t.Run("License", func(t *testing.T) {
		want := "license-manager status hidden=0\nlicense-manager activate " + licenseKey + " hidden=1\n"
		if got := m.read("/run/rstudio-server.log"); got != want {
			t.Errorf("Workbench was told %q, want %q", got, want)
		}
		if mounts := m.must("cat", "/proc/mounts"); strings.Contains(mounts, "hidepid=2") || strings.Contains(mounts, "hidepid=invisible") {
			t.Error("processes stay hidden")
		}
		for _, log := range []string{"/run/aws.log", "/run/curl.log", "/run/systemctl.log", "/run/dnf.log"} {
			if strings.Contains(m.read(log), licenseKey) || strings.Contains(out, licenseKey) {
				t.Errorf("the key is told in %s or on the console", log)
			}
		}
	})
	t.Run("Order", func(t *testing.T) {
		want := "start rstudio-launcher.service rstudio-server.service\nis-active --quiet rstudio-launcher.service\nis-active --quiet rstudio-server.service\nstart atelier-accounts.timer\n"
		if got := m.read("/run/systemctl.log"); got != want {
			t.Errorf("systemd was told %q, want %q", got, want)
		}
	})
	t.Run("Metadata", func(t *testing.T) {
		reach := func(user, address string) string {
			out, _ := m.run("setpriv", "--reuid", user, "--clear-groups", "/usr/bin/python3", "-c",
				"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('"+address+"', 80))")
			return out
		}
		const refused, metadata = "Permission denied", "169.254.169.254" // what is let through is unreachable: there is no network
		for _, user := range []string{"root", "rstudio-server"} {
			if out := reach(user, metadata); !strings.Contains(out, "unreachable") {
				t.Errorf("%s is kept from the metadata: %q", user, out)
			}
		}
		if out := reach("alice", metadata); !strings.Contains(out, refused) {
			t.Errorf("alice reaches the metadata: %q", out)
		}
		if out := reach("alice", "169.254.169.253"); strings.Contains(out, refused) {
			t.Errorf("alice is kept from names: %q", out)
		}
	})
	t.Run("Homes", func(t *testing.T) {
		if got := m.must("stat", "-c", "%U %a", "/home/alice", "/home/bob"); got != "alice 700\nbob 700" {
			t.Errorf("homes are %q", got)
		}
		m.must("su", "alice", "-s", "/bin/sh", "-c", "echo kept >~/note")
		if got := m.read("/run/efs/200001/note"); got != "kept\n" {
			t.Errorf("alice's file is %q", got)
		}
		if out, err := m.run("su", "bob", "-s", "/bin/sh", "-c", "cat /home/alice/note"); err == nil {
			t.Errorf("bob reads %q", out)
		}
	})
	t.Run("Project", func(t *testing.T) {
		if got := m.must("stat", "-c", "%a %U %g", "/projects/genome"); got != "2770 root 200007" {
			t.Errorf("the project is %q, and not as EFS makes it", got)
		}
		m.must("su", "alice", "-s", "/bin/sh", "-c", "echo kept >/projects/genome/note")
		if got := m.must("stat", "-c", "%U %g", "/run/efs/shared/genome/note"); got != "alice 200007" {
			t.Errorf("alice's file there is %q", got)
		}
		if out, err := m.run("su", "bob", "-s", "/bin/sh", "-c", "ls /projects/genome"); err == nil {
			t.Errorf("bob, who is not in the project, sees %q", out)
		}
	})
	m.must("bash", "-c", "echo kept >/var/lib/rstudio-server/data")
	t.Run("Reboot", func(t *testing.T) {
		before := m.read("/run/dnf.log") + m.read("/run/curl.log")
		m.write("/run/secrets/atelier.research.workbench", secretOf("/etc/rstudio/rserver.conf", "0640", "root:rstudio-server", "www-port=443\n"), 0o600)
		if out, err := m.reboot(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := m.read("/etc/rstudio/rserver.conf"); got != "www-port=443\n" {
			t.Errorf("the file is %q", got)
		}
		if m.has("/etc/rstudio/secure-cookie-key") {
			t.Error("a file that is no longer published is still there")
		}
		if got := m.read("/var/lib/rstudio-server/data"); got != "kept\n" {
			t.Errorf("the data are %q", got)
		}
		for _, name := range []string{"/home/alice/note", "/projects/genome/note"} {
			if got := m.read(name); got != "kept\n" {
				t.Errorf("alice's file %s is %q", name, got)
			}
		}
		if got := strings.Count(m.must("ip", "rule"), "169.254.169.254"); got != 1 {
			t.Errorf("there are %d rules about the metadata", got)
		}
		if after := m.read("/run/dnf.log") + m.read("/run/curl.log"); after != before {
			t.Errorf("something is installed again: %q", after)
		}
		if got := strings.Count(m.read("/run/rstudio-server.log"), "activate"); got != 1 {
			t.Errorf("the licence was activated %d times", got)
		}
	})
}

// empty is what an administrator does who knows that a disk is not needed.
func empty(m *machine) {
	m.must("wipefs", "-qa", m.disk)
	m.must("dd", "status=none", "conv=notrunc", "if=/dev/zero", "bs=1M", "count=1", "of="+m.disk)
}

// Every failure says its reason, leaves the host up, and is over when its cause
// is.
func TestBootFailures(t *testing.T) {
	for name, c := range map[string]struct {
		harm, mend func(*machine)
		says       string
	}{
		"no disk": {
			func(m *machine) { m.write("/run/serial", "/dev/sda vol0other\n", 0o644) },
			func(m *machine) { m.write("/run/serial", m.disk+" vol0123456789abcdef0\n", 0o644) },
			"volume " + volume + " is not attached",
		},
		"another file system": {
			func(m *machine) { m.must("mkfs.ext4", "-q", m.disk) },
			empty,
			"another file system than ours, and is not formatted",
		},
		"a disk with a table of parts": {
			func(m *machine) { m.must("bash", "-c", "echo 'label: gpt' | sfdisk -q "+m.disk) },
			empty,
			"is not formatted",
		},
		"a disk that is not empty": {
			func(m *machine) {
				m.must("bash", "-c", "echo data | dd status=none conv=notrunc bs=1 seek=300000 of="+m.disk)
			},
			empty,
			"is not formatted",
		},
		"no way to the file system": {
			func(m *machine) { m.write("/run/stand-in/mount.efs", "#!/bin/sh\nexit 1\n", 0o755) },
			func(m *machine) {
				m.write("/run/stand-in/mount.efs", standIns["/run/stand-in/mount.efs"], 0o755)
				m.must("rm", "/sbin/mount.efs")
			},
			system + " cannot be mounted",
		},
		"another package": {
			func(m *machine) { m.write("/run/web/rstudio-workbench.rpm", "evil", 0o644) },
			func(m *machine) { m.write("/run/web/rstudio-workbench.rpm", packageText, 0o644) },
			"is not what was asked for: its SHA-256 is " + sum("evil"),
		},
		"no plugin": {
			func(m *machine) { m.must("rm", "/run/web/plugin") },
			func(m *machine) { m.write("/run/web/plugin", pluginText, 0o644) },
			"https://example.com/plugin cannot be fetched",
		},
		"no secret": {
			func(m *machine) { m.must("mv", "/run/secrets/atelier.research.workbench", "/run/secret") },
			func(m *machine) { m.must("mv", "/run/secret", "/run/secrets/atelier.research.workbench") },
			"secret atelier/research/workbench cannot be read",
		},
		"a secret of another form": {
			func(m *machine) {
				m.must("cp", "/run/secrets/atelier.research.workbench", "/run/secret")
				m.write("/run/secrets/atelier.research.workbench", "KEY of something", 0o600)
			},
			func(m *machine) { m.must("mv", "/run/secret", "/run/secrets/atelier.research.workbench") },
			"the secret is not as Deploy writes it",
		},
		"an owner who is not there": {
			func(m *machine) {
				m.must("cp", "/run/secrets/atelier.research.workbench", "/run/secret")
				m.write("/run/secrets/atelier.research.workbench", secretOf("/etc/x", "0600", "nobody-here:root", "KEY"), 0o600)
			},
			func(m *machine) { m.must("mv", "/run/secret", "/run/secrets/atelier.research.workbench") },
			"whom this host does not know",
		},
		"accounts": {
			func(m *machine) { m.must("mv", "/run/accounts", "/run/kept") },
			func(m *machine) { m.must("mv", "/run/kept", "/run/accounts") },
			"accounts stay as they are",
		},
		"licence": {
			func(m *machine) {
				m.write("/run/stand-in/rstudio-server", "#!/bin/bash\n[ $2 = status ] || { echo bad key $3; exit 1; }\n", 0o755)
			},
			func(m *machine) { m.write("/usr/bin/rstudio-server", standIns["/run/stand-in/rstudio-server"], 0o755) },
			"the licence key cannot be activated",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := prepared(t, most())
			c.harm(m)
			m.fails(c.says)
			out, _ := m.boot()
			if strings.Contains(out, "KEY") {
				t.Errorf("it tells a secret: %s", out)
			}
			c.mend(m)
			if out, err := m.boot(); err != nil {
				t.Errorf("when that is mended: %v\n%s", err, out)
			}
		})
	}
}

// Workbench that does not stay up is told.
func TestWorkbenchDoesNotStayUp(t *testing.T) {
	m := prepared(t, most())
	for _, unit := range []string{"rstudio-server", "rstudio-launcher"} {
		m.write("/run/down-"+unit+".service", "", 0o644)
		if out, err := m.boot(); err == nil || !strings.Contains(out, "FAILED: "+unit+" does not stay up") {
			t.Errorf("%v, and it says %q", err, out)
		}
		m.must("rm", "/run/down-"+unit+".service")
	}
}

func TestLicenseFileAndServer(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		c := most()
		c.License, c.LicenseSecret, c.LicenseParameter = "file", "", "/posit/lic"
		m := prepared(t, c)
		m.write("/run/secrets/.posit.lic", "LICENCE", 0o600)
		if out, err := m.boot(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := m.must("stat", "-c", "%a %U", "/var/lib/rstudio-server/atelier.lic"); got != "600 rstudio-server" || m.read("/var/lib/rstudio-server/atelier.lic") != "LICENCE\n" {
			t.Errorf("the licence is %q", got)
		}
	})
	t.Run("server", func(t *testing.T) {
		c := most()
		c.License, c.LicenseSecret, c.LicenseServer = "server", "", "licence.example.com:8989"
		m := prepared(t, c)
		if out, err := m.boot(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := m.read("/run/rstudio-server.log"); !strings.HasPrefix(got, "license-manager license-server licence.example.com:8989 ") {
			t.Errorf("Workbench was told %q", got)
		}
	})
}

// A licence that is active is not activated again, however much the command says of it:
// one that is not read to its end is killed as it writes, which would look like no licence.
func TestLicenseIsActive(t *testing.T) {
	m := prepared(t, most())
	m.write("/run/stand-in/rstudio-server", "#!/bin/bash\necho \"$2\" >>/run/rstudio-server.log\n[ \"$2\" != status ] || exec cat /run/license\n", 0o755)
	m.write("/run/license", "Status: Activated\n"+strings.Repeat("Product: of which much is to be said\n", 1<<15), 0o644)
	if out, err := m.boot(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := m.read("/run/rstudio-server.log"); got != "status\n" {
		t.Errorf("Workbench was told %q, want to tell its status and nothing else", got)
	}
}
