package signal

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// session is a user who is logged in. It lives as long as its connection.
type session struct {
	conn *conn // set at construction
	name string
	room *room

	calls calls // guarded by room.mu
}

// everything is what a user who came with a password may do.
var everything = []string{protocol.PermJoin, protocol.PermData, protocol.PermPublish, protocol.PermSubscribe}

func newSessionID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}
