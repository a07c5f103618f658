package turnserver

import (
	"crypto/md5"
	"time"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/turncred"
)

// identity is who signs a request.
type identity struct {
	user    string    // whom quotas count: the part after expiry and key id
	expires time.Time // of the credential; zero: it does not
	key     []byte    // of the long-term credential mechanism, RFC 8489 section 9.2.2
}

// auth knows who may have allocations.
type auth struct {
	realm   string
	secrets *turncred.Secrets // nil: static users only
	users   map[string]string
	now     func() time.Time
}

// identify returns whose request this would be, with the key that it then is signed with: whether it is, is still
// to be checked. Of several keys that could have signed it, it returns the one that did.
func (a *auth) identify(username string, raw []byte) (identity, bool) {
	if password, ok := a.users[username]; ok {
		return identity{user: username, key: a.key(username, password)}, true
	}
	if a.secrets == nil {
		return identity{}, false
	}
	name, passwords, err := a.secrets.Lookup(username, a.now())
	if err != nil {
		return identity{}, false
	}
	id := identity{user: name.User, expires: name.Expires}
	for _, password := range passwords {
		id.key = a.key(username, password)
		if len(passwords) > 1 && signedWith(raw, id.key) {
			break
		}
	}
	return id, true
}

func (a *auth) key(username, password string) []byte {
	sum := md5.Sum([]byte(username + ":" + a.realm + ":" + password))
	return sum[:]
}

// signedWith reports whether the STUN message raw carries a MESSAGE-INTEGRITY made with key.
func signedWith(raw, key []byte) bool {
	m := new(stun.Message)
	if _, err := m.Write(raw); err != nil {
		return false
	}
	return stun.MessageIntegrity(key).Check(m) == nil
}

// isAllocate reports whether the STUN message raw is an Allocate request.
func isAllocate(raw []byte) bool {
	return len(raw) >= 2 && raw[0] == 0 && raw[1] == 0x03 // RFC 8656 section 17
}
