package hostboot_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/internal/realtest"
	"github.com/atelier-go/atelier/workbench/internal/hostboot"
)

// A machine boots without EC2: the user data runs for real, in namespaces of its
// own on a copy of this machine's files, with this machine's accounts, disks and
// mounts and a network of its own that leads nowhere. Stand-ins are systemd, the EFS mount helper, the package manager, AWS,
// downloads and Workbench.
type machine struct {
	*testing.T
	pid  int
	disk string
}

const initScript = `
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir -p files work root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/files,workdir=$1/work" root
mkdir -p root/old
mount -t tmpfs tmpfs root/run
mount --rbind /dev root/dev
mount --rbind /sys root/sys
mount -t proc proc root/proc
cd root
pivot_root . old
cd /
umount -l /old
mkdir -p /run/stand-in /run/efs /run/secrets /run/web
touch /run/ready
trap : CHLD
while :; do
  sleep 1000 &
  wait $! || true
done
`

// standIns are programs by their place.
var standIns = map[string]string{
	// What cloud-init does with the user data.
	"/run/stand-in/cloud-init": `#!/usr/bin/env python3
import os, yaml
for file in yaml.safe_load(open("/run/user-data"))["write_files"]:
    os.makedirs(os.path.dirname(file["path"]), exist_ok=True)
    with open(file["path"], "w") as f:
        f.write(file["content"])
    os.chmod(file["path"], int(file.get("permissions", "0644"), 8))
`,
	"/usr/local/bin/aws": `#!/bin/bash
echo "$*" >>/run/aws.log
case "$1 $2" in
'secretsmanager get-secret-value') exec cat "/run/secrets/${6//\//.}" ;;
'ssm get-parameter') [ "$7" = --with-decryption ] && exec cat "/run/secrets/${6//\//.}" ;;
esac
exit 1
`,
	"/usr/local/bin/curl": `#!/bin/bash
echo "$*" >>/run/curl.log
while [ $# -gt 1 ]; do
  [ "$1" != --output ] || out=$2
  shift
done
exec cp "/run/web/${1##*/}" "$out"
`,
	"/usr/local/bin/dnf": `#!/bin/bash
echo "$*" >>/run/dnf.log
case "${*: -1}" in
amazon-efs-utils) exec install -m 755 /run/stand-in/mount.efs /sbin/mount.efs ;;
*.rpm)
  getent passwd rstudio-server >/dev/null || useradd --system rstudio-server
  exec install -m 755 /run/stand-in/rstudio-server /usr/bin/rstudio-server
  ;;
esac
exit 1
`,
	// What is mounted is a folder of the machine's; an access point's appears.
	"/run/stand-in/mount.efs": `#!/bin/bash
echo "$*" >>/run/mount.efs.log
point=
[[ $* =~ accesspoint=([a-z0-9-]*) ]] && point=${BASH_REMATCH[1]}
case $point in
'') dir=/run/efs ;;
fsap-00000000000000001) dir=/run/efs/shared/genome; [ -d "$dir" ] || { mkdir -p "$dir"; chown 0:200007 "$dir"; chmod 2770 "$dir"; } ;;
*) dir=/run/efs/$((16#${point: -5})); [ -d "$dir" ] || { mkdir "$dir"; chmod 700 "$dir"; chown "${dir##*/}:${dir##*/}" "$dir"; } ;;
esac
mkdir -p "$dir"
mount --bind "$dir" "$2"
`,
	"/run/stand-in/rstudio-server": `#!/bin/bash
echo "$* hidden=$(grep -c 'hidepid=\(2\|invisible\)' /proc/mounts)" >>/run/rstudio-server.log
[ "$2" != status ] || cat /run/license 2>/dev/null
[ "$2" != activate ] || echo 'Status: Activated' >/run/license
`,
	"/usr/bin/systemctl": `#!/bin/bash
echo "$*" >>/run/systemctl.log
case "$*" in
'start rstudio-launcher.service rstudio-server.service') [ -e /run/atelier/configured ] ;;
is-active*) [ ! -e "/run/down-${*: -1}" ] ;;
esac
`,
	"/usr/local/bin/lsblk": `#!/bin/bash
case "$*" in
*SERIAL) [ ! -e /run/serial ] || cat /run/serial ;;
*) exec /bin/lsblk "$@" ;;
esac
`,
}

