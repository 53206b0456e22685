package dockerlauncher

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/launcher"
)

// ensureNetwork makes the network of the containers, once, if there is none of
// its name: a bridge on which they do not reach each other.
func (l *Launcher) ensureNetwork(ctx context.Context) error {
	var known bool
	select {
	case known = <-l.network:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { l.network <- known }()
	if known {
		return nil
	}
	const separate = "com.docker.network.bridge.enable_icc"
	out, err := l.engine.NetworkInspect(ctx, l.cfg.Network, client.NetworkInspectOptions{})
	if errdefs.IsNotFound(err) {
		_, err = l.engine.NetworkCreate(ctx, l.cfg.Network, client.NetworkCreateOptions{
			Driver: "bridge",
			Options: map[string]string{
				separate:                         "false",
				"com.docker.network.bridge.name": l.cfg.Bridge,
			},
			Labels: map[string]string{labelPrefix + "network": "sessions"},
		})
		if errdefs.IsConflict(err) { // another process was faster
			err = nil
		}
		if err != nil {
			return fmt.Errorf("network %s: %w", l.cfg.Network, err)
		}
	} else if err == nil && out.Network.Options[separate] != "false" {
		return refuse("launch", "", launcher.ErrInvalid,
			"network %s exists and lets containers reach each other; remove it, or configure another name", l.cfg.Network)
	}
	known = err == nil
	return err
}

// forgetNetwork makes the next launch look for the network again.
func (l *Launcher) forgetNetwork() {
	<-l.network
	l.network <- false
}
