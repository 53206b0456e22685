package workbench

import (
	"fmt"
	"net/url"
	"slices"
)

// Request returns q for a host that is configured by c: with c's files beside those
// that q has, and with Port, SharedStorage, URL and the path of Plugin as c has them.
// What q says of these must be the same, or nothing. Everything that is wrong with c, or
// does not fit, is one error that is [domain.ErrInvalid].
//
// With a Certificate the host is asked for its health at the host of CallbackAddress, for which
// that is good, unless q has a URL.
func (c Configuration) Request(q DeployRequest) (DeployRequest, error) {
	c = c.withDefaults()
	files, wrong := c.render()
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if q.Port != 0 && q.Port != c.Port {
		bad("Port %d: the configuration has %d", q.Port, c.Port)
	}
	if q.SharedStorage != "" && q.SharedStorage != c.SharedStorage {
		bad("SharedStorage %.40q: the configuration has %.40q", q.SharedStorage, c.SharedStorage)
	}
	if q.Plugin.Path != "" && q.Plugin.Path != c.Plugin.Exe {
		bad("Plugin.Path %.80q: the configuration has %.80q", q.Plugin.Path, c.Plugin.Exe)
	}
	for _, f := range q.Files {
		if slices.ContainsFunc(files, func(ours File) bool { return ours.Path == f.Path }) {
			bad("file %s: is one of the configuration's", f.Path)
		}
	}
	if len(wrong) > 0 {
		return DeployRequest{}, wrongConfiguration(wrong)
	}
	q.Files = slices.Concat(files, q.Files)
	q.Port, q.SharedStorage = c.Port, c.SharedStorage
	if q.Plugin.URL != "" {
		q.Plugin.Path = c.Plugin.Exe
	}
	if u, err := url.Parse(c.CallbackAddress); err == nil && q.URL == "" && c.Certificate != (Certificate{}) {
		q.URL = u.Scheme + "://" + u.Host
	}
	return q, nil
}
