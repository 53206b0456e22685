package dockerlauncher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/launcher"
)

// DefaultBridge is the interface that containers are behind on their machine.
const DefaultBridge = "atelier0"

// Config describes an engine and what containers may have there. The zero
// value is the engine that the environment names, for workloads without mounts.
type Config struct {
	// Client speaks to the engine. Nil is the engine that the variables
	// DOCKER_HOST, DOCKER_CERT_PATH and DOCKER_TLS_VERIFY name, on this
	// machine without them, unless there is a DialEngine. Close closes its
	// idle connections.
	Client *client.Client
	// DialEngine opens a connection to an engine elsewhere, secured as its
	// owner sees fit: TLS, or a tunnel. Connections are kept and shared by all
	// calls; those that have been idle for 90 seconds are closed. Either this
	// or Client.
	DialEngine func(ctx context.Context) (net.Conn, error)
	// Host names the engine's machine in each status. Empty is "local".
	Host string
	// InstanceType is repeated in each status.
	InstanceType string
	// Address is the IP address of the engine's machine at which ports are
	// published, and dialled. Empty is 127.0.0.1: nobody else reaches them.
	Address string
	// FirstPort and LastPort bound the host ports that are chosen. Zero
	// values are 20000 and 29999, below what Linux takes for outgoing
	// connections.
	FirstPort, LastPort int
	// DialContext dials Address, for [Launcher.Dial]. Nil is a [net.Dialer].
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Mounts finds the directory on the engine's machine for a mount. What it
	// refuses is [launcher.ErrMount] unless the error has another launcher
	// kind. Nil refuses all. See [Below] and [Homes].
	Mounts func(ctx context.Context, w launcher.Workload, m launcher.Mount) (string, error)
	// SecretsDir is a directory of the engine's machine where secrets are
	// kept while their container is; it should be memory. Empty is
	// /run/atelier/secrets.
	SecretsDir string
	// Credentials returns name and password for a registry, "registry.example.com"
	// or as it stands in the image's reference, each time an image is pulled;
	// empty ones are none. They are used for the pull and kept nowhere. Nil
	// pulls without.
	Credentials func(ctx context.Context, registry string) (username, password string, err error)

	// Network is the bridge network of the containers, made when it is first
	// needed. Empty is "atelier". Bridge is the name of its interface on the
	// machine, for a firewall's rules. Empty is
	// [DefaultBridge].
	Network, Bridge string
	// GPUs is how many NVIDIA graphics processors the machine has.
	GPUs int
	// MaxProcesses bounds the processes and threads of one container. Zero is
	// 4096.
	MaxProcesses int64
	// DiskMiB bounds what one container may write beside its mounts, in
	// mebibytes. An engine on overlay2 over xfs with project quotas holds it
	// to the byte, and writing fails with ENOSPC; on any other, a container
	// that is found over the bound is killed, which is looked for every
	// fifteen seconds while anything is watched. Since nobody bounds what is
	// written to volumes, an image that declares any (VOLUME) is
	// [launcher.ErrImage]. Zero is 10 GiB; negative is no bound.
	DiskMiB int64

	// Logger is told what goes wrong in the background. Nil discards.
	Logger *slog.Logger
}

const (
	defaultFirstPort = 20000
	defaultLastPort  = 29999
	defaultProcesses = 4096
	defaultDiskMiB   = 10 << 10
)

// validate reports everything wrong with c at once.
func (c Config) validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if _, err := netip.ParseAddr(c.Address); c.Address != "" && err != nil {
		bad("address %q: want an IP address", c.Address)
	}
	if c.Client != nil && c.DialEngine != nil {
		bad("there are a client and a way to dial the engine: give either")
	}
	first, last := c.FirstPort, c.LastPort
	if first == 0 && last == 0 {
		first, last = defaultFirstPort, defaultLastPort
	}
	if first < 1 || last > 65535 || first > last {
		bad("ports %d to %d: want a range within 1 to 65535", c.FirstPort, c.LastPort)
	}
	if c.SecretsDir != "" && !cleanAbsolute(c.SecretsDir) {
		bad("secrets directory %q: want an absolute path below the root", c.SecretsDir)
	}
	if len(c.Bridge) > 15 { // IFNAMSIZ is 16 with its end
		bad("bridge %q: an interface's name has at most 15 characters", c.Bridge)
	}
	if c.GPUs < 0 || c.MaxProcesses < 0 {
		bad("GPUs %d and processes %d must not be negative", c.GPUs, c.MaxProcesses)
	}
	if problems == nil {
		return nil
	}
	return &launcher.Error{Op: "new", Kind: launcher.ErrInvalid, Err: errors.Join(problems...)}
}

func (c Config) withDefaults() (Config, error) {
	if c.FirstPort == 0 && c.LastPort == 0 {
		c.FirstPort, c.LastPort = defaultFirstPort, defaultLastPort
	}
	for _, d := range []struct {
		field *string
		value string
	}{
		{&c.Host, "local"},
		{&c.Address, "127.0.0.1"},
		{&c.SecretsDir, "/run/atelier/secrets"},
		{&c.Network, "atelier"},
		{&c.Bridge, DefaultBridge},
	} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if c.Client == nil {
		engine, err := c.newClient()
		if err != nil {
			return c, &launcher.Error{Op: "new", Kind: launcher.ErrInvalid, Err: fmt.Errorf("the environment names no engine: %w", err)}
		}
		c.Client = engine
	}
	if c.DialContext == nil {
		c.DialContext = (&net.Dialer{}).DialContext
	}
	if c.Mounts == nil {
		c.Mounts = Below()
	}
	if c.MaxProcesses == 0 {
		c.MaxProcesses = defaultProcesses
	}
	if c.DiskMiB == 0 {
		c.DiskMiB = defaultDiskMiB
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// keptConnections is how many idle connections to an engine elsewhere are kept:
// opening one takes a handshake.
const keptConnections = 16

// newClient makes a client of the engine that is dialled, or of the one that
// the environment names.
func (c Config) newClient() (*client.Client, error) {
	if c.DialEngine == nil {
		return client.New(client.FromEnv)
	}
	return client.New(
		client.WithHost("tcp://"+c.Host), // whatever it is called: it is dialled
		client.WithHTTPClient(&http.Client{
			CheckRedirect: client.CheckRedirect,
			Transport: &http.Transport{
				DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return c.DialEngine(ctx) },
				MaxIdleConns:        keptConnections,
				MaxIdleConnsPerHost: keptConnections,
				IdleConnTimeout:     90 * time.Second,
			},
		}),
	)
}
