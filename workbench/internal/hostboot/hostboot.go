// Package hostboot renders the user data of a Workbench host: what an instance
// of the standard Amazon Linux 2023 image does whenever it boots, until Workbench
// answers.
//
// The scripts are the files of this package, as they are on a host but for comments and
// indentation, for which there is no room; what differs between hosts is in one file,
// /etc/atelier/host.env. cloud-init writes them at
// the first boot and starts a unit, which systemd starts at every later one. A
// host that cannot boot says why on its console and in its journal, stays up for
// inspection, and tries again a minute later. Each step does nothing where it is
// done already.
//
// On the image are the AWS CLI version 2, Python, curl, xfsprogs and dnf
// (https://docs.aws.amazon.com/linux/al2023/ug/image-comparison.html) and, as is assumed
// since its amazon-ec2-net-utils need it, iproute; the mount helper of EFS is installed.
package hostboot

import (
	"embed"
	"fmt"
	"strings"

	"github.com/atelier-go/atelier/internal/cloudconfig"
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

//go:embed files
var files embed.FS

// onHost is where the files are on a host. It is their order in the user data.
var onHost = []cloudconfig.File{
	{Name: "host.env", Path: "/etc/atelier/host.env", Mode: "0644"},
	{Name: "lib.sh", Path: "/usr/local/libexec/atelier/lib.sh", Mode: "0644"},
	{Name: "boot.sh", Path: "/usr/local/libexec/atelier/boot", Mode: "0755"},
	{Name: "disk.sh", Path: "/usr/local/libexec/atelier/disk", Mode: "0755"},
	{Name: "mounts.sh", Path: "/usr/local/libexec/atelier/mounts", Mode: "0755"},
	{Name: "install.sh", Path: "/usr/local/libexec/atelier/install", Mode: "0755"},
	{Name: "files.sh", Path: "/usr/local/libexec/atelier/files", Mode: "0755"},
	{Name: "files.py", Path: "/usr/local/libexec/atelier/files.py", Mode: "0644"},
	{Name: "license.sh", Path: "/usr/local/libexec/atelier/license", Mode: "0755"},
	{Name: "accounts.sh", Path: "/usr/local/libexec/atelier/accounts", Mode: "0755"},
	{Name: "boot.service", Path: "/etc/systemd/system/atelier-workbench.service", Mode: "0644"},
	{Name: "accounts.service", Path: "/etc/systemd/system/atelier-accounts.service", Mode: "0644"},
	{Name: "accounts.timer", Path: "/etc/systemd/system/atelier-accounts.timer", Mode: "0644"},
	{Name: "configured.conf", Path: "/etc/systemd/system/rstudio-server.service.d/atelier.conf", Mode: "0644"},
	{Name: "configured.conf", Path: "/etc/systemd/system/rstudio-launcher.service.d/atelier.conf", Mode: "0644"},
}

// UserData returns the user data, which cloud-init takes: no secret is in it,
// since whoever may describe an instance may read it.
func UserData(c Config) string {
	return cloudconfig.UserData(onHost, c.text,
		"[systemctl, daemon-reload]",
		"[systemctl, enable, atelier-workbench.service]",
		"[systemctl, start, --no-block, atelier-workbench.service]")
}

// text is that of a file, without what is needless.
func (c Config) text(name string) string {
	if name == "host.env" {
		return c.env()
	}
	embedded, err := files.ReadFile("files/" + name)
	if err != nil {
		panic(err) // it is in the program
	}
	var b strings.Builder
	for line := range strings.Lines(string(embedded)) {
		if needless(line) {
			continue
		}
		if strings.HasSuffix(name, ".sh") {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " # ") // which is in no word of these, nor is indentation
			line += "\n"
		}
		b.WriteString(line)
	}
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
