// Package peer is a headless WebRTC peer: it signs in to a signaling server, calls
// and is called, chats and opens byte streams, end to end encrypted, directly or
// through a relay. Programs use it as a library; it needs no browser.
//
//	c, err := peer.Dial(ctx, "wss://example.com:9090", &peer.Config{User: "alice", Password: "…"})
//	if err != nil { … }
//	defer c.Close()
//	call, err := c.Call(ctx, "bob") // the other side: c.Accept(ctx)
//	if err != nil { … }
//	err = call.Send(ctx, "hello")
//	err = call.Flush(ctx)           // bob's program has it
//	text, err := call.Recv(ctx)
//	stream, err := call.Open(ctx, "file.txt")
//
// # How a client signs in
//
//	client                              server
//	  │ ─ POST /api/login {password} ───▶ │
//	  │ ◀───────────────── access token ─ │  good for many room tokens
//	  │ ─ POST /api/rooms/join ─────────▶ │
//	  │ ◀─────────────────── room token ─ │  good for one session
//	  │ ═ WebSocket: login {token} ═════▶ │
//	  │            …                      │
//	  │ ◀═════════════════════ expiring ═ │  a minute before the session's end
//	  │ ─ POST /api/rooms/join ─────────▶ │
//	  │ ═ refresh {token} ══════════════▶ │  so a call outlives its tokens
//
// [Config].Token brings tokens of another making, of an OIDC issuer for example; a
// client certificate in [Config].TLSConfig signs in by itself. A server of the
// plain protocol, which has no HTTP API, gets the password over the WebSocket.
//
// # How a call comes about
//
//	caller                        server                        callee
//	  │ ─ offer ──────────────────▶ │ ─────────────────────────▶ │
//	  │ ◀────────────────────────── │ ◀─────── answer, candidates │
//	  │ ◀─▶ more candidates, as they are found ◀────────────────▶ │
//	  │ ◀══ ICE checks, DTLS, SCTP: not through the server ══════▶ │
//	  │ ── channel control, hello; channel chat ─────────────────▶ │
//	  │ ◀───────────────────────────────────── hello, connected ── │
//	  │ ◀── texts on chat, receipts for them on control ─────────▶ │
//
// A plain page, which knows neither call ids nor our channels, is met half-way:
// chat then goes over the channel that it opens.
//
// # Where things are
//
// [Client]: client.go, its WebSocket in socket.go, requests in request.go; tokens:
// token.go, from the HTTP API in api.go, spent in signin.go and renew.go; which
// call a message belongs to, and calls that cross: routing.go; [Client.Call] and
// [Client.Accept]: dial.go. [Call]: call.go, offers and answers in negotiate.go,
// one PeerConnection in link.go, pion's settings in settings.go and net.go, its
// channels in channels.go, chat.go, receipts.go and stream.go.
package peer
