package positlauncher

import "net/netip"

// WithConnections has c look for the connections of a test rather than of this machine.
func (c Config) WithConnections(to func() (map[netip.AddrPort]bool, error)) Config {
	c.connections = to
	return c
}
