package turnserver

import (
	"crypto/md5"
	"time"

	"github.com/pion/stun/v3"

	"github.com/sigctl/sigctl/pkg/turncred"
)

// identity is who signs a request.
type identity struct {
	username string    // as it is in requests
	user     string    // whom quotas count: the part after expiry and key id
	expires  time.Time // of the credential; zero: it does not
	key      []byte    // of the long-term credential mechanism, RFC 8489 section 9.2.2
}

// auth knows who may have allocations.
type auth struct {
	realm   string
	secrets *turncred.Secrets // nil: static users only
	users   map[string]string
	probe   probeUser // whom Server.Check signs in as; not counted or logged as a user
	now     func() time.Time
}

// identify returns who signed a request in the name of username, if anyone whom we know did. isSigned reports whether
// it was signed with a key.
func (a *auth) identify(username string, isSigned func(key []byte) bool) (identity, bool) {
	if username == a.probe.name && username != "" {
		id := identity{username: username, user: username, key: a.key(username, a.probe.password)}
		return id, isSigned(id.key)
	}
	if password, ok := a.users[username]; ok {
		id := identity{username: username, user: username, key: a.key(username, password)}
		return id, isSigned(id.key)
	}
	if a.secrets == nil {
		return identity{}, false
	}
	name, passwords, err := a.secrets.Lookup(username, a.now())
	if err != nil {
		return identity{}, false
	}
	for _, password := range passwords {
		if key := a.key(username, password); isSigned(key) {
			return identity{username: username, user: name.User, expires: name.Expires, key: key}, true
		}
	}
	return identity{}, false
}

func (a *auth) key(username, password string) []byte {
	sum := md5.Sum([]byte(username + ":" + a.realm + ":" + password))
	return sum[:]
}

// noAnswer is what a request is refused with that is not answered at all.
const noAnswer stun.ErrorCode = -1

// authenticate finds out who signed a request, or returns the code with which it is refused (RFC 8489 section 9.2.4).
// What is about an allocation is signed with the key that opened it, even if the credential has expired since or its
// secret is gone: a call may last longer than they do. The nonce comes first: who has none of ours is not where the packet
// says, and costs us no more than that. The code is noAnswer when so many came from there that none is looked at.
func (g *guard) authenticate(r *request) stun.ErrorCode {
	username, hasUsername := r.get(stun.AttrUsername)
	realm, hasRealm := r.get(stun.AttrRealm)
	nonce, hasNonce := r.get(stun.AttrNonce)
	switch {
	case !r.isSigned:
		return stun.CodeUnauthorized
	case !hasUsername || !hasRealm || !hasNonce:
		return stun.CodeBadRequest
	case !g.nonces.isGood(nonce, r.client.fiveTuple):
		return stun.CodeStaleNonce
	case string(realm) != g.server.Realm:
		return stun.CodeUnauthorized
	}
	if a := r.allocation; a != nil && string(username) == a.owner.username && r.isSignedWith(a.owner.key) {
		r.signer, r.isOwner = a.owner, true
		return 0
	}
	if !g.strangers.maySearch(r.client.client) {
		return noAnswer
	}
	signer, ok := g.server.auth.identify(string(username), r.isSignedWith)
	if !ok || g.server.allocations.isKicked(signer) {
		g.server.Logger.Debug("credentials refused", "client", r.client.client)
		return stun.CodeUnauthorized
	}
	r.signer = signer
	return 0
}
