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

	"github.com/atelier-go/atelier/internal/cloudconfig"
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

//go:embed files
var files embed.FS

// onHost is where the files are on a host. It is their order in the user data.
var onHost = []cloudconfig.File{
	{Name: "host.env", Path: "/etc/atelier/host.env", Mode: "0644"},
	{Name: "aws.sh", Path: "/usr/local/libexec/atelier/aws.sh", Mode: "0644"},
	{Name: "boot.sh", Path: "/usr/local/libexec/atelier/boot", Mode: "0755"},
	{Name: "keys.sh", Path: "/usr/local/libexec/atelier/keys", Mode: "0755"},
	{Name: "place.sh", Path: "/usr/local/libexec/atelier/place", Mode: "0755"},
	{Name: "disk.sh", Path: "/usr/local/libexec/atelier/disk", Mode: "0755"},
	{Name: "firewall.sh", Path: "/usr/local/libexec/atelier/firewall", Mode: "0755"},
	{Name: "efs.sh", Path: "/usr/local/libexec/atelier/efs", Mode: "0755"},
	{Name: "power.sh", Path: "/usr/local/libexec/atelier/power", Mode: "0755"},
	{Name: "atelier.autofs", Path: "/etc/auto.master.d/atelier.autofs", Mode: "0644"},
	{Name: "daemon.json", Path: "/etc/docker/daemon.json", Mode: "0644"},
	{Name: "docker.conf", Path: "/etc/systemd/system/docker.service.d/atelier.conf", Mode: "0644"},
	{Name: "power.service", Path: "/etc/systemd/system/atelier-power.service", Mode: "0644"},
	{Name: "power.timer", Path: "/etc/systemd/system/atelier-power.timer", Mode: "0644"},
}

// UserData returns the user data, which cloud-init takes: no secret is in it,
// since whoever may describe an instance may read it.
func UserData(c Config) string {
	return cloudconfig.UserData(onHost, c.text, "[/usr/local/libexec/atelier/boot]")
}

// text is that of a file.
func (c Config) text(name string) string {
	if name == "host.env" {
		return c.env()
	}
	embedded, err := files.ReadFile("files/" + name)
	if err != nil {
		panic(err) // it is in the program
	}
	return string(embedded)
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
