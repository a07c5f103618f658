package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/turncred"
)

// iceTTL is how long the credentials of an ICE server are good.
const iceTTL = 10 * time.Minute

// iceIssuer makes the ICE servers that a user is told at login.
type iceIssuer struct {
	stun, turn []string // URLs
	secrets    *turncred.Secrets

	mu     sync.Mutex
	voided kicks // guarded by mu
}

// newICEIssuer issues credentials of secrets for those of urls that are turn or
// turns.
func newICEIssuer(urls []string, secrets *turncred.Secrets) *iceIssuer {
	i := &iceIssuer{secrets: secrets, voided: kicks{}}
	for _, u := range urls {
		if strings.HasPrefix(u, "turn") {
			i.turn = append(i.turn, u)
		} else {
			i.stun = append(i.stun, u)
		}
	}
	return i
}

// servers returns the ICE servers for user, and when their credentials end: zero
// if there are none.
func (i *iceIssuer) servers(user string) (list []protocol.ICEServer, expires time.Time) {
	if len(i.stun) > 0 {
		list = append(list, protocol.ICEServer{URLs: i.stun})
	}
	if len(i.turn) > 0 {
		c := i.secrets.Issue(user, iceTTL, i.date(user, time.Now()))
		list = append(list, protocol.ICEServer{URLs: i.turn, Username: c.Username, Credential: c.Password})
		expires = c.Expires
	}
	return list, expires
}

// date is when a credential of user's counts as issued: it ends after those that are
// void.
func (i *iceIssuer) date(user string, now time.Time) time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	if after := i.voided[user].Add(time.Second - iceTTL); now.Before(after) {
		return after
	}
	return now
}

// void returns the end of the credentials that were issued to user until now. Those
// that are issued from now on end later.
func (i *iceIssuer) void(user string, now time.Time) time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.voided.prune(now)
	until := i.voided[user].Add(time.Second) // of what was dated ahead
	if end := now.Truncate(time.Second).Add(iceTTL); end.After(until) {
		until = end
	}
	i.voided[user] = until
	return until
}

// checkICEURL says what is wrong with a value of --ice-server (RFC 7064, 7065).
func checkICEURL(s string) error {
	scheme, rest, _ := strings.Cut(s, ":")
	if scheme != "stun" && scheme != "stuns" && scheme != "turn" && scheme != "turns" || strings.HasPrefix(rest, "/") {
		return fmt.Errorf("%q is not a stun: or turn: URL", s)
	}
	at, query, _ := strings.Cut(rest, "?")
	if query != "" && (scheme[0] == 's' || query != "transport=udp" && query != "transport=tcp") {
		return fmt.Errorf("%q has an unknown query", s)
	}
	host := at
	if h, port, err := net.SplitHostPort(at); err == nil {
		host = h
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("%q has a bad port", s)
		}
	}
	if host == "" || strings.ContainsAny(host, "/@ ") {
		return fmt.Errorf("%q has no host", s)
	}
	return nil
}

// hostAddress returns the address from which this machine would reach the world,
// or else its first global one, or else loopback.
func hostAddress() netip.Addr {
	for _, probe := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} { // RFC 5737, RFC 3849; connecting UDP sends nothing
		conn, err := net.Dial("udp", probe)
		if err != nil {
			continue
		}
		addr := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		conn.Close()
		if addr.IsGlobalUnicast() {
			return addr
		}
	}
	all, _ := net.InterfaceAddrs() // none, if it fails
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().IsGlobalUnicast() {
			return prefix.Addr()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}