func newMachine(t *testing.T, c hostboot.Config) *machine {
	t.Helper()
	if testing.Short() {
		t.Skip("a machine of the test's own takes a while")
	}
	if os.Getuid() != 0 {
		realtest.Missing(t, "a machine of the test's own needs root")
	}
	for _, name := range []string{"unshare", "nsenter", "losetup", "mkfs.xfs", "wipefs", "blkid", "lsblk", "useradd", "usermod", "groupadd", "flock", "ip", "python3", "pgrep"} {
		if _, err := exec.LookPath(name); err != nil {
			realtest.Missing(t, "a machine of the test's own needs %s: %v", name, err)
		}
	}
	dir, err := os.MkdirTemp("/tmp", "workbench-") //nolint:usetesting // mounts outlive the test by a moment
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &machine{T: t}
	first := exec.Command("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "bash", "-c", initScript, "init", dir)
	first.Stderr = os.Stderr
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = first.Process.Kill()
		_ = first.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); m.pid == 0 || !m.has("/run/ready"); time.Sleep(20 * time.Millisecond) {
		out, _ := exec.Command("pgrep", "-P", strconv.Itoa(first.Process.Pid)).Output()
		m.pid, _ = strconv.Atoi(strings.TrimSpace(string(out)))
		if time.Now().After(deadline) {
			realtest.Missing(t, "a machine of the test's own does not come up here")
		}
	}
	disk := dir + ".disk"
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 1<<30)); err != nil { // little of it is written
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(disk) })
	out, err := exec.Command("losetup", "--find", "--show", disk).CombinedOutput()
	if err != nil {
		realtest.Missing(t, "a machine of the test's own needs a loop device: %v\n%s", err, out)
	}
	m.disk = strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = exec.Command("losetup", "-d", m.disk).Run() })
	for name, text := range standIns {
		m.write(name, text, 0o755)
	}
	m.write("/run/serial", m.disk+" "+strings.ReplaceAll(volume, "-", "")+"\n", 0o644)
	m.write("/run/user-data", hostboot.UserData(c), 0o600)
	m.must("/run/stand-in/cloud-init")
	m.write("/etc/atelier/host.env", m.read("/etc/atelier/host.env")+"DISK_WITHIN=0\nNETWORK_WITHIN=0\n", 0o644)
	return m
}

// run runs a command on the machine and returns its output.
func (m *machine) run(args ...string) (string, error) {
	out, err := exec.Command("nsenter", append([]string{"--target", strconv.Itoa(m.pid), "--mount", "--pid", "--net", "--root", "--", "env", "--chdir=/",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/root/.pyenv/shims"}, args...)...).CombinedOutput()
	return string(out), err
}

func (m *machine) must(args ...string) string {
	m.Helper()
	out, err := m.run(args...)
	if err != nil {
		m.Fatalf("%q: %v\n%s", args, err, out)
	}
	return strings.TrimSuffix(out, "\n")
}

// boot does what systemd does when the machine boots.
func (m *machine) boot() (string, error) { return m.run("/usr/local/libexec/atelier/boot") }

// reboot forgets what does not outlive a reboot.
func (m *machine) reboot() (string, error) {
	m.must("bash", "-c", `rm -rf /run/atelier; for m in $(awk '$2 ~ "^/(home/|srv/atelier|projects/|var/lib/(rstudio|atelier-data))" { print $2 }' /proc/mounts | sort -ur); do umount "$m"; done`)
	return m.boot()
}

// fails boots and looks for words in what it says.
func (m *machine) fails(words string) {
	m.Helper()
	out, err := m.boot()
	if err == nil || !strings.Contains(out, words) || !strings.Contains(out, "FAILED") {
		m.Errorf("%v, and it says %q; want %q", err, out, words)
	}
	if m.has("/run/atelier/configured") {
		m.Error("Workbench may start on a host that is not prepared")
	}
}

func (m *machine) path(name string) string { return fmt.Sprintf("/proc/%d/root%s", m.pid, name) }

func (m *machine) has(name string) bool {
	_, err := os.Lstat(m.path(name))
	return err == nil
}

func (m *machine) read(name string) string {
	m.Helper()
	text, err := os.ReadFile(m.path(name))
	if err != nil {
		m.Fatal(err)
	}
	return string(text)
}

func (m *machine) write(name, text string, mode os.FileMode) {
	m.Helper()
	_ = os.Remove(m.path(name)) // it may be a link
	if err := errors.Join(os.MkdirAll(filepath.Dir(m.path(name)), 0o755), os.WriteFile(m.path(name), []byte(text), mode)); err != nil {
		m.Fatal(err)
	}
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}
