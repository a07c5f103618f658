package user

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// references are of "correct horse", made by the reference implementation, for
// example: printf 'correct horse' | argon2 saltsaltsaltsalt -id -t 2 -k 64 -p 1 -e
var references = []string{
	"$argon2id$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$5jdMIzWoFbzSOl6k3wai9uU3f8LD+HmGXQgo1uhHQPI",
	"$argon2id$v=19$m=128,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$EYvnjMcYPK/aJH0qpfNCwVCag7AsEqQemDBauz0meHE",
}

func TestHashAndVerify(t *testing.T) {
	const prefix = "$argon2id$v=19$m=8,t=1,p=1$"
	for _, password := range []string{"a", "correct horse", "päßwörd", "\x00\xff", strings.Repeat("x", MaxPassword)} {
		hash, err := Hash(password, MinimalParams)
		if err != nil {
			t.Fatalf("Hash(%.20q): %v", password, err)
		}
		if !strings.HasPrefix(hash, prefix) {
			t.Errorf("Hash(%.20q) = %s, want %s…", password, hash, prefix)
		}
		wantVerify(t, hash, password, true)
		wantVerify(t, hash, password+"x", false)
		wantVerify(t, hash, password[1:], false)
		if again, _ := Hash(password, MinimalParams); again == hash {
			t.Errorf("Hash(%.20q) is the same twice, want another salt", password)
		}
	}
}

func wantVerify(t *testing.T, hash, password string, want bool) {
	t.Helper()
	if got, err := Verify(hash, password); got != want || err != nil {
		t.Errorf("Verify(%s, %.20q) = %v, %v, want %v", hash, password, got, err, want)
	}
}

func TestVerifyReference(t *testing.T) {
	for _, hash := range references {
		wantVerify(t, hash, "correct horse", true)
		wantVerify(t, hash, "correct house", false)
	}
}

func TestHashRefuses(t *testing.T) {
	for _, c := range []struct {
		password string
		params   Params
		want     string
	}{
		{"", MinimalParams, "the password is empty"},
		{strings.Repeat("x", MaxPassword+1), MinimalParams, "longer than 1024 bytes"},
		{"x", Params{}, "threads"},
		{"x", Params{Memory: 8, Time: 1, Threads: 17}, "threads"},
		{"x", Params{Memory: 8, Threads: 1}, "passes"},
		{"x", Params{Memory: 8, Time: 17, Threads: 1}, "passes"},
		{"x", Params{Memory: 15, Time: 1, Threads: 2}, "memory"},
		{"x", Params{Memory: maxMemory + 1, Time: 1, Threads: 1}, "memory"},
	} {
		if _, err := Hash(c.password, c.params); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Hash(%.20q, %+v): %v, want %q", c.password, c.params, err, c.want)
		}
	}
}

func TestCheckHash(t *testing.T) {
	const salt, key = "c2FsdHNhbHQ", "a2V5a2V5a2V5a2V5a2V5IQ"
	good := "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + key
	if err := CheckHash(good); err != nil {
		t.Fatalf("CheckHash(%s): %v", good, err)
	}
	for name, edit := range map[string][2]string{
		"another algorithm":   {"argon2id", "argon2i"},
		"another version":     {"v=19", "v=16"},
		"no version":          {"$v=19", ""},
		"a leading zero":      {"m=8", "m=08"},
		"a plus sign":         {"m=8", "m=+8"},
		"negative":            {"t=1", "t=-1"},
		"no passes":           {"t=1", "t=0"},
		"too many passes":     {"t=1", "t=17"},
		"too much memory":     {"m=8", "m=262145"},
		"overflowing memory":  {"m=8", "m=4294967304"},
		"too little memory":   {"m=8", "m=7"},
		"no threads":          {"p=1", "p=0"},
		"overflowing threads": {"p=1", "p=257"},
		"another order":       {"m=8,t=1", "t=1,m=8"},
		"a further parameter": {"p=1", "p=1,keyid=1"},
		"a short salt":        {salt, "c2FsdA"},
		"a long salt":         {salt, strings.Repeat("AAAA", 22)},
		"a short key":         {key, "a2V5"},
		"a long key":          {key, strings.Repeat("AAAA", 22)},
		"padding":             {key, key + "=="},
		"a line break":        {salt, "c2Fs\ndHNhbHQ"},
		"unused bits":         {salt, "c2FsdHNhbHR"},
		"a further field":     {key, key + "$"},
		"an endless key":      {key, strings.Repeat("AAAA", 1000)},
	} {
		hash := strings.Replace(good, edit[0], edit[1], 1)
		if err := CheckHash(hash); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: CheckHash(%.80q) = %v, want %v", name, hash, err, ErrInvalid)
		}
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add(references[0])
	f.Add(newDigest(DefaultParams).String())
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Add("$2b$10$abcdefghijklmnopqrstuv")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDigest(s)
		if err != nil {
			return
		}
		if d.String() != s {
			t.Errorf("parseDigest(%q) spells itself %q", s, d.String())
		}
		if err := d.check(); err != nil || len(d.salt) > maxKeyLen || len(d.key) > maxKeyLen {
			t.Errorf("parseDigest(%q) is out of bounds: %v", s, err)
		}
	})
}

func TestUserHidesHashInLogs(t *testing.T) {
	var b strings.Builder
	u, err := New("alice", "secret", MinimalParams)
	if err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("added", "user", u)
	if got := b.String(); !strings.Contains(got, "user=alice\n") || strings.Contains(got, "argon2") {
		t.Errorf("logged %q, want the name only", got)
	}
}
