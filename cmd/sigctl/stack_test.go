package main

import (
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// stack is another WebRTC stack that calls user1: it can end a call in ways in which
// our own peer never does.
type stack struct {
	ws            *websocket.Conn
	pc            *webrtc.PeerConnection
	control, chat *webrtc.DataChannel
	id            string
	silent        bool          // it never connects
	answered      chan struct{} // closed when user1 has answered
	heard         chan string   // texts, as far as room is left; then it reads no more
	ended         chan struct{} // closed with the test: no callback waits any more
	reading       sync.WaitGroup

	mu sync.Mutex // guards writes to ws
}

// newStack signs name in and calls user1.
func newStack(t *testing.T, ts *testServer, name string) *stack {
	t.Helper()
	ws := ts.join(name)
	ws.SetReadDeadline(time.Time{})
	s, err := callUser1(ws, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// callUser1 calls over a WebSocket that has signed in. A silent call never connects.
func callUser1(ws *websocket.Conn, silent bool) (*stack, error) {
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	s := &stack{
		ws: ws, pc: pc, id: protocol.NewCallID(), silent: silent,
		heard: make(chan string, 1), ended: make(chan struct{}), answered: make(chan struct{}),
	}
	if err := s.call(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stack) close() {
	close(s.ended)
	s.ws.Close()
	s.pc.GracefulClose()
	s.reading.Wait()
}

func (s *stack) call() (err error) {
	if s.control, err = s.pc.CreateDataChannel("control", nil); err != nil {
		return err
	}
	if s.chat, err = s.pc.CreateDataChannel("chat", nil); err != nil {
		return err
	}
	s.control.OnOpen(func() { s.control.SendText(`{"type":"hello","received":0,"version":1}`) })
	s.chat.OnMessage(func(m webrtc.DataChannelMessage) {
		select {
		case s.heard <- string(m.Data):
		case <-s.ended:
		}
	})
	s.pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			s.send(map[string]any{"type": "candidate", "candidate": c.ToJSON()})
		}
	})
	offer, err := s.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	if err := s.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	s.send(map[string]any{"type": "offer", "offer": offer})
	s.reading.Go(s.read)
	return nil
}

// send sends user1 a message about the call.
func (s *stack) send(m map[string]any) {
	m["name"], m["call"] = "user1", s.id
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ws.WriteJSON(m) // it fails after the test
}

// read takes user1's answer and candidates until the WebSocket closes.
func (s *stack) read() {
	var early []webrtc.ICECandidateInit
	described := false
	for {
		var m struct {
			Type       string
			Answer     webrtc.SessionDescription
			Candidate  *webrtc.ICECandidateInit
			Candidates []*webrtc.ICECandidateInit
		}
		if s.ws.ReadJSON(&m) != nil {
			return
		}
		if m.Type == "answer" {
			close(s.answered)
		}
		if s.silent {
			continue
		}
		if m.Type == "answer" && s.pc.SetRemoteDescription(m.Answer) == nil {
			described = true
		}
		for _, c := range append(m.Candidates, m.Candidate) {
			if c != nil {
				early = append(early, *c)
			}
		}
		if described {
			for _, c := range early {
				s.pc.AddICECandidate(c)
			}
			early = nil
		}
	}
}
