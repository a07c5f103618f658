package signal

import (
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// BenchmarkForward carries a short message from one member to another: from the decoded message
// until its receiver has read it.
func BenchmarkForward(b *testing.B) {
	const ahead = 64 // messages that the receiver may be behind
	ts := newTestServer(b, nil)
	ts.join("user1")
	receiver := ts.join("user2")
	read := make(chan struct{}, ahead)
	go func() { // ends with the server
		for {
			if _, _, err := receiver.ws.NextReader(); err != nil {
				close(read)
				return
			}
			read <- struct{}{}
		}
	}()
	from := ts.hub.find("user1")
	m := protocol.Leave{Name: "user2", Call: protocol.NewCallID(), Reason: protocol.ReasonHangup}
	b.ReportAllocs()
	sent := 0
	for b.Loop() {
		if sent++; sent > ahead {
			<-read
		}
		if err := from.room.forward(from, m); err != nil {
			b.Fatal(err)
		}
	}
}
