package positlauncher

import (
	"strconv"
	"strings"
	"time"
)

// Arguments are what a Launcher starts a plugin with. It passes more than these, and
// more with each version: what is not known is left alone.
type Arguments struct {
	// Cluster is the name of the cluster: plugin-name.
	Cluster string
	// Debug is whether to log more: enable-debug-logging.
	Debug bool
	// JobExpiry is job-expiry-hours, MetricsInterval plugin-metrics-interval-seconds, of
	// which 0 is never, and MaxMessage max-message-size; see [Config]. Zero is that they
	// were not given.
	JobExpiry       time.Duration
	MetricsInterval time.Duration
	MaxMessage      int
	// ConfigFile is the cluster's own file, launcher.<name>.conf: config-file.
	ConfigFile string
	// ScratchPath is a directory of the plugin's own: scratch-path.
	ScratchPath string
}

// ParseArguments reads the arguments of a plugin (os.Args[1:]), each of the form
// --name=value, or --name for a truth value, or --name value. It takes nothing amiss:
// an argument that is unknown or makes no sense is skipped, since a plugin that does
// not start keeps the whole Launcher from starting.
func ParseArguments(args []string) Arguments {
	var a Arguments
	for i := 0; i < len(args); i++ {
		name, value, given := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if !strings.HasPrefix(args[i], "-") {
			continue
		}
		if !given && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
			value, given = args[i], true
		}
		switch name {
		case "plugin-name":
			a.Cluster = value
		case "enable-debug-logging":
			a.Debug = !given || value == "1" || strings.EqualFold(value, "true")
		case "job-expiry-hours":
			a.JobExpiry = number64(value) * time.Hour
		case "plugin-metrics-interval-seconds":
			a.MetricsInterval = number64(value) * time.Second
			if value == "0" {
				a.MetricsInterval = -1
			}
		case "max-message-size":
			a.MaxMessage = int(number64(value))
		case "config-file":
			a.ConfigFile = value
		case "scratch-path":
			a.ScratchPath = value
		}
	}
	return a
}

// maxNumber keeps hours within what a duration holds.
const maxNumber = 1_000_000

// number64 is a number that makes sense, or zero.
func number64(s string) time.Duration {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > maxNumber*100 {
		return 0
	}
	return time.Duration(n)
}

// Apply returns c with what the Launcher has said in the place of what c leaves to
// the default.
func (a Arguments) Apply(c Config) Config {
	if c.Cluster == "" {
		c.Cluster = a.Cluster
	}
	if c.JobExpiry == 0 {
		c.JobExpiry = a.JobExpiry
	}
	if c.MetricsInterval == 0 {
		c.MetricsInterval = a.MetricsInterval
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = a.MaxMessage
	}
	return c
}
