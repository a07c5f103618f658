package peer

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/pion/webrtc/v4"
)

// Candidate is one end of a path.
type Candidate struct {
	Type     string // "host", "srflx", "prflx" or "relay" (RFC 8445, section 4)
	Address  string // host:port
	Protocol string // "udp" or "tcp"
}

// Path is the way that a call's packets take.
type Path struct {
	Local, Remote Candidate
	Relayed       bool
	RoundTrip     time.Duration // the latest measured; 0 is not yet
	Receipts      bool          // the other side tells which texts it took; a plain page does not
}

// Kind returns "direct" or "relay".
func (p Path) Kind() string {
	if p.Relayed {
		return "relay"
	}
	return "direct"
}

// String returns the path in one line for people.
func (p Path) String() string {
	text := fmt.Sprintf("%s: %s %s to %s %s, %s", p.Kind(),
		p.Local.Type, p.Local.Address, p.Remote.Type, p.Remote.Address, p.Local.Protocol)
	if p.RoundTrip > 0 {
		text += fmt.Sprintf(", %.1f ms", float64(p.RoundTrip)/float64(time.Millisecond))
	}
	if !p.Receipts {
		text += ", no receipts"
	}
	return text
}

// Path returns the path of now, or the zero Path once the call has ended.
func (c *Call) Path() Path {
	transport := c.link.pc.SCTP().Transport().ICETransport()
	pair, err := transport.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return Path{}
	}
	p := Path{
		Local:    candidateOf(pair.Local),
		Remote:   candidateOf(pair.Remote),
		Receipts: !c.plain,
	}
	p.Relayed = p.Local.Type == "relay" || p.Remote.Type == "relay"
	if stats, ok := transport.GetSelectedCandidatePairStats(); ok {
		p.RoundTrip = time.Duration(stats.CurrentRoundTripTime * float64(time.Second))
	}
	return p
}

func candidateOf(c *webrtc.ICECandidate) Candidate {
	return Candidate{
		Type:     c.Typ.String(),
		Address:  net.JoinHostPort(c.Address, strconv.Itoa(int(c.Port))),
		Protocol: c.Protocol.String(),
	}
}

// Stats are a call's counters.
type Stats struct {
	TextsSent         uint64
	TextsAcknowledged uint64 // of those sent, taken by the other side
	TextsReceived     uint64 // taken by Recv
	BytesSent         uint64 // on the path, all channels and overhead of DTLS and SCTP
	BytesReceived     uint64
	SocketReadBuffer  int // bytes that the kernel granted, of 4194304 asked; 0 is not known
	SocketWriteBuffer int
}

// Stats returns the counters of now.
func (c *Call) Stats() Stats {
	var s Stats
	c.counts.mu.Lock()
	s.TextsSent, s.TextsAcknowledged, s.TextsReceived = c.counts.sent, c.counts.acked, c.counts.taken
	c.counts.mu.Unlock()
	s.SocketReadBuffer, s.SocketWriteBuffer = c.client.network.granted.get()
	if pair, ok := c.link.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats(); ok {
		s.BytesSent, s.BytesReceived = pair.BytesSent, pair.BytesReceived
	}
	return s
}
