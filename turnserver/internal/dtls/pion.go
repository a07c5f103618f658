package dtls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/pion/logging"

	pion "github.com/pion/dtls/v3"
)

const (
	// mtu is what handshake messages are cut to: with all headers less than the 1280 bytes that every IPv6 path carries.
	mtu = 1200

	// flightInterval is when a flight is first sent again; it doubles each time. RFC 6347, section 4.2.4.1, has 1 s for
	// devices of its day; with this a client that lost three flights still gets in before HandshakeTimeout.
	flightInterval = 500 * time.Millisecond

	// replayWindow is that of RFC 6347, section 4.1.2.6.
	replayWindow = 64
)

var errCertificate = errors.New("no usable certificate")

// newConn returns a connection that has not begun its handshake.
func newConn(s *session, certificate func() (*tls.Certificate, error)) (*pion.Conn, error) {
	cert, err := certificate()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCertificate, err)
	}
	if cert == nil || cert.PrivateKey == nil {
		return nil, fmt.Errorf("%w: none, or without its key", errCertificate)
	}
	c, err := pion.ServerWithOptions(s, s.remote(),
		pion.WithCertificates(*cert),
		// Those of pion/dtls's defaults that are AEADs with forward secrecy.
		pion.WithCipherSuites(
			pion.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, pion.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			pion.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, pion.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
			pion.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, pion.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		),
		pion.WithExtendedMasterSecret(pion.RequireExtendedMasterSecret),
		pion.WithClientAuth(pion.NoClientCert),
		pion.WithMTU(mtu),
		pion.WithFlightInterval(flightInterval),
		pion.WithReplayProtectionWindow(replayWindow),
		pion.WithLoggerFactory(silence()),
	)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCertificate, err)
	}
	if _, err := cookieOf(c); err != nil {
		return nil, err
	}
	return c, nil
}

// silence is the library's log without a reader: what matters is in the errors that it returns.
func silence() logging.LoggerFactory {
	return &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
}

// cookieOf returns the cookie that c expects: the memory itself, which is private to the library. There is no other way to
// tell it that a client has already proved its address and still have the message_seq and transcript that the client has:
// WithInsecureSkipVerifyHello begins with message_seq 0. A cookie that is not replaced is random, so that a library in which
// this has changed refuses all clients, and New refuses the library.
func cookieOf(c *pion.Conn) ([]byte, error) {
	if state := reflect.ValueOf(c).Elem().FieldByName("state"); state.Kind() == reflect.Struct {
		cookie := state.FieldByName("cookie")
		if cookie.IsValid() && cookie.Type() == reflect.TypeFor[[]byte]() {
			return cookie.Bytes(), nil
		}
	}
	return nil, errors.New("this version of pion/dtls keeps its cookie elsewhere: look at its flight2Parse")
}

// replaceCookie makes c take the cookie that a hello brings. It is called by c itself, while it sends its HelloVerifyRequest.
func replaceCookie(c *pion.Conn, cookie []byte) {
	if expected, err := cookieOf(c); err == nil {
		copy(expected, cookie)
	}
}

func isVerifyRequest(p []byte) bool {
	return len(p) > atMessage && p[0] == typeHandshake && epochOf(p) == 0 && p[atMessage] == messageHelloVerifyRequest
}
