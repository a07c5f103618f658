package turnserver

import (
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// What cannot be authenticated is refused without a signature, and with what is needed to sign.
func TestAuthentication(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := learned(ts, "127.0.1.1:1", false)
	user, realm, nonce := stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce)
	key := stun.NewLongTermIntegrity(c.username, c.realm, c.password)
	elsewhere := learned(ts, "127.0.1.1:2", false).nonce
	tests := []struct {
		name string
		with []stun.Setter
		want int
	}{
		{"nothing", nil, 401},
		{"no integrity", []stun.Setter{user, realm, nonce}, 401},
		{"SHA-256 alone", []stun.Setter{user, realm, nonce, raw(stun.AttrMessageIntegritySHA256, make([]byte, 32)...)}, 401},
		{"no user name", []stun.Setter{realm, nonce, key}, 400},
		{"no realm", []stun.Setter{user, nonce, key}, 400},
		{"no nonce", []stun.Setter{user, realm, key}, 400},
		{"user name after integrity", []stun.Setter{realm, nonce, key, user}, 400},
		{"nonce of another port", []stun.Setter{user, realm, stun.NewNonce(elsewhere), key}, 438},
		{"nonce of nobody", []stun.Setter{user, realm, stun.NewNonce("00000000000000000000000000ff"), key}, 438},
		{"nonce that is none", []stun.Setter{user, realm, stun.NewNonce("zz"), key}, 438},
		{"empty nonce", []stun.Setter{user, realm, stun.NewNonce(""), key}, 438},
		{"another realm", []stun.Setter{user, stun.NewRealm("other.com"), nonce, stun.NewLongTermIntegrity(c.username, "other.com", c.password)}, 401},
		{"another realm, the right key", []stun.Setter{user, stun.NewRealm("other.com"), nonce, key}, 401},
		{"unknown user", []stun.Setter{stun.NewUsername("nobody"), realm, nonce, key}, 401},
		{"no user", []stun.Setter{stun.NewUsername(""), realm, nonce, stun.NewLongTermIntegrity("", c.realm, "")}, 401},
		{"wrong password", []stun.Setter{user, realm, nonce, stun.NewLongTermIntegrity(c.username, c.realm, "wrong")}, 401},
		{"short integrity", []stun.Setter{user, realm, nonce, raw(stun.AttrMessageIntegrity, 1, 2, 3, 4)}, 401},
		{"empty integrity", []stun.Setter{user, realm, nonce, raw(stun.AttrMessageIntegrity)}, 401},
		{"wrong integrity first", []stun.Setter{user, realm, nonce, raw(stun.AttrMessageIntegrity, make([]byte, 20)...), key}, 401},
		{"the first user name counts", []stun.Setter{user, stun.NewUsername("nobody"), realm, nonce, key}, 437},
		{"good", []stun.Setter{user, realm, nonce, key}, 437},
		{"good, and more after integrity", []stun.Setter{user, realm, nonce, key, raw(0x7001), raw(stun.AttrMessageIntegrity)}, 437},
	}
	for _, tt := range tests {
		response := c.ask(stun.MethodRefresh, tt.with...)
		if err := wantCode(response, tt.want); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got, want := response.Contains(stun.AttrNonce) && response.Contains(stun.AttrRealm), tt.want == 401 || tt.want == 438; got != want {
			t.Errorf("%s: realm and nonce %v, want %v: %v", tt.name, got, want, response)
		}
		if got, want := response.Contains(stun.AttrMessageIntegrity), tt.want == 437; got != want {
			t.Errorf("%s: signed %v, want %v", tt.name, got, want)
		}
		if response.Contains(stun.AttrSoftware) {
			t.Errorf("%s: tells its software", tt.name)
		}
	}
}

// An allocation is its owner's, whoever else knows the name or has a good credential.
func TestOnlyTheOwner(t *testing.T) {
	ts := newIdleServer(t, nil)
	c := learned(ts, "127.0.1.1:1", true)
	bob := ts.secrets.Issue("bob", time.Minute, ts.clock.now())
	later := ts.secrets.Issue("alice", time.Hour, ts.clock.now())
	tests := []struct {
		name, username, password string
		allocate, refresh        int
	}{
		{"the owner's name, a wrong password", c.username, "guess", 401, 401},
		{"another name, the owner's key", "nobody", "", 401, 401},
		{"another user", bob.Username, bob.Password, 437, 441},
		{"another name of the owner's", later.Username, later.Password, 437, 441},
		{"the owner", c.username, c.password, 437, 0},
	}
	key := stun.NewLongTermIntegrity(c.username, c.realm, c.password)
	for _, tt := range tests {
		with := []stun.Setter{stun.NewUsername(tt.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce), key}
		if tt.password != "" {
			with[3] = stun.NewLongTermIntegrity(tt.username, c.realm, tt.password)
		}
		if err := wantCode(c.ask(stun.MethodAllocate, append([]stun.Setter{requestedUDP}, with...)...), tt.allocate); err != nil {
			t.Errorf("Allocate, %s: %v", tt.name, err)
		}
		if err := wantCode(c.ask(stun.MethodRefresh, with...), tt.refresh); err != nil {
			t.Errorf("Refresh, %s: %v", tt.name, err)
		}
	}
}

// 401 and 438 are the same length for everybody, and do not answer much more than was asked.
func TestChallengeIsShort(t *testing.T) {
	c := newIdleServer(t, nil).at("8.8.8.8:1", "alice")
	if got := c.ask(stun.MethodAllocate, requestedUDP); len(got.Raw) > 100 {
		t.Errorf("got %d bytes for 28, want 100 at most", len(got.Raw))
	}
}
