package token

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// lookEvery and lookTimeout together are less than the Leeway of keepRetired.
const (
	lookEvery   = 10 * time.Second // keys in use are not older
	lookAgain   = 2 * time.Second  // the same, where a kid is unknown: anybody can send such
	lookTimeout = 5 * time.Second
)

// ErrSigns is what Remove returns for the key that signs.
var ErrSigns = errors.New("this key signs: rotate first, then remove it")

// ErrNoKey is what Remove returns for a key that is not in the set.
var ErrNoKey = errors.New("no such key")

// view is the store as it was seen last.
type view struct {
	keys   KeySet
	looked time.Time
}

// keys returns the keys, at most lookEvery old. One caller reads them, the
// others go on with what is known.
func (a *Authority) keys() KeySet {
	v := a.view.Load()
	if a.now().Sub(v.looked) < lookEvery {
		return v.keys
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
		return a.lookLocked(lookEvery)
	default:
		return v.keys
	}
}

// key returns the key of this id, if its tokens are good. For an unknown one it
// waits until the keys are at most lookAgain old.
func (a *Authority) key(ctx context.Context, id string) (Key, bool) {
	if k, ok := a.keys().find(id, a.now()); ok {
		return k, true
	}
	if a.take(ctx) != nil {
		return Key{}, false
	}
	defer func() { <-a.turn }()
	return a.lookLocked(lookAgain).find(id, a.now())
}

// take waits for the turn. Who has it gives it back by receiving from a.turn.
func (a *Authority) take(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookLocked reads the keys unless they are younger than maxAge, and keeps those
// it has if that fails. What it reads is for everybody: it does not end with the
// request that happened to cause it.
func (a *Authority) lookLocked(maxAge time.Duration) KeySet {
	v := a.view.Load()
	if a.now().Sub(v.looked) < maxAge {
		return v.keys
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	keys, err := a.load(ctx)
	if err != nil {
		keys = v.keys
	}
	a.setLocked(keys)
	a.complainLocked(err)
	return keys
}

// complainLocked logs a fault once, however long it lasts.
func (a *Authority) complainLocked(err error) {
	if err == nil {
		a.complaint = ""
		return
	}
	if text := err.Error(); text != a.complaint {
		a.complaint = text
		a.log.Error("token keys cannot be read, those known stay in use", "err", err)
	}
}

func (a *Authority) setLocked(keys KeySet) {
	if old := a.view.Load().keys; len(old) > 0 && old[0].ID != keys[0].ID {
		a.log.Info("another key signs tokens", "kid", keys[0].ID, "before", old[0].ID)
	}
	a.view.Store(&view{keys: keys, looked: a.now()})
}

// load reads the keys, and makes the first.
func (a *Authority) load(ctx context.Context) (KeySet, error) {
	keys, err := a.store.Load(ctx)
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	next := newKey(a.now())
	err = a.store.Update(ctx, func(s KeySet) (KeySet, error) {
		if keys = s; len(keys) == 0 {
			keys = KeySet{next}
		}
		return keys, nil
	})
	return keys, err
}

// Refresh reads the keys now.
func (a *Authority) Refresh(ctx context.Context) error {
	if err := a.take(ctx); err != nil {
		return err
	}
	defer func() { <-a.turn }()
	keys, err := a.load(ctx)
	if err != nil {
		return fmt.Errorf("read token keys: %w", err)
	}
	a.setLocked(keys)
	return nil
}

// Rotate makes a new key, which signs from now on, and returns it. Tokens of the
// key before stay good until they expire.
func (a *Authority) Rotate(ctx context.Context) (Key, error) {
	next := newKey(a.now())
	err := a.change(ctx, func(s KeySet) (KeySet, error) { return s.rotate(next, a.now()) })
	if err != nil {
		return Key{}, fmt.Errorf("rotate token keys: %w", err)
	}
	return next, nil
}

// Remove makes all tokens of a key invalid: at once here, within lookEvery on
// other servers. ErrSigns, ErrNoKey.
func (a *Authority) Remove(ctx context.Context, kid string) error {
	err := a.change(ctx, func(s KeySet) (KeySet, error) { return s.remove(kid, a.now()) })
	if err != nil {
		return fmt.Errorf("remove token key: %w", err)
	}
	return nil
}

func (a *Authority) change(ctx context.Context, f func(KeySet) (KeySet, error)) error {
	if err := a.take(ctx); err != nil {
		return err
	}
	defer func() { <-a.turn }()
	var keys KeySet
	err := a.store.Update(ctx, func(s KeySet) (_ KeySet, err error) {
		keys, err = f(s)
		return keys, err
	})
	if err == nil {
		a.setLocked(keys)
	}
	return err
}

// Keys returns the keys whose tokens are good; the first signs.
func (a *Authority) Keys() []Key { return a.keys().living(a.now()) }

// JWKS returns the public keys as a JWK set (RFC 7517, section 5; RFC 8037).
func (a *Authority) JWKS() []byte {
	text, _ := a.keys().living(a.now()).public() // fails for other types of key only
	return text
}
