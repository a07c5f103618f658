package signal

import (
	"crypto/rand"
	"encoding/base64"
	"slices"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// session is a user who is logged in. It lives as long as its connection.
type session struct {
	conn   *conn // set at construction
	name   string
	method string // how the user logged in
	since  int64  // Unix seconds
	room   *room  // set by hub.claim

	rates *rates // owned by the reader; nil before the first message

	permissions []string // written by the reader with conn.mu held
	expires     int64    // guarded by conn.mu; Unix seconds, 0: never
	warned      bool     // guarded by conn.mu: Expiring was sent for expires

	calls calls // guarded by room.mu
}

// permissionSets holds every set of permissions once, for all sessions that have it:
// a bit of the index is a permission.
type permissionSets [1 << len(permissionWords)][]string

var permissionWords = [...]string{protocol.PermJoin, protocol.PermData, protocol.PermPublish, protocol.PermSubscribe}

func newPermissionSets() (sets permissionSets) {
	for i := range sets {
		for bit, word := range permissionWords {
			if i>>bit&1 == 1 {
				sets[i] = append(sets[i], word)
			}
		}
	}
	return sets
}

// of returns the set of these words.
func (sets *permissionSets) of(words []string) []string {
	index := 0
	for bit, word := range permissionWords {
		if slices.Contains(words, word) {
			index |= 1 << bit
		}
	}
	return sets[index]
}

func newSessionID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}
