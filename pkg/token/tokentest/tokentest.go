// Package tokentest is the contracts of token.KeyStore and token.Spender as
// tests. Every implementation runs them:
//
//	func TestFileKeys(t *testing.T) {
//		tokentest.RunKeyStore(t, func(t *testing.T) func() token.KeyStore {
//			path := filepath.Join(t.TempDir(), "keys")
//			return func() token.KeyStore { return token.FileKeys(path) }
//		})
//	}
package tokentest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sigctl/sigctl/pkg/token"
)

// RunKeyStore tests the stores that open returns: each call of open is a new
// store, which is to be empty, and each call of what it returns is another
// process's access to that.
func RunKeyStore(t *testing.T, open func(t *testing.T) func() token.KeyStore) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func() token.KeyStore)
	}{
		{"Empty", testEmpty},
		{"Kept", testKept},
		{"ChangeFails", testChangeFails},
		{"RefusesBadSets", testRefusesBadSets},
		{"FirstKeyRace", testFirstKeyRace},
		{"RotateRace", testRotateRace},
		{"KeysCanceled", testKeysCanceled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// RunSpender tests the spenders that open returns. Each is to be empty.
func RunSpender(t *testing.T, open func(t *testing.T) token.Spender) {
	for _, c := range []struct {
		name string
		test func(*testing.T, token.Spender)
	}{
		{"Once", testOnce},
		{"SpendRace", testSpendRace},
		{"SpendCanceled", testSpendCanceled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Open returns an Authority on keys.
func Open(t *testing.T, keys token.KeyStore) *token.Authority {
	t.Helper()
	a, err := token.Open(t.Context(), keys, token.NewMemorySpender(), nil)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return a
}

// ids is what names the keys of a set, in its order.
func ids(keys []token.Key) []string {
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func wantKeys(t *testing.T, s token.KeyStore, want ...string) {
	t.Helper()
	got, err := s.Load(t.Context())
	if err != nil || !slices.Equal(ids(got), want) {
		t.Errorf("Load: keys %q, %v, want %q", ids(got), err, want)
	}
}

func rotate(t *testing.T, a *token.Authority) string {
	t.Helper()
	k, err := a.Rotate(t.Context())
	if err != nil {
		t.Errorf("Rotate: %v", err)
	}
	return k.ID
}

func testEmpty(t *testing.T, open func() token.KeyStore) {
	wantKeys(t, open())
	if err := open().Update(t.Context(), func(s token.KeySet) (token.KeySet, error) {
		if len(s) != 0 {
			t.Errorf("Update of an empty store gives %q", ids(s))
		}
		return nil, errors.New("not now")
	}); err == nil {
		t.Error("Update without a result: no error")
	}
	wantKeys(t, open())
}

// testKept: what one writes, the other reads, with all that belongs to a key.
func testKept(t *testing.T, open func() token.KeyStore) {
	a := Open(t, open())
	first := a.Keys()[0].ID
	wantKeys(t, open(), first)
	second := rotate(t, a)
	wantKeys(t, open(), second, first)

	got, want := Open(t, open()).Keys(), a.Keys()
	for i, k := range want {
		if got[i].ID != k.ID || !got[i].Created.Equal(k.Created) || !got[i].Retired.Equal(k.Retired) {
			t.Errorf("key %d is %v, want %v", i, got[i], k)
		}
	}
	if err := a.Remove(t.Context(), first); err != nil {
		t.Errorf("Remove: %v", err)
	}
	wantKeys(t, open(), second)
}

// testChangeFails: an error of change is Update's, and changes nothing.
func testChangeFails(t *testing.T, open func() token.KeyStore) {
	first := Open(t, open()).Keys()[0].ID
	fault := errors.New("no")
	if err := open().Update(t.Context(), func(s token.KeySet) (token.KeySet, error) { return s[:0], fault }); !errors.Is(err, fault) {
		t.Errorf("Update: %v, want %v", err, fault)
	}
	wantKeys(t, open(), first)
}

func testRefusesBadSets(t *testing.T, open func() token.KeyStore) {
	a := Open(t, open())
	rotate(t, a)
	want := ids(a.Keys())
	for name, change := range map[string]func(token.KeySet) token.KeySet{
		"no key":         func(s token.KeySet) token.KeySet { return nil },
		"none signs":     func(s token.KeySet) token.KeySet { return s[1:] },
		"the last signs": func(s token.KeySet) token.KeySet { return token.KeySet{s[1], s[0]} },
		"a key twice":    func(s token.KeySet) token.KeySet { return token.KeySet{s[0], s[1], s[1]} },
		"not a key":      func(s token.KeySet) token.KeySet { return token.KeySet{{ID: "x"}} },
		"too many": func(s token.KeySet) token.KeySet {
			return append(s, slices.Repeat(token.KeySet{s[1]}, token.MaxKeys)...)
		},
	} {
		if err := open().Update(t.Context(), func(s token.KeySet) (token.KeySet, error) { return change(s), nil }); err == nil {
			t.Errorf("Update to a set with fault %q: no error", name)
		}
		wantKeys(t, open(), want...)
	}
}

// testFirstKeyRace: of many that start at once on an empty store, all have the
// same key.
func testFirstKeyRace(t *testing.T, open func() token.KeyStore) {
	var wg sync.WaitGroup
	var got [8]string
	for i := range got {
		s := open()
		wg.Go(func() { got[i] = Open(t, s).Keys()[0].ID })
	}
	wg.Wait()
	wantKeys(t, open(), got[0])
	for i, id := range got {
		if id != got[0] {
			t.Errorf("server %d signs with %s, and 0 with %s", i, id, got[0])
		}
	}
}

// testRotateRace: no key is lost.
func testRotateRace(t *testing.T, open func() token.KeyStore) {
	made := []string{Open(t, open()).Keys()[0].ID}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 5 {
		a := Open(t, open())
		wg.Go(func() {
			for range 3 {
				id := rotate(t, a)
				mu.Lock()
				made = append(made, id)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	got, err := open().Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stored := ids(got)
	slices.Sort(stored)
	slices.Sort(made)
	if !slices.Equal(stored, made) {
		t.Errorf("keys are %q, and were made %q", stored, made)
	}
}

func testKeysCanceled(t *testing.T, open func() token.KeyStore) {
	first := Open(t, open()).Keys()[0].ID
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open().Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Load: %v, want %v", err, context.Canceled)
	}
	if err := open().Update(ctx, func(s token.KeySet) (token.KeySet, error) {
		t.Error("Update went on to change the keys")
		return s, nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v, want %v", err, context.Canceled)
	}
	wantKeys(t, open(), first)
}

func wantSpent(t *testing.T, s token.Spender, id string, want bool) {
	t.Helper()
	if got, err := s.Spent(t.Context(), id); err != nil || got != want {
		t.Errorf("Spent(%s) = %v, %v, want %v", id, got, err, want)
	}
}

func wantSpend(t *testing.T, s token.Spender, id string, want error) {
	t.Helper()
	if got := s.Spend(t.Context(), id, time.Now().Add(time.Minute)); !errors.Is(got, want) {
		t.Errorf("Spend(%s): %v, want %v", id, got, want)
	}
}

func testOnce(t *testing.T, s token.Spender) {
	for _, id := range []string{"a", "b", "A", "a:b", "-_"} {
		wantSpent(t, s, id, false)
		wantSpend(t, s, id, nil)
		wantSpent(t, s, id, true)
		wantSpend(t, s, id, token.ErrReplayed)
		wantSpend(t, s, id, token.ErrReplayed)
	}
	wantSpent(t, s, "c", false)
}

// testSpendRace: of many that use one token, one gets in.
func testSpendRace(t *testing.T, s token.Spender) {
	const n = 16
	for round := range 20 {
		var wg sync.WaitGroup
		var errs [n]error
		id, until := fmt.Sprint("id", round), time.Now().Add(time.Minute)
		for i := range errs {
			wg.Go(func() { errs[i] = s.Spend(t.Context(), id, until) })
		}
		wg.Wait()
		first := 0
		for _, err := range errs {
			if err == nil {
				first++
			} else if !errors.Is(err, token.ErrReplayed) {
				t.Errorf("Spend: %v, want %v", err, token.ErrReplayed)
			}
		}
		if first != 1 {
			t.Errorf("%d of %d could use one token, want 1", first, n)
		}
	}
}

func testSpendCanceled(t *testing.T, s token.Spender) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Spend(ctx, "a", time.Now().Add(time.Minute)); !errors.Is(err, context.Canceled) {
		t.Errorf("Spend: %v, want %v", err, context.Canceled)
	}
	if _, err := s.Spent(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Spent: %v, want %v", err, context.Canceled)
	}
	wantSpent(t, s, "a", false)
}
