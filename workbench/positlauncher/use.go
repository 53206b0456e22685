package positlauncher

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/session"
)

// Connected is the source of evidence that a job is used: this machine has a connection
// to one of its ports. Workbench passes on what browsers send, so while a page is open
// there is one.
const Connected session.Source = "connected"

// lookEvery is how often connections are looked for.
const lookEvery = time.Minute

// watchUse reports which jobs are connected to.
func (s *server) watchUse(ctx context.Context) error {
	_ = pace.Every(ctx, lookEvery, func() {
		cfg := s.config()
		connected, err := cfg.connections()
		if err != nil {
			cfg.Logger.Warn("it cannot be told which jobs are used", "error", err)
		}
		if len(connected) == 0 {
			return
		}
		now := time.Now()
		for _, job := range s.board.lasting() {
			for port, at := range job.Endpoints {
				endpoint, err := netip.ParseAddrPort(at)
				if err != nil || !connected[endpoint] {
					continue
				}
				err = s.manager.Report(ctx, job.ID, session.Evidence{Source: Connected, Used: now, Asked: now, Detail: "a connection to " + port})
				if err != nil && ctx.Err() == nil && !errors.Is(err, session.ErrState) && !errors.Is(err, session.ErrNotFound) {
					cfg.Logger.Warn("the use of a job could not be reported", "session", job.ID, "error", err)
				}
				break
			}
		}
	})
	return nil
}

// established returns where this machine has connections to, as Linux tells it; nothing
// on other systems.
func established() (map[netip.AddrPort]bool, error) {
	found := map[netip.AddrPort]bool{}
	return found, errors.Join(remotes(os.DirFS("/proc/net"), "tcp", found), remotes(os.DirFS("/proc/net"), "tcp6", found))
}

// isEstablished is the state of a connection in /proc/net/tcp, TCP_ESTABLISHED.
const isEstablished = "01"

// remotes adds the far ends of the connections in a file of the form of /proc/net/tcp
// (Documentation/networking/proc_net_tcp.rst of Linux); none if there is no file.
func remotes(proc fs.FS, name string, found map[netip.AddrPort]bool) error {
	f, err := proc.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	lines := bufio.NewScanner(f)
	for first := true; lines.Scan(); first = false {
		fields := strings.Fields(lines.Text())
		if first || len(fields) < 4 || fields[3] != isEstablished {
			continue
		}
		at, err := parseEndpoint(fields[2])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		found[at] = true
	}
	return lines.Err()
}

// parseEndpoint reads "0100007F:22C3": words of four bytes, the lowest first, and a
// port.
func parseEndpoint(text string) (netip.AddrPort, error) {
	host, port, ok := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("%.60q is no address", text)
	}
	for i := 0; i < len(raw); i += 4 {
		raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
	}
	addr, ok := netip.AddrFromSlice(raw)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%.60q is no address", text)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}
