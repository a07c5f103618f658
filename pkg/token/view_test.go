package token

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// servers returns two on one store, each without its first look at the keys.
func servers(t *testing.T) (*memoryKeys, *Authority, *Authority) {
	t.Helper()
	keys := &memoryKeys{}
	a, b := open(t, keys, everything{}, nil), open(t, keys, everything{}, nil)
	keys.takeLoads()
	return keys, a, b
}

func rotate(t *testing.T, a *Authority) Key {
	t.Helper()
	k, err := a.Rotate(t.Context())
	if err != nil {
		t.Fatalf("rotate: %v", err)
	}
	return k
}

// TestRotate: the new key signs at once, on the other server within seconds, and
// the tokens of the old one are good until they expire.
func TestRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := servers(t)
		old, _ := issue(t, a, alice(Room), MaxLifetime)
		k := rotate(t, a)
		text, c := issue(t, a, alice(Room), MaxLifetime)
		if c.Key != k.ID {
			t.Errorf("signed by %s, want %s", c.Key, k.ID)
		}
		time.Sleep(lookAgain)
		wantVerify(t, b, text, Room, nil)
		if _, c := issue(t, b, alice(Room), time.Minute); c.Key != k.ID {
			t.Errorf("the other server signs with %s, want %s", c.Key, k.ID)
		}
		time.Sleep(MaxLifetime - lookAgain)
		for _, s := range []*Authority{a, b} {
			wantVerify(t, s, old, Room, nil)
		}
		time.Sleep(Leeway)
		for _, s := range []*Authority{a, b} {
			wantVerify(t, s, old, Room, ErrExpired)
		}
	})
}

// TestRetiredKeyEnds: who has the old key can sign with it no longer than its
// last token lived, whether it is still in the store or not.
func TestRetiredKeyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, a, _ := servers(t)
		old := keys.keys[0]
		rotate(t, a)
		thief := open(t, &memoryKeys{keys: KeySet{old}}, everything{}, nil)

		time.Sleep(keepRetired - time.Second)
		text, _ := issue(t, thief, alice(Room), time.Minute)
		wantVerify(t, a, text, Room, nil)
		if got := len(a.Keys()); got != 2 {
			t.Errorf("%d keys, want 2", got)
		}
		time.Sleep(time.Second)
		text, _ = issue(t, thief, alice(Room), time.Minute)
		wantVerify(t, a, text, Room, ErrUnknownKey)
		if got := len(a.Keys()); got != 1 {
			t.Errorf("%d keys after the old one's end, want 1", got)
		}
		if strings.Contains(string(a.JWKS()), old.ID) {
			t.Errorf("the JWK set still has the old key: %s", a.JWKS())
		}
		if len(keys.keys) != 2 {
			t.Errorf("store has %d keys, want 2: nobody has changed it", len(keys.keys))
		}
		rotate(t, a)
		if len(keys.keys) != 2 || keys.keys[1].ID == old.ID {
			t.Errorf("store has keys %v after the next rotation, want it without %s", keys.keys, old.ID)
		}
	})
}

func TestRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := servers(t)
		text, c := issue(t, a, alice(Room), MaxLifetime)
		wantVerify(t, b, text, Room, nil)
		if err := a.Remove(t.Context(), c.Key); err == nil {
			t.Error("remove the key that signs: no error")
		}
		if err := a.Remove(t.Context(), "x"); !errors.Is(err, ErrNoKey) {
			t.Errorf("remove another: got %v, want %v", err, ErrNoKey)
		}
		rotate(t, a)
		if err := a.Remove(t.Context(), c.Key); err != nil {
			t.Errorf("remove the retired key: %v", err)
		}
		wantVerify(t, a, text, Room, ErrUnknownKey)
		time.Sleep(lookEvery)
		wantVerify(t, b, text, Room, ErrUnknownKey)
	})
}

func TestMaxKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _ := servers(t)
		for range MaxKeys - 1 {
			rotate(t, a)
		}
		signs := a.Keys()[0].ID
		if _, err := a.Rotate(t.Context()); err == nil {
			t.Errorf("rotate with %d keys: no error", MaxKeys)
		}
		if a.Keys()[0].ID != signs {
			t.Error("a refused rotation changed the key that signs")
		}
		time.Sleep(keepRetired)
		rotate(t, a)
	})
}

