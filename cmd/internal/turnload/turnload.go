// Package turnload puts load on a TURN server and measures what it does with it: loss, latency, the loss-free rate,
// and the processor time per relayed packet where the server is a process of this machine. It speaks plain TURN
// (RFC 8656), so any server can be measured. `sigctl bench turn` is its command, and `make bench-turn` compares two
// servers with that.
//
//	report, err := turnload.Run(ctx, &turnload.Config{
//		Server:     "turn:127.0.0.1:3478?transport=udp",
//		Credential: func(i int) (string, string) { return "user", "password" },
//	})
//	fmt.Println(report.LostPercent, report.Latency.P99)
//
// Every client is a socket with one allocation. What the clients send arrives at a peer, a plain UDP socket of this
// process, and what the peer sends to a relayed address arrives at its client:
//
//	up      client ──> server ──> peer
//	down    client <── server <── peer
//	relay   client ──> server ──> (another relayed address of the) server ──> client
package turnload

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Direction is where the packets go.
type Direction string

// The directions.
const (
	Up    Direction = "up"    // from the clients to the peer
	Down  Direction = "down"  // from the peer to the clients
	Both  Direction = "both"  // up and down in turn
	Relay Direction = "relay" // from client to client, through two relayed addresses
)

// Defaults and bounds of Config.
const (
	DefaultAllocations = 10
	DefaultSize        = 172 // 20 ms of G.711 in RTP
	DefaultRate        = 10_000
	DefaultDuration    = 5 * time.Second

	MinSize        = stampSize
	MaxSize        = 16 << 10
	MaxBurst       = 64
	MaxAllocations = 20_000
	MaxRate        = 10_000_000
	MaxDuration    = 24 * time.Hour
)

// Config says which load to put on which server. Zero values mean the defaults.
type Config struct {
	// Server is a URL as in RFC 7065: turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]. Needed.
	Server string

	// Credential returns name and password of the client with this index. Needed.
	Credential func(client int) (username, password string)

	// TLS says what a turns: server must prove. Nil: a certificate for its name that the system trusts.
	TLS *tls.Config

	// Allocations is how many clients there are. Default 10.
	Allocations int

	// Direction of the packets. Default Up.
	Direction Direction

	// Indications makes data travel in Send and Data indications, in place of channels.
	Indications bool

	// Size of the payload of a packet in bytes, at least MinSize: it carries a time stamp. Default 172.
	Size int

	// Rate in packets per second, of all clients together. Default 10 000.
	Rate float64

	// Search looks for the highest rate without loss, starting at Rate.
	Search bool

	// Burst is how many packets a client sends at once. The bursts of all clients are spread evenly over time.
	// Default 1.
	Burst int

	// Coalesce is how long UDP packets may wait for others before they are read together, as network cards do. It is
	// part of the latency, and saves time of this machine. Default 0. Linux only.
	Coalesce time.Duration

	// Offload exchanges the packets of a burst with the kernel in one piece where they travel over UDP (UDP_SEGMENT,
	// UDP_GRO), as network cards do that can: less work for this machine, and for a server that does so too. Linux only.
	Offload bool

	// Idle holds the allocations for so long before the load, to see what that costs the server. Default: not.
	Idle time.Duration

	// Warmup is for how long the load runs before it is measured. Default: not.
	Warmup time.Duration

	// Duration is for how long it is measured. Default 5 s; negative: there is no load.
	Duration time.Duration

	// PeerAddress is where the peer listens: an address of this machine that the server may send to. Default
	// 127.0.0.1.
	PeerAddress netip.Addr

	// PID is the server's process, if that is on this machine: then what it uses is measured. Linux only.
	PID int

	// Progress is told what is being done. Nil: nobody is.
	Progress func(string)
}

// check copies the configuration, with the defaults filled in, and returns all its faults at once.
func (cfg *Config) check() (*Config, error) {
	c := *cfg
	setDefault(&c.Allocations, DefaultAllocations)
	setDefault(&c.Direction, Up)
	setDefault(&c.Size, DefaultSize)
	setDefault(&c.Rate, DefaultRate)
	setDefault(&c.Burst, 1)
	setDefault(&c.Duration, DefaultDuration)
	setDefault(&c.PeerAddress, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	var faults []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	_, err := parseServer(c.Server)
	fault(err != nil, "server %q: %w", c.Server, err)
	fault(c.Credential == nil, "no credential")
	fault(c.Allocations < 1 || c.Allocations > MaxAllocations, "%d allocations, 1 to %d are possible", c.Allocations, MaxAllocations)
	fault(c.Direction == Relay && c.Allocations%2 != 0, "%d allocations: client to client needs an even number", c.Allocations)
	fault(c.Direction != Up && c.Direction != Down && c.Direction != Both && c.Direction != Relay, "direction %q is unknown", c.Direction)
	fault(c.Size < MinSize || c.Size > MaxSize, "size of %d bytes, %d to %d are possible", c.Size, MinSize, MaxSize)
	fault(c.Burst < 1 || c.Burst > MaxBurst, "bursts of %d packets, 1 to %d are possible", c.Burst, MaxBurst)
	fault(!(c.Rate > 0 && c.Rate <= MaxRate), "rate of %g packets/s, up to %d are possible", c.Rate, MaxRate)
	fault(c.Duration > MaxDuration, "duration of %s, up to %s are possible", c.Duration, MaxDuration)
	return &c, errors.Join(faults...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
