package credentials

import (
	"context"
	"sync"
	"time"
)

// credentials are those of one session, until they expire.
type credentials struct {
	accessKeyID, secretAccessKey, sessionToken string
	expires                                    time.Time
}

// early is how long before their end credentials are replaced. It is when the
// SDKs ask for new ones (aws-sdk-go-v2/config: ExpiryWindow of the container's
// provider), who would otherwise get the old ones again and again.
const early = 5 * time.Minute

// fresh reports whether credentials may be given out.
func (c credentials) fresh(now time.Time) bool { return now.Before(c.expires.Add(-early)) }

// limit is how long AWS may take. The SDKs in a session give up sooner.
const limit = 30 * time.Second

// cache holds the credentials of each generation, by its token. The zero value
// is empty.
type cache struct {
	mu      sync.Mutex // never held across a call
	kept    map[string]credentials
	flights map[string]*flight
}

// A flight is one call that everybody waits for who asks for the same. Its
// context is nobody's alone: it ends when the last of them has gone, so that no
// goroutine outlives the requests it works for.
type flight struct {
	waiting int
	end     context.CancelFunc
	done    chan struct{}
	result  credentials // after done
	err     error
}

// get returns fresh credentials for a token: those that are kept, or what
// fetch gets. Of several at once one fetches. What fails is not kept.
func (c *cache) get(ctx context.Context, token string, fetch func(context.Context) (credentials, error)) (credentials, error) {
	c.mu.Lock()
	if kept, ok := c.kept[token]; ok && kept.fresh(time.Now()) {
		c.mu.Unlock()
		return kept, nil
	}
	f := c.flights[token]
	if f == nil {
		f = c.depart(ctx, token, fetch)
	}
	f.waiting++
	c.mu.Unlock()

	var err error
	select {
	case <-f.done:
		err = f.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		f.end()
		if c.flights[token] == f { // whoever comes now starts another
			delete(c.flights, token)
		}
	}
	if err != nil {
		return credentials{}, err
	}
	return f.result, nil
}

// depart begins a flight; c.mu is held.
func (c *cache) depart(ctx context.Context, token string, fetch func(context.Context) (credentials, error)) *flight {
	shared, end := context.WithTimeout(context.WithoutCancel(ctx), limit)
	f := &flight{end: end, done: make(chan struct{})}
	if c.flights == nil {
		c.flights, c.kept = map[string]*flight{}, map[string]credentials{}
	}
	c.flights[token] = f
	go func() {
		result, err := fetch(shared)
		c.mu.Lock()
		defer c.mu.Unlock()
		f.result, f.err = result, err
		close(f.done)
		if c.flights[token] == f {
			delete(c.flights, token)
		}
		if err != nil {
			return
		}
		now := time.Now()
		for t, old := range c.kept { // of generations that nobody asks for any more
			if !old.fresh(now) {
				delete(c.kept, t)
			}
		}
		c.kept[token] = result
	}()
	return f
}
