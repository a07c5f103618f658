package turnserver

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sigctl/sigctl/pkg/turncred"
)

// Defaults of Config.
const (
	DefaultMinPort        = 49152 // RFC 8656 section 7.2
	DefaultMaxPort        = 65535
	DefaultMaxAllocations = 10_000
	DefaultUserQuota      = 40 // one call may take twelve
	DefaultMaxLifetime    = 24 * time.Hour
)

const (
	maxRealm    = 127 // characters, RFC 8489 section 14.9
	maxUsername = turncred.MaxUsername
)

// Config says what a relay does. Zero values mean the defaults.
type Config struct {
	// Listen is where clients are served over UDP, "host:port". An empty host or 0.0.0.0 is every IPv4 address of
	// this machine as it is now, each with a socket of its own. Port 0 picks one, the same for all addresses of a
	// host. Needed.
	Listen []string

	// Realm is told to clients, and is part of their keys. Needed.
	Realm string

	// Secrets are for time-limited credentials. Users are names with fixed passwords, meant for tests. One of the
	// two is needed. Of a name that is in both, Users counts.
	Secrets *turncred.Secrets
	Users   map[string]string

	// ExternalIP is "[PUBLIC/]LOCAL": relayed addresses are at LOCAL, an IPv4 address of this machine, and clients
	// are told PUBLIC, which a NAT maps to it port by port. Default: the address at which the client reached us.
	ExternalIP string

	// MinPort and MaxPort are the range of relayed ports, both included. Default 49152 to 65535.
	MinPort, MaxPort uint16

	// Allow and Deny change which peers may be reached; Deny wins. By default all public addresses may be, and
	// none that is loopback, private, link-local or otherwise special, or this machine's as it is now. Allow opens
	// neither multicast and broadcast addresses nor this relay's own ports. A peer that has an allocation of this
	// server may always be reached there, whatever the lists say of its address.
	//
	// Danger: whoever can sign in can send UDP to every service in an allowed range.
	Allow, Deny []netip.Prefix

	// MaxAllocations bounds all allocations, default 10 000; UserQuota those of one user, default 40. A user is
	// the part of a name after expiry and key id.
	MaxAllocations, UserQuota int

	// MaxLifetime ends an allocation that is refreshed again and again. Default 24 h.
	MaxLifetime time.Duration

	// Allocated is told of every allocation before the client is, on the goroutine that serves it: for an audit log.
	// Nil: nobody is.
	Allocated func(user string, client, relay netip.AddrPort)

	// Logger gets a line per allocation. Default: none is logged.
	Logger *slog.Logger
}

// settings is a Config that was checked, with the defaults filled in.
type settings struct {
	Config
	external external
}

// external is where relays are and what clients are told. The zero value means: where the client reached us.
type external struct{ public, local netip.Addr }

// check copies the configuration and returns all its faults at once.
func (cfg *Config) check() (*settings, error) {
	s := &settings{Config: *cfg}
	s.fillIn()
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(s.Listen) == 0 {
		fault("listen: no address given")
	}
	if s.Realm == "" || len([]rune(s.Realm)) > maxRealm {
		fault("realm %q: needs 1 to %d characters, the domain of the server for example", s.Realm, maxRealm)
	}
	if s.Secrets == nil && len(s.Users) == 0 {
		fault("no credentials: give a secret or users")
	}
	for name, password := range s.Users {
		if name == "" || len(name) > maxUsername || password == "" {
			fault("user %q: needs a name of at most %d bytes and a password", name, maxUsername)
		}
	}
	if s.MinPort > s.MaxPort {
		fault("relay ports: %d is above %d", s.MinPort, s.MaxPort)
	}
	if s.MaxAllocations < 0 || s.UserQuota < 0 || s.MaxLifetime < 0 {
		fault("max allocations, user quota and max lifetime cannot be negative")
	}
	var err error
	if s.external, err = parseExternal(s.ExternalIP); err != nil {
		faults = append(faults, err)
	}
	for _, list := range [][]netip.Prefix{s.Allow, s.Deny} {
		for i, prefix := range list {
			if list[i], err = canonicalPrefix(prefix); err != nil {
				faults = append(faults, err)
			}
		}
	}
	return s, errors.Join(faults...)
}

func (s *settings) fillIn() {
	setDefault(&s.MinPort, DefaultMinPort)
	setDefault(&s.MaxPort, DefaultMaxPort)
	setDefault(&s.MaxAllocations, DefaultMaxAllocations)
	setDefault(&s.UserQuota, DefaultUserQuota)
	setDefault(&s.MaxLifetime, DefaultMaxLifetime)
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.Allocated == nil {
		s.Allocated = func(string, netip.AddrPort, netip.AddrPort) {}
	}
	s.Listen, s.Users = slices.Clone(s.Listen), maps.Clone(s.Users)
	s.Allow, s.Deny = slices.Clone(s.Allow), slices.Clone(s.Deny)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func parseExternal(text string) (external, error) {
	if text == "" {
		return external{}, nil
	}
	public, local, both := strings.Cut(text, "/")
	if !both {
		local = public
	}
	p, perr := netip.ParseAddr(public)
	l, lerr := netip.ParseAddr(local)
	if perr != nil || lerr != nil || !p.Is4() || !l.Is4() || l.IsUnspecified() || p.IsUnspecified() {
		return external{}, fmt.Errorf("external IP %q: give an IPv4 address of this machine, or PUBLIC/LOCAL behind a NAT", text)
	}
	return external{public: p, local: l}, nil
}
