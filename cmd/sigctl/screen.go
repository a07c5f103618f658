package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"github.com/sigctl/sigctl/peer"
)

// serverLost is the message after which there are no new calls.
type serverLost struct{ err error }

// chatScreen runs the full-screen chat until /quit.
func chatScreen(ctx context.Context, config *peer.Config, opts *chatOptions, std stdio) error {
	var program *tea.Program // set before Peers makes OnPresence be called
	config.OnPresence = func(name string, here bool) { program.Send(presence{Peer: name, Here: here}) }
	client, err := peer.Dial(ctx, opts.server, config)
	if err != nil {
		return opts.dialFault(err)
	}
	defer client.Close()

	ctx, stop := context.WithCancel(ctx)
	engine := newEngine(client, func(e chatEvent) { program.Send(e) })
	model := newScreen(opts.user, opts.server, engine, lipgloss.NewRenderer(std.out))
	program = tea.NewProgram(model, tea.WithContext(ctx), tea.WithAltScreen(), tea.WithoutSignalHandler(),
		tea.WithInput(std.in), tea.WithOutput(std.out))
	if opts.call != "" {
		engine.Call(opts.call)
	}
	var running sync.WaitGroup
	running.Go(func() {
		engine.Peers(ctx)
		engine.run(ctx)
	})
	running.Go(func() {
		select {
		case <-client.Done():
			program.Send(serverLost{client.Err()})
		case <-ctx.Done():
		}
	})
	final, err := program.Run()
	interrupted := ctx.Err()
	stop()
	running.Wait()
	switch {
	case interrupted != nil:
		return interrupted
	case err != nil && !errors.Is(err, tea.ErrProgramKilled):
		return fmt.Errorf("run the screen: %w", err)
	}
	return final.(screen).fault
}
