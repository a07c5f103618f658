// Package stream carries TURN messages over connections: TCP and TLS (RFC 8656 section 3.1), and DTLS, which keeps
// the boundaries of messages. It knows neither users nor allocations; the relay does:
//
//	accept ── PROXY header ── TLS handshake ── Handle ── ReadMessage … ── close
//	└────────────── LoginTimeout ──────────────────────────┘ Keep(true): no more
//
//	ReadMessage: one message of many that a read may bring        the connection's only goroutine while it is idle
//	Send:        a bounded queue, from any goroutine, never waits  its writer lives while something waits
//
// Everything that a stranger can make it hold or do is bounded: connections in number, in all and per address, in how
// fast they begin from an address, and in time; messages in length before they are read, and in time from their first
// byte on. What is no message ends its connection.
//
// The relay's listeners use it like this:
//
//	acceptor := &stream.Acceptor{TLS: config, Log: log, Handle: func(c *stream.Conn) {
//		for {
//			message, err := c.ReadMessage()
//			if err != nil {
//				return // the connection is closed
//			}
//			… c.Send(nil, response) …
//		}
//	}}
//	err := acceptor.Serve(listener) // until listener is closed
//	acceptor.Close()
package stream
