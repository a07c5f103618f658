package peer

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// The first check is lost, as at a relay that has no permission for us yet. The
// other side's has to bring forth the next at once. The clock is simulated: it
// goes on when everything waits for it, as pion does between its rounds.
func TestLostCheckIsMadeUpFor(t *testing.T) {
	cert, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		lost := make(chan struct{})
		offerer, answerer := newICEPair(t, cert, func(c vnet.Chunk) (pass bool) {
			if isClosed(lost) || !stun.IsMessage(c.UserData()) {
				return true
			}
			close(lost)
			return false
		})
		offerer.describe(answerer)
		start := time.Now()
		offerer.addCandidatesOf(answerer)
		<-lost
		answerer.addCandidatesOf(offerer)
		<-offerer.connected
		<-answerer.connected
		if took := time.Since(start); took >= 100*time.Millisecond {
			t.Errorf("connected after %v, want it before pion's next round of checks", took)
		}
	})
}

// A direct path that is found within relayWait wins, although the relay answered first. The relay is
// an address of the answerer's that the offerer takes for one.
func TestDirectPathWins(t *testing.T) {
	cert, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	const found = 100 * time.Millisecond // when the first check passes on the direct path
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		offerer, answerer := newICEPair(t, cert, func(c vnet.Chunk) (pass bool) {
			relayed := strings.HasPrefix(c.SourceAddr().String(), relayIP) || strings.HasPrefix(c.DestinationAddr().String(), relayIP)
			return relayed || time.Since(start) >= found
		}, directIP, relayIP)
		offerer.describe(answerer)
		for i, c := range answerer.candidates {
			if strings.Contains(c.Candidate, relayIP) {
				answerer.candidates[i].Candidate = asRelay(t, c.Candidate)
			}
		}
		offerer.addCandidatesOf(answerer)
		time.Sleep(found - time.Since(start)) // of the bubble's clock
		answerer.addCandidatesOf(offerer)
		<-offerer.connected
		pair, err := offerer.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
		if err != nil || pair.Remote.Typ != webrtc.ICECandidateTypeHost {
			t.Errorf("connected over %v, %v, want the direct path", pair, err)
		}
	})
}

// The answerer's addresses in TestDirectPathWins.
const (
	directIP = "10.0.0.100"
	relayIP  = "10.0.0.200"
)

// asRelay makes a host candidate one of a relay.
func asRelay(t *testing.T, candidate string) string {
	t.Helper()
	fields := strings.Fields(candidate)
	if len(fields) < 8 || fields[7] != "host" {
		t.Fatalf("%q is not a host candidate", candidate)
	}
	fields[3], fields[7] = "1000", "relay raddr 0.0.0.0 rport 0"
	return strings.Join(fields, " ")
}

// icePeer is a PeerConnection in our settings on a simulated network.
type icePeer struct {
	t          *testing.T
	pc         *webrtc.PeerConnection
	guard      guard
	candidates []webrtc.ICECandidateInit
	gathered   <-chan struct{} // then candidates are complete
	connected  chan struct{}
	once       sync.Once
}

// newICEPair makes two, each with one address unless the answerer's are given. Between them filter drops what it
// does not let pass.
func newICEPair(t *testing.T, cert webrtc.Certificate, filter vnet.ChunkFilter, answererIPs ...string) (offerer, answerer *icePeer) {
	t.Helper()
	router, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/24", LoggerFactory: logging.NewDefaultLoggerFactory()})
	if err != nil {
		t.Fatal(err)
	}
	router.AddChunkFilter(filter)
	offerer = newICEPeer(t, cert, machineOn(t, router), nil)
	answerer = newICEPeer(t, cert, machineOn(t, router, answererIPs...), nil)
	if err := router.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		offerer.pc.GracefulClose()
		answerer.pc.GracefulClose()
		router.Stop()
	})
	return offerer, answerer
}

func machineOn(t *testing.T, router *vnet.Router, ips ...string) *vnet.Net {
	t.Helper()
	simulated, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: ips})
	if err != nil {
		t.Fatal(err)
	}
	if err := router.AddNet(simulated); err != nil {
		t.Fatal(err)
	}
	return simulated
}

func newICEPeer(t *testing.T, cert webrtc.Certificate, simulated *vnet.Net, servers []protocol.ICEServer) *icePeer {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	c := &Client{log: log, cert: cert, network: &network{base: simulated, granted: grantedBuffers{log: log}}}
	p := &icePeer{t: t, connected: make(chan struct{})}
	checks := &triggeredChecks{start: func(round int) { go checkNow(p.pc, round) }}
	pc, err := c.newPeerConnection(t.Context(), linkParts{&relayConns{}, &p.guard, checks}, servers, true)
	p.must(err)
	p.pc = pc
	p.gathered = webrtc.GatheringCompletePromise(p.pc)
	p.pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			p.candidates = append(p.candidates, c.ToJSON())
		}
	})
	p.pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) {
		if s == webrtc.ICEConnectionStateConnected {
			p.once.Do(func() { close(p.connected) })
		}
	})
	return p
}

// describe exchanges offer and answer, without candidates.
func (p *icePeer) describe(answerer *icePeer) {
	p.t.Helper()
	_, err := p.pc.CreateDataChannel("data", nil)
	p.must(err)
	offer, err := p.pc.CreateOffer(nil)
	p.must(err, p.pc.SetLocalDescription(offer), answerer.pc.SetRemoteDescription(offer))
	answer, err := answerer.pc.CreateAnswer(nil)
	p.must(err, answerer.pc.SetLocalDescription(answer), p.pc.SetRemoteDescription(answer))
	p.described(answer.SDP, offer.SDP)
	answerer.described(offer.SDP, answer.SDP)
	<-p.gathered
	<-answerer.gathered
}

func (p *icePeer) described(theirs, ours string) {
	remote, err := readRemote(theirs)
	p.must(err)
	p.guard.described(remote.password(), remote.size())
	p.guard.describes(icePassword(strings.Split(ours, "\r\n")))
}

func (p *icePeer) must(errs ...error) {
	p.t.Helper()
	for _, err := range errs {
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *icePeer) addCandidatesOf(other *icePeer) {
	p.t.Helper()
	p.pay(other)
	for _, c := range other.candidates {
		p.must(p.pc.AddICECandidate(c))
	}
}

// pay does what a message with the other's candidates does.
func (p *icePeer) pay(other *icePeer) {
	for _, c := range other.candidates {
		_, addr, err := readCandidate(c.Candidate)
		p.must(err)
		mid, index := "0", uint16(0)
		p.guard.expect(addr, candidateSize(&protocol.CandidateInit{Candidate: c.Candidate, SDPMid: &mid, SDPMLineIndex: &index}))
	}
}
