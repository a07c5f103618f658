package main

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sigctl/sigctl/pkg/protocol"
	"github.com/sigctl/sigctl/pkg/turncred"
)

// iceTTL is how long the credentials of an ICE server are good.
const iceTTL = 10 * time.Minute

// iceIssuer makes the ICE servers that a user is told at login.
type iceIssuer struct {
	own     func() []string // URLs of our own relay as they are now; nil: there is none
	others  []string
	secrets *turncred.Secrets
	drained atomic.Bool // our own relay opens nothing new

	mu     sync.Mutex
	voided kicks // guarded by mu
}

// iceURLs are URLs of ICE servers, by whether they need a credential.
type iceURLs struct{ stun, turn []string }

// newICEIssuer issues credentials of secrets for those URLs that are turn or turns,
// of our own relay and of others.
func newICEIssuer(own func() []string, others []string, secrets *turncred.Secrets) *iceIssuer {
	return &iceIssuer{own: own, others: others, secrets: secrets, voided: kicks{}}
}

func newICEURLs(lists ...[]string) (urls iceURLs) {
	for _, u := range slices.Concat(lists...) {
		if strings.HasPrefix(u, "turn") {
			urls.turn = append(urls.turn, u)
		} else {
			urls.stun = append(urls.stun, u)
		}
	}
	return urls
}

// drain leaves our own relay out from now on, unless it is the only one: then it can
// still say where else to go. It reports whether that is new.
func (i *iceIssuer) drain() bool { return !i.drained.Swap(true) }

func (i *iceIssuer) urls() iceURLs {
	others := newICEURLs(i.others)
	if i.own == nil || i.drained.Load() && len(others.turn) > 0 {
		return others
	}
	return newICEURLs(i.own(), i.others)
}

// servers returns the ICE servers for user, and when their credentials end: zero
// if there are none.
func (i *iceIssuer) servers(user string) (list []protocol.ICEServer, expires time.Time) {
	urls := i.urls()
	if len(urls.stun) > 0 {
		list = append(list, protocol.ICEServer{URLs: urls.stun})
	}
	if len(urls.turn) > 0 {
		c := i.secrets.Issue(user, iceTTL, i.date(user, time.Now()))
		list = append(list, protocol.ICEServer{URLs: urls.turn, Username: c.Username, Credential: c.Password})
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
