// Package turnserver is the TURN relay (RFC 8656), with STUN (RFC 8489) on the same ports. sigctl embeds it in
// serve, and runs it alone as turn.
//
//	client ── listener ── control (pion/turn v4: allocations, permissions, channels) ── relay ── peer
//	              │           │ asks: auth, quota, policy                                 │
//	              └ a socket per address                                                  └ a socket per allocation
//
// The sockets on both sides are ours, and so is every decision: the library in between sees what a listener hands
// to it, and sends what a relay lets through. One file, control.go, knows the library.
//
//   - A listener is one socket at one address of the host, so that an answer leaves from the address that was asked.
//   - auth finds the key with which a request must be signed: of a time-limited credential, a static user, or the
//     allocation that the request is about.
//   - policy says which peers may be reached. It is asked when a permission is wanted, and again for every packet
//     in both directions.
//   - A relay to another relay of this server is a delivery in memory; the kernel never sees it.
//
// A relay is started and stopped like this:
//
//	server, err := turnserver.Listen(&turnserver.Config{Listen: []string{":3478"}, Realm: "example.com", Secrets: secrets})
//	if err != nil { … }
//	err = server.Serve(ctx) // until ctx ends
package turnserver
