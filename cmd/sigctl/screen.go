package main

import (
	"context"
	"os"
	"sync"

	"github.com/charmbracelet/lipgloss"

	"github.com/sigctl/sigctl/peer"
)

// serverLost is the message after which there are no new calls.
type serverLost struct{ err error }

// chatScreen runs the full-screen chat on the terminal in until /quit.
func chatScreen(ctx context.Context, config *peer.Config, opts *chatOptions, in *os.File, std stdio) error {
	t := newTerminal(in, std.out)
	config.OnPresence = func(name string, here bool) { t.post(presence{Peer: name, Here: here}) }
	client, err := peer.Dial(ctx, opts.server, config)
	if err != nil {
		return opts.dialFault(err)
	}
	defer client.Close()

	engine := newEngine(client, func(e chatEvent) { t.post(e) })
	if opts.call != "" {
		engine.Call(opts.call)
	}
	calling, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() {
		engine.Peers(calling)
		engine.run(calling)
	})
	running.Go(func() {
		select {
		case <-client.Done():
			t.post(serverLost{client.Err()})
		case <-calling.Done():
		}
	})
	return t.run(ctx, newScreen(client.User(), client.Room(), opts.server, engine, lipgloss.NewRenderer(std.out)))
}
