package listen

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"
)

// Application protocols of a shared port (RFC 7301, RFC 7443).
const (
	alpnTURN = "stun.turn"
	alpnSTUN = "stun.nat-discovery"
	alpnHTTP = "http/1.1"
	alpnH2   = "h2" // never offered: a WebSocket is an upgrade of HTTP/1.1
)

// ShareTLS returns base as a shared port needs it: besides what it offers, but h2, it offers the protocols of TURN and
// HTTP/1.1. What base.GetConfigForClient returns offers them, too.
//
// It is an error if clients without a certificate would be turned away: browsers have none for a TURN server. To see
// that, base.GetConfigForClient is called once, for a client that says nothing.
func ShareTLS(base *tls.Config) (*tls.Config, error) {
	if base == nil {
		return nil, errors.New("a port cannot be shared by HTTPS and TURN without TLS")
	}
	if demandsCertificate(base) {
		return nil, errors.New("a port that demands client certificates cannot be shared with TURN: " +
			"browsers send none to a TURN server; make them optional, or give TURN a port of its own")
	}
	config := offer(base)
	if base.GetConfigForClient != nil {
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			own, err := base.GetConfigForClient(hello)
			if err != nil || own == nil {
				return nil, err
			}
			return offer(own), nil
		}
	}
	return config, nil
}

// demandsCertificate reports whether a handshake fails for want of a client certificate.
func demandsCertificate(config *tls.Config) bool {
	if config.GetConfigForClient != nil {
		nobody, _ := net.Pipe()
		if own, err := config.GetConfigForClient(&tls.ClientHelloInfo{Conn: nobody}); err == nil && own != nil {
			config = own
		}
	}
	return config.ClientAuth == tls.RequireAnyClientCert || config.ClientAuth == tls.RequireAndVerifyClientCert
}

// offer returns config with the protocols of a shared port.
func offer(config *tls.Config) *tls.Config {
	config = config.Clone()
	ours := []string{alpnTURN, alpnSTUN, alpnHTTP}
	config.NextProtos = append(ours, slices.DeleteFunc(slices.Clone(config.NextProtos), func(p string) bool {
		return p == alpnH2 || slices.Contains(ours, p)
	})...)
	return config
}

// destination is whose a connection is.
type destination int

const (
	toNobody destination = iota
	toRelay
	toHTTP
)

// meet shakes hands with a client and finds out whose its connection is.
func (s *Shared) meet(conn *tls.Conn) (client net.Conn, to destination) {
	addr := conn.RemoteAddr() // before the deadline: a PROXY header has one of its own
	conn.SetDeadline(time.Now().Add(s.o.Timeout))
	defer conn.SetDeadline(time.Time{})
	if conn.Handshake() != nil {
		return conn, toHTTP // which sees the error, too
	}
	switch conn.ConnectionState().NegotiatedProtocol {
	case alpnTURN, alpnSTUN:
		return conn, toRelay
	case "":
	default:
		return conn, toHTTP
	}
	var first [1]byte
	if _, err := conn.Read(first[:]); err != nil {
		s.o.Logger.Debug("nothing came after the TLS handshake", "addr", addr, "err", err)
		return nil, toNobody
	}
	if to = speaks(first[0]); to == toNobody {
		s.o.Logger.Debug("neither HTTP nor TURN came after the TLS handshake", "addr", addr, "byte", first[0])
	}
	return &begun{Conn: conn, first: first[0], unread: true}, to
}

// speaks tells by the first byte whose a connection is.
func speaks(first byte) destination {
	switch {
	case first <= 1: // a STUN message of a method that exists (RFC 8489, section 5)
		return toRelay
	case 'A' <= first && first <= 'Z', 'a' <= first && first <= 'z': // of a method (RFC 9112, section 3)
		return toHTTP
	}
	return toNobody
}

// begun is a TLS connection whose first byte has been read to see what it speaks.
type begun struct {
	*tls.Conn
	first  byte
	unread bool // owned by the reader
}

// Read reads as if nothing had been read.
func (c *begun) Read(p []byte) (int, error) {
	if !c.unread || len(p) == 0 {
		return c.Conn.Read(p)
	}
	p[0], c.unread = c.first, false
	return 1, nil
}
