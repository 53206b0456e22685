package workbench

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

var (
	clusterPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,39}$`)
	// unixUser is package domain's rule for logins, but for those that are taken.
	unixUser = regexp.MustCompile(`^[a-z_][a-z0-9._-]{0,31}$`)
)

// rserverConf tells Workbench itself. Its keys are in
// https://docs.posit.co/ide/server-pro/reference/rserver_conf.html and
// https://docs.posit.co/ide/server-pro/job_launcher/configuration.html.
func (c Configuration) rserverConf() page {
	lines := lines(
		number("www-port", c.Port),
		flag("server-health-check-enabled", true), // answers at /health-check, to whoever asks
		text("secure-cookie-key-file", cookieKeyPath),
		text("server-shared-storage-path", projectDir(c.SharedStorage)),
		// It needs access control lists, which EFS has not
		// (https://docs.posit.co/ide/server-pro/rstudio_pro_sessions/project_sharing.html).
		flag("server-project-sharing", false),
		flag("admin-enabled", c.AdminGroup != Group{}),
		text("admin-group", c.AdminGroup.String()),

		flag("launcher-sessions-enabled", true),
		text("launcher-address", loopback),
		number("launcher-port", launcherPort),
		text("launcher-default-cluster", c.Cluster),
		text("launcher-sessions-callback-address", c.CallbackAddress),
		text("launcher-sessions-container-image", c.everyone().DefaultImage),
		// Our containers run as the user's uid from their first process on. To make
		// the user inside, the session would have to start as root. These three are
		// spelled as in sol-eng's samples; what they do with a plugin that is not
		// Posit's was not verified against a licensed product.
		flag("launcher-sessions-container-run-as-root", false),
		flag("launcher-sessions-create-container-user", false),
		// So the image's own environment reaches the session.
		flag("launcher-sessions-forward-container-environment", true),
	)
	lines.lines = append(lines.lines, c.Certificate.lines()...)
	lines.lines = append(lines.lines, c.Auth.lines()...)
	return public("rserver.conf", ini, lines)
}

// checkCallback reports why sessions cannot report to an address.
func checkCallback(address string, https bool) []error {
	const want = `want the URL by which other machines reach this Workbench, such as "https://workbench.example.com"`
	if address == "" {
		return []error{errors.New("CallbackAddress is missing: sessions run on other machines and report to it, and without one they start and are never seen to be ready; " + want)}
	}
	bad := func(why string) []error {
		return []error{fmt.Errorf("CallbackAddress %.80q %s; %s", address, why, want)}
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return bad("is no http or https URL with a host")
	}
	switch host, _ := netip.ParseAddr(u.Hostname()); {
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return bad("has more than scheme, host, port and path")
	case strings.EqualFold(strings.TrimSuffix(u.Hostname(), "."), "localhost"), host.Unmap().IsLoopback(), host.Unmap().IsUnspecified():
		return bad("leads each session to its own machine")
	case https && u.Scheme == "http":
		return bad("is http, and with a Certificate Workbench speaks https")
	}
	return nil
}
