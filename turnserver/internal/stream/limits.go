package stream

import (
	"cmp"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
)

// Defaults of Limits.
const (
	DefaultMaxMessage         = 4 << 10
	DefaultFrameTimeout       = 10 * time.Second
	DefaultLoginTimeout       = 10 * time.Second
	DefaultMaxQueue           = 256 << 10
	DefaultWriteTimeout       = 10 * time.Second
	DefaultMaxConns           = 16384
	DefaultMaxConnsPerAddress = 64
)

// Limits bound what clients can make this side hold. Fields that are zero mean the defaults.
type Limits struct {
	// MaxMessage is how many bytes a message of a client without an allocation has at most, with its header: room
	// for a signed request, not for data. A client with an allocation may use the formats' whole length. Default
	// 4096.
	MaxMessage int

	// FrameTimeout is how long a message may take from its first byte to its last. Default 10 s.
	FrameTimeout time.Duration

	// LoginTimeout is how long a connection may be without an allocation: from when it was accepted, so that PROXY
	// header (which has 3 s of it) and TLS handshake count, and again from when the allocation has ended. Default
	// 10 s.
	LoginTimeout time.Duration

	// MaxQueue is how many bytes may wait to be written to a client; messages beyond are dropped. Default 256 KiB,
	// which is half a second of 4 Mbit/s: what is older is of no use to a call. Without an allocation, 16 KiB at most.
	MaxQueue int

	// WriteTimeout is how long a client may need to take 16 KiB, or less if less waits. Default 10 s.
	WriteTimeout time.Duration

	// MaxConns is how many connections there are at most. Default 16384: even if strangers hold all of them, in TLS,
	// that is less than 1 GB, and half of what machines commonly allow in descriptors when each has a relay socket.
	MaxConns int

	// MaxConnsPerAddress is how many connections without an allocation there are at most per address, or IPv6 /56.
	// Default 64: a browser opens up to one per network interface, component and URL when a call begins and has an
	// allocation in a few round trips, so an office behind one address begins a dozen calls a second.
	MaxConnsPerAddress int

	// ConnsPerAddress is how many connections may begin per address, or IPv6 /56, since a TLS handshake costs a core up to
	// 1.7 ms, with RSA 2048. Default 50 a second, in bursts of 1000: when the server was restarted, all clients of an office
	// come back at once. Those that get an allocation count as well.
	ConnsPerAddress limit.Rate
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MaxMessage:         cmp.Or(l.MaxMessage, DefaultMaxMessage),
		FrameTimeout:       cmp.Or(l.FrameTimeout, DefaultFrameTimeout),
		LoginTimeout:       cmp.Or(l.LoginTimeout, DefaultLoginTimeout),
		MaxQueue:           cmp.Or(l.MaxQueue, DefaultMaxQueue),
		WriteTimeout:       cmp.Or(l.WriteTimeout, DefaultWriteTimeout),
		MaxConns:           cmp.Or(l.MaxConns, DefaultMaxConns),
		MaxConnsPerAddress: cmp.Or(l.MaxConnsPerAddress, DefaultMaxConnsPerAddress),
		ConnsPerAddress:    cmp.Or(l.ConnsPerAddress, limit.Rate{PerSecond: 50, Burst: 1000}),
	}
}