// TestUnknownKeysReadOnce: strangers send unknown kids; the store hears of it
// every two seconds at most.
func TestUnknownKeysReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, a, _ := servers(t)
		junk := goodToken(t, Room)
		flood := func() {
			var wg sync.WaitGroup
			for i := range 200 {
				text := junk.inHeader(testKey(1).ID, fmt.Sprint("junk", i)).String()
				wg.Go(func() { wantVerify(t, a, text, Room, ErrUnknownKey) })
			}
			wg.Wait()
		}
		flood()
		if got := keys.takeLoads(); got != 0 {
			t.Errorf("keys that were just read were read %d times more", got)
		}
		for range 3 {
			time.Sleep(lookAgain)
			flood()
			flood()
			if got := keys.takeLoads(); got != 1 {
				t.Errorf("keys were read %d times, want once", got)
			}
		}
	})
}

// TestNewKeyReadByOne: all who bring a new key's token while it is being read
// get in, and it is read once, also if the first to come leaves.
func TestNewKeyReadByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, a, b := servers(t)
		rotate(t, a)
		text, _ := issue(t, a, alice(Room), time.Minute)
		time.Sleep(lookAgain)
		paused := make(chan struct{})
		keys.set(func() { keys.paused = paused })

		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		verify := func(ctx context.Context) {
			wg.Go(func() {
				if _, err := b.Verify(ctx, text, Room); err != nil {
					t.Errorf("verify: %v", err)
				}
			})
		}
		verify(ctx)
		synctest.Wait()
		leave()
		for range 50 {
			verify(t.Context())
		}
		wg.Go(func() { // who leaves while waiting
			if _, err := b.Verify(ctx, text, Room); !errors.Is(err, ErrUnknownKey) {
				t.Errorf("verify, and leave: %v, want %v", err, ErrUnknownKey)
			}
		})
		synctest.Wait()
		close(paused)
		wg.Wait()
		if got := keys.takeLoads(); got != 1 {
			t.Errorf("keys were read %d times, want once", got)
		}
	})
}

// TestKnownKeyDoesNotWait: while the store is slow, the tokens of known keys are
// good at once, but for the one that looks.
func TestKnownKeyDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, a, _ := servers(t)
		text, _ := issue(t, a, alice(Room), time.Minute)
		time.Sleep(lookEvery)
		keys.set(func() { keys.paused = make(chan struct{}) })
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			wantVerify(t, a, text, Room, nil)
			if took := time.Since(start); took != lookTimeout {
				t.Errorf("the one that looks took %v, want %v", took, lookTimeout)
			}
		})
		synctest.Wait()
		for range 100 {
			wantVerify(t, a, text, Room, nil)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the others took %v", took)
		}
		wg.Wait()
	})
}

// TestStoreFails: the known keys stay in use, and the log says so once.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		keys := &memoryKeys{}
		a := open(t, keys, everything{}, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		keys.set(func() { keys.fault = errors.New("disk is gone") })
		for range 5 {
			time.Sleep(lookEvery)
			text, _ := issue(t, a, alice(Room), time.Minute)
			wantVerify(t, a, text, Room, nil)
		}
		if got := strings.Count(log.String(), "disk is gone"); got != 1 {
			t.Errorf("log has the fault %d times, want once:\n%s", got, log.String())
		}
		if err := a.Refresh(t.Context()); err == nil {
			t.Error("refresh: no error")
		}
		if _, err := Open(t.Context(), keys, everything{}, nil); err == nil {
			t.Error("open: no error")
		}
	})
}

// TestJWKS: others can verify our tokens with it, and it has nothing private.
func TestJWKS(t *testing.T) {
	_, a, _ := servers(t)
	first := a.Keys()[0].ID
	second := rotate(t, a).ID
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(a.JWKS(), &set); err != nil || len(set.Keys) != 2 {
		t.Fatalf("JWK set %s: %v, want two keys", a.JWKS(), err)
	}
	for i, id := range []string{second, first} {
		k := set.Keys[i]
		if len(k) != 6 || k["kty"] != "OKP" || k["crv"] != "Ed25519" || k["alg"] != "EdDSA" || k["use"] != "sig" || k["kid"] != id || len(k["x"]) != 43 {
			t.Errorf("key %d is %v, want %s", i, k, id)
		}
	}
}
