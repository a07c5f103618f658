package turnserver

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/pion/logging"
	"github.com/pion/turn/v4"
)

// inboundMTU is above the longest UDP payload: the library drops packets that fill its buffer.
const inboundMTU = 1 << 16

// control is the library on one listener: it keeps allocations, permissions and channels, and asks the listener for
// all decisions. It ends when the listener's ReadFrom fails, and closes its relays then. This is the one file that
// knows the library.
func startControl(l *listener) error {
	_, err := turn.NewServer(turn.ServerConfig{
		Realm:         l.server.Realm,
		InboundMTU:    inboundMTU,
		LoggerFactory: libraryLog{l.server.Logger},
		AuthHandler: func(username, _ string, _ net.Addr) ([]byte, bool) {
			key, ok := l.authenticate(username)
			if !ok {
				l.authenticated(false)
			}
			return key, ok
		},
		QuotaHandler: func(string, string, net.Addr) bool { return l.mayAllocate() },
		EventHandler: turn.EventHandler{
			OnAuth:              func(_, _ net.Addr, _, _, _, _ string, ok bool) { l.authenticated(ok) },
			OnAllocationCreated: func(_, _ net.Addr, _, _, _ string, relay net.Addr, _ int) { l.allocated(relay) },
			OnPermissionCreated: func(_, _ net.Addr, _, _, _ string, relay net.Addr, peer net.IP) {
				l.permitted(relay, peer, (*permissions).add)
			},
			OnPermissionDeleted: func(_, _ net.Addr, _, _, _ string, relay net.Addr, peer net.IP) {
				l.permitted(relay, peer, (*permissions).remove)
			},
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            l,
			RelayAddressGenerator: relays{l},
			PermissionHandler:     func(_ net.Addr, peer net.IP) bool { return l.mayReach(peer) },
		}},
	})
	return err
}

// relays gives the library a relay per allocation.
type relays struct{ *listener }

func (r relays) Validate() error { return nil }

func (r relays) AllocatePacketConn(_ string, wanted int) (net.PacketConn, net.Addr, error) {
	relay, err := r.allocate(wanted)
	if err != nil {
		return nil, nil, err
	}
	return relay, net.UDPAddrFromAddrPort(relay.public), nil
}

func (r relays) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, net.UnknownNetworkError("tcp")
}

// libraryLog passes the library's errors on, as debug lines, and nothing else: it says something per packet, and
// strangers send packets.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) NewLogger(string) logging.LeveledLogger { return l }

func (l libraryLog) Error(text string) { l.log.Debug("turn library", "err", text) }
func (l libraryLog) Errorf(format string, args ...any) {
	l.log.Debug("turn library", "err", fmt.Sprintf(format, args...))
}

func (libraryLog) Trace(string)          {}
func (libraryLog) Tracef(string, ...any) {}
func (libraryLog) Debug(string)          {}
func (libraryLog) Debugf(string, ...any) {}
func (libraryLog) Info(string)           {}
func (libraryLog) Infof(string, ...any)  {}
func (libraryLog) Warn(string)           {}
func (libraryLog) Warnf(string, ...any)  {}
