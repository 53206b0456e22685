// Package hostboot renders the user data of a Workbench host: what an instance
// of the standard Amazon Linux 2023 image does whenever it boots, until Workbench
// answers.
//
// The scripts are the files of this package, as they are on a host; what differs
// between hosts is in one file, /etc/atelier/host.env. cloud-init writes them at
// the first boot and starts a unit, which systemd starts at every later one. A
// host that cannot boot says why on its console and in its journal, stays up for
// inspection, and tries again a minute later. Each step does nothing where it is
// done already.
//
// On the image are the AWS CLI version 2, Python, curl, xfsprogs and dnf
// (https://docs.aws.amazon.com/linux/al2023/ug/image-comparison.html); the mount
// helper of EFS is installed.
package hostboot

import (
	"embed"
	"fmt"
	"strings"
)

// Config is what differs between hosts. The first five are required.
type Config struct {
	// Region is where everything is.
	Region string
	// Secret is the name of the secret with the files.
	Secret string
	// Volume is the id of the data disk, Device what EC2 calls it.
	Volume, Device string
	// FileSystem is the EFS file system with the homes.
	FileSystem string
	// Storage is the access point of the project that is the shared storage,
	// StoragePath where it is mounted; empty is none.
	Storage, StoragePath string
	// PackageURL and PackageSHA256 are Workbench's package; empty is none.
	PackageURL, PackageSHA256 string
	// PluginURL, PluginSHA256 and PluginPath are the Launcher's plugin.
	PluginURL, PluginSHA256, PluginPath string
	// Accounts is the command that prints accounts.
	Accounts []string
	// License is "key", "file", "server" or empty. A key or file is in
	// LicenseSecret or LicenseParameter, the server is LicenseServer.
	License, LicenseSecret, LicenseParameter, LicenseServer string
}

// MaxSize is how much user data EC2 takes, before it is encoded
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html).
const MaxSize = 16 << 10

//go:embed files
var files embed.FS

// onHost is where the files are on a host. It is their order in the user data.
var onHost = []struct{ name, path, mode string }{
	{"host.env", "/etc/atelier/host.env", "0644"},
	{"lib.sh", "/usr/local/libexec/atelier/lib.sh", "0644"},
	{"boot.sh", "/usr/local/libexec/atelier/boot", "0755"},
	{"disk.sh", "/usr/local/libexec/atelier/disk", "0755"},
	{"mounts.sh", "/usr/local/libexec/atelier/mounts", "0755"},
	{"install.sh", "/usr/local/libexec/atelier/install", "0755"},
	{"files.sh", "/usr/local/libexec/atelier/files", "0755"},
	{"files.py", "/usr/local/libexec/atelier/files.py", "0644"},
	{"license.sh", "/usr/local/libexec/atelier/license", "0755"},
	{"accounts.sh", "/usr/local/libexec/atelier/accounts", "0755"},
	{"boot.service", "/etc/systemd/system/atelier-workbench.service", "0644"},
	{"accounts.service", "/etc/systemd/system/atelier-accounts.service", "0644"},
	{"accounts.timer", "/etc/systemd/system/atelier-accounts.timer", "0644"},
	{"configured.conf", "/etc/systemd/system/rstudio-server.service.d/atelier.conf", "0644"},
	{"configured.conf", "/etc/systemd/system/rstudio-launcher.service.d/atelier.conf", "0644"},
}

// UserData returns the user data, which cloud-init takes: no secret is in it,
// since whoever may describe an instance may read it.
func UserData(c Config) string {
	var b strings.Builder
	b.WriteString("#cloud-config\nwrite_files:\n")
	for _, f := range onHost {
		text := c.env()
		if f.name != "host.env" {
			embedded, err := files.ReadFile("files/" + f.name)
			if err != nil {
				panic(err) // it is in the program
			}
			text = string(embedded)
		}
		fmt.Fprintf(&b, "- path: %s\n  permissions: '%s'\n  content: |\n", f.path, f.mode)
		for line := range strings.Lines(text) {
			if !needless(line) {
				b.WriteString("   " + line)
			}
		}
	}
	b.WriteString(`runcmd:
- [systemctl, daemon-reload]
- [systemctl, enable, atelier-workbench.service]
- [systemctl, start, --no-block, atelier-workbench.service]
`)
	return b.String()
}

// needless reports whether a line is empty or a comment, for which there is no
// room. No script has such a line that means more.
func needless(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#' && !strings.HasPrefix(line, "#!")
}

// env is the file that the scripts read.
func (c Config) env() string {
	return fmt.Sprintf(`REGION=%s
SECRET=%s
VOLUME=%s
DEVICE=%s
FILE_SYSTEM=%s
STORAGE=%s
STORAGE_PATH=%s
PACKAGE_URL=%s
PACKAGE_SHA256=%s
PLUGIN_URL=%s
PLUGIN_SHA256=%s
PLUGIN_PATH=%s
ACCOUNTS=(%s)
LICENSE=%s
LICENSE_SECRET=%s
LICENSE_PARAMETER=%s
LICENSE_SERVER=%s
DISK_WITHIN=900
NETWORK_WITHIN=300
`, c.Region, c.Secret, c.Volume, c.Device, c.FileSystem, c.Storage, c.StoragePath, c.PackageURL, c.PackageSHA256,
		c.PluginURL, c.PluginSHA256, c.PluginPath, strings.Join(c.Accounts, " "),
		c.License, c.LicenseSecret, c.LicenseParameter, c.LicenseServer)
}
