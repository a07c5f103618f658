package peer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/pion/transport/v5"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Config says who the peer is and how it connects. User is required unless a token
// or certificate says it; everything else has a default. A Config is copied by
// [Dial] and may be reused.
type Config struct {
	// User is the name to sign in with. 1 to 64 of letters, digits and ". _ @ + -".
	// With Token or a client certificate it may be empty; what is given must be
	// theirs.
	User string

	// Password signs in, unless Token does. Without both, a client certificate of
	// TLSConfig does.
	Password string

	// Token gives the tokens to sign in with. Nil means that Password does.
	Token TokenSource

	// Room is the room to be in, named like a user. "" means the lobby or, with a
	// room token, the token's room, which a Room that is given must be.
	Room string

	// TLSConfig is used towards the signaling server and towards turns: relays.
	// Nil means the system's root certificates. Client certificates go to the
	// signaling server only.
	TLSConfig *tls.Config

	// RelayOnly gives and uses relay candidates only, so that the other side does
	// not learn this machine's addresses. A call then needs a relay. A room may
	// demand it of all that are in it.
	RelayOnly bool

	// ICEServers are used instead of those that the signaling server names. Nil
	// means the server's. They are never refreshed, so their credentials should
	// outlive the client.
	ICEServers []protocol.ICEServer

	// Loopback also offers the addresses of the loopback interface. This is done
	// anyway on a machine that has no others.
	Loopback bool

	// Net is the network that UDP sockets are opened on. Nil means the system's;
	// tests pass a simulated one.
	Net transport.Net

	// MinCongestionWindow is the least that SCTP keeps in flight, in bytes. 0 means
	// 65536, which keeps lossy links alive. 262144 triples the rate at 5 % loss and
	// is unfair to other traffic.
	MinCongestionWindow uint32

	// MaxCalls bounds the calls at once: those that this side made, and those incoming
	// ones that have connected. Callers beyond are told that this side is busy. 0 means
	// no bound. Incoming calls that have not connected, or wait for Accept, are bounded
	// to four in any case.
	MaxCalls int

	// OnPresence is told who comes (true) and goes (false) in the room, once
	// [Client.Peers] has been called. It runs on the goroutine that reads the
	// signaling connection: it must return soon and not call the Client. Nil
	// means nobody asks.
	OnPresence func(name string, present bool)

	// Logger gets what happens, at Debug and Info. Nil means no log.
	Logger *slog.Logger
}

const (
	defaultMinCongestionWindow = 64 << 10
	maxMinCongestionWindow     = 1 << 20 // beyond, a lossy link collapses
	maxICEServers              = 16      // of the server's list; more are ignored
)

// withDefaults returns a checked copy of c.
func (c *Config) withDefaults(rawURL string) (Config, *url.URL, error) {
	var cfg Config
	if c != nil {
		cfg = *c
	}
	target, err := url.Parse(rawURL)
	if err == nil && (target.Scheme != "wss" && target.Scheme != "ws" || target.Host == "") {
		err = fmt.Errorf("server URL %q must be wss://host:port or ws://host:port", target.Redacted())
	}
	var faults []error
	if err != nil {
		faults = append(faults, err)
	}
	unnamed := cfg.User == "" && (cfg.Token != nil || cfg.hasCertificate())
	if !unnamed && !protocol.ValidName(cfg.User) {
		faults = append(faults, fmt.Errorf("Config.User %q must be 1 to %d letters, digits or . _ @ + -", cfg.User, protocol.MaxNameLen))
	}
	if cfg.Room != "" && !protocol.ValidName(cfg.Room) {
		faults = append(faults, fmt.Errorf("Config.Room %q must be 1 to %d letters, digits or . _ @ + -", cfg.Room, protocol.MaxNameLen))
	}
	if cfg.Token != nil && cfg.Password != "" {
		faults = append(faults, errors.New("Config.Token and Config.Password are both given: which signs in?"))
	}
	if cfg.MinCongestionWindow > maxMinCongestionWindow {
		faults = append(faults, fmt.Errorf("Config.MinCongestionWindow %d is more than %d bytes", cfg.MinCongestionWindow, maxMinCongestionWindow))
	}
	if cfg.MinCongestionWindow == 0 {
		cfg.MinCongestionWindow = defaultMinCongestionWindow
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.OnPresence == nil {
		cfg.OnPresence = func(string, bool) {}
	}
	return cfg, target, errors.Join(faults...)
}

// hasCertificate reports whether the client can prove its name by a certificate.
func (c *Config) hasCertificate() bool {
	return c.TLSConfig != nil && (len(c.TLSConfig.Certificates) > 0 || c.TLSConfig.GetClientCertificate != nil)
}

// tlsConfig returns a copy of the TLS settings, for the named server.
func (c *Config) tlsConfig(serverName string) *tls.Config {
	t := &tls.Config{}
	if c.TLSConfig != nil {
		t = c.TLSConfig.Clone()
	}
	if t.MinVersion < tls.VersionTLS12 {
		t.MinVersion = tls.VersionTLS12
	}
	if t.ServerName == "" {
		t.ServerName = serverName
	}
	return t
}
