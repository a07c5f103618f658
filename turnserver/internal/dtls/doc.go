// Package dtls accepts DTLS 1.2 sessions on UDP sockets (RFC 6347), and costs strangers' packets nothing that lasts.
// The relay calls it for TURN over DTLS (RFC 7350).
//
//	client                         Listener
//	ClientHello ────────────────▶  well formed?              else dropped, without an answer
//	◀──── HelloVerifyRequest       cookie = HMAC(source, hello, time): nothing is kept
//	ClientHello, cookie ────────▶  cookie good? room?        else dropped, without an answer
//	                               session: pion/dtls does the handshake, within HandshakeTimeout
//	◀───────────────────────────▶  Handle(net.Conn)
//
// pion/dtls by itself keeps a connection, with three goroutines and a key pair, for every first packet from anywhere.
// Here the answer to a first hello is computed from the hello alone (RFC 6347, section 4.2.1), and is shorter than it: a
// flood from forged addresses takes no memory, and is not made bigger. There is no bound on these answers: each costs
// less than the packet that asks for it did, and any bound would be one that a flood reaches before a client does. Only
// who returned the cookie, and so receives at the address that the packets come from, is given state; how many do at a
// time and per second, in all and per network, is bounded by Config.
//
// A packet is known by where it came from and where to. Of those that belong to a session only records of its epoch are
// let through, so that nobody who can forge the address ends it with an alert in clear. A client that lost its session and
// starts again from the same port gets a second one beside the first, which is unharmed until the second is established
// and takes its place (RFC 6347, section 4.2.8).
//
// A listener is used like this:
//
//	listener, err := dtls.New(&dtls.Config{Certificate: reloaded.Certificate, Handle: serve})
//	if err != nil { … }
//	go listener.Serve(socket) // until the socket is closed
//	…
//	listener.Close() // says goodbye to all clients, and waits; then the sockets are closed
package dtls
