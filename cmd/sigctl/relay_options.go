package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/sigctl/sigctl/pkg/follow"
	"github.com/sigctl/sigctl/pkg/hostaddr"
	"github.com/sigctl/sigctl/pkg/listen"
	"github.com/sigctl/sigctl/turnserver"
)

// relayOptions are those of a relay, that of serve and that of turn.
type relayOptions struct {
	prefix string // of the flags' names

	listen, tlsListen, dtlsListen []string
	proxyProtocol                 bool
	externalIPs                   []string
	minPort, maxPort              uint16
	secret                        string
	allow, deny                   []string
	peers                         string
	maxAllocations, userQuota     int
	userBandwidth, bandwidth      string
	maxLifetime, nonceLifetime    time.Duration
	oldChannels                   bool
}

// tlsPort is the default port of TURN over TLS and DTLS (RFC 8656 section 3.1).
const tlsPort = "5349"

// What --tls-listen and --dtls-listen say beside addresses.
const (
	listenAuto = "auto"
	listenOff  = "off"
)

// flags adds all flags to f, their names behind prefix.
func (o *relayOptions) flags(f *pflag.FlagSet, prefix string) {
	topic(f, "Most used", func(f *pflag.FlagSet) { o.listenFlags(f, prefix) })
	o.boundFlags(f)
}

// listenFlags adds the flags that say where the relay is.
func (o *relayOptions) listenFlags(f *pflag.FlagSet, prefix string) {
	o.prefix = prefix
	f.StringSliceVar(&o.listen, prefix+"listen", []string{":3478"}, "`address` for UDP and TCP (repeatable)")
	f.StringSliceVar(&o.tlsListen, prefix+"tls-listen", []string{listenAuto}, "`address` for TLS (repeatable); auto: with a certificate, port 5349 of each --"+prefix+"listen, or any port where that is 0; or off")
	f.StringSliceVar(&o.dtlsListen, prefix+"dtls-listen", []string{listenAuto}, "`address` for DTLS (repeatable); auto and off as for TLS")
	f.StringSliceVar(&o.externalIPs, prefix+"external-ip", nil, "the relay's `address` behind NAT, [PUBLIC/]LOCAL, one for each of IPv4 and IPv6")
	f.Uint16Var(&o.minPort, prefix+"min-port", turnserver.DefaultMinPort, "lowest `port` of relayed addresses")
	f.Uint16Var(&o.maxPort, prefix+"max-port", turnserver.DefaultMaxPort, "highest `port` of relayed addresses")
	f.StringVar(&o.secret, prefix+"secret", "", "`SRC` of the secret for relay credentials, which signaling and relays share: file:PATH or env:NAME (default: a generated one in --data)")
	markSecret(f, prefix+"secret", secretSource)
}

// boundFlags adds the flags that say what clients can do. It comes after listenFlags.
func (o *relayOptions) boundFlags(f *pflag.FlagSet) {
	topic(f, "Relay: peers", o.peerFlags)
	topic(f, "Relay: quotas and limits", o.limitFlags)
	topic(f, "Relay: compatibility", o.compatibilityFlags)
}

func (o *relayOptions) peerFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&o.allow, o.prefix+"allow-peer", nil, "`CIDR` that clients may reach besides public addresses, e.g. 10.0.0.0/8 (repeatable)")
	f.StringSliceVar(&o.deny, o.prefix+"deny-peer", nil, "`CIDR` that clients may not reach, even if it is allowed (repeatable)")
	f.StringVar(&o.peers, o.prefix+"peers", "", "YAML `file` with more of both, allow: [CIDR] and deny: [CIDR], followed while the relay runs")
}

func (o *relayOptions) limitFlags(f *pflag.FlagSet) {
	f.IntVar(&o.maxAllocations, o.prefix+"max-allocations", turnserver.DefaultMaxAllocations, "most allocations at once, a `number`")
	f.IntVar(&o.userQuota, o.prefix+"user-quota", turnserver.DefaultUserQuota, "most allocations of one user at once, a `number`")
	f.StringVar(&o.userBandwidth, o.prefix+"user-bandwidth", "32MiB", "most `bytes` per second relayed for one user, both ways together, e.g. 4MB, or off")
	f.StringVar(&o.bandwidth, o.prefix+"bandwidth", "off", "most `bytes` per second relayed in all, e.g. 100MB, or off")
	f.DurationVar(&o.maxLifetime, o.prefix+"max-lifetime", turnserver.DefaultMaxLifetime, "how long an allocation can live, however often it is refreshed")
	f.DurationVar(&o.nonceLifetime, o.prefix+"nonce-lifetime", turnserver.DefaultNonceLifetime, "how long a client can use a nonce")
}

