package token

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// testNow is the time in tests that need their tokens the same in every run.
var testNow = time.Date(2031, 2, 3, 4, 5, 6, 789e6, time.UTC)

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// testKey returns one and the same key for one seed.
func testKey(seed byte) Key {
	return keyOf(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)), testNow)
}

// memoryKeys is a KeyStore that counts.
type memoryKeys struct {
	mu     sync.Mutex
	keys   KeySet
	loads  int
	fault  error         // of Load
	paused chan struct{} // where not nil, Load waits for it
}

func (m *memoryKeys) Load(ctx context.Context) (KeySet, error) {
	m.mu.Lock()
	m.loads++
	keys, fault, paused := m.keys, m.fault, m.paused
	m.mu.Unlock()
	if paused != nil {
		select {
		case <-paused:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return keys, fault
}

func (m *memoryKeys) Update(_ context.Context, change func(KeySet) (KeySet, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys, err := change(m.keys)
	if err == nil {
		m.keys = keys
	}
	return err
}

// takeLoads returns how often the keys were read since it was last asked.
func (m *memoryKeys) takeLoads() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.loads
	m.loads = 0
	return n
}

func (m *memoryKeys) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// everything is a Spender that knows all, and of no token that it was used.
type everything struct{}

func (everything) Spend(context.Context, string, time.Time) error { return nil }
func (everything) Spent(context.Context, string) (bool, error)    { return false, nil }
func (everything) Since() time.Time                               { return time.Time{} }

func open(t testing.TB, keys KeyStore, spent Spender, opts *Options) *Authority {
	t.Helper()
	a, err := Open(context.Background(), keys, spent, opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return a
}

// openFixed returns an Authority that signs with testKey(1), at testNow.
func openFixed(t testing.TB) *Authority {
	return open(t, &memoryKeys{keys: KeySet{testKey(1)}}, everything{}, &Options{now: func() time.Time { return testNow }})
}

// alice is what most tests issue.
func alice(kind Kind) Claims {
	c := Claims{Kind: kind, User: "alice", Session: "sign-in"}
	if kind == Room {
		c.Room, c.Permissions = "lobby", []string{protocol.PermJoin, protocol.PermData}
	}
	return c
}

func issue(t testing.TB, a *Authority, c Claims, ttl time.Duration) (string, Claims) {
	t.Helper()
	text, issued, err := a.Issue(c, ttl)
	if err != nil {
		t.Fatalf("issue: %v", err)
	}
	return text, issued
}

// wantVerify checks that a accepts text, or refuses it for the reason.
func wantVerify(t *testing.T, a *Authority, text string, kind Kind, want error) Claims {
	t.Helper()
	c, err := a.Verify(t.Context(), text, kind)
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Errorf("verify: got %v, want %v", err, want)
	}
	if err != nil && (!errors.Is(err, ErrInvalid) || fmt.Sprint(c) != fmt.Sprint(Claims{})) {
		t.Errorf("verify: got %v with %v, want an %v and no claims", err, c, ErrInvalid)
	}
	return c
}

// forgery is a token in the making: JSON texts, and who signs them.
type forgery struct {
	header, payload string
	sign            func(signed string) []byte
}

// goodToken is a token that openFixed accepts, the same in every run.
func goodToken(t testing.TB, kind Kind) forgery {
	t.Helper()
	c := alice(kind)
	c.ID = "HE2J4dNvgwAAAAAAAAAAAQ" // a time in 2034
	c.Issued = testNow.Truncate(time.Second)
	c.Expires = c.Issued.Add(5 * time.Minute)
	payload, err := json.Marshal(newPayload(c, "sigctl"))
	if err != nil {
		t.Fatal(err)
	}
	key := testKey(1)
	return forgery{
		header:  fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":%q}`, key.ID, kind),
		payload: string(payload),
		sign:    signer(key),
	}
}

func signer(k Key) func(string) []byte {
	return func(signed string) []byte { return ed25519.Sign(k.private(), []byte(signed)) }
}

func base64url(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func (f forgery) String() string {
	signed := base64url(f.header) + "." + base64url(f.payload)
	return signed + "." + base64url(string(f.sign(signed)))
}

// inHeader and inPayload replace what is there, which it has to be.
func (f forgery) inHeader(old, new string) forgery {
	f.header = replace(f.header, old, new)
	return f
}

func (f forgery) inPayload(old, new string) forgery {
	f.payload = replace(f.payload, old, new)
	return f
}

func replace(text, old, new string) string {
	if !strings.Contains(text, old) {
		panic(fmt.Sprintf("%s is not in %s", old, text))
	}
	return strings.Replace(text, old, new, 1)
}

func (f forgery) signedBy(sign func(string) []byte) forgery {
	f.sign = sign
	return f
}
