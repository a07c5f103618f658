package turncred

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var now = time.Unix(1_700_000_000, 0)

// key returns a key of the least length that differs by c.
func key(c byte) []byte { return bytes.Repeat([]byte{c}, MinKey) }

func newSecrets(t testing.TB, secrets ...Secret) *Secrets {
	t.Helper()
	s, err := NewSecrets(secrets...)
	if err != nil {
		t.Fatalf("new secrets: %v", err)
	}
	return s
}

// The password was computed with: printf %s NAME | openssl dgst -sha1 -hmac KEY -binary | base64
func TestIssueKnownAnswer(t *testing.T) {
	s := newSecrets(t, Secret{"k1", []byte("0123456789abcdef0123456789abcdef")})
	c := s.Issue("alice", 10*time.Minute, now)
	want := Credential{"1700000600:k1:alice", "UEZaiONPlaA+TBGYAznOsHFfGQk=", now.Add(10 * time.Minute)}
	if c != want {
		t.Errorf("issue: got %+v, want %+v", c, want)
	}
	s = newSecrets(t, Secret{"", []byte("0123456789abcdef0123456789abcdef")})
	c = s.Issue("alice", 10*time.Minute, now)
	want = Credential{"1700000600:alice", "wMBOAcGEIfknqoIzyjafdBBKEx4=", now.Add(10 * time.Minute)}
	if c != want {
		t.Errorf("issue without key id: got %+v, want %+v", c, want)
	}
}

func TestLookup(t *testing.T) {
	k1, k2 := Secret{"k1", key('1')}, Secret{"k2", key('2')}
	s := newSecrets(t, k1, k2)
	later := "1700000001"
	tests := []struct {
		username string
		name     Name
		by       []Secret
	}{
		{later + ":k1:bob", Name{KeyID: "k1", User: "bob"}, []Secret{k1}},
		{later + ":k2:bob", Name{KeyID: "k2", User: "bob"}, []Secret{k2}},
		{later + ":k3:bob", Name{User: "k3:bob"}, []Secret{k1, k2}},
		{later + ":bob", Name{User: "bob"}, []Secret{k1, k2}},
		{later + ":k1", Name{User: "k1"}, []Secret{k1, k2}},
		{later + ":k1:", Name{KeyID: "k1"}, []Secret{k1}},
		{later + ":k1:a:b", Name{KeyID: "k1", User: "a:b"}, []Secret{k1}},
		{later + ":", Name{}, []Secret{k1, k2}},
		{later, Name{}, []Secret{k1, k2}},
	}
	for _, tt := range tests {
		tt.name.Expires = now.Add(time.Second)
		name, passwords, err := s.Lookup(tt.username, now)
		if err != nil || name != tt.name {
			t.Errorf("lookup %q: got %+v, %v, want %+v", tt.username, name, err, tt.name)
		}
		var want []string
		for _, secret := range tt.by {
			want = append(want, secret.password(tt.username))
		}
		if fmt.Sprint(passwords) != fmt.Sprint(want) {
			t.Errorf("lookup %q: got passwords %q, want %q", tt.username, passwords, want)
		}
	}
}

func TestLookupRefuses(t *testing.T) {
	s := newSecrets(t, Secret{"k1", key('1')})
	long := "1700000001:k1:" + strings.Repeat("x", MaxUsername)
	tests := []struct {
		username string
		want     error
	}{
		{"1700000000:k1:bob", ErrExpired},
		{"1699999999:bob", ErrExpired},
		{"0:bob", ErrExpired},
		{"", ErrMalformed},
		{":bob", ErrMalformed},
		{"bob", ErrMalformed},
		{"-1700000001:bob", ErrMalformed},
		{"+1700000001:bob", ErrMalformed},
		{" 1700000001:bob", ErrMalformed},
		{"1_700_000_001:bob", ErrMalformed},
		{"0x7fffffff:bob", ErrMalformed},
		{"170000000100:bob", ErrMalformed},
		{"1700000001:bo\x00b", ErrMalformed},
		{"1700000001:bo\nb", ErrMalformed},
		{"1700000001:\xff", ErrMalformed},
		{long, ErrMalformed},
	}
	for _, tt := range tests {
		if _, passwords, err := s.Lookup(tt.username, now); !errors.Is(err, tt.want) || passwords != nil {
			t.Errorf("lookup %q: got %q, %v, want %v", tt.username, passwords, err, tt.want)
		}
	}
	if _, _, err := s.Lookup(long[:MaxUsername], now); err != nil {
		t.Errorf("lookup of %d bytes: got %v, want it accepted", MaxUsername, err)
	}
}

