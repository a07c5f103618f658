package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// watchRefreshes makes the server tell what its answer to each refresh was.
func (s *fakeServer) watchRefreshes() <-chan protocol.FromServer {
	answers := make(chan protocol.FromServer, 8)
	s.refresh = func(m protocol.Refresh) protocol.FromServer {
		answer := protocol.FromServer(s.admit(nil, protocol.Login{Token: m.Token}))
		answers <- answer
		return answer
	}
	return answers
}

func (s *fakeServer) announceEnd(name string, ends int64) {
	s.conn(name).send("", protocol.Expiring{Expires: ends})
}

func wantRenewed(t *testing.T, answers <-chan protocol.FromServer) {
	t.Helper()
	select {
	case answer := <-answers:
		if m, ok := answer.(protocol.LoginReply); !ok || !m.Success {
			t.Errorf("the refresh was answered by %+v", answer)
		}
	case <-testContext(t).Done():
		t.Fatal("no refresh came")
	}
}

// A session is renewed before each of its ends: with the access token, or where
// that is no longer good with the password.
func TestRenewal(t *testing.T) {
	s := newFakeServer(t)
	refreshes := s.watchRefreshes()
	s.join("alice", inRoom("team"))
	s.wantAsked(askLogin, askJoin)
	s.announceEnd("alice", 100)
	wantRenewed(t, refreshes)
	s.wantAsked(askJoin)
	s.announceEnd("alice", 100) // said twice
	s.api.forget()
	s.announceEnd("alice", 200)
	wantRenewed(t, refreshes)
	s.wantAsked(askJoin, askLogin, askJoin)
}

func TestRenewalByTokens(t *testing.T) {
	s := newFakeServer(t)
	refreshes := s.watchRefreshes()
	s.join("alice", withToken(func(context.Context) (string, error) { return s.api.roomToken("alice", ""), nil }))
	s.announceEnd("alice", 100)
	wantRenewed(t, refreshes)
	s.wantAsked()
	s.join("bob", withToken(StaticToken("outside:bob")))
	s.announceEnd("bob", 100)
	wantRenewed(t, refreshes)
	s.wantAsked(askJoin, askJoin)
}

// until waits, one round trip to the server at a time, for done.
func (c *Client) until(t *testing.T, done func() bool) {
	t.Helper()
	ctx := testContext(t)
	for !done() {
		if _, err := c.Peers(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// What a renewal gives counts from then on.
func TestRenewalGrants(t *testing.T) {
	s := newFakeServer(t)
	alice := s.join("alice")
	s.refresh = func(protocol.Refresh) protocol.FromServer {
		return protocol.LoginReply{
			Success: true, ICEServers: []protocol.ICEServer{{URLs: []string{"stun:192.0.2.1"}}},
			ICETransportPolicy: protocol.ICERelay,
		}
	}
	s.announceEnd("alice", 100)
	alice.until(t, alice.relayOnly)
	if servers, _ := alice.ice.get(); len(servers) != 1 {
		t.Errorf("ICE servers %v, want the new one", servers)
	}
}

// A room token that nobody replaces ends with its session; calls whose path is open
// go on.
func TestExpired(t *testing.T) {
	s := newFakeServer(t)
	tried := make(chan struct{}, 8)
	token := s.api.roomToken("alice", "")
	alice := s.join("alice", withToken(func(context.Context) (string, error) { tried <- struct{}{}; return token, nil }))
	call, callee := connect(t, alice, s.join("bob"))
	<-tried // by Dial
	s.announceEnd("alice", 100)
	<-tried
	alice.until(t, func() bool { return errors.Is(alice.renewal.lastFault(), errSpent) })
	s.mu.Lock()
	conn := s.conns["alice"]
	delete(s.conns, "alice") // bob is not told
	s.mu.Unlock()
	conn.expire()
	<-alice.Done()
	if err := alice.Err(); !errors.Is(err, ErrExpired) || !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), errSpent.Error()) {
		t.Errorf("the client ended with %v", err)
	}
	wantChat(t, call, callee)
	if _, err := alice.Call(testContext(t), "carol"); !errors.Is(err, ErrExpired) {
		t.Errorf("a new call: %v, want %v", err, ErrExpired)
	}
}

func (r *renewal) lastFault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fault
}

