// Package signal is the signaling server: it authenticates users, and carries
// offers, answers and candidates between them over WebSockets. Package protocol
// says what goes over the wire; the calls themselves never pass here.
//
// A message's journey:
//
//	conn.readLoop → protocol.DecodeClient → conn.handle → room.forward
//	  → the target's conn.carry, if its sender has room left there
//	  → the target's conn.wake → its socket, as far as that takes it at once
//	  → its conn.writeLoop for the rest
//
// A connection costs one goroutine while it is idle: the HTTP handler returns
// after the upgrade, a writer runs only while there is something to write, and
// one ticker serves the pings of all.
//
// It is started with a listener and ends with its context:
//
//	srv, err := signal.New(&signal.Config{Users: authenticator, TLS: tlsConfig})
//	...
//	err = srv.Serve(ctx, listener)
package signal