func (o *relayOptions) compatibilityFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.proxyProtocol, o.prefix+"proxy-protocol", false, "expect a PROXY header, v1 or v2, on TCP and TLS connections from --trusted-proxy")
	f.BoolVar(&o.oldChannels, o.prefix+"old-channels", false, "also accept channel numbers 0x5000 to 0x7FFF, of RFC 5766 but not RFC 8656, which coturn's turnutils_uclient uses")
}

// check returns all faults of the values, without opening a socket. Where there is no
// certificate, needsTLS is the hint for who wants TLS all the same.
func (o *relayOptions) check(needsTLS string, trustedProxies []string) error {
	var faults []error
	add := func(wrong bool, flag, problem string, hints ...string) {
		if wrong {
			faults = append(faults, badFlag(o.prefix+flag, problem, hints...))
		}
	}
	listens := func(flag string, list []string) {
		for _, address := range list {
			add(!isListenAddress(address), flag, fmt.Sprintf("%q is not an address", address), "for example :3478 or 192.0.2.1:3478")
		}
	}
	listens("listen", o.listen)
	listens("tls-listen", addresses(o.tlsListen))
	listens("dtls-listen", addresses(o.dtlsListen))
	add(len(o.listen) == 0, "listen", "needs an address", "for example :3478 or 192.0.2.1:3478")
	add(needsTLS != "" && len(addresses(o.tlsListen)) > 0, "tls-listen", "needs a certificate", needsTLS)
	add(needsTLS != "" && len(addresses(o.dtlsListen)) > 0, "dtls-listen", "needs a certificate", needsTLS)
	add(o.proxyProtocol && len(trustedProxies) == 0, "proxy-protocol", "needs --trusted-proxy",
		"for example --trusted-proxy 127.0.0.1/32: from everyone else a PROXY header does not count")
	add(o.minPort == 0 || o.minPort > o.maxPort, "min-port", fmt.Sprintf("%d to %d is no range of ports", o.minPort, o.maxPort))
	add(o.maxAllocations < 1, "max-allocations", "must be at least 1")
	add(o.userQuota < 1, "user-quota", "must be at least 1")
	add(o.maxLifetime <= 0, "max-lifetime", fmt.Sprintf("%v is no time", o.maxLifetime), "for example 24h")
	add(o.nonceLifetime <= 0, "nonce-lifetime", fmt.Sprintf("%v is no time", o.nonceLifetime), "for example 30m")
	bandwidth := func(flag, text string) {
		_, err := parseBandwidth(text)
		add(err != nil, flag, fmt.Sprint(err), "for example 500kB, 10MB, 32MiB or off")
	}
	bandwidth("user-bandwidth", o.userBandwidth)
	bandwidth("bandwidth", o.bandwidth)
	return errors.Join(append(faults, o.checkSecret(), o.checkPeers(), o.checkExternalIPs())...)
}

func (o *relayOptions) checkSecret() error {
	if o.secret == "" {
		return nil
	}
	_, err := turnSecrets(o.prefix+"secret", o.secret, "")
	return err
}

func (o *relayOptions) checkPeers() error {
	_, allowErr := parsePrefixes(o.prefix+"allow-peer", o.allow)
	_, denyErr := parsePrefixes(o.prefix+"deny-peer", o.deny)
	_, fileErr := o.openPeers()
	return errors.Join(allowErr, denyErr, fileErr)
}

// openPeers returns nil if there is no file.
func (o *relayOptions) openPeers() (*follow.File[peerLists], error) {
	if o.peers == "" {
		return nil, nil
	}
	file, err := follow.Open(o.peers, peersFile)
	if err != nil {
		return nil, usage(err, "--"+o.prefix+"peers names the file; it has lists, as in allow: [10.1.0.0/16] on a line, and deny: [10.1.9.0/24] on another")
	}
	return file, nil
}

