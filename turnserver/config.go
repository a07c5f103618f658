package turnserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/sigctl/sigctl/pkg/limit"
	"github.com/sigctl/sigctl/pkg/listen"
	"github.com/sigctl/sigctl/pkg/turncred"
	"github.com/sigctl/sigctl/turnserver/internal/stream"
)

// Defaults of Config.
const (
	DefaultMinPort        = 49152 // RFC 8656 section 7.2
	DefaultMaxPort        = 65535
	DefaultMaxAllocations = 10_000
	DefaultMaxPending     = 8192
	DefaultUserQuota      = 40       // one call may take twelve
	DefaultRequestRate    = 100      // a call with 100 remote candidates takes 200 at once
	DefaultUserBandwidth  = 32 << 20 // bytes per second
	DefaultMaxLifetime    = 24 * time.Hour
	DefaultNonceLifetime  = 30 * time.Minute
)

const (
	maxRealm    = 127 // characters, RFC 8489 section 14.9
	maxUsername = turncred.MaxUsername
)

// Config says what a relay does. Zero values mean the defaults.
type Config struct {
	// Listen is where clients are served over UDP and TCP, "host:port" each. An empty host is every address of this
	// machine, also one that comes later; 0.0.0.0 is every IPv4 and [::] every IPv6 one. Each has a UDP socket of its
	// own. Port 0 picks one, the same for all addresses of a host and both transports. Needed.
	Listen []string

	// TLSListen and DTLSListen are where clients are served over TLS (TCP) and DTLS (UDP), in the same form. Default
	// none. They need TLS.
	TLSListen, DTLSListen []string

	// TLS has the certificate for both: Certificates, or GetCertificate, which is asked at every handshake, so that
	// a new certificate needs no restart. Its NextProtos are not used: clients may offer stun.turn (RFC 7443).
	TLS *tls.Config

	// Proxies says which peers of TCP and TLS connections speak the PROXY protocol. Default none.
	Proxies *listen.Proxies

	// Addresses are this machine's, as they change. Nil: the server follows them itself.
	Addresses Addresses

	// Realm is told to clients, and is part of their keys. Needed.
	Realm string

	// Secrets are for time-limited credentials. Users are names with fixed passwords, meant for tests. One of the
	// two is needed. Of a name that is in both, Users counts.
	Secrets *turncred.Secrets
	Users   map[string]string

	// ExternalIPs are "[PUBLIC/]LOCAL", at most one for each address family: relayed addresses are at LOCAL, an
	// address of this machine, and clients are told PUBLIC, which a NAT maps to it port by port. Default: the address
	// at which the client reached us, unless a proxy of this machine did that for it; then, and for the other family,
	// another one at which we listen.
	ExternalIPs []string

	// MinPort and MaxPort are the range of relayed ports, both included. Default 49152 to 65535.
	MinPort, MaxPort uint16

	// Allow and Deny change which peers may be reached; Deny wins. See Server.SetPeers. By default all public addresses
	// may be, and none that is loopback, private, link-local or otherwise special, or this machine's own.
	// Allow opens neither multicast and broadcast addresses, nor this relay's own ports, nor Reserved. A peer that has an
	// allocation of this server may always be reached there, whatever the lists say of its address.
	//
	// Danger: whoever can sign in can send UDP to every service in an allowed range.
	Allow, Deny []netip.Prefix

	// Reserved are listeners of this program that no peer can be, whatever Allow says: those of its administration.
	// An unspecified address stands for all of this machine's.
	Reserved []netip.AddrPort

	// MaxAllocations bounds all allocations, default 10 000; UserQuota those of one user, default 40. A user is
	// the part of a name after expiry and key id. A reserved port counts as an allocation.
	MaxAllocations, UserQuota int

	// MaxPending bounds the connections over TCP, TLS and DTLS that have no allocation, of all listeners together, default
	// 8192. Beyond, older ones are closed so that newer ones have a chance; see limit.Pending. Known are the addresses that
	// are preferred then; those of clients that get an allocation over such a connection are added. Default: those alone.
	MaxPending int
	Known      *limit.Known

	// UserBandwidth and Bandwidth bound what is relayed for one user and in all, both directions together, in bytes of
	// payload per second; what is beyond is dropped and counted. A burst of a quarter of a second is let through.
	// Default 32 MiB/s for a user, and no bound for all; negative: no bound.
	UserBandwidth, Bandwidth int64

	// RequestRate bounds the signed requests about an allocation (Refresh, CreatePermission, ChannelBind), per second;
	// five seconds' worth may come at once, and one longer than 256 bytes counts as several. For all allocations of a
	// user together, and for opening them, the rate is that of a tenth of UserQuota. What is beyond is dropped over UDP,
	// where clients send again, and waits over a connection; Allocate is refused (486). Default 100; negative: no bound.
	RequestRate int

	// MaxLifetime ends an allocation that is refreshed again and again. Default 24 h.
	MaxLifetime time.Duration

	// NonceLifetime is how long a nonce is good (RFC 8489 section 9.2), at its client's address alone. Default 30 min.
	NonceLifetime time.Duration

	// OldChannels also takes channel numbers from 0x5000 to 0x7FFF, which RFC 5766 has and RFC 8656 has not. Clients
	// commonly count from 0x4000; coturn's turnutils_uclient draws them from the whole range.
	OldChannels bool

	// Shards is how many sockets share each UDP address, each with a goroutine that reads it (SO_REUSEPORT, Linux).
	// Default one per processor that Go uses.
	Shards int

	// Allocated is told of every allocation before the client is, on the goroutine that serves it: for an audit log.
	// Nil: nobody is.
	Allocated func(user string, client, relay netip.AddrPort)

	// Logger gets a line per allocation. Default: none is logged.
	Logger *slog.Logger
}

