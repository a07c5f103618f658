// Package udp reads and writes UDP datagrams in batches, for programs that forward many: the relay, and the tool
// that puts load on one.
//
// A call into the kernel costs more than the rest of the work on a small packet, so on Linux one call reads up to
// 64 datagrams (recvmmsg, with UDP_GRO), one call writes all that leave by a socket (sendmmsg), and packets of one
// size to one destination pass the network stack as one (UDP_SEGMENT). Elsewhere the same calls move one packet at
// a time. Nothing is allocated per packet. A socket that waits costs a goroutine and no buffers on Linux, and 64 KiB
// elsewhere.
//
// A forwarder is a Serve per socket, with a Queue that it flushes when the batch is done:
//
//	q := udp.NewQueue()
//	err := in.Serve(func(batch []udp.Packet) {
//		for _, p := range batch {
//			q.Add(out, next, nil, p.Data)
//		}
//		q.Flush()
//	})
package udp