// checkExternalIPs says what is wrong with each [PUBLIC/]LOCAL.
func (o *relayOptions) checkExternalIPs() error {
	var faults []error
	bad := func(problem string) {
		faults = append(faults, badFlag(o.prefix+"external-ip", problem,
			"two addresses of one family, for example 203.0.113.7/10.0.0.5, and no other of that family"))
	}
	seen := map[bool]bool{}
	for _, value := range o.externalIPs {
		public, local, both := strings.Cut(value, "/")
		if !both {
			local = public
		}
		p, perr := netip.ParseAddr(public)
		l, lerr := netip.ParseAddr(local)
		switch {
		case perr != nil || lerr != nil || p.IsUnspecified() || l.IsUnspecified() || p.Is4() != l.Is4():
			bad(fmt.Sprintf("%q is not [PUBLIC/]LOCAL", value))
		case seen[l.Is4()]:
			bad(fmt.Sprintf("%q is the second of its family", value))
		default:
			seen[l.Is4()] = true
		}
	}
	return errors.Join(faults...)
}

// configure sets what the flags say. Those of the certificate, the credentials and
// what the program itself knows is in cfg already.
func (o *relayOptions) configure(cfg *turnserver.Config, trustedProxies []netip.Prefix) error {
	cfg.Listen = o.listen
	cfg.TLSListen, cfg.DTLSListen = o.secureListen(o.tlsListen, cfg.TLS != nil), o.secureListen(o.dtlsListen, cfg.TLS != nil)
	cfg.ExternalIPs = o.externalIPs
	cfg.MinPort, cfg.MaxPort = o.minPort, o.maxPort
	cfg.MaxAllocations, cfg.UserQuota = cmp.Or(cfg.MaxAllocations, o.maxAllocations), o.userQuota
	cfg.MaxLifetime, cfg.NonceLifetime, cfg.OldChannels = o.maxLifetime, o.nonceLifetime, o.oldChannels
	allow, allowErr := parsePrefixes(o.prefix+"allow-peer", o.allow)
	deny, denyErr := parsePrefixes(o.prefix+"deny-peer", o.deny)
	cfg.Allow, cfg.Deny = append(cfg.Allow, allow...), append(cfg.Deny, deny...)
	var userErr, allErr, proxyErr error
	cfg.UserBandwidth, userErr = parseBandwidth(o.userBandwidth)
	cfg.Bandwidth, allErr = parseBandwidth(o.bandwidth)
	if o.proxyProtocol {
		cfg.Proxies, proxyErr = listen.NewProxies(&listen.ProxyOptions{Trusted: trustedProxies, PROXY: true})
	}
	return errors.Join(allowErr, denyErr, userErr, allErr, proxyErr)
}

// secureListen returns where --tls-listen or --dtls-listen wants listeners.
func (o *relayOptions) secureListen(values []string, certificate bool) []string {
	if !slices.Equal(values, []string{listenAuto}) {
		return addresses(values)
	}
	if !certificate {
		return nil
	}
	var list []string
	for _, at := range o.listen {
		host, port, _ := net.SplitHostPort(at) // checked
		if n, _ := net.LookupPort("tcp", port); n != 0 {
			port = tlsPort
		}
		if at := net.JoinHostPort(host, port); !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	return list
}

// addresses returns those of --tls-listen or --dtls-listen that are neither auto nor off.
func addresses(values []string) []string {
	if len(values) == 1 && (values[0] == listenAuto || values[0] == listenOff) {
		return nil
	}
	return values
}

// publicHost returns the host for the relay's URLs if nobody has named one.
func (o *relayOptions) publicHost(addresses *hostaddr.Watcher) string {
	for _, external := range o.externalIPs {
		public, _, _ := strings.Cut(external, "/")
		return public
	}
	at, err := netip.ParseAddrPort(o.listen[0])
	if err != nil || at.Addr().IsUnspecified() {
		return hostAddress(addresses.Current()).String()
	}
	return at.Addr().String()
}

func (o *relayOptions) warn(log *slog.Logger) {
	if len(o.allow) > 0 {
		log.Warn("--"+o.prefix+"allow-peer: whoever has a credential can send UDP to every service in these ranges", "ranges", o.allow)
	}
}
