package peer

import (
	"errors"
	"strings"
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
)

func TestOutgoingSDP(t *testing.T) {
	in := "v=0\r\na=sctp-init:AAAA\r\na=candidate:1 1 udp 9 192.0.2.1 5000 typ host\r\na=candidate:1 2 udp 9 192.0.2.1 5000 typ host\r\na=end\r\n"
	want := "v=0\r\na=x-sigctl-sctp-init:AAAA\r\na=candidate:1 1 udp 9 192.0.2.1 5000 typ host\r\na=end\r\n"
	if got := outgoingSDP(in); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestIncomingSDP(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"ours", "v=0\r\na=x-sigctl-sctp-init:AAAA\r\na=mid:0\r\n", "v=0\r\na=sctp-init:AAAA\r\na=mid:0\r\n"},
		{"a browser's", "v=0\r\na=sctp-init:AAAA\r\na=mid:0\r\n", "v=0\r\na=mid:0\r\n"},
		{"twice", "v=0\na=sctp-init:A\na=sctp-init:B\na=mid:0\n", "v=0\na=mid:0\n"},
		{"at the end", "v=0\na=sctp-init:A", "v=0\n"},
		{"none", "v=0\r\na=mid:0\r\n", "v=0\r\na=mid:0\r\n"},
	}
	for _, tt := range tests {
		if got := incomingSDP(tt.in); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// The short start of SCTP is an offer: a side that does not know it takes the long
// one.
func TestShortStartIsOptional(t *testing.T) {
	for _, known := range []bool{true, false} {
		s := newFakeServer(t)
		s.tamper = func(_, _ string, m protocol.Forwarded) protocol.Forwarded {
			switch m := m.(type) {
			case protocol.Offer:
				if !known {
					m.Offer.SDP = incomingSDP(incomingSDP(m.Offer.SDP)) // as the line of a browser
				}
				return m
			case protocol.Answer:
				if offersSNAP(m.Answer.SDP) != known {
					t.Errorf("known: %v, answer %s", known, m.Answer.SDP)
				}
			}
			return m
		}
		a, b := connect(t, s.join("alice"), s.join("bob"))
		wantChat(t, a, b)
	}
}

// An offer that is nothing pion knows is refused as unsupported.
func TestUnsupportedOffer(t *testing.T) {
	s := newFakeServer(t)
	s.tamper = func(_, _ string, m protocol.Forwarded) protocol.Forwarded {
		if m, ok := m.(protocol.Offer); ok {
			m.Offer.SDP = "v=0\r\n"
			return m
		}
		return m
	}
	alice, bob := s.join("alice"), s.join("bob")
	go bob.Accept(testContext(t))
	_, err := alice.Call(testContext(t), "bob")
	if !errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), protocol.ReasonUnsupported) {
		t.Errorf("Call: %v", err)
	}
}
