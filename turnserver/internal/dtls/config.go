package dtls

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
)

// Config is what a Listener is made from. Certificate and Handle must be set.
type Config struct {
	// Certificate is asked at every handshake. Its key is ECDSA, Ed25519 or RSA.
	Certificate func() (*tls.Certificate, error)

	// Handle serves an established session, on a goroutine of its own; when it returns the session is closed. Its addresses
	// are *net.UDPAddr. Read gives one message: up to 8 KiB, and what does not fit into the buffer is lost; io.EOF when the
	// client or the Listener closed. Write sends one of up to 16 KiB, as one packet. Nothing is known of a client that
	// vanished: set read deadlines. When a client starts anew from the same port, Handle is called for its new session after
	// it has returned for the old one, whose Read gives io.EOF.
	Handle func(net.Conn)

	// MaxHalfOpen is how many handshakes may be under way; 1024 if 0. Beyond, an older one makes room for a newer one, see
	// limit.Pending.
	MaxHalfOpen int

	// MaxHalfOpenPerNetwork is how many of them may come from one network, an IPv4 /24 or an IPv6 /56; 16 if 0.
	MaxHalfOpenPerNetwork int

	// Known are addresses for which a quarter of MaxHalfOpen is kept. None if nil.
	Known *limit.Known

	// HandshakeTimeout is how long each may take from the hello with the cookie; 5 s if 0.
	HandshakeTimeout time.Duration

	// Handshakes is how many may begin, since each costs a core 0.6 ms with a P-256 key, 1.7 ms with RSA 2048. 200 per
	// second if zero, in bursts of 400: an eighth or a third of a core. A client that is refused asks again after 1 s.
	Handshakes limit.Rate

	// HandshakesPerNetwork is how many of them may come from one network; 50 per second if zero, in bursts of 100.
	HandshakesPerNetwork limit.Rate

	// MaxSessions is how many sessions there may be, the half-open among them; 10000 if 0. Each takes about 40 KB.
	MaxSessions int

	// MaxSessionsPerAddress is how many of them one address may have, or an IPv6 /56; 256 if 0.
	MaxSessionsPerAddress int

	// Log gets handshakes that failed, at level debug. Nothing if nil.
	Log *slog.Logger
}

// withDefaults returns a copy in which everything is set.
func (c *Config) withDefaults() (Config, error) {
	var full Config
	if c != nil {
		full = *c
	}
	if full.Certificate == nil || full.Handle == nil {
		return full, errors.New("dtls: Config.Certificate and Config.Handle must be set")
	}
	orElse(&full.MaxHalfOpen, 1024)
	orElse(&full.MaxHalfOpenPerNetwork, 16)
	orElse(&full.HandshakeTimeout, 5*time.Second)
	orElse(&full.Handshakes, limit.Rate{PerSecond: 200, Burst: 400})
	orElse(&full.HandshakesPerNetwork, limit.Rate{PerSecond: 50, Burst: 100})
	orElse(&full.MaxSessions, 10_000)
	orElse(&full.MaxSessionsPerAddress, 256)
	orElse(&full.Log, slog.New(slog.DiscardHandler))
	return full, nil
}

func orElse[T comparable](value *T, standard T) {
	if *value == *new(T) {
		*value = standard
	}
}
