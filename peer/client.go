package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// Client is a signed-in peer. Its methods may be called from any goroutine.
type Client struct {
	// set at construction
	cfg     Config // User is the name that the server said
	room    string
	log     *slog.Logger
	socket  *socket
	tokens  tokens
	cert    webrtc.Certificate // of all its calls
	network *network
	ice     iceList
	relayed atomic.Bool // the room's calls all go through a relay
	replies replies
	renewal renewal

	ctx       context.Context // ends, with the reason, when the signaling connection does
	end       context.CancelCauseFunc
	reader    sync.WaitGroup // and the renewal that it starts
	running   sync.WaitGroup // calls
	closeOnce sync.Once

	mu    sync.Mutex // guards calls and what each Call says is guarded by it
	calls callTable
}

// Dial connects to the signaling server at url, wss://host:port (ws:// without
// TLS, for tests and behind a proxy), and signs in. A refused sign-in is an
// [ErrAuth] that wraps a [ServerError]. ctx bounds Dial alone; without a deadline
// it takes 15 s at most.
//
// A password is sent to the server's HTTP API, at the same host and port, for a
// token that signs in; a server without one gets it over the WebSocket. A session
// that a token began is renewed before it ends, for as long as new tokens can be
// had.
func Dial(ctx context.Context, url string, config *Config) (*Client, error) {
	cfg, target, err := config.withDefaults(url)
	if err != nil {
		return nil, err
	}
	cert, err := newCertificate()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	source := tokens{cfg: &cfg, target: target}
	credentials, err := source.credentials(ctx)
	if err != nil {
		return nil, err
	}
	s, err := dialSocket(ctx, target, &cfg)
	if err != nil {
		return nil, err
	}
	reply, err := login(ctx, s, credentials)
	if err != nil {
		s.conn.Close()
		return nil, err
	}
	return newClient(cfg, s, source, cert, reply), nil
}

// newCertificate makes a self-signed certificate for DTLS, with a key on P-256.
func newCertificate() (webrtc.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("make DTLS key: %w", err)
	}
	cert, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return webrtc.Certificate{}, fmt.Errorf("make DTLS certificate: %w", err)
	}
	return *cert, nil
}

func newClient(cfg Config, s *socket, source tokens, cert webrtc.Certificate, reply protocol.LoginReply) *Client {
	cfg.User = reply.Name
	c := &Client{
		cfg:     cfg,
		room:    reply.Room,
		log:     cfg.Logger,
		socket:  s,
		tokens:  source,
		cert:    cert,
		network: &network{base: cfg.Net, loopback: cfg.Loopback, granted: grantedBuffers{log: cfg.Logger}},
		calls:   newCallTable(),
	}
	c.tokens.cfg = &c.cfg // one copy is kept
	c.granted(reply)
	c.ctx, c.end = context.WithCancelCause(context.Background())
	c.reader.Go(c.readLoop)
	return c
}

// granted takes up what a sign-in, or its renewal, gave.
func (c *Client) granted(reply protocol.LoginReply) {
	c.ice.set(reply.ICEServers, reply.ICEExpires)
	c.relayed.Store(reply.ICETransportPolicy == protocol.ICERelay)
}

// relayOnly reports whether calls may go through a relay only.
func (c *Client) relayOnly() bool { return c.cfg.RelayOnly || c.relayed.Load() }

// User returns the name that the client signed in under.
func (c *Client) User() string { return c.cfg.User }

// Room returns the room that the client is in.
func (c *Client) Room() string { return c.room }

// Done is closed when the signaling connection has ended. Calls with an open path
// go on; new ones cannot be made.
func (c *Client) Done() <-chan struct{} { return c.ctx.Done() }

// Err returns nil before Done is closed, then why: [ErrClosed] or an [ErrLost],
// which is an [ErrExpired] too where the sign-in ended and was not renewed.
func (c *Client) Err() error { return context.Cause(c.ctx) }

// Close hangs up all calls, signs out and waits until nothing of the client is
// left. It always returns nil, and may be called again.
func (c *Client) Close() error {
	c.closeOnce.Do(func() {
		for _, call := range c.allCalls(true) {
			call.stop(hungUp)
		}
		c.running.Wait()
		c.end(ErrClosed)
		c.socket.goodbye()
	})
	c.reader.Wait()
	return nil
}

// readLoop takes what the server sends until the connection ends.
func (c *Client) readLoop() {
	defer c.socket.conn.Close()
	for {
		ev, err := c.socket.receive()
		if err != nil {
			err = c.renewal.explain(err)
			c.end(err)
			c.log.Debug("signaling ended", "reason", context.Cause(c.ctx))
			for _, call := range c.allCalls(false) {
				call.signalingLost(err)
			}
			return
		}
		c.dispatch(ev)
	}
}

func (c *Client) dispatch(ev protocol.Event) {
	if c.replies.deliver(ev) {
		return
	}
	switch m := ev.Message.(type) {
	case protocol.Offer:
		c.takeOffer(m)
	case protocol.Answer:
		c.takeAnswer(m)
	case protocol.Leave:
		c.takeLeave(m)
	case protocol.Forwarded:
		if call := c.findCall(m.Party()); call != nil {
			call.deliver(m)
		}
	case protocol.Error:
		if call := c.findRef(ev.Ref); call != nil {
			call.post(func() { call.refused(m) })
		} else {
			c.log.Debug("the server refused a message", "code", m.Code, "text", printable(m.Message))
		}
	case protocol.Joined:
		c.cfg.OnPresence(m.Name, true)
	case protocol.Left:
		c.cfg.OnPresence(m.Name, false)
	case protocol.Expiring:
		c.expiring(m.Expires)
	}
}

// Peers returns who else is in the room, by name; the server lists 500 at most.
// From then on Config.OnPresence is told who comes and goes.
func (c *Client) Peers(ctx context.Context) ([]string, error) {
	reply, err := request[protocol.PeerList](ctx, c, protocol.Peers{})
	if err != nil {
		return nil, fmt.Errorf("list peers: %w", err)
	}
	names := make([]string, len(reply.Peers))
	for i, p := range reply.Peers {
		names[i] = p.Name
	}
	return names, nil
}
