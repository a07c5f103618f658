// Command sigctl is a self-hosted, secure WebRTC stack: signaling server, TURN
// relay, headless peer and page in one binary.
//
//	sigctl demo                          see it work
//	sigctl serve --demo                  a server to try things on
//	sigctl chat --user user1             wait for a call
//	sigctl chat --user user2 --call user1
//
// Each command has a file of its own: an options struct, its flags, and a run
// function that tests call. app.go puts the server together.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
