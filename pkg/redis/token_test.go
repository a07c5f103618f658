package redis

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/token"
	"github.com/sigctl/sigctl/pkg/token/tokentest"
)

// client is another node's access to the server.
func (s testServer) client(t *testing.T) *Client {
	t.Helper()
	c, err := Open(t.Context(), s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestMiniredisTokens runs all that testTokens runs also against a real server.
func TestMiniredisTokens(t *testing.T) { testTokens(t, newMiniredis) }

func testTokens(t *testing.T, newServer func(t *testing.T) testServer) {
	t.Run("KeyStore", func(t *testing.T) {
		tokentest.RunKeyStore(t, func(t *testing.T) func() token.KeyStore {
			s := newServer(t)
			return func() token.KeyStore { return s.client(t).TokenKeys() }
		})
	})
	t.Run("Spender", func(t *testing.T) {
		tokentest.RunSpender(t, func(t *testing.T) token.Spender { return newServer(t).client(t).Spent() })
	})
	for _, c := range []struct {
		name string
		test func(*testing.T, testServer)
	}{
		{"TwoNodes", testTwoNodes},
		{"SpentExpires", testSpentExpires},
		{"KeysLost", testKeysLost},
		{"KeysBroken", testKeysBroken},
		{"KeysBusy", testKeysBusy},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newServer(t)) })
	}
}

func openAuthority(t *testing.T, c *Client) *token.Authority {
	t.Helper()
	a, err := token.Open(t.Context(), c.TokenKeys(), c.Spent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *token.Authority) string {
	t.Helper()
	text, _, err := a.Issue(token.Claims{Kind: token.Room, User: "alice", Room: "lobby", Permissions: []string{"join"}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// use is what a login does.
func use(t *testing.T, a *token.Authority, text string) error {
	t.Helper()
	c, err := a.Verify(t.Context(), text, token.Room)
	if err != nil {
		return err
	}
	return a.Spend(t.Context(), c)
}

// testTwoNodes: a token of one is good on the other, once, and also after all
// have restarted.
func testTwoNodes(t *testing.T, s testServer) {
	one, other := openAuthority(t, s.client(t)), openAuthority(t, s.client(t))
	used, unused := issue(t, one), issue(t, one)
	if err := use(t, other, used); err != nil {
		t.Errorf("use on the other node: %v", err)
	}
	if err := use(t, one, used); !errors.Is(err, token.ErrReplayed) {
		t.Errorf("second use, on the node that issued it: %v, want %v", err, token.ErrReplayed)
	}
	restarted := openAuthority(t, s.client(t))
	if err := use(t, restarted, used); !errors.Is(err, token.ErrReplayed) {
		t.Errorf("second use, after a restart: %v, want %v", err, token.ErrReplayed)
	}
	if err := use(t, restarted, unused); err != nil {
		t.Errorf("first use, after a restart: %v", err)
	}
}

// testSpentExpires: an id stays as long as asked, and not for ever.
func testSpentExpires(t *testing.T, s testServer) {
	for id, keep := range map[string]time.Duration{"long": 90 * time.Second, "short": time.Millisecond, "past": -time.Hour} {
		began := time.Now()
		if err := s.client(t).Spent().Spend(t.Context(), id, began.Add(keep)); err != nil {
			t.Errorf("Spend(%s): %v", id, err)
		}
		got, err := s.raw.PTTL(t.Context(), "sigctl:token:spent:"+id).Result()
		took := time.Since(began)            // on a slow machine what is kept briefly may be gone already
		const clock = 100 * time.Millisecond // Redis counts whole ones, by a clock of its own
		least, most := max(keep, time.Second)-clock, max(keep, 0)+2*time.Second+clock
		if err != nil || got > most || got+took < least {
			t.Errorf("%s is kept for %v after %v, %v, want %v to %v", id, got, took, err, least, most)
		}
		s.do(t, "DEL sigctl:token:spent:"+id)
	}
	s.wantKeys(t)
}

// testKeysLost: a Redis that lost everything gets a new key.
func testKeysLost(t *testing.T, s testServer) {
	a := openAuthority(t, s.client(t))
	before := issue(t, a)
	s.do(t, "FLUSHALL")
	if err := a.Refresh(t.Context()); err != nil {
		t.Fatalf("Refresh: %v", err)
	}
	s.wantKeys(t, "sigctl:token:keys")
	if err := use(t, a, before); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("token of the lost key: %v, want %v", err, token.ErrUnknownKey)
	}
	if err := use(t, a, issue(t, a)); err != nil {
		t.Errorf("token of the new key: %v", err)
	}
}

// testKeysBroken: what is no key set is an error that names the key, and stays.
func testKeysBroken(t *testing.T, s testServer) {
	for _, command := range []string{"SET sigctl:token:keys s3cret", "HSET sigctl:token:keys s3cret s3cret"} {
		s.do(t, "FLUSHALL")
		s.do(t, command)
		c := s.client(t)
		_, err := token.Open(t.Context(), c.TokenKeys(), c.Spent(), nil)
		if err == nil || !strings.Contains(err.Error(), "redis") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("open after %s: %v, want an error about Redis without the value", command, err)
		}
		s.wantKeys(t, "sigctl:token:keys")
	}
}

// testKeysBusy: an Update that never wins ends.
func testKeysBusy(t *testing.T, s testServer) {
	a := openAuthority(t, s.client(t))
	tries := 0
	err := s.client(t).TokenKeys().Update(t.Context(), func(keys token.KeySet) (token.KeySet, error) {
		tries++
		s.raw.Append(t.Context(), "sigctl:token:keys", " ") // still the same set
		return keys[:1], nil
	})
	if err == nil || tries != maxSwaps {
		t.Errorf("Update: %v after %d tries, want an error after %d", err, tries, maxSwaps)
	}
	if err := a.Refresh(t.Context()); err != nil {
		t.Errorf("the keys after that: %v", err)
	}
}
