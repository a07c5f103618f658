package signal

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/sigctl/sigctl/pkg/audit"
	"github.com/sigctl/sigctl/pkg/certs"
	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
	"github.com/sigctl/sigctl/pkg/policy"
	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/token/oidc"
	"github.com/sigctl/sigctl/pkg/user"
)

// Authenticator checks a user's password, which from sent. Its errors are those of package user:
// user.ErrBadCredentials and user.ErrBusy are told to the client, others are logged and told as
// an internal error.
type Authenticator interface {
	Authenticate(ctx context.Context, name, password string, from limit.Client) error
}

// Names knows whose a name is, as a user.Store does.
type Names interface {
	// Get returns the user of that name; user.ErrNotFound.
	Get(ctx context.Context, name string) (user.User, error)
	// Claim returns the user of that name and source, which is made if the name is
	// free; user.ErrSource if it belongs to another source.
	Claim(ctx context.Context, name, source string) (user.User, error)
}

// Outside verifies tokens of an outside issuer, as an oidc.Verifier does.
type Outside interface {
	Verify(ctx context.Context, text string) (oidc.Identity, error)
}

// Config says how a Server works. It is copied by New.
type Config struct {
	// Users checks passwords. Required.
	Users Authenticator

	// Names is asked whenever somebody comes with something else than a password:
	// whether the name is theirs, and since when what was issued to it counts.
	// Required with Tokens, Outside and Clients.
	Names Names

	// Tokens issues and checks our own tokens. Nil: there is no HTTP API, and no
	// login by token.
	Tokens *token.Authority

	// Outside checks the tokens of an outside issuer, which are good for room
	// tokens of ours. Nil takes none. It needs Tokens.
	Outside Outside

	// Clients says whom a client certificate identifies; its own TLS configuration
	// has verified that. Nil: certificates count for nothing.
	Clients *certs.Clients

	// Policy returns the present rules: who may join which room with what.
	// Nil means policy.Default.
	Policy func() *policy.Policy

	// TokenTTL is how long a room token lives, 5 to 15 minutes, default 10.
	TokenTTL time.Duration

	// URL returns the URL at which clients reach the WebSocket now. The server tells it with a room
	// token. Nil: it tells none.
	URL func() string

	// HSTS tells browsers to come by TLS alone from now on (RFC 6797). Not for a
	// development certificate: it would hold for every port of the host.
	HSTS bool

	// Proxies says which addresses are proxies that speak for others. Nil: none.
	Proxies *listen.Proxies

	// Throttle slows down the guessing of passwords. Nil means a default one.
	Throttle *limit.Throttle

	// Audit gets every security event before its effect can be seen. What is granted is
	// refused instead, if that fails. Nil records nothing.
	Audit *audit.Log

	// TLS serves HTTPS and WSS. Nil serves plain HTTP: passwords are then
	// readable on the way, unless a proxy in front does the TLS.
	TLS *tls.Config

	// Relay shares the TLS port with TURN: it serves a connection that speaks TURN, on a
	// goroutine of its own, see listen.Share for how that is told. The handshake is
	// done; RemoteAddr is the client's, as Proxies tell it; MaxPending does not count
	// the connection any more. It is the relay's until Relay returns, which has to
	// follow soon when the connection fails: the end of Serve closes those that are
	// left, and waits. Nil: the port speaks HTTPS alone. It needs TLS that does not
	// demand client certificates.
	Relay func(net.Conn)

	// ICEServers returns the ICE servers for a user, with credentials, and when
	// those expire (zero: never). Nil gives none.
	ICEServers func(user string) ([]protocol.ICEServer, time.Time)

	// AllowOrigins lists the origins beside the server's own whose pages may
	// open the WebSocket, as "https://example.com" or, for any port,
	// "http://localhost:*". Requests without an Origin are not from a browser
	// and always pass. Default none.
	AllowOrigins []string

	// MaxPending bounds the connections that have not logged in, over all addresses;
	// MaxPendingPerAddress those of one IPv4 address or IPv6 /56, as Proxies tell it. Beyond, an
	// older connection is closed so that a newer one has a chance; see limit.Pending. Default 8192
	// and 256.
	MaxPending           int
	MaxPendingPerAddress int

	// Known are the addresses that are preferred when there are MaxPending connections. Those of
	// clients that log in are added. Default: those alone.
	Known *limit.Known

	// ConnsPerAddress is how fast connections of one address may begin; those beyond are closed
	// before their TLS handshake. Default limit.ConnRate.
	ConnsPerAddress limit.Rate

	// RequestsPerAddress is how fast HTTP requests of any kind may come from one address, upgrades
	// to a WebSocket among them; those beyond are answered with 429. The HTTP API has a lower rate
	// besides. Default 250 a second, 5000 at once: several for each connection, since a browser that
	// opens the page asks for 26 files over 6 connections.
	RequestsPerAddress limit.Rate

	// MaxSessions bounds the connections that have logged in. Beyond, a login is refused as busy.
	// Default: no bound.
	MaxSessions int

	// Rates bound what one session sends. What comes too fast is refused.
	Rates Rates

	// MaxQueue bounds what waits for a client that reads slowly, in bytes: once for messages of
	// other users, once for the server's own, and as much again that is being written. Of the
	// first, a sender may have as much waiting as stays free; beyond, its messages are refused
	// with protocol.CodeBusy. Beyond the second the client is closed with
	// protocol.CloseSlowConsumer. Default 256 KiB, at least protocol.MaxFrame.
	MaxQueue int

	// Logger gets a line per login and per end of a session. Default: nothing
	// is logged.
	Logger *slog.Logger

	// neverPing is for tests of clients that do not read: on a slow machine their pings time out.
	neverPing bool
}

