package workbench

import (
	"errors"
	"fmt"
	"strings"

	"github.com/atelier-go/atelier/domain"
)

// A Plugin is the program that the Launcher starts to run sessions, and what that
// program reads about itself.
//
// The Launcher passes its plugins flags of its own choice, and none of an
// administrator's; the one place for a plugin's own settings is the file
// launcher.<cluster>.conf, whose path is among those flags. So what a program
// cannot do without stands there: which domain, where, and where its records are.
// The program reads it with [ParsePlugin].
type Plugin struct {
	// Exe is the program's path on the host. Empty is
	// "/usr/lib/rstudio-server/bin/rstudio-ec2-launcher".
	Exe string
	// Domain is the name of the domain whose users' sessions it runs. Required;
	// [Configuration.For] sets it.
	Domain string
	// Region is the AWS region of the domain. Required; [Configuration.For] sets it.
	Region string
	// Store says where the records of the domain are, in the program's own words:
	// the name of a table, or the path of a file. Empty if the program knows; the one
	// of examples/positplugin does not, and wants a table of DynamoDB.
	Store string
}

func (p Plugin) lines() []line {
	return []line{text("domain", p.Domain), text("region", p.Region), text("store", p.Store)}
}

func (p Plugin) problems() []error {
	var found []error
	if !cleanPath(p.Exe) {
		found = append(found, fmt.Errorf("Plugin.Exe %.80q: want an absolute path, without . or .. or a slash too many", p.Exe))
	}
	if p.Domain == "" || p.Region == "" {
		found = append(found, errors.New("Plugin.Domain and Plugin.Region are required: Configuration.For sets them from a domain"))
	}
	return found
}

// launcherConf tells the Launcher. Its keys are in
// https://docs.posit.co/ide/server-pro/reference/launcher_conf.html. That a plugin
// which is not Posit's is of type Plugin is from the guide of
// github.com/posit-dev/launcher-go-sdk; not verified against a licensed product.
func (c Configuration) launcherConf() page {
	return public("launcher.conf", ini,
		section{"server", []line{
			text("address", loopback),
			number("port", launcherPort),
			text("server-user", serviceUser),
			// Of those who may start sessions of others, as rserver does.
			text("admin-group", serviceUser),
			flag("authorization-enabled", true),
			// As in the chart rstudio-workbench of github.com/rstudio/helm: the Launcher
			// else makes a key of its own where it cannot read Workbench's.
			text("secure-cookie-key-file", cookieKeyPath),
			flag("enable-debug-logging", c.Logging.Level == LevelDebug),
		}},
		section{"cluster", []line{
			text("name", c.Cluster),
			text("type", "Plugin"),
			text("exe", c.Plugin.Exe),
		}},
	)
}

// pluginFile is the name of a file of the cluster's plugin.
func (c Configuration) pluginFile(kind string) string {
	return "launcher." + strings.ToLower(c.Cluster) + kind + ".conf"
}

func (c Configuration) pluginConf() page {
	return public(c.pluginFile(""), ini, lines(c.Plugin.lines()...))
}

// ParsePlugin reads what [Configuration.Files] wrote into the file
// launcher.<cluster>.conf, for the program that is the plugin. It returns all but
// Exe, which stands elsewhere. A line that is not one of those is
// [domain.ErrInvalid], and all that are wrong are told.
func ParsePlugin(content []byte) (Plugin, error) {
	var p Plugin
	fields := map[string]*string{"domain": &p.Domain, "region": &p.Region, "store": &p.Store}
	var wrong []error
	n := 0
	for l := range strings.Lines(string(content)) {
		n++
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		key, value, _ := strings.Cut(l, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		field := fields[key]
		switch {
		case field == nil:
			wrong = append(wrong, fmt.Errorf("line %d: %.40q is no setting of the plugin: want domain, region or store", n, key))
		case *field != "":
			wrong = append(wrong, fmt.Errorf("line %d: %s is there twice", n, key))
		case fault(value, "") != "":
			wrong = append(wrong, fmt.Errorf("line %d: %s: %.80q %s", n, key, value, fault(value, "")))
		default:
			*field = value
		}
	}
	if len(wrong) == 0 && (p.Domain == "" || p.Region == "") {
		wrong = append(wrong, errors.New("domain and region are required"))
	}
	if len(wrong) > 0 {
		return Plugin{}, fmt.Errorf("workbench: the plugin's configuration: %w: %w", domain.ErrInvalid, errors.Join(wrong...))
	}
	return p, nil
}
