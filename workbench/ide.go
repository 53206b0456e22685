package workbench

import (
	"errors"
	"fmt"
	"time"
)

// RStudio says how RStudio sessions behave. The domain's own idle rules hold
// beside it. See https://docs.posit.co/ide/server-pro/reference/rsession_conf.html.
type RStudio struct {
	// IdleTimeout is after how long an unused session is suspended, in whole
	// minutes. Zero is Workbench's own, two hours; Never is never.
	IdleTimeout time.Duration
	// QuitWhenIdle ends an idle session instead of suspending it.
	QuitWhenIdle bool
	// ConnectServer is the URL of a Posit Connect that users publish to. Empty is
	// none.
	ConnectServer string
	// NoExternalPublishing forbids publishing to RPubs and shinyapps.io.
	NoExternalPublishing bool
	// RestrictDirectories keeps the file pane to the user's own directories. A
	// terminal shows more; what a session may reach is not decided by this.
	RestrictDirectories bool
}

func (r RStudio) conf() page {
	return public("rsession.conf", ini, lines(
		span("session-timeout-minutes", r.IdleTimeout, time.Minute),
		flag("session-timeout-suspend", !r.QuitWhenIdle),
		text("default-rsconnect-server", r.ConnectServer),
		flag("allow-external-publish", !r.NoExternalPublishing),
		flag("restrict-directory-view", r.RestrictDirectories),
	))
}

func (r RStudio) problems() []error {
	var found []error
	if err := checkSpan("RStudio.IdleTimeout", r.IdleTimeout, "minutes", time.Minute); err != nil {
		found = append(found, err)
	}
	if r.ConnectServer != "" && !isURL(r.ConnectServer) {
		found = append(found, fmt.Errorf("RStudio.ConnectServer %.80q: want an https URL, or nothing", r.ConnectServer))
	}
	return found
}

// Jupyter says whether and how JupyterLab is offered. See
// https://docs.posit.co/ide/server-pro/jupyter_sessions/configuration.html.
type Jupyter struct {
	// Enabled offers JupyterLab.
	Enabled bool
	// Exe is the program in the images: "/usr/local/bin/jupyter". Required if
	// Enabled.
	Exe string
	// Version is that of JupyterLab in the images, the same in all: "4.2.5".
	// Required if Enabled, for Workbench else asks the Jupyter of its own host;
	// "auto" tells it to.
	Version string
	// Image is the image that is preselected, by name. Empty is that of the menu.
	Image string
	// CullAfter is after how long an idle kernel is ended, and ShutdownAfter after
	// how long without kernels the session is, both in whole minutes. Zero is
	// Workbench's own, two hours and five minutes; Never is never.
	CullAfter     time.Duration
	ShutdownAfter time.Duration
}

// conf names no cluster: default-session-cluster is deprecated for
// launcher-default-cluster in rserver.conf.
func (j Jupyter) conf() page {
	l := []line{flag("labs-enabled", j.Enabled), flag("notebooks-enabled", false)}
	if j.Enabled {
		l = append(l,
			text("jupyter-exe", j.Exe),
			text("lab-version", j.Version),
			text("default-session-container-image", j.Image),
			span("session-cull-minutes", j.CullAfter, time.Minute),
			span("session-shutdown-minutes", j.ShutdownAfter, time.Minute),
		)
	}
	return public("jupyter.conf", ini, lines(l...))
}

// editorImageProblems is about images that editors name and nobody may choose.
func (c Configuration) editorImageProblems() []error {
	offered := map[string]bool{}
	for _, m := range c.Menus {
		for _, name := range m.Images {
			offered[name] = true
		}
	}
	var found []error
	for _, e := range []struct {
		field  string
		images []string
	}{
		{"Jupyter", []string{c.Jupyter.Image}},
		{"VSCode", append([]string{c.VSCode.Image}, c.VSCode.Images...)},
		{"Positron", append([]string{c.Positron.Image}, c.Positron.Images...)},
	} {
		for _, name := range e.images {
			if name != "" && !offered[name] {
				found = append(found, fmt.Errorf("%s: image %.40q is in no menu: want one of those that users may choose", e.field, name))
			}
		}
	}
	return found
}

func (j Jupyter) problems() []error {
	var found []error
	if j.Enabled && !cleanPath(j.Exe) {
		found = append(found, fmt.Errorf(`Jupyter.Exe %.80q: want the path of the program in the images, such as "/usr/local/bin/jupyter"`, j.Exe))
	}
	if j.Enabled && j.Version == "" {
		found = append(found, errors.New(`Jupyter.Version is missing: Workbench would ask the Jupyter of its own host; want that of the images, such as "4.2.5", or "auto" if the host has the same`))
	}
	for _, err := range []error{
		checkSpan("Jupyter.CullAfter", j.CullAfter, "minutes", time.Minute),
		checkSpan("Jupyter.ShutdownAfter", j.ShutdownAfter, "minutes", time.Minute),
	} {
		if err != nil {
			found = append(found, err)
		}
	}
	return found
}

// An Editor says whether and how VS Code or Positron is offered. See
// https://docs.posit.co/ide/server-pro/vscode_sessions/configuration.html and
// https://docs.posit.co/ide/server-pro/positron_sessions/configuration.html.
type Editor struct {
	// Enabled offers it.
	Enabled bool
	// Image is the image that is preselected, by name. Empty is that of the menu.
	Image string
	// Images are those that have it, by name. Empty is all of the menu.
	Images []string
	// KillAfter is after how long an unused session is ended, in whole hours. Zero
	// and Never are never, as Workbench has it by itself.
	KillAfter time.Duration
}

func (e Editor) conf(name string) page {
	l := []line{flag("enabled", e.Enabled)}
	if e.Enabled {
		l = append(l,
			text("default-session-container-image", e.Image),
			list("session-container-images", e.Images),
			span("session-timeout-kill-hours", e.KillAfter, time.Hour),
		)
	}
	return public(name, ini, lines(l...))
}

func (e Editor) problems(field string) []error {
	if err := checkSpan(field+".KillAfter", e.KillAfter, "hours", time.Hour); err != nil {
		return []error{err}
	}
	return nil
}
