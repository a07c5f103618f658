// Package turncred makes and checks time-limited TURN credentials.
//
// The signaling server issues them, the relay checks them, and the two share nothing but a secret, as in the
// TURN REST API draft (draft-uberti-behave-turn-rest):
//
//	username = <expiry, Unix seconds>:<key id>:<user>
//	password = base64(HMAC-SHA1(secret, username))
//
// Several secrets can be alive at once; the key id says which one signed. The field is optional: the names
// <expiry>:<user> and <expiry> that other issuers and coturn's tools make are accepted too, and are tried with
// every secret.
//
//	secret, _ := turncred.NewSecret("k1", key)
//	secrets, _ := turncred.NewSecrets(secret)
//	c := secrets.Issue("alice", 10*time.Minute, time.Now())            // c.Username, c.Password
//	name, passwords, err := secrets.Lookup(c.Username, time.Now())     // name.User == "alice"
package turncred

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxUsername is the longest username in bytes: RFC 8489 section 14.3 wants fewer than 509.
const MaxUsername = 508

// maxExpiryDigits keeps the expiry far inside int64: 11 digits reach the year 5138.
const maxExpiryDigits = 11

// Errors of Lookup; test with errors.Is.
var (
	ErrMalformed = errors.New("not a time-limited username")
	ErrExpired   = errors.New("credential expired")
)

// Credential is what a client presents to the relay.
type Credential struct {
	Username string
	Password string
	Expires  time.Time // whole seconds
}

// Name is what a username says.
type Name struct {
	Expires time.Time
	KeyID   string // empty: the name carries no known key id
	User    string // empty: the name is an expiry alone
}

// Issue makes a credential for user, good for ttl from now, with the first secret. The user is not checked:
// one so long that the username exceeds MaxUsername gets a credential that no relay accepts.
func (s *Secrets) Issue(user string, ttl time.Duration, now time.Time) Credential {
	first := s.load()[0]
	expires := now.Add(ttl).Truncate(time.Second)
	username := strconv.FormatInt(expires.Unix(), 10) + ":"
	if first.ID != "" {
		username += first.ID + ":"
	}
	username += user
	return Credential{Username: username, Password: first.password(username), Expires: expires}
}

// Lookup parses a username and returns the passwords that would prove it: one if the name carries a known key
// id, otherwise one per secret. The caller checks the request's integrity with each. An expired name is
// returned with ErrExpired and no passwords; anything else that cannot be a name is ErrMalformed.
func (s *Secrets) Lookup(username string, now time.Time) (Name, []string, error) {
	secrets := s.load()
	expires, rest, err := splitExpiry(username)
	if err != nil {
		return Name{}, nil, err
	}
	name := Name{Expires: expires, User: rest}
	if id, user, ok := strings.Cut(rest, ":"); ok {
		if keyed, ok := withID(secrets, id); ok {
			name.KeyID, name.User = id, user
			secrets = []Secret{keyed}
		}
	}
	if !now.Before(expires) {
		return name, nil, fmt.Errorf("%w at %s", ErrExpired, expires.UTC().Format(time.RFC3339))
	}
	passwords := make([]string, len(secrets))
	for i, secret := range secrets {
		passwords[i] = secret.password(username)
	}
	return name, passwords, nil
}

// splitExpiry splits <expiry>[:<rest>].
func splitExpiry(username string) (time.Time, string, error) {
	if len(username) > MaxUsername {
		return time.Time{}, "", fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(username), MaxUsername)
	}
	if !utf8.ValidString(username) || strings.ContainsFunc(username, unicode.IsControl) {
		return time.Time{}, "", fmt.Errorf("%w: control characters or invalid UTF-8", ErrMalformed)
	}
	digits, rest, _ := strings.Cut(username, ":")
	if len(digits) == 0 || len(digits) > maxExpiryDigits || strings.Trim(digits, "0123456789") != "" {
		return time.Time{}, "", fmt.Errorf("%w: does not begin with an expiry", ErrMalformed)
	}
	seconds, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return time.Time{}, "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return time.Unix(seconds, 0), rest, nil
}

// password is what a client that was issued username proves to know.
func (s Secret) password(username string) string {
	mac := hmac.New(sha1.New, s.Key)
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
