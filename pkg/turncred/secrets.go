package turncred

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

const (
	// MinKey is the shortest secret in bytes. Everyone who was issued a credential can try guesses at the
	// secret offline, so a secret must not be guessable.
	MinKey = 32

	// MaxSecrets bounds how many secrets are alive at once, and with it the work for a name without key id.
	MaxSecrets = 16

	maxID = 32
)

// Secret is a key shared by the issuer of credentials and the relay.
type Secret struct {
	ID  string // travels in the username; empty: none does
	Key []byte // at least MinKey bytes
}

// NewSecret checks id (empty, or at most 32 letters, digits, - and _) and key (at least MinKey bytes).
func NewSecret(id string, key []byte) (Secret, error) {
	secret := Secret{ID: id, Key: bytes.Clone(key)}
	if err := secret.check(); err != nil {
		return Secret{}, err
	}
	return secret, nil
}

// ParseSecrets reads what a secret file or variable holds: one secret per line, the first one issues, the
// others are still accepted. Surrounding white space and empty lines do not count. The key ids are derived
// from the keys, so issuer and relay agree on them when they read the same file.
func ParseSecrets(text []byte) ([]Secret, error) {
	var secrets []Secret
	for line := range bytes.Lines(text) {
		key := bytes.TrimSpace(line)
		if len(key) == 0 {
			continue
		}
		secret, err := NewSecret(deriveID(key), key)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", len(secrets)+1, err)
		}
		secrets = append(secrets, secret)
	}
	if err := checkSet(secrets); err != nil {
		return nil, err
	}
	return secrets, nil
}

// Generate returns a new random secret as text, one line for ParseSecrets.
func Generate() string {
	key := make([]byte, MinKey)
	rand.Read(key) // never fails
	return base64.RawURLEncoding.EncodeToString(key)
}

// String keeps the key out of logs.
func (s Secret) String() string { return "secret " + s.ID }

// GoString keeps the key out of logs.
func (s Secret) GoString() string { return s.String() }

// MarshalText keeps the key out of JSON, and so out of structured logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Secret) check() error {
	if len(s.Key) < MinKey {
		return fmt.Errorf("secret has %d bytes, needs at least %d (make one with: openssl rand -base64 32)", len(s.Key), MinKey)
	}
	if len(s.ID) > maxID || strings.Trim(s.ID, idAlphabet) != "" {
		return fmt.Errorf("key id %q: use at most %d letters, digits, - and _", s.ID, maxID)
	}
	return nil
}

const idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// deriveID names a key without helping to guess it more than an issued credential does.
func deriveID(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("sigctl TURN key id"))
	return hex.EncodeToString(mac.Sum(nil)[:4])
}

// Secrets is an ordered set of secrets, made by NewSecrets, safe for concurrent use. It can be replaced at any time.
type Secrets struct {
	set atomic.Pointer[[]Secret]
}

// NewSecrets returns a set whose first secret issues. It needs at least one, with ids that differ.
func NewSecrets(secrets ...Secret) (*Secrets, error) {
	s := new(Secrets)
	if err := s.Replace(secrets...); err != nil {
		return nil, err
	}
	return s, nil
}

// Replace swaps the whole set. On an error the old set stays.
func (s *Secrets) Replace(secrets ...Secret) error {
	if err := checkSet(secrets); err != nil {
		return err
	}
	set := make([]Secret, len(secrets))
	for i, secret := range secrets {
		set[i] = Secret{ID: secret.ID, Key: bytes.Clone(secret.Key)}
	}
	s.set.Store(&set)
	return nil
}

func (s *Secrets) load() []Secret { return *s.set.Load() }

func checkSet(secrets []Secret) error {
	if len(secrets) == 0 {
		return errors.New("no secret: give at least one")
	}
	if len(secrets) > MaxSecrets {
		return fmt.Errorf("%d secrets, at most %d", len(secrets), MaxSecrets)
	}
	for i, secret := range secrets {
		if err := secret.check(); err != nil {
			return fmt.Errorf("secret %d: %w", i+1, err)
		}
		if _, twice := withID(secrets[:i], secret.ID); twice && secret.ID != "" {
			return fmt.Errorf("secret %d: the key id %q is there twice (is it the same secret again?)", i+1, secret.ID)
		}
	}
	return nil
}

func withID(secrets []Secret, id string) (Secret, bool) {
	for _, secret := range secrets {
		if secret.ID == id {
			return secret, true
		}
	}
	return Secret{}, false
}
