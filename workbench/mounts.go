package workbench

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// home is where everyone's home is, on this host and in sessions. Workbench puts
// the user's name for {USER}.
const home = "/home/{USER}"

// A Mount is a directory that every session asks for, at the path it has on this
// host: Workbench wants both to see the same.
//
// It is a request. Our plugin takes the one for /home/{USER} for the user's own
// home, which a session has anyway, and others for what sessions of the domain have
// at these paths: /projects/ and a project's name, or /mnt/ and the name of a mount
// of the domain's policy. A session is refused whose user is in none of a project's
// groups, or may not have a mount. So mount what everybody may have.
type Mount struct {
	// Path is absolute: "/projects/genome", "/mnt/genomes". Required.
	Path string
	// ReadOnly says that it cannot be written. It is for what the domain's policy has as
	// read-only, and is that in sessions with or without: our plugin refuses it for
	// anything else, where it would not hold.
	ReadOnly bool
}

// A Variable is set in the environment of sessions and jobs.
type Variable struct {
	// Name is of letters, digits and underscores, and does not begin with a digit.
	Name string
	// Value is one line. Required.
	Value string
}

// launcherMounts lists what sessions mount, one record each; see
// https://docs.posit.co/ide/server-pro/job_launcher/configuration.html. A record
// without Host is a directory of the machine that runs the session, and not an NFS
// server's; not verified against a licensed product.
func (c Configuration) launcherMounts() page {
	mounts := []Mount{{Path: home}}
	if c.SharedStorage != "" {
		mounts = append(mounts, Mount{Path: projectDir(c.SharedStorage)})
	}
	var records []section
	for _, m := range slices.Concat(mounts, c.Mounts) {
		readOnly := "false"
		if m.ReadOnly {
			readOnly = "true"
		}
		records = append(records, lines(text("Path", m.Path), text("MountPath", m.Path), text("ReadOnly", readOnly)))
	}
	return public("launcher-mounts", dcf, records...)
}

// launcherEnv sets the environment of sessions and jobs. That several variables
// are continued lines of one record is how github.com/posit-dev/team-operator
// writes them.
func (c Configuration) launcherEnv() page {
	var set []string
	for _, v := range c.Environment {
		set = append(set, v.Name+"="+v.Value)
	}
	return public("launcher-env", dcf, lines(text("JobType", "any"), list("Environment", set)))
}

// mountProblems is about SharedStorage and Mounts: a session mounts each by itself,
// at a path that is the same for everyone.
func (c Configuration) mountProblems() []error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	taken := []string{"/home"}
	switch {
	case c.SharedStorage == "":
	case !nameInDomain.MatchString(c.SharedStorage):
		bad("SharedStorage %.40q: %s", c.SharedStorage, wantProject)
	default:
		taken = append(taken, projectDir(c.SharedStorage))
	}
	for _, m := range c.Mounts {
		switch {
		case !cleanPath(m.Path):
			bad("Mounts: %.80q: want an absolute path below the root, without . or .. or a slash too many", m.Path)
			continue
		case strings.ContainsAny(m.Path, "{}"):
			bad("Mounts: %.80q: Workbench puts names for what is in braces, and only the home is each user's own", m.Path)
		case m.ReadOnly && within(m.Path, "/projects"):
			bad("Mounts: %.80q: ReadOnly: who may have a project may write there; leave it out", m.Path)
		}
		for _, other := range taken {
			if within(m.Path, other) || within(other, m.Path) {
				bad("Mounts: %.80q and %s are one in the other: a session mounts each by itself", m.Path, other)
			}
		}
		taken = append(taken, m.Path)
	}
	return found
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c Configuration) environmentProblems() []error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	told := map[string]bool{}
	for _, v := range c.Environment {
		switch {
		case !variableName.MatchString(v.Name):
			bad("Environment: name %.40q: want letters, digits and underscores, not beginning with a digit", v.Name)
		case told[v.Name]:
			bad("Environment: %.40s is there twice", v.Name)
		case v.Value == "":
			bad("Environment: %.40s has no value", v.Name)
		}
		told[v.Name] = true
	}
	return found
}
