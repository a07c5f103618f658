// Package listen says who is at the other end of an accepted connection, and what it speaks.
//
// Without a proxy that is the socket's address. Behind one it is what the proxy tells, in one of two ways: a proxy
// that ends TLS adds an HTTP header; one that passes TLS through begins each connection with a PROXY header. Either
// counts only from addresses that were said to be proxies, since everybody can write the same bytes:
//
//	proxies, err := listen.NewProxies(&listen.ProxyOptions{Trusted: []netip.Prefix{loopback}, PROXY: true})
//	peer := listen.HostAddr(nc.RemoteAddr())
//	if proxies.Expects(peer) {
//		client, rest, err := listen.ReadPROXY(nc) // rest comes before what nc has still to be read
//	}
//	client := proxies.Client(peer, request.Header)
//
// Often 443 is the only port that a network lets out. HTTPS and TURN over TLS can share it; what TLS negotiates, or the
// first byte inside it, tells them apart:
//
//	config, err := listen.ShareTLS(config)
//	l := listen.Share(port, &listen.ShareOptions{TLS: config, Relay: relay})
//	err = httpServer.Serve(l) // until httpServer.Close
//	l.Wait()
//
// The signaling server calls it, in the goroutine of each connection: a proxy that is slow to speak keeps nobody
// else waiting.
package listen
