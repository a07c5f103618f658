package turnserver

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/turncred"
)

func TestCredentials(t *testing.T) {
	ts := newTestServer(t, nil)
	second, err := turncred.NewSecrets(turncred.Secret{Key: bytes.Repeat([]byte("2"), turncred.MinKey)})
	if err != nil {
		t.Fatal(err)
	}
	good := ts.secrets.Issue("alice", time.Minute, ts.clock.now())
	plain := second.Issue("alice", time.Minute, ts.clock.now())
	first, err := turncred.NewSecrets(turncred.Secret{Key: bytes.Repeat([]byte("1"), turncred.MinKey)})
	if err != nil {
		t.Fatal(err)
	}
	plainFirst := first.Issue("alice", time.Minute, ts.clock.now())
	expired := ts.secrets.Issue("alice", -time.Second, ts.clock.now())
	tests := []struct {
		name, username, password, realm string
		ok                              bool
	}{
		{"issued", good.Username, good.Password, testRealm, true},
		{"without key id, of the second secret", plain.Username, plain.Password, testRealm, true},
		{"without key id, of the first secret", plainFirst.Username, plainFirst.Password, testRealm, true},
		{"static", "static", "password", testRealm, true},
		{"expired", expired.Username, expired.Password, testRealm, false},
		{"wrong password", good.Username, "wrong", testRealm, false},
		{"empty password", good.Username, "", testRealm, false},
		{"another's name", strings.Replace(good.Username, "alice", "bob", 1), good.Password, testRealm, false},
		{"later expiry", "9" + good.Username[1:], good.Password, testRealm, false},
		{"key id of the other secret", strings.Replace(good.Username, "k1", "k2", 1), good.Password, testRealm, false},
		{"static, wrong password", "static", "wrong", testRealm, false},
		{"unknown", "mallory", "password", testRealm, false},
		{"another realm", good.Username, good.Password, "other.com", false},
	}
	for _, tt := range tests {
		c := ts.client("alice")
		c.username, c.password, c.realm = tt.username, tt.password, tt.realm
		if got := errorCode(c.request(stun.MethodAllocate, requestedUDP)) == 0; got != tt.ok {
			t.Errorf("%s: allocated %v, want %v", tt.name, got, tt.ok)
		}
	}
	if got := ts.Stats(); got.AllocationsCreated != 4 || ts.total().Errors[401] != 13+9 {
		t.Errorf("stats: got %+v, want 4 allocations, 13 challenges and 9 failures", got)
	}
}

// An allocation outlives its credential and the secret that signed it; nothing new is opened with either.
func TestAllocationOutlivesCredential(t *testing.T) {
	ts := newTestServer(t, withAllow(t, "127.0.0.2/32"))
	c, p := ts.client("alice"), newPeer(t, "127.0.0.2")
	c.wantOK(stun.MethodAllocate, c.request(stun.MethodAllocate, requestedUDP, lifetime(3600)))
	ts.clock.advance(30 * time.Minute)
	if err := ts.secrets.Replace(turncred.Secret{ID: "new", Key: bytes.Repeat([]byte("n"), turncred.MinKey)}); err != nil {
		t.Fatal(err)
	}
	c.wantOK(stun.MethodRefresh, c.request(stun.MethodRefresh, lifetime(600)))
	c.wantOK(stun.MethodCreatePermission, c.permit(p.addr))
	c.send(p.addr, "still here")
	p.wantText(c.relayed, "still here")

	again := ts.client("alice")
	again.username, again.password = c.username, c.password
	if code := errorCode(again.request(stun.MethodAllocate, requestedUDP)); code != 401 {
		t.Errorf("a new allocation with the expired credential: got %d, want 401", code)
	}
	c.username, c.password = "static", "password"
	if code := errorCode(c.request(stun.MethodAllocate, requestedUDP)); code != 437 {
		t.Errorf("another user's Allocate on alice's five-tuple: got %d, want 437", code)
	}
	if code := errorCode(c.permit(p.addr)); code != 441 {
		t.Errorf("another user's permission on alice's allocation: got %d, want 441", code)
	}
}

func TestQuotas(t *testing.T) {
	ts := newTestServer(t, func(cfg *Config) { cfg.UserQuota, cfg.MaxAllocations = 2, 3 })
	first := ts.allocated("alice")
	ts.clock.advance(time.Second) // the same user under another name
	ts.allocated("alice")
	third := ts.client("alice")
	want := func(c *testClient, code int) {
		t.Helper()
		if got := errorCode(c.request(stun.MethodAllocate, requestedUDP)); got != code {
			t.Errorf("Allocate of %s: got %d, want %d", c.name, got, code)
		}
	}
	want(third, 486)
	bob, carol := ts.client("bob"), ts.client("carol")
	want(bob, 0)
	want(carol, 508)
	first.wantOK(stun.MethodRefresh, first.request(stun.MethodRefresh, lifetime(0)))
	want(third, 0)
	if got := ts.Stats(); got.Allocations != 3 || ts.total().Errors[486] != 1 {
		t.Errorf("stats: got %+v, want 3 allocations and a refused one", got)
	}
}

// A log names users, never what proves them.
func TestNothingSecretIsLogged(t *testing.T) {
	var log strings.Builder
	ts := newTestServer(t, func(cfg *Config) { cfg.Logger = debugLogger(&log) })
	c := ts.allocated("alice")
	bad := ts.client("mallory")
	bad.password = "guess"
	bad.request(stun.MethodAllocate, requestedUDP)
	ts.Close()
	if !strings.Contains(log.String(), "user=alice") || !strings.Contains(log.String(), fmt.Sprint("client=", c.conn.LocalAddr())) {
		t.Errorf("the log does not name user and client:\n%s", log.String())
	}
	for _, secret := range []string{c.password, "guess", strings.Repeat("1", turncred.MinKey)} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log contains %q:\n%s", secret, log.String())
		}
	}
}

// Who is kicked loses what is open, and the credentials from before open nothing.
func TestKick(t *testing.T) {
	var mu sync.Mutex
	var told []string
	ts := newTestServer(t, func(cfg *Config) {
		cfg.Allocated = func(user string, _, _ netip.AddrPort) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, user)
		}
	})
	alice, bob := ts.allocated("alice"), ts.allocated("bob")
	second := ts.allocated("alice")
	if n := ts.Kick("alice", ts.clock.now().Add(10*time.Minute)); n != 2 {
		t.Errorf("Kick closed %d allocations, want 2", n)
	}
	for _, c := range []*testClient{alice, second} {
		if code := errorCode(c.request(stun.MethodRefresh, lifetime(600))); code != 401 {
			t.Errorf("Refresh of a kicked user's allocation: got %d, want 401", code)
		}
	}
	bob.wantOK(stun.MethodRefresh, bob.request(stun.MethodRefresh, lifetime(600)))

	before := ts.client("alice")
	before.username, before.password = alice.username, alice.password
	if code := errorCode(before.request(stun.MethodAllocate, requestedUDP)); code != 401 {
		t.Errorf("Allocate with a credential from before the kick: got %d, want 401", code)
	}
	ts.clock.advance(time.Second)
	ts.allocated("alice") // with a credential from after it
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"alice", "bob", "alice", "alice"}; !slices.Equal(told, want) {
		t.Errorf("Config.Allocated was told of %v, want %v", told, want)
	}
}
