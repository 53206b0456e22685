package ec2launcher

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

const (
	// keysFresh is how long the launcher uses the keys it has read without
	// reading them again, keysDoubted how long when a handshake failed.
	keysFresh   = 10 * time.Minute
	keysDoubted = time.Minute
)

// keys are what the launcher has read of its secret, shared by everything in
// this process that speaks to hosts.
type keys struct {
	slot chan struct{} // held while they are read

	mu      sync.Mutex
	ring    *keyring
	readAt  time.Time // also if it failed
	doubted bool
}

// A keyring is how the launcher knows hosts and shows itself to them: by one
// of several generations.
type keyring struct {
	roots *x509.CertPool
	pairs []keypair // newest first
	ends  time.Time // of the newest
}

type keypair struct {
	authority []byte // its name, as it stands in certificates
	cert      tls.Certificate
}

// known returns the keyring if it need not be read.
func (k *keys) known(now time.Time) (ring *keyring, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := keysFresh
	if k.doubted {
		age = keysDoubted
	}
	return k.ring, k.ring != nil && now.Sub(k.readAt) < age
}

// keep notes the outcome of reading.
func (k *keys) keep(ring *keyring, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if ring != nil {
		k.ring = ring
	}
	k.readAt, k.doubted = now, false
}

// doubt has the keys read again soon: a host refused them, or was not known by
// them. Keys may have been rotated by another process.
func (k *keys) doubt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.doubted = true
}

// forget has the keys read again at the next use.
func (k *keys) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ring = nil
}

// engineTLS returns how to speak to the engines of hosts: TLS 1.3, hosts known
// by the fleet's authorities and one name whatever their address, and of the
// launcher's certificates the one that the host trusts. It reads the client's
// secret, at most once in ten minutes, or in one after [keys.doubt]; if that
// fails, what was read before is used on.
//
// Without keys it is [launcher.ErrNotFound], and without permission to read
// them [launcher.ErrDenied]. The configuration is the caller's to keep, and
// good for one host for as long as that lives.
func (l *Launcher) engineTLS(ctx context.Context) (*tls.Config, error) {
	if l.secrets == nil {
		return nil, fail("connect", "", launcher.ErrInvalid, errors.New("the Secrets client is nil: use NewFromConfig, or give it"))
	}
	ring, fresh := l.keys.known(time.Now())
	if fresh {
		return ring.config(l.cfg.Fleet), nil
	}
	select { // one reads, others wait for it
	case l.keys.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.keys.slot }()
	now := time.Now()
	if ring, fresh = l.keys.known(now); fresh {
		return ring.config(l.cfg.Fleet), nil
	}
	read, err := l.readRing(ctx, now)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	l.keys.keep(read, now)
	switch {
	case err == nil:
		ring = read
	case ring == nil:
		return nil, err
	default:
		l.cfg.Logger.Warn("the keys to the hosts' engines could not be read again; those known are used on", "error", err)
	}
	return ring.config(l.cfg.Fleet), nil
}

// readRing reads the client's secret.
func (l *Launcher) readRing(ctx context.Context, now time.Time) (*keyring, error) {
	known, err := l.generations(ctx)
	if err != nil {
		if _, ok := errors.AsType[*launcher.Error](err); ok {
			return nil, err
		}
		return nil, fail("connect", "", judge(err).kind, fmt.Errorf(
			"the keys to the hosts' engines cannot be read (%w): give the credentials what Policy lists for the launcher; if there are no keys, run Setup", err))
	}
	ring := &keyring{roots: x509.NewCertPool()}
	for _, g := range known {
		if !now.Before(g.ends()) {
			continue
		}
		authority, err := g.authority()
		var cert tls.Certificate
		if err == nil {
			cert, err = tls.X509KeyPair([]byte(g.Cert), []byte(g.Key))
		}
		if err != nil {
			return nil, fail("connect", "", launcher.ErrInvalid, fmt.Errorf(
				"secret %s has keys that are not as Setup writes them, made at %s: run RotateKeys and replace the hosts", l.clientSecret(), g.Made))
		}
		ring.roots.AddCert(authority)
		ring.pairs = append(ring.pairs, keypair{authority.RawSubject, cert})
		if g.ends().After(ring.ends) {
			ring.ends = g.ends()
		}
	}
	if len(ring.pairs) == 0 {
		return nil, fail("connect", "", launcher.ErrNotFound, fmt.Errorf(
			"secret %s has no keys to the hosts' engines that are valid now: run Setup", l.clientSecret()))
	}
	if left := ring.ends.Sub(now); left < keysLast/4 {
		l.cfg.Logger.Warn("the keys of the hosts' engines end soon; run Setup and replace the hosts", "ends", ring.ends)
	}
	return ring, nil
}

// config is the keyring as TLS has it.
func (r *keyring) config(fleet string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    r.roots,
		ServerName: engineName(fleet),
		// A server names the authorities it trusts; one that names none takes
		// what it gets.
		GetClientCertificate: func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(asked.AcceptableCAs) == 0 {
				return &r.pairs[0].cert, nil
			}
			for _, p := range r.pairs {
				if slices.ContainsFunc(asked.AcceptableCAs, func(name []byte) bool { return slices.Equal(name, p.authority) }) {
					return &p.cert, nil
				}
			}
			return nil, errForeignHost
		},
	}
}

var errForeignHost = errors.New("the host trusts none of the launcher's certificates: its keys are not this fleet's, or those that were are gone")
