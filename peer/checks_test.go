package peer

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/webrtc/v4"
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

// icePeer is a PeerConnection in our settings on a simulated network.
type icePeer struct {
	t          *testing.T
	pc         *webrtc.PeerConnection
	candidates []webrtc.ICECandidateInit
	gathered   <-chan struct{} // then candidates are complete
	connected  chan struct{}
}

// newICEPair makes two, each with one address, between which filter drops what it
// does not let pass.
func newICEPair(t *testing.T, cert webrtc.Certificate, filter vnet.ChunkFilter) (offerer, answerer *icePeer) {
	t.Helper()
	router, err := vnet.NewRouter(&vnet.RouterConfig{CIDR: "10.0.0.0/24", LoggerFactory: logging.NewDefaultLoggerFactory()})
	if err != nil {
		t.Fatal(err)
	}
	router.AddChunkFilter(filter)
	offerer, answerer = newICEPeer(t, cert, router), newICEPeer(t, cert, router)
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

func newICEPeer(t *testing.T, cert webrtc.Certificate, router *vnet.Router) *icePeer {
	t.Helper()
	simulated, err := vnet.NewNet(&vnet.NetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := router.AddNet(simulated); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	c := &Client{log: log, cert: cert, network: &network{base: simulated, granted: grantedBuffers{log: log}}}
	p := &icePeer{t: t, connected: make(chan struct{})}
	checks := &triggeredChecks{start: func(round int) { go checkNow(p.pc, round) }}
	if p.pc, err = c.newPeerConnection(t.Context(), &relayConns{}, checks, nil, true); err != nil {
		t.Fatal(err)
	}
	p.gathered = webrtc.GatheringCompletePromise(p.pc)
	p.pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			p.candidates = append(p.candidates, c.ToJSON())
		}
	})
	p.pc.OnICEConnectionStateChange(func(s webrtc.ICEConnectionState) {
		if s == webrtc.ICEConnectionStateConnected {
			close(p.connected)
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
	<-p.gathered
	<-answerer.gathered
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
	for _, c := range other.candidates {
		p.must(p.pc.AddICECandidate(c))
	}
}
