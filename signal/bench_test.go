package signal

import (
	"io"
	"testing"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// BenchmarkForward carries a candidate from one member to another: from the decoded message
// until the receiver's socket has taken it.
func BenchmarkForward(b *testing.B) {
	ts := newTestServer(b, nil)
	ts.join("user1")
	reader := ts.join("user2")
	go io.Copy(io.Discard, reader.ws.NetConn()) // ends with the server
	from := ts.hub.find("user1")
	m := protocol.Leave{Name: "user2", Call: protocol.NewCallID(), Reason: protocol.ReasonHangup}
	b.ReportAllocs()
	for b.Loop() {
		if err := from.room.forward(from, m); err != nil {
			b.Fatal(err)
		}
	}
}
