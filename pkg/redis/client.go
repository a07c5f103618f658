// Package redis keeps in a Redis server what several signaling servers share.
// It is the only importer of the Redis client. Commands open one Client, and take
// from it what they need: the users, the keys that sign tokens, the tokens that were
// spent; later who is on which node, and the bus between nodes.
//
//	client, err := redis.Open(ctx, "redis://:secret@localhost:6379", nil)
//	…
//	defer client.Close()
//	auth := user.NewAuthenticator(client.Users(), nil)
//
// All keys begin with "sigctl:", except those that Options.Plaintext is about.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options configures a Client. Zero fields mean the defaults.
type Options struct {
	// Plaintext also lets those sign in whose password was put into Redis by
	// hand, as in `SET user1 password1`; the first good login replaces the key by
	// ours, with a hash. Default off.
	//
	// Danger: every string in that database, at most 1024 bytes long, without "$"
	// at its beginning and with a key that is a valid user name, is a password.
	// Only for a database that holds nothing else.
	Plaintext bool
	// Timeout bounds Open, and each wait for Redis later, also where a context
	// is canceled meanwhile. Default 5 s.
	Timeout time.Duration
}

// Client is a pool of connections to one Redis server. It is safe for
// concurrent use.
type Client struct {
	// set at construction
	rdb       *redis.Client
	addr      string // host:port, or the path of a Unix socket
	timeout   time.Duration
	plaintext bool
}

// errURL says nothing of the URL, since it may hold a password anywhere.
var errURL = errors.New("cannot read the Redis URL: it should look like redis://user:password@host:6379/0, " +
	"rediss:// for TLS or unix:///path/to/socket, with %-escapes for special characters in the password")

// Open connects to the Redis at url: redis://, rediss:// (TLS) or unix://. It
// fails if Redis does not answer a PING within Options.Timeout; its errors name
// the address, never the password. nil options mean the defaults.
func Open(ctx context.Context, url string, opts *Options) (*Client, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	ro, err := redis.ParseURL(url)
	if err != nil {
		return nil, errURL
	}
	ro.ContextTimeoutEnabled = true
	ro.DialTimeout, ro.ReadTimeout, ro.WriteTimeout, ro.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	ro.DialerRetries = 1
	ro.MaxRetries = -1 // a repeated Add would report that the user exists
	ro.PipelinePoolSize = -1
	ro.DisableIdentity = true
	ro.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	// It writes to stderr what the commands return as errors anyway.
	logging.Disable()

	c := &Client{rdb: redis.NewClient(ro), addr: ro.Addr, timeout: o.Timeout, plaintext: o.Plaintext}
	pingCtx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := c.rdb.Ping(pingCtx).Err(); err != nil {
		c.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, c.explain(err)
	}
	return c, nil
}

// Close closes all connections. Closing again does nothing.
func (c *Client) Close() error {
	if err := c.rdb.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return c.explain(err)
	}
	return nil
}

// explain says which Redis failed, and why in one phrase.
func (c *Client) explain(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return fmt.Errorf("redis at %s: no answer within %v: %w", c.addr, c.timeout, err)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		err = e.Err
	}
	if text := err.Error(); strings.HasPrefix(text, "NOAUTH") || strings.HasPrefix(text, "WRONGPASS") {
		return fmt.Errorf("redis at %s: %w (check user and password in the URL)", c.addr, err)
	}
	return fmt.Errorf("redis at %s: %w", c.addr, err)
}
