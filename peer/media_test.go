package peer

import (
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// ssrcs gives each RTP packet that is sent an SSRC of its own.
type ssrcs struct {
	interceptor.NoOp
	last atomic.Uint32
}

func (s *ssrcs) NewInterceptor(string) (interceptor.Interceptor, error) { return s, nil }

func (s *ssrcs) BindLocalStream(_ *interceptor.StreamInfo, next interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		h.SSRC = s.last.Add(1)
		return next.Write(h, payload, a)
	})
}

// mediaPeer is pion with all its codecs: it offers audio, video and a data channel.
type mediaPeer struct {
	t     *testing.T
	pc    *webrtc.PeerConnection
	audio *webrtc.TrackLocalStaticRTP
	data  *webrtc.DataChannel
	open  chan struct{} // the data channel is
}

func newMediaPeer(t *testing.T) *mediaPeer {
	t.Helper()
	var codecs webrtc.MediaEngine
	var chain interceptor.Registry
	chain.Add(&ssrcs{})
	p := &mediaPeer{t: t, open: make(chan struct{})}
	p.must(codecs.RegisterDefaultCodecs())
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(onlyLoopback(t))
	api := webrtc.NewAPI(webrtc.WithMediaEngine(&codecs), webrtc.WithInterceptorRegistry(&chain), webrtc.WithSettingEngine(settings))
	var err error
	p.pc, err = api.NewPeerConnection(webrtc.Configuration{})
	p.must(err)
	t.Cleanup(func() { p.pc.GracefulClose() })
	p.audio, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "stream")
	p.must(err)
	_, err = p.pc.AddTrack(p.audio)
	p.must(err)
	_, err = p.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo)
	p.must(err)
	p.data, err = p.pc.CreateDataChannel(plainLabel, nil)
	p.must(err)
	p.data.OnOpen(func() { close(p.open) })
	return p
}

func (p *mediaPeer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// offer returns a description with all its candidates.
func (p *mediaPeer) offer() string {
	p.t.Helper()
	offer, err := p.pc.CreateOffer(nil)
	p.must(err)
	gathered := webrtc.GatheringCompletePromise(p.pc)
	p.must(p.pc.SetLocalDescription(offer))
	<-gathered
	return p.pc.LocalDescription().SDP
}

func (p *mediaPeer) answered(sdp string) {
	p.t.Helper()
	p.must(p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp}))
}

// calls has the peer call bob, and returns bob's end and the answer.
func (p *mediaPeer) calls(use func(answer string) string) (*Call, string) {
	p.t.Helper()
	s := newFakeServer(p.t)
	bob, a := s.join("bob"), s.attacker("mallory")
	accepted := make(chan *Call, 1)
	go func() {
		call, err := bob.Accept(testContext(p.t))
		if err != nil {
			p.t.Error(err)
		}
		accepted <- call
	}()
	a.send(protocol.Offer{Name: "bob", Offer: protocol.Description{Type: "offer", SDP: p.offer()}})
	answer := until[protocol.Answer](a).Answer.SDP
	p.answered(use(answer))
	<-p.open
	call := <-accepted
	if call == nil {
		p.t.FailNow()
	}
	return call, answer
}

// A browser's offer with audio, video and data is answered with data alone, and both
// talk.
func TestOfferWithMedia(t *testing.T) {
	p := newMediaPeer(t)
	call, answer := p.calls(func(answer string) string { return answer })
	wantPlainChat(t, call, p.data, p.data.SendText)
	var desc webrtc.SessionDescription
	desc.SDP, desc.Type = answer, webrtc.SDPTypeAnswer
	parsed, err := desc.Unmarshal()
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, m := range parsed.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		kinds = append(kinds, m.MediaName.Media+" "+mid)
		if _, inactive := m.Attribute("inactive"); m.MediaName.Media != "application" && !inactive {
			t.Errorf("the answer accepts %s", m.MediaName.Media)
		}
	}
	if want := []string{"audio 0", "video 1", "application 2"}; !slices.Equal(kinds, want) {
		t.Errorf("answer to %q, want %q", kinds, want)
	}
	if needs, err := (protocol.Description{Type: "answer", SDP: answer}).Requires(); err != nil || !slices.Equal(needs, []string{protocol.PermData}) {
		t.Errorf("the answer requires %q, %v", needs, err)
	}
}

// acceptAudio is an answer that a caller makes itself, of the callee's: as if it had
// accepted audio.
func acceptAudio(t *testing.T, answer string) string {
	t.Helper()
	r, err := readRemote(answer)
	if err != nil {
		t.Fatal(err)
	}
	session, _, _ := strings.Cut(r.forPion(), "a=group:")
	ours := r.sections[r.data].lines
	var out sdpWriter
	out.WriteString(session)
	out.line("a=group:BUNDLE 0 2")
	out.line("m=audio 9 UDP/TLS/RTP/SAVPF 111")
	out.line("c=IN IP4 0.0.0.0")
	for _, line := range ours {
		if isTransport(line) {
			out.line(line)
		}
	}
	for _, line := range []string{"a=mid:0", "a=rtcp-mux", "a=rtpmap:111 opus/48000/2", "a=recvonly"} {
		out.line(line)
	}
	out.line("m=video 0 UDP/TLS/RTP/SAVPF 96")
	out.line("c=IN IP4 0.0.0.0")
	out.line("a=mid:1")
	out.line("a=rtpmap:96 VP8/90000")
	out.line("a=inactive")
	writeLines(&out, ours)
	return out.String()
}

// A caller that sends SRTP all the same, each packet with an SSRC of its own, costs
// nothing that lasts.
func TestMediaIsDroppedInADataCall(t *testing.T) {
	p := newMediaPeer(t)
	call, _ := p.calls(func(answer string) string { return acceptAudio(t, answer) })
	marker := func(text string) { // what was sent before it has been read
		if err := p.data.SendText(text); err != nil {
			t.Fatal(err)
		}
		wantText(t, call, text)
	}
	send := func(packets int) {
		for i := range packets {
			packet := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: uint16(i)}, Payload: make([]byte, 20)}
			if err := p.audio.WriteRTP(packet); err != nil {
				t.Fatal(err)
			}
			if i%200 == 0 {
				marker("more")
			}
		}
		marker("end")
	}
	const packets = 20_000
	send(200)
	routines, memory := runtime.NumGoroutine(), memoryInUse()
	send(packets)
	routines, memory = runtime.NumGoroutine()-routines, memoryInUse()-memory
	t.Logf("%d SSRCs: %d bytes and %d goroutines more", packets, memory, routines)
	if memory > packets*1000 || routines > 100 {
		t.Errorf("%d SSRCs cost %d bytes and %d goroutines", packets, memory, routines)
	}
}