// A renewal that is refused for good is not tried again, and its reason is told.
func TestRenewalRefused(t *testing.T) {
	for _, kind := range []string{"error", "login"} {
		s := newFakeServer(t)
		refreshes := 0
		s.refresh = func(protocol.Refresh) protocol.FromServer {
			refreshes++
			if kind == "login" {
				return protocol.LoginReply{Code: protocol.CodeForbidden, Message: "no longer in the room"}
			}
			return protocol.Error{Code: protocol.CodeForbidden, Message: "no longer in the room"}
		}
		alice := s.join("alice")
		s.announceEnd("alice", 100)
		alice.until(t, func() bool { return alice.renewal.idle() && alice.renewal.lastFault() != nil })
		s.conn("alice").expire()
		<-alice.Done()
		if err := alice.Err(); !errors.Is(err, ErrExpired) || errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), "no longer in the room") {
			t.Errorf("%s: the client ended with %v", kind, err)
		}
		if refreshes != 1 {
			t.Errorf("%s: %d refreshes, want 1", kind, refreshes)
		}
	}
}

func (r *renewal) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.running
}

func TestRetry(t *testing.T) {
	code := func(c protocol.Code, after int) error {
		return fmt.Errorf("%w: %w", ErrAuth, &ServerError{Code: c, RetryAfter: after})
	}
	for _, tt := range []struct {
		err   error
		pause time.Duration
		again bool
	}{
		{nil, 0, false},
		{errors.New("network is unreachable"), renewPause, true},
		{errSpent, renewPause, true},
		{errNoAPI, 0, false},
		{code(protocol.CodeBusy, 0), renewPause, true},
		{code(protocol.CodeRateLimited, 20), 20 * time.Second, true},
		{code(protocol.CodeInternal, 1), renewPause, true},
		{code(protocol.CodeBadCredentials, 20), 0, false},
		{code(protocol.CodeForbidden, 0), 0, false},
	} {
		if pause, again := retry(tt.err); pause != tt.pause || again != tt.again {
			t.Errorf("%v: after %v, %v; want %v, %v", tt.err, pause, again, tt.pause, tt.again)
		}
	}
}

// A source that has no token is asked until the session ends.
func TestRenewalTriesUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		cfg, target, err := (&Config{Token: func(context.Context) (string, error) {
			asked++
			return "", errors.New("not yet")
		}}).withDefaults("ws://localhost")
		if err != nil {
			t.Fatal(err)
		}
		c := &Client{log: slog.New(slog.DiscardHandler), tokens: tokens{cfg: &cfg, target: target}, ctx: t.Context()}
		start := time.Now()
		c.expiring(100)
		c.reader.Wait()
		if took := time.Since(start); took != protocol.ExpiryNotice {
			t.Errorf("gave up after %v, want %v", took, protocol.ExpiryNotice)
		}
		if want := int(protocol.ExpiryNotice / renewPause); asked < want || asked > want+1 {
			t.Errorf("asked %d times, want %d, or once more at the end", asked, want)
		}
	})
}

// Close does not wait for a renewal, but with it.
func TestCloseEndsRenewal(t *testing.T) {
	s := newFakeServer(t)
	first, asked, ended := true, make(chan struct{}), false
	alice := s.join("alice", withToken(func(ctx context.Context) (string, error) {
		if first {
			first = false
			return s.api.roomToken("alice", ""), nil
		}
		close(asked)
		<-ctx.Done()
		ended = true
		return "", ctx.Err()
	}))
	s.announceEnd("alice", 100)
	<-asked
	alice.Close()
	if !ended || !alice.renewal.idle() {
		t.Error("the renewal goes on after Close")
	}
}

// An end that is announced while a renewal runs is answered after it.
func TestRenewalWhileRenewing(t *testing.T) {
	s := newFakeServer(t)
	refreshes := s.watchRefreshes()
	asked, goOn := make(chan struct{}), make(chan struct{}, 3)
	goOn <- struct{}{} // Dial
	alice := s.join("alice", withToken(func(context.Context) (string, error) {
		if len(goOn) == 0 {
			asked <- struct{}{}
		}
		<-goOn
		return s.api.roomToken("alice", ""), nil
	}))
	s.announceEnd("alice", 100)
	<-asked
	s.announceEnd("alice", 200)
	s.announceEnd("alice", 150)                            // an older one, late
	if _, err := alice.Peers(testContext(t)); err != nil { // they have come
		t.Fatal(err)
	}
	goOn <- struct{}{}
	goOn <- struct{}{}
	wantRenewed(t, refreshes)
	wantRenewed(t, refreshes)
	alice.until(t, alice.renewal.idle)
}
