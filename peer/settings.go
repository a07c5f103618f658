package peer

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

const (
	sctpReceiveBuffer = 2 << 20 // bytes; below it a fast path is not filled
	relayWait         = 200 * time.Millisecond
	dtlsRetransmit    = 200 * time.Millisecond
	// Pion gives a pair up after this many rounds of checks. There are five a second, and
	// one for each candidate that comes, so no pair is given up before the call is. The
	// guard says how many of the checks are sent.
	maxBindingRequests = 512
)

// linkParts are what a link's PeerConnection works with.
type linkParts struct {
	relays *relayConns
	guard  *guard
	checks *triggeredChecks
}

// newPeerConnection makes a PeerConnection in our settings, with checks triggered.
// With snap it offers, or takes up, SCTP's short start.
func (c *Client) newPeerConnection(ctx context.Context, parts linkParts, servers []protocol.ICEServer, snap bool) (*webrtc.PeerConnection, error) {
	network, err := c.network.now()
	if err != nil {
		return nil, err
	}
	iceServers, overTLS := iceServers(servers)
	var s webrtc.SettingEngine
	s.LoggerFactory = pionLog{c.log}
	s.SetNet(&linkNet{network, parts.relays, parts.guard})
	s.SetICEProxyDialer(&relayDialer{ctx, &c.cfg, overTLS, parts.relays, parts.guard})
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.SetIncludeLoopbackCandidate(true) // as far as callNet lists them
	// A browser's .local candidate is not resolved: the pair is found when the
	// browser's own check arrives (peer-reflexive).
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	// The waits before a pair may be nominated. Waiting for a better one costs
	// every call; a relay is worth a short wait, unless there is nothing else.
	s.SetSrflxAcceptanceMinWait(0)
	s.SetPrflxAcceptanceMinWait(0)
	s.SetRelayAcceptanceMinWait(relayWait)
	policy := webrtc.ICETransportPolicyAll
	if c.relayOnly() {
		policy = webrtc.ICETransportPolicyRelay
		s.SetRelayAcceptanceMinWait(0)
	}
	s.SetICEMaxBindingRequests(maxBindingRequests)
	s.SetICEBindingRequestHandler(parts.checks.received)
	s.SetDTLSInsecureSkipHelloVerify(true) // ICE has proved the address
	s.SetDTLSRetransmissionInterval(dtlsRetransmit)
	// Go's P-256 is the fastest of the three by far; every browser has it.
	s.SetDTLSEllipticCurves(elliptic.P256, elliptic.X25519, elliptic.P384)
	s.DetachDataChannels()
	s.EnableDataChannelBlockWrite(true)
	s.SetSCTPMaxReceiveBufferSize(sctpReceiveBuffer)
	s.SetSCTPMinCwnd(c.cfg.MinCongestionWindow)
	s.EnableSctpSnap(snap)

	api := webrtc.NewAPI(
		webrtc.WithSettingEngine(s),
		webrtc.WithMediaEngine(&webrtc.MediaEngine{}),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}),
	)
	return api.NewPeerConnection(webrtc.Configuration{
		ICEServers:         iceServers,
		ICETransportPolicy: policy,
		Certificates:       []webrtc.Certificate{c.cert},
	})
}

// iceServers returns those of the servers' URLs that we can use, and the addresses
// that are reached over TLS.
func iceServers(servers []protocol.ICEServer) (usable []webrtc.ICEServer, overTLS map[string]bool) {
	overTLS = map[string]bool{}
	for _, server := range servers[:min(len(servers), maxICEServers)] {
		entry := webrtc.ICEServer{Username: server.Username, Credential: server.Credential}
		for _, raw := range server.URLs[:min(len(server.URLs), maxICEServers)] {
			uri, err := stun.ParseURI(raw)
			if err != nil || !usableURI(uri, server) {
				continue
			}
			entry.URLs = append(entry.URLs, raw)
			if uri.Scheme == stun.SchemeTypeTURNS {
				overTLS[net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))] = true
			}
		}
		if len(entry.URLs) > 0 {
			usable = append(usable, entry)
		}
	}
	return usable, overTLS
}

// usableURI leaves out TURN over DTLS, which pion checks against the system's root
// certificates only, and relays without a credential, which pion refuses with all
// the others.
func usableURI(uri *stun.URI, server protocol.ICEServer) bool {
	switch uri.Scheme {
	case stun.SchemeTypeSTUN:
		return true
	case stun.SchemeTypeTURNS:
		return uri.Proto == stun.ProtoTypeTCP && server.Username != "" && server.Credential != ""
	case stun.SchemeTypeTURN:
		return server.Username != "" && server.Credential != ""
	}
	return false
}

// hasRelay reports whether one of the servers is a relay.
func hasRelay(servers []protocol.ICEServer) bool {
	usable, _ := iceServers(servers)
	return slices.ContainsFunc(usable, func(s webrtc.ICEServer) bool { return s.Username != "" })
}
