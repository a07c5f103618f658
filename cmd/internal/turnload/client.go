package turnload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v3"
)

// ErrTimeout says that the server did not answer.
var ErrTimeout = errors.New("no answer")

// ResponseError is a request that the server refused.
type ResponseError struct {
	Method stun.Method
	Code   int // RFC 8656 section 19, RFC 8489 section 14.8
	Reason string
}

func (e *ResponseError) Error() string {
	return fmt.Sprintf("the server answers %s with %d %s", e.Method, e.Code, e.Reason)
}

const (
	firstRetransmit = 500 * time.Millisecond // doubled each time, RFC 8489 section 6.2.1
	retransmits     = 4

	// maxChallenges bounds how often one request is signed anew: once for 401, and for a nonce that has expired.
	maxChallenges = 3
)

// challenge is the realm and nonce that a server gave last. Clients begin with those of the others: servers bound how
// often they answer strangers.
type challenge struct {
	mu           sync.Mutex
	realm, nonce string // guarded by mu
}

func (c *challenge) load() (realm, nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.realm, c.nonce
}

func (c *challenge) store(realm, nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.realm, c.nonce = realm, nonce
}

// client is a client of the server with one allocation. It makes one request at a time.
type client struct {
	link               link
	username, password string
	shared             *challenge
	responses          chan *stun.Message // to the request that waits

	// owned by who makes the requests
	realm, nonce string
	relayed      netip.AddrPort
}

func newClient(username, password string, shared *challenge) *client {
	return &client{username: username, password: password, shared: shared, responses: make(chan *stun.Message, retransmits)}
}

// respond hands a frame that is no data to the request that waits for it.
func (c *client) respond(frame []byte) {
	m := &stun.Message{Raw: bytes.Clone(frame)}
	if m.Decode() != nil {
		return
	}
	select {
	case c.responses <- m:
	default: // nobody waits
	}
}

func (c *client) allocate(ctx context.Context, family netip.Addr) error {
	attributes := []stun.Setter{requestedTransport()}
	if family.Is6() {
		attributes = append(attributes, requestedFamily(family))
	}
	response, err := c.request(ctx, stun.MethodAllocate, attributes...)
	if err == nil {
		c.relayed, err = relayedAddress(response)
	}
	return err
}

func (c *client) bind(ctx context.Context, peer netip.AddrPort) error {
	_, err := c.request(ctx, stun.MethodChannelBind, channelNumber(channel), peerAddress(peer))
	return err
}

func (c *client) permit(ctx context.Context, peer netip.AddrPort) error {
	_, err := c.request(ctx, stun.MethodCreatePermission, peerAddress(peer))
	return err
}

// refresh keeps the allocation for so many seconds; 0 ends it.
func (c *client) refresh(ctx context.Context, seconds uint32) error {
	_, err := c.request(ctx, stun.MethodRefresh, lifetime(seconds))
	return err
}

// request returns the success response. A server that asks for credentials, or for a fresh nonce, gets them.
func (c *client) request(ctx context.Context, method stun.Method, attributes ...stun.Setter) (*stun.Message, error) {
	if c.nonce == "" {
		c.realm, c.nonce = c.shared.load()
	}
	var refused error
	for range maxChallenges {
		signed := c.nonce != ""
		m, err := c.build(method, attributes)
		if err != nil {
			return nil, err
		}
		response, err := c.roundTrip(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		if response.Type.Class == stun.ClassSuccessResponse {
			return response, nil
		}
		var code stun.ErrorCodeAttribute
		_ = code.GetFrom(response) // without: 0
		refused = &ResponseError{Method: method, Code: int(code.Code), Reason: string(code.Reason)}
		stale := code.Code == stun.CodeStaleNonce || code.Code == stun.CodeUnauthorized && !signed
		if !stale || !c.challenged(response) {
			return nil, refused
		}
	}
	return nil, refused
}

func (c *client) build(method stun.Method, attributes []stun.Setter) (*stun.Message, error) {
	setters := []stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}
	setters = append(setters, attributes...)
	if c.nonce != "" {
		setters = append(setters, stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce),
			stun.NewLongTermIntegrity(c.username, c.realm, c.password))
	}
	return stun.Build(setters...)
}

// challenged takes realm and nonce of a response.
func (c *client) challenged(response *stun.Message) bool {
	var realm stun.Realm
	var nonce stun.Nonce
	if realm.GetFrom(response) != nil || nonce.GetFrom(response) != nil {
		return false
	}
	c.realm, c.nonce = realm.String(), nonce.String()
	c.shared.store(c.realm, c.nonce)
	return true
}

// roundTrip sends m, again and again where it may be lost, until its response comes.
func (c *client) roundTrip(ctx context.Context, m *stun.Message) (*stun.Message, error) {
	wait := firstRetransmit
	for i := range retransmits {
		if i == 0 || !c.link.reliable() {
			if err := c.link.send([][]byte{m.Raw}); err != nil {
				return nil, err
			}
		}
		response, err := c.await(ctx, m, wait)
		if response != nil || err != nil {
			return response, err
		}
		wait *= 2
	}
	return nil, ErrTimeout
}

// await returns m's response; nil, if it does not come in time.
func (c *client) await(ctx context.Context, m *stun.Message, d time.Duration) (*stun.Message, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case response := <-c.responses:
			if response.TransactionID == m.TransactionID && response.Type.Method == m.Type.Method {
				return response, nil
			}
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
