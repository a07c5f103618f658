// Package turnserver is the TURN relay (RFC 8656), with STUN (RFC 8489) on the same ports. sigctl embeds it in
// serve, and runs it alone as turn.
//
//	UDP sockets, per address and core ─┬─ requests ─┐
//	TCP, TLS ── internal/stream ───────┼───────── guard ── control (pion/turn v4: allocations,
//	DTLS ────── internal/dtls ─────────┤               │ events      with their permissions and channels)
//	                                   │            flows, per allocation
//	                                   └─ data ───── up ──── relay sockets ──── peers
//	                                      clients ── down ──┘
//
// Every decision is ours, and so is every packet; the library in between keeps state, and the time of all but allocations.
//
//   - guard answers all requests of clients: it checks them, refuses them with every error there is, and has control do
//     what those that pass ask for. auth finds the key with which a request must be signed: of a time-limited credential, a
//     static user, or the allocation that the request is about. strangers bounds what is answered to those who have
//     proven nothing.
//   - requests hands the requests of UDP clients from the goroutines that carry data to the one that has them answered.
//     Each user has a share of that queue. What an allocation's owner asks for has a rate, over every transport.
//   - control is the library as a state machine. It gets requests of ours; it never sees a packet of data, nor one of a
//     stranger. One file, control.go, knows the library.
//   - flows are what an allocation lets through: copied when control changes them, so that packets take no lock.
//   - up and down relay, in batches: a client's ChannelData and Send indications to peers, and what peers send to clients.
//     A relay to another relay of this server is a delivery in memory; the kernel never sees it.
//   - policy says which peers may be reached. It is asked when a permission is wanted, and again for every packet
//     in both directions.
//
// A relay is started and stopped like this:
//
//	server, err := turnserver.Listen(&turnserver.Config{Listen: []string{":3478"}, Realm: "example.com", Secrets: secrets})
//	if err != nil { … }
//	err = server.Serve(ctx) // until ctx ends
package turnserver
