package signal

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Authenticator checks a user's password. Its errors are those of package user:
// user.ErrBadCredentials and user.ErrBusy are told to the client, others are
// logged and told as an internal error.
type Authenticator interface {
	Authenticate(ctx context.Context, name, password string) error
}

// Config says how a Server works. It is copied by New.
type Config struct {
	// Users checks passwords. Required.
	Users Authenticator

	// TLS serves HTTPS and WSS. Nil serves plain HTTP: passwords are then
	// readable on the way, unless a proxy in front does the TLS.
	TLS *tls.Config

	// ICEServers returns the ICE servers for a user, with credentials, and when
	// those expire (zero: never). Nil gives none.
	ICEServers func(user string) ([]protocol.ICEServer, time.Time)

	// AllowOrigins lists the origins beside the server's own whose pages may
	// open the WebSocket, as "https://example.com" or, for any port,
	// "http://localhost:*". Requests without an Origin are not from a browser
	// and always pass. Default none.
	AllowOrigins []string

	// MaxPending bounds the connections that have not logged in, over all
	// addresses; MaxPendingPerAddress those of one IPv4 address or IPv6 /56.
	// Beyond, a connection is closed at once. Default 8192 and 256.
	MaxPending           int
	MaxPendingPerAddress int

	// MaxQueue bounds what waits for a client that reads slowly, in bytes, beside
	// as much that is being written. Beyond, it is closed with protocol.CloseSlowConsumer. Default 256 KiB.
	MaxQueue int

	// Logger gets a line per login and per end of a session. Default: nothing
	// is logged.
	Logger *slog.Logger
}

func (c *Config) withDefaults() (Config, error) {
	var cfg Config
	if c != nil {
		cfg = *c
	}
	if cfg.Users == nil {
		return cfg, errors.New("signal: Config.Users is missing")
	}
	setDefault(&cfg.MaxPending, 8192)
	setDefault(&cfg.MaxPendingPerAddress, 256)
	setDefault(&cfg.MaxQueue, 256<<10)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.ICEServers == nil {
		cfg.ICEServers = func(string) ([]protocol.ICEServer, time.Time) { return nil, time.Time{} }
	}
	return cfg, nil
}

func setDefault(n *int, value int) {
	if *n <= 0 {
		*n = value
	}
}
