package protocol

import (
	"crypto/rand"
	"encoding/base64"
)

// CallIDLen is the length of a call's id: 128 random bits in base64url.
const CallIDLen = 22

// ValidName reports whether s can name a user or a room: 1 to 64 characters out
// of letters, digits and ". _ @ + -", all ASCII.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxNameLen {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case isAlphanumeric(c):
		case c == '.', c == '_', c == '@', c == '+', c == '-':
		default:
			return false
		}
	}
	return true
}

// NewCallID returns a fresh call id.
func NewCallID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ValidCallID reports whether s has the form of a call id.
func ValidCallID(s string) bool {
	if len(s) != CallIDLen {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