// A name signed before a rotation stays good while the old secret is in the set, and not longer.
func TestRotation(t *testing.T) {
	old, fresh := Secret{"old", key('o')}, Secret{"new", key('n')}
	s := newSecrets(t, old)
	c := s.Issue("bob", time.Minute, now)
	if err := s.Replace(fresh, old); err != nil {
		t.Fatal(err)
	}
	if _, passwords, _ := s.Lookup(c.Username, now); len(passwords) != 1 || passwords[0] != c.Password {
		t.Errorf("after the rotation: got passwords %q, want [%q]", passwords, c.Password)
	}
	if got := s.Issue("bob", time.Minute, now).Username; !strings.Contains(got, ":new:") {
		t.Errorf("issue after the rotation: got %q, want it signed by the new secret", got)
	}
	if err := s.Replace(fresh); err != nil {
		t.Fatal(err)
	}
	_, passwords, _ := s.Lookup(c.Username, now)
	for _, password := range passwords {
		if password == c.Password {
			t.Errorf("a credential of a removed secret is still good")
		}
	}
	if err := s.Replace(); err == nil {
		t.Errorf("replace by nothing: got no error")
	}
	if got := s.Issue("bob", time.Minute, now).Username; !strings.Contains(got, ":new:") {
		t.Errorf("issue after a failed replacement: got %q, want the set unchanged", got)
	}
}

func TestParseSecrets(t *testing.T) {
	a, b := Generate(), Generate()
	secrets, err := ParseSecrets([]byte("\n  " + a + "\r\n\n" + b))
	if err != nil || len(secrets) != 2 || string(secrets[0].Key) != a || string(secrets[1].Key) != b {
		t.Fatalf("parse: got %v, %v, want both keys", secrets, err)
	}
	if secrets[0].ID == secrets[1].ID || secrets[0].ID == "" {
		t.Errorf("parse: got ids %q and %q, want two that differ", secrets[0].ID, secrets[1].ID)
	}
	again, _ := ParseSecrets([]byte(b))
	if again[0].ID != secrets[1].ID {
		t.Errorf("the id of a key depends on its place: %q and %q", again[0].ID, secrets[1].ID)
	}
	for _, bad := range []string{"", " \n", "short", a + "\nshort", a + "\n" + a, strings.Repeat("x", MinKey-1)} {
		if got, err := ParseSecrets([]byte(bad)); err == nil {
			t.Errorf("parse %q: got %v, want an error", bad, got)
		}
	}
}

func TestNewSecretRefuses(t *testing.T) {
	tests := []struct {
		id  string
		key []byte
	}{
		{"k1", key('x')[1:]}, {"k1", nil}, {"k:1", key('x')}, {"k 1", key('x')}, {strings.Repeat("k", 33), key('x')},
	}
	for _, tt := range tests {
		if _, err := NewSecret(tt.id, tt.key); err == nil {
			t.Errorf("new secret %q, %d bytes: got no error", tt.id, len(tt.key))
		}
	}
}

func TestSecretDoesNotPrint(t *testing.T) {
	secret := Secret{"k1", key('x')}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, secret); strings.Contains(got, "xxx") || strings.Contains(got, "120") {
			t.Errorf("%s prints the key: %s", format, got)
		}
	}
	for _, value := range []any{secret, &secret, []Secret{secret}} {
		if got, err := json.Marshal(value); err != nil || !strings.Contains(string(got), `"secret k1"`) {
			t.Errorf("JSON of %T: got %s, %v, want the id alone", value, got, err)
		}
	}
}

func FuzzLookup(f *testing.F) {
	for _, name := range []string{"1700000001:k1:bob", "1700000001:bob", "1700000001", "x", ":", "1:\xff", "0:k1:"} {
		f.Add(name)
	}
	s := newSecrets(f, Secret{"k1", key('1')}, Secret{"", key('2')})
	f.Fuzz(func(t *testing.T, username string) {
		name, passwords, err := s.Lookup(username, now)
		if err != nil {
			if passwords != nil {
				t.Fatalf("%q: passwords with an error", username)
			}
			return
		}
		if !name.Expires.After(now) || len(passwords) == 0 {
			t.Fatalf("%q: got %+v with %d passwords", username, name, len(passwords))
		}
		if !strings.HasSuffix(username, name.User) || (name.KeyID != "" && len(passwords) != 1) {
			t.Fatalf("%q: got %+v with %d passwords", username, name, len(passwords))
		}
	})
}
