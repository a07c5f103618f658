// Package e2e tests the sigctl binary as its users meet it: built once, with the
// race detector, started as processes, and watched through what they print, what
// they answer on the network and how they end. It has no code of its own.
//
// The tests need root and installed programs (see the Makefile), hence the build
// tag integration:
//
//	go test -tags integration ./cmd/sigctl/e2e
//
// A test reads as what someone does at a few terminals:
//
//	s := startServe(t, "--demo")
//	user1 := s.chat("user1")
//	user2 := s.chat("user2", "--call", "user1")
//	user2.says("hello")
//	user1.wantLine("user2: hello")
//
// No test waits for a fixed time: each waits for a line, an answer or an end, at
// most patience long.
package e2e
