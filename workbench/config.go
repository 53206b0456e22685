package workbench

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain"
)

// A Configuration is what Workbench and its Job Launcher on one host are told.
//
// Required are CallbackAddress and Keys and, unless [Configuration.For] sets them
// from a domain, Plugin.Domain, Plugin.Region, Profiles and Menus. Everything else
// is right when it is zero: users sign in by PAM, sessions run in containers
// through our launcher plugin, RStudio is offered and the other editors are not.
type Configuration struct {
	// CallbackAddress is the URL by which sessions, which run on other machines,
	// reach this Workbench: what people type into their browsers, as
	// "https://workbench.example.com". Required: with a wrong one sessions start and
	// are never seen to be ready.
	CallbackAddress string
	// Keys are the secrets of the host, which stay the same for as long as it
	// lives; [Client.EnsureKeys] makes and keeps them. Required.
	Keys Keys
	// Plugin is the program that runs sessions for the Launcher.
	Plugin Plugin
	// Cluster is what the Launcher and its users call the fleet: letters, digits and
	// hyphens. Its files have it in their names in lower case. Empty is "EC2".
	Cluster string

	// Port is where browsers and sessions connect. Zero is 443 with a Certificate
	// and 8787, Workbench's own, without.
	Port int
	// Certificate is for HTTPS. Zero is HTTP, for a host behind something that
	// speaks HTTPS.
	Certificate Certificate
	// Auth says how users sign in. Zero is PAM.
	Auth Auth
	// AdminGroup is the group of those who see Workbench's administration pages. Zero
	// switches these off.
	AdminGroup Group

	// SharedStorage is the name of a project of the domain, which this host and all
	// sessions have at /projects/ and the name; [DeployRequest.SharedStorage] mounts it
	// here. Every session asks for it, so that only members of its groups can use
	// Workbench. Empty is none. Workbench's own sharing of RStudio projects is off in any
	// case: it needs access control lists, which EFS has not.
	SharedStorage string
	// DataDirectory is where Workbench keeps its database: "/var/lib/rstudio-server",
	// Workbench's own, which is also what empty is, or a directory below. That is the
	// host's data disk; elsewhere it would be lost with an instance, or be on a network
	// file system, where SQLite loses data.
	DataDirectory string

	// Profiles are the instance types to choose from, in the order in which they
	// are shown; the first is preselected.
	Profiles []Profile
	// Menus say who may choose what. One is for everyone.
	Menus []Menu
	// Mounts are directories that every session asks for beside the home and
	// SharedStorage.
	Mounts []Mount
	// Environment is set in every session and job. It is no place for secrets: any
	// user can read it.
	Environment []Variable

	// RStudio, Jupyter, VSCode and Positron are the editors.
	RStudio  RStudio
	Jupyter  Jupyter
	VSCode   Editor
	Positron Editor

	// Logging says what Workbench and the Launcher log.
	Logging Logging
}

const (
	directory = "/etc/rstudio"
	// dataDisk is where the host has its data disk.
	dataDisk = "/var/lib/rstudio-server"
	// loopback is where the Launcher listens: it and rserver share the host.
	loopback     = "127.0.0.1"
	launcherPort = 5559
	// serviceUser is whom rserver and the Launcher run as.
	serviceUser = "rstudio-server"

	// Who owns a file.
	byRoot    = "root:root"
	byService = serviceUser + ":" + serviceUser
)

// Files returns the files of c, sorted by path, equal for equal values. Everything
// that is wrong with c is one error that is [domain.ErrInvalid]; there are no files
// then. It does no input or output.
//
// launcher-env, openid-client-secret, workbench.crt and workbench.key are among them
// only if c has something for them; the others always are. So whoever writes them
// over older ones removes those four where they are not.
func (c Configuration) Files() ([]File, error) {
	files, wrong := c.withDefaults().render()
	if len(wrong) > 0 {
		return nil, wrongConfiguration(wrong)
	}
	return files, nil
}

// render returns the files of c, which has its defaults, and all that is wrong with it.
func (c Configuration) render() (files []File, wrong []error) {
	wrong = c.problems()
	for _, p := range c.pages() {
		f, found := p.render()
		files, wrong = append(files, f), append(wrong, found...)
	}
	files = append(files, c.Keys.files()...)
	files = append(files, c.Certificate.files()...)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, wrong
}

func wrongConfiguration(wrong []error) error {
	return fmt.Errorf("workbench: configuration: %w: %w", domain.ErrInvalid, errors.Join(wrong...))
}

// pages are the files of key and value.
func (c Configuration) pages() []page {
	pages := []page{
		c.rserverConf(), c.launcherConf(), c.pluginConf(), c.profilesConf(), c.resourcesConf(), c.launcherMounts(),
		c.Jupyter.conf(), c.VSCode.conf("vscode.conf"), c.Positron.conf("positron.conf"), c.RStudio.conf(),
		c.databaseConf(), c.Logging.conf(),
	}
	if len(c.Environment) > 0 {
		pages = append(pages, c.launcherEnv())
	}
	if c.Auth.OpenID != nil {
		pages = append(pages, c.Auth.OpenID.clientSecret())
	}
	return pages
}

func (c Configuration) withDefaults() Configuration {
	c.Cluster = cmp.Or(c.Cluster, "EC2")
	c.DataDirectory = cmp.Or(c.DataDirectory, dataDisk)
	c.Plugin.Exe = cmp.Or(c.Plugin.Exe, "/usr/lib/rstudio-server/bin/rstudio-ec2-launcher")
	switch {
	case c.Port != 0:
	case c.Certificate == Certificate{}:
		c.Port = 8787
	default:
		c.Port = 443
	}
	return c
}

// problems are what makes no sense in c, which has its defaults. What no file can
// hold is found when that file is rendered.
func (c Configuration) problems() []error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	for _, part := range [][]error{
		checkCallback(c.CallbackAddress, c.Certificate != Certificate{}),
		c.Keys.problems(), c.Plugin.problems(), c.Certificate.problems(), c.Auth.problems(), c.databaseProblems(),
		c.menuProblems(), c.mountProblems(), c.environmentProblems(),
		c.RStudio.problems(), c.Jupyter.problems(), c.VSCode.problems("VSCode"), c.Positron.problems("Positron"),
		c.editorImageProblems(), c.Logging.problems(),
	} {
		found = append(found, part...)
	}
	if !clusterPattern.MatchString(c.Cluster) {
		bad("Cluster %.40q: want 1 to 40 letters, digits and hyphens, beginning with a letter", c.Cluster)
	}
	if c.Port < 1 || c.Port > 65535 || c.Port == launcherPort {
		bad("Port %d: want 1 to 65535 and not %d, where the Launcher listens", c.Port, launcherPort)
	}
	for _, err := range c.AdminGroup.problems() {
		bad("AdminGroup: %w", err)
	}
	return found
}

// databaseProblems is why a database cannot be where it is to be.
func (c Configuration) databaseProblems() []error {
	const want = "want " + dataDisk + " or a directory below"
	switch {
	case !cleanPath(c.DataDirectory):
		return []error{fmt.Errorf("DataDirectory %.80q is no absolute path without . or .. or a slash too many; %s", c.DataDirectory, want)}
	case !within(c.DataDirectory, dataDisk):
		return []error{fmt.Errorf("DataDirectory %.80q is not on the host's data disk: it would be lost when the host is replaced; %s", c.DataDirectory, want)}
	}
	return nil
}

// cleanPath reports whether p is an absolute path that means one place.
func cleanPath(p string) bool { return path.IsAbs(p) && path.Clean(p) == p && p != "/" }

// within reports whether a path is dir or below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
