package stream

import (
	"cmp"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
)

// Defaults of Limits.
const (
	DefaultMaxMessage   = 4 << 10
	DefaultFrameTimeout = 10 * time.Second
	DefaultLoginTimeout = 10 * time.Second
	DefaultMaxQueue     = 256 << 10
	DefaultWriteTimeout = 10 * time.Second
)

// pendingPerAddress is how many connections without an allocation one address or IPv6 /56 may have. A
// browser opens up to one per network interface, component and URL when a call begins, and has an
// allocation in a few round trips, so an office behind one address begins a dozen calls a second.
const pendingPerAddress = 64

// NewPending returns the bound of the connections without an allocation, at most max of them; 8192 if 0,
// which in TLS is less than 512 MB. known are the addresses that are preferred, and those of clients
// that get an allocation are added; nil: none.
func NewPending(max int, known *limit.Known) *limit.Pending {
	return limit.NewPending(&limit.PendingOptions{Max: max, PerAddress: pendingPerAddress, Known: known})
}

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

	// ConnsPerAddress is how fast connections from one address, or IPv6 /56, may begin, those included
	// that get an allocation. Default limit.ConnRate.
	ConnsPerAddress limit.Rate
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MaxMessage:      cmp.Or(l.MaxMessage, DefaultMaxMessage),
		FrameTimeout:    cmp.Or(l.FrameTimeout, DefaultFrameTimeout),
		LoginTimeout:    cmp.Or(l.LoginTimeout, DefaultLoginTimeout),
		MaxQueue:        cmp.Or(l.MaxQueue, DefaultMaxQueue),
		WriteTimeout:    cmp.Or(l.WriteTimeout, DefaultWriteTimeout),
		ConnsPerAddress: cmp.Or(l.ConnsPerAddress, limit.ConnRate()),
	}
}
