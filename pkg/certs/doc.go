// Package certs provides the TLS certificates of servers, the pools with which clients trust them, and the check of the
// certificates by which clients sign in.
//
// A server has its certificate either from files that somebody else maintains (Load) or from a development CA of
// its own (Development). In both cases files that are replaced on disk are picked up without a restart:
//
//	certificate, err := certs.Development(dataDir, []string{"sigctl.example.com"}, logger)
//	server := &http.Server{TLSConfig: certificate.TLS("http/1.1")}
//
// A server that asks its clients for certificates (OpenClients) learns from each connection whose it is:
//
//	clients, err := certs.OpenClients(&certs.ClientOptions{CA: "clients.pem", CRL: "crl.pem"})
//	server.TLSConfig = clients.Server(server.TLSConfig)
//	client, ok, err := clients.Identify(request.TLS)
//
// A data directory holds
//
//	ca/root.pem              what clients trust
//	ca/root-key.pem          needed only to make another intermediate: may be moved to a safe place
//	ca/intermediate.pem      issues
//	ca/intermediate-key.pem
//	ca/crl.pem               what was revoked; there is none before the first is asked for
//	server.pem               the server's key, its certificate and the intermediate
//
// The CA has no name constraints: the names and addresses of a development machine change, and a constraint could
// not follow without every client trusting a new root. What bounds it instead is that its intermediate is good
// for TLS servers and clients alone, and that its keys never leave the directory (mode 0700).
//
// cmd calls it for serve, chat and cert.
package certs
