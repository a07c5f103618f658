package signal

import (
	"crypto/rand"
	"encoding/base64"
	"time"
)

// session is a user who is logged in. It lives as long as its connection.
type session struct {
	conn   *conn // set at construction
	name   string
	method string // how the user logged in
	since  time.Time
	room   *room // set by hub.claim

	rates *rates // owned by the reader; nil before the first message

	permissions []string  // written by the reader with conn.mu held
	expires     time.Time // guarded by conn.mu; zero: never
	warned      bool      // guarded by conn.mu: Expiring was sent for expires

	calls calls // guarded by room.mu
}

func newSessionID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}
