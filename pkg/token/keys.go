package token

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// MaxKeys is how many keys a KeySet holds.
	MaxKeys = 16
	// MaxKeySet is how long an encoded KeySet can be, in bytes.
	MaxKeySet = 64 << 10

	// keepRetired is how long a retired key verifies: the tokens that it signed
	// may live that long, and a server may have signed with it for another Leeway
	// before it heard of its successor.
	keepRetired = MaxLifetime + 2*Leeway
)

// KeyStore keeps the keys that sign tokens. All methods are safe for concurrent
// use.
type KeyStore interface {
	// Load returns the keys, or none if there are none yet.
	Load(ctx context.Context) (KeySet, error)
	// Update replaces the keys by what change makes of them, unless that is an
	// error, which it returns. It is atomic against all other users of the store,
	// in other processes too; for that it may call change more than once.
	Update(ctx context.Context, change func(KeySet) (KeySet, error)) error
}

// KeySet is the keys of an issuer, the newest first. The first signs, the
// others are retired.
type KeySet []Key

// Key signs tokens. Neither printed nor as JSON does it show its private half.
type Key struct {
	ID      string    `json:"id"` // kid: the thumbprint of RFC 7638
	Created time.Time `json:"created"`
	Retired time.Time `json:"retired,omitzero"` // zero: it signs

	private func() ed25519.PrivateKey // nil for no key; a function, because fmt prints what pointers point to, too
}

// Expires is when a retired key does not verify any more, zero for one that signs.
func (k Key) Expires() time.Time {
	if k.Retired.IsZero() {
		return time.Time{}
	}
	return k.Retired.Add(keepRetired)
}

// alive reports whether tokens of k are good.
func (k Key) alive(now time.Time) bool { return k.Retired.IsZero() || now.Before(k.Expires()) }

func (k Key) public() ed25519.PublicKey { return k.private().Public().(ed25519.PublicKey) }

// newKey makes a key whose id no command takes for a flag.
func newKey(now time.Time) Key {
	for {
		_, private, _ := ed25519.GenerateKey(nil) // never fails: crypto/rand ends the program instead
		if key := keyOf(private, now); key.ID[0] != '-' {
			return key
		}
	}
}

func keyOf(private ed25519.PrivateKey, created time.Time) Key {
	jwk := jose.JSONWebKey{Key: private}
	thumbprint, _ := jwk.Thumbprint(crypto.SHA256) // fails for other types of key only
	return Key{
		ID:      base64.RawURLEncoding.EncodeToString(thumbprint),
		Created: created.UTC().Truncate(time.Second),
		private: func() ed25519.PrivateKey { return private },
	}
}

// find returns the key of this id, if its tokens are good.
func (s KeySet) find(id string, now time.Time) (Key, bool) {
	i := slices.IndexFunc(s, func(k Key) bool { return k.ID == id })
	if i < 0 || !s[i].alive(now) {
		return Key{}, false
	}
	return s[i], true
}

// living returns the keys whose tokens are good.
func (s KeySet) living(now time.Time) KeySet {
	return slices.DeleteFunc(slices.Clone(s), func(k Key) bool { return !k.alive(now) })
}

// rotate makes next the key that signs.
func (s KeySet) rotate(next Key, now time.Time) (KeySet, error) {
	s = s.living(now)
	if len(s) >= MaxKeys {
		return nil, fmt.Errorf("%d signing keys are in use, at most %d can be: wait until one expires, or remove one", len(s), MaxKeys)
	}
	if len(s) > 0 {
		s[0].Retired = now.UTC().Truncate(time.Second)
	}
	return slices.Insert(s, 0, next), nil
}

// remove takes out a key that does not sign.
func (s KeySet) remove(id string, now time.Time) (KeySet, error) {
	s = s.living(now)
	switch i := slices.IndexFunc(s, func(k Key) bool { return k.ID == id }); i {
	case -1:
		return nil, fmt.Errorf("%w: %.80q", ErrNoKey, id)
	case 0:
		return nil, fmt.Errorf("%w: %s", ErrSigns, id)
	default:
		return slices.Delete(s, i, i+1), nil
	}
}

// public returns the JWK set (RFC 7517, section 5) without the private halves.
func (s KeySet) public() ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range s {
		set.Keys = append(set.Keys, jwkOf(k, k.public()))
	}
	return json.Marshal(set)
}

// storedKey is how a KeyStore keeps a Key.
type storedKey struct {
	JWK     jose.JSONWebKey `json:"jwk"` // RFC 8037, with the private half
	Created time.Time       `json:"created"`
	Retired time.Time       `json:"retired,omitzero"`
}

type storedKeys struct {
	Keys []storedKey `json:"keys"`
}

func jwkOf(k Key, half any) jose.JSONWebKey {
	return jose.JSONWebKey{Key: half, KeyID: k.ID, Algorithm: "EdDSA", Use: "sig"}
}

// EncodePrivate returns s as JSON for a KeyStore, with the private keys. It
// fails for what DecodePrivate would refuse.
func (s KeySet) EncodePrivate() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var stored storedKeys
	for _, k := range s {
		stored.Keys = append(stored.Keys, storedKey{jwkOf(k, k.private()), k.Created, k.Retired})
	}
	return json.MarshalIndent(stored, "", "  ")
}

// DecodePrivate reads what EncodePrivate wrote. Its errors do not quote it.
func DecodePrivate(text []byte) (KeySet, error) {
	if len(text) > MaxKeySet {
		return nil, fmt.Errorf("key set is longer than %d bytes", MaxKeySet)
	}
	var stored storedKeys
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&stored); err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	var s KeySet
	for i, k := range stored.Keys {
		private, ok := k.JWK.Key.(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("read key set: key %d is not a private Ed25519 key", i+1)
		}
		key := keyOf(private, k.Created)
		if key.Retired = k.Retired.UTC(); key.ID != k.JWK.KeyID {
			return nil, fmt.Errorf("read key set: the kid of key %d is not its thumbprint (RFC 7638)", i+1)
		}
		s = append(s, key)
	}
	return s, s.check()
}

func (s KeySet) check() error {
	if len(s) == 0 || len(s) > MaxKeys {
		return fmt.Errorf("key set has %d keys: it takes 1 to %d", len(s), MaxKeys)
	}
	for i, k := range s {
		if k.private == nil || k.Retired.IsZero() != (i == 0) {
			return errors.New("key set: the first key, and no other, must be one that signs")
		}
		if slices.ContainsFunc(s[:i], func(other Key) bool { return other.ID == k.ID }) {
			return fmt.Errorf("key set has key %s twice", k.ID)
		}
	}
	return nil
}
