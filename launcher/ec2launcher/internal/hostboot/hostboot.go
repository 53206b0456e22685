// Package hostboot renders the user data of hosts: what an instance of the
// ECS-optimised Amazon Linux 2023 image does when it boots, until its Docker
// Engine answers the launcher and nobody else.
//
// The scripts are the files of this package, as they are on a host; what
// differs between fleets and types is in one file, /etc/atelier/host.env. A
// host boots once. One that fails says why and powers off, which terminates it,
// as does one that was rebooted: hosts are replaced, not repaired.
//
// On the image are Docker, the EFS mount helper, curl, iptables and Python,
// which brings dnf and cloud-init there
// (https://github.com/aws/amazon-ecs-ami). The automounter is not, and is
// installed; that Amazon Linux 2023 has a package of it is an assumption, to be
// tried on AWS. It has no AWS CLI: curl signs the two calls that a host makes.
package hostboot

import (
	"embed"
	"fmt"
	"strings"
	"time"
)

// InstanceLabel is the label by which a host's engine says which instance it is on.
const InstanceLabel = "atelier.instance"

// Config is what differs between fleets and types. Every field is required but
// GPU.
type Config struct {
	// Region is where the host, its secret and its log group are.
	Region string
	// Secret is the name of the secret with the keys of its engine: a JSON
	// object with the PEM texts ca, cert and key.
	Secret string
	// LogGroup is where a host that cannot boot says why.
	LogGroup string
	// Bridges are the interfaces that containers are connected to.
	Bridges []string
	// EnginePort is where the engine answers, with mutual TLS.
	EnginePort int
	// FirstPort to LastPort are where containers are published on every host.
	FirstPort, LastPort int
	// DataDevice is the data disk's name towards EC2, such as /dev/xvdb.
	DataDevice string
	// PowerOffAfter is how long a host on which nothing runs and that nobody
	// is connected to stays up. Whole seconds.
	PowerOffAfter time.Duration
	// GPU is for types with NVIDIA GPUs: without its driver a host does not boot.
	GPU bool
}

// MaxSize is how much user data EC2 takes, before it is encoded
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html).
const MaxSize = 16 << 10

//go:embed files
var files embed.FS

// onHost is where the files are on a host. It is their order in the user data.
var onHost = []struct{ name, path, mode string }{
	{"host.env", "/etc/atelier/host.env", "0644"},
	{"aws.sh", "/usr/local/libexec/atelier/aws.sh", "0644"},
	{"boot.sh", "/usr/local/libexec/atelier/boot", "0755"},
	{"keys.sh", "/usr/local/libexec/atelier/keys", "0755"},
	{"place.sh", "/usr/local/libexec/atelier/place", "0755"},
	{"disk.sh", "/usr/local/libexec/atelier/disk", "0755"},
	{"firewall.sh", "/usr/local/libexec/atelier/firewall", "0755"},
	{"efs.sh", "/usr/local/libexec/atelier/efs", "0755"},
	{"power.sh", "/usr/local/libexec/atelier/power", "0755"},
	{"atelier.autofs", "/etc/auto.master.d/atelier.autofs", "0644"},
	{"daemon.json", "/etc/docker/daemon.json", "0644"},
	{"docker.conf", "/etc/systemd/system/docker.service.d/atelier.conf", "0644"},
	{"power.service", "/etc/systemd/system/atelier-power.service", "0644"},
	{"power.timer", "/etc/systemd/system/atelier-power.timer", "0644"},
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
			if line != "\n" {
				line = "    " + line
			}
			b.WriteString(line)
		}
	}
	b.WriteString("runcmd:\n- [/usr/local/libexec/atelier/boot]\n")
	return b.String()
}

// env is the file that the scripts and units read.
func (c Config) env() string {
	gpu := 0
	if c.GPU {
		gpu = 1
	}
	return fmt.Sprintf(`REGION=%s
SECRET=%s
LOG_GROUP=%s
METADATA=http://169.254.169.254
SECRETS_ENDPOINT=https://secretsmanager.%[1]s.%[4]s
LOGS_ENDPOINT=https://logs.%[1]s.%[4]s
KEYS_WITHIN=120
BRIDGES="%[5]s"
ENGINE_PORT=%[6]d
SESSION_PORTS=%[7]d:%[8]d
DATA_DEVICE=%[9]s
POWER_OFF_AFTER=%[10]d
GPU=%[11]d
`, c.Region, c.Secret, c.LogGroup, dnsSuffix(c.Region), strings.Join(c.Bridges, " "), c.EnginePort, c.FirstPort, c.LastPort, c.DataDevice,
		int(c.PowerOffAfter.Seconds()), gpu)
}

// dnsSuffix ends the names of services' endpoints
// (https://docs.aws.amazon.com/general/latest/gr/rande.html).
func dnsSuffix(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}
