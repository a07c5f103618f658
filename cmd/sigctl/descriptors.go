package main

import (
	"context"
	"log/slog"

	"github.com/sigctl/sigctl/turnserver"
)

// budget shares out the descriptors that this process may have: every table of connections, and the
// relay's sockets, have a part of their own, so that whoever fills one takes nothing from the
// others.
type budget struct {
	descriptors int // 0: no bound is known

	pending     int // connections to --listen that have not signed in
	sessions    int // those that have; 0: no bound
	turnPending int // the relay's connections without an allocation
	allocations int // two descriptors each: the relayed port, and the connection, if it is not UDP
}

// The largest parts, which are enough whatever a process may have.
const (
	maxSpare   = 4096
	maxPending = 8192
)

func (o *serveOptions) budget(descriptors int) budget {
	if o.turn == "off" {
		return serveBudget(descriptors, 0)
	}
	return serveBudget(descriptors, o.relay.maxAllocations)
}

// serveBudget is that of serve: an eighth each for files and other connections, for those who have
// not signed in and for the relay's who have no allocation, five sixteenths for allocations, and
// the rest, at least as much, for sessions. maxAllocations is how many allocations are wanted; 0:
// there is no relay.
func serveBudget(descriptors, maxAllocations int) budget {
	b := budget{
		descriptors: descriptors,
		pending:     maxPending, turnPending: maxPending, allocations: maxAllocations,
	}
	if descriptors == 0 {
		return b
	}
	b.pending = min(descriptors/8, maxPending)
	b.allocations = min(maxAllocations, descriptors*5/32)
	if b.turnPending = b.pending; maxAllocations == 0 {
		b.turnPending = 0
	}
	spare := min(descriptors/8, maxSpare)
	b.sessions = descriptors - spare - b.pending - b.turnPending - 2*b.allocations
	return b
}

// turnBudget is that of turn: an eighth each for files and for connections without an allocation,
// and the rest for allocations.
func turnBudget(descriptors, maxAllocations int) budget {
	b := budget{descriptors: descriptors, turnPending: maxPending, allocations: maxAllocations}
	if descriptors == 0 {
		return b
	}
	b.turnPending = min(descriptors/8, maxPending)
	left := descriptors - min(descriptors/8, maxSpare) - b.turnPending
	b.allocations = min(maxAllocations, left/2)
	return b
}

// report says that there are fewer allocations than --max-allocations wants. That is a warning
// where somebody asked for more than the default.
func (b *budget) report(log *slog.Logger, o *relayOptions) {
	if b.allocations >= o.maxAllocations {
		return
	}
	level := slog.LevelWarn
	if o.maxAllocations == turnserver.DefaultMaxAllocations {
		level = slog.LevelInfo
	}
	log.Log(context.Background(), level, "too few descriptors for --"+o.prefix+"max-allocations",
		"descriptors", b.descriptors, "wanted", o.maxAllocations, "allocations", b.allocations,
		"hint", "raise the hard limit, ulimit -Hn or LimitNOFILE= of the service, or ask for fewer")
}