const minTokenTTL = 5 * time.Minute

func (c *Config) withDefaults() (Config, error) {
	var cfg Config
	if c != nil {
		cfg = *c
	}
	if cfg.Users == nil {
		return cfg, errors.New("signal: Config.Users is missing")
	}
	if cfg.Names == nil && (cfg.Tokens != nil || cfg.Outside != nil || cfg.Clients != nil) {
		return cfg, errors.New("signal: Config.Names is missing: tokens and certificates need it")
	}
	if cfg.Tokens == nil && cfg.Outside != nil {
		return cfg, errors.New("signal: Config.Outside needs Config.Tokens")
	}
	if cfg.Relay != nil {
		shared, err := listen.ShareTLS(cfg.TLS)
		if err != nil {
			return cfg, fmt.Errorf("signal: Config.Relay: %w", err)
		}
		cfg.TLS = shared
	}
	if cfg.TokenTTL == 0 {
		cfg.TokenTTL = 10 * time.Minute
	}
	if cfg.TokenTTL < minTokenTTL || cfg.TokenTTL > token.MaxLifetime {
		return cfg, fmt.Errorf("signal: Config.TokenTTL is %v, not %v to %v", cfg.TokenTTL, minTokenTTL, token.MaxLifetime)
	}
	if cfg.Policy == nil {
		lobby := policy.Default()
		cfg.Policy = func() *policy.Policy { return lobby }
	}
	if cfg.Throttle == nil {
		cfg.Throttle = limit.NewThrottle(nil)
	}
	cfg.Rates = cfg.Rates.withDefaults()
	setDefault(&cfg.MaxPending, 8192)
	setDefault(&cfg.MaxPendingPerAddress, 256)
	cfg.ConnsPerAddress = cmp.Or(cfg.ConnsPerAddress, limit.ConnRate())
	cfg.RequestsPerAddress = cmp.Or(cfg.RequestsPerAddress, limit.Rate{PerSecond: 250, Burst: 5000})
	if cfg.Known == nil {
		cfg.Known = limit.NewKnown()
	}
	setDefault(&cfg.MaxQueue, 256<<10)
	cfg.MaxQueue = min(max(cfg.MaxQueue, protocol.MaxFrame), 1<<30) // its bytes are counted in 32 bits
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.URL == nil {
		cfg.URL = func() string { return "" }
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
