package peer

import (
	"context"
	"net"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// baseline is what a program gets from pion's defaults with trickle ICE over the
// same signaling: what the figures of this package are compared with. Of the
// defaults only loopback candidates are changed, where there are no others.
type baseline struct {
	t          testing.TB
	name       string
	socket     *socket
	api        *webrtc.API
	config     webrtc.Configuration
	done       chan struct{}
	calls      chan *baselineCall // answered
	ownChannel string             // label of a channel that it opens when it is called; "" is none
	full       bool               // speaks the full form: ids, a control channel, hello
	ours       chan *baselineCall // the reader's current call
}

type baselineCall struct {
	pc      *webrtc.PeerConnection
	channel chan *webrtc.DataChannel // when open
	early   []webrtc.ICECandidateInit
	ready   bool

	described chan struct{} // closed when our description is sent
}

func (s *fakeServer) joinBaseline(name string, policy webrtc.ICETransportPolicy) *baseline {
	s.t.Helper()
	cfg, target, err := (&Config{User: name, Password: "password"}).withDefaults(s.url())
	if err != nil {
		s.t.Fatal(err)
	}
	ctx := testContext(s.t)
	sock, err := dialSocket(ctx, target, &cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	reply, err := login(ctx, sock, protocol.Login{Name: name, Password: "password"})
	if err != nil {
		s.t.Fatal(err)
	}
	var settings webrtc.SettingEngine
	settings.LoggerFactory = pionLog{cfg.Logger}
	settings.SetIncludeLoopbackCandidate(onlyLoopback(s.t))
	servers, _ := iceServers(reply.ICEServers)
	b := &baseline{
		t: s.t, name: name, socket: sock,
		api:    webrtc.NewAPI(webrtc.WithSettingEngine(settings)),
		config: webrtc.Configuration{ICEServers: servers, ICETransportPolicy: policy},
		done:   make(chan struct{}),
		calls:  make(chan *baselineCall, 1),
		ours:   make(chan *baselineCall, 1),
	}
	go b.read()
	s.t.Cleanup(func() { sock.conn.Close(); <-b.done })
	return b
}

func (b *baseline) newCall(to, id string) *baselineCall {
	pc, err := b.api.NewPeerConnection(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	call := &baselineCall{pc: pc, channel: make(chan *webrtc.DataChannel, 4), described: make(chan struct{})}
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		select {
		case <-call.described: // the other side has no call before it has the description
		case <-b.done:
			return
		}
		if c != nil {
			init := c.ToJSON()
			b.socket.send("", protocol.Candidate{Name: to, Call: id, Candidate: &protocol.CandidateInit{
				Candidate: init.Candidate, SDPMid: init.SDPMid, SDPMLineIndex: init.SDPMLineIndex,
			}})
		}
	})
	return call
}

func (c *baselineCall) watch(dc *webrtc.DataChannel) { dc.OnOpen(func() { c.channel <- dc }) }

// greet is watch for the full form: it says hello on the control channel.
func (c *baselineCall) greet(dc *webrtc.DataChannel) {
	dc.OnOpen(func() {
		if dc.Label() == labelControl {
			dc.SendText(string(encodeControl(hello{Version: controlVersion})))
		}
		c.channel <- dc
	})
}

// offer calls a name and opens a channel.
func (b *baseline) offer(to, label string) (*baselineCall, *webrtc.DataChannel) {
	b.t.Helper()
	call := b.newCall(to, "")
	dc, err := call.pc.CreateDataChannel(label, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	call.watch(dc)
	b.describe(call, to, "")
	return call, dc
}

// offerFull calls a name in the full form.
func (b *baseline) offerFull(to string) *baselineCall {
	b.t.Helper()
	id := protocol.NewCallID()
	call := b.newCall(to, id)
	for _, label := range []string{labelControl, labelChat} {
		dc, err := call.pc.CreateDataChannel(label, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		call.greet(dc)
	}
	b.describe(call, to, id)
	return call
}

// describe sends the offer of a call.
func (b *baseline) describe(call *baselineCall, to, id string) {
	b.t.Helper()
	b.ours <- call
	desc, err := call.pc.CreateOffer(nil)
	if err == nil {
		err = call.pc.SetLocalDescription(desc)
	}
	if err == nil {
		err = b.socket.send("", protocol.Offer{Name: to, Call: id, Offer: protocol.Description{Type: "offer", SDP: desc.SDP}})
	}
	if err != nil {
		b.t.Fatal(err)
	}
	close(call.described)
}

// call calls to and returns both open channels.
func (b *baseline) call(ctx context.Context, to *baseline) (a, z *baselineCall, adc, zdc *webrtc.DataChannel) {
	a, _ = b.offer(to.name, labelChat)
	select {
	case z = <-to.calls:
	case <-ctx.Done():
		b.t.Fatal("no answer")
	}
	for range 2 {
		select {
		case adc = <-a.channel:
		case zdc = <-z.channel:
		case <-ctx.Done():
			b.t.Fatal("channel did not open")
		}
	}
	return a, z, adc, zdc
}

func (b *baseline) read() {
	defer close(b.done)
	var call *baselineCall
	for {
		ev, err := b.socket.receive()
		if err != nil {
			return
		}
		select {
		case call = <-b.ours:
		default:
		}
		switch m := ev.Message.(type) {
		case protocol.Offer:
			if !b.full {
				m.Call = ""
			}
			call = b.newCall(m.Name, m.Call)
			call.pc.OnDataChannel(call.watch)
			if b.full {
				call.pc.OnDataChannel(call.greet)
			}
			if b.ownChannel != "" {
				dc, err := call.pc.CreateDataChannel(b.ownChannel, nil)
				if err != nil {
					b.t.Error(err)
					return
				}
				call.watch(dc)
			}
			call.describe(b.t, webrtc.SDPTypeOffer, m.Offer.SDP)
			desc, err := call.pc.CreateAnswer(nil)
			if err == nil {
				err = call.pc.SetLocalDescription(desc)
			}
			if err != nil {
				b.t.Error(err)
				return
			}
			b.socket.send("", protocol.Answer{Name: m.Name, Call: m.Call, Answer: protocol.Description{Type: "answer", SDP: desc.SDP}})
			close(call.described)
			b.calls <- call
		case protocol.Answer:
			call.describe(b.t, webrtc.SDPTypeAnswer, m.Answer.SDP)
		case protocol.Candidate:
			call.addAll(m.Candidate)
		case protocol.Candidates:
			call.addAll(m.Candidates...)
		}
	}
}

func (c *baselineCall) describe(t testing.TB, kind webrtc.SDPType, sdp string) {
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: sdp}); err != nil {
		t.Error(err)
	}
	c.ready = true
	for _, init := range c.early {
		c.pc.AddICECandidate(init)
	}
}

func (c *baselineCall) addAll(list ...*protocol.CandidateInit) {
	for _, init := range list {
		if init != nil {
			c.add(webrtc.ICECandidateInit{
				Candidate: init.Candidate, SDPMid: init.SDPMid, SDPMLineIndex: init.SDPMLineIndex,
			})
		}
	}
}

func (c *baselineCall) add(init webrtc.ICECandidateInit) {
	if !c.ready {
		c.early = append(c.early, init)
		return
	}
	c.pc.AddICECandidate(init)
}

func onlyLoopback(t testing.TB) bool {
	n, err := (&network{}).now()
	if err != nil {
		t.Fatal(err)
	}
	return n.interfaces[0].Flags&net.FlagLoopback != 0
}