// settings is a Config that was checked, with the defaults filled in.
type settings struct {
	Config
	external [families]external
	pending  *limit.Pending
}

// external is where relays are and what clients are told. The zero value means: where the client reached us.
type external struct{ public, local netip.Addr }

// check copies the configuration and returns all its faults at once.
func (cfg *Config) check() (*settings, error) {
	s := &settings{Config: *cfg}
	s.fillIn()
	return s, errors.Join(s.checkListeners(), s.checkCredentials(), s.checkBounds(), s.checkExternal())
}

func (s *settings) checkListeners() error {
	switch secure := len(s.TLSListen) + len(s.DTLSListen); {
	case len(s.Listen) == 0:
		return errors.New("listen: no address given")
	case secure > 0 && (s.TLS == nil || s.TLS.GetCertificate == nil && len(s.TLS.Certificates) == 0):
		return errors.New("TLS and DTLS need a certificate")
	}
	return nil
}

func (s *settings) checkCredentials() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
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
	return errors.Join(faults...)
}

func (s *settings) checkBounds() error {
	var faults []error
	if s.MinPort > s.MaxPort {
		faults = append(faults, fmt.Errorf("relay ports: %d is above %d", s.MinPort, s.MaxPort))
	}
	if s.MaxAllocations < 0 || s.MaxPending < 0 || s.UserQuota < 0 || s.MaxLifetime < 0 || s.NonceLifetime < 0 || s.Shards < 0 {
		faults = append(faults, errors.New("max allocations, max pending, user quota, lifetimes and shards cannot be negative"))
	}
	var err error
	if s.Allow, err = canonicalPrefixes(s.Allow); err != nil {
		faults = append(faults, err)
	}
	if s.Deny, err = canonicalPrefixes(s.Deny); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (s *settings) checkExternal() error {
	var faults []error
	for _, text := range s.ExternalIPs {
		e, err := parseExternal(text)
		switch {
		case err != nil:
			faults = append(faults, err)
		case s.external[familyOf(e.local)].local.IsValid():
			faults = append(faults, fmt.Errorf("external IP %q: there is another one of that address family", text))
		default:
			s.external[familyOf(e.local)] = e
		}
	}
	return errors.Join(faults...)
}

func (s *settings) fillIn() {
	setDefault(&s.MinPort, DefaultMinPort)
	setDefault(&s.MaxPort, DefaultMaxPort)
	setDefault(&s.MaxAllocations, DefaultMaxAllocations)
	setDefault(&s.MaxPending, DefaultMaxPending)
	setDefault(&s.UserQuota, DefaultUserQuota)
	setDefault(&s.UserBandwidth, DefaultUserBandwidth)
	setDefault(&s.RequestRate, DefaultRequestRate)
	setDefault(&s.MaxLifetime, DefaultMaxLifetime)
	setDefault(&s.NonceLifetime, DefaultNonceLifetime)
	setDefault(&s.Shards, runtime.GOMAXPROCS(0))
	if runtime.GOOS != "linux" { // elsewhere SO_REUSEPORT does not share out packets
		s.Shards = min(s.Shards, 1)
	}
	if s.Known == nil {
		s.Known = limit.NewKnown()
	}
	s.pending = stream.NewPending(s.MaxPending, s.Known)
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.Allocated == nil {
		s.Allocated = func(string, netip.AddrPort, netip.AddrPort) {}
	}
	s.Users = maps.Clone(s.Users)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func parseExternal(text string) (external, error) {
	public, local, both := strings.Cut(text, "/")
	if !both {
		local = public
	}
	p, perr := netip.ParseAddr(public)
	l, lerr := netip.ParseAddr(local)
	p, l = p.Unmap(), l.Unmap()
	if perr != nil || lerr != nil || p.Is4() != l.Is4() || l.IsUnspecified() || p.IsUnspecified() {
		return external{}, fmt.Errorf("external IP %q: give an address of this machine, or PUBLIC/LOCAL of one family behind a NAT", text)
	}
	return external{public: p, local: l}, nil
}
