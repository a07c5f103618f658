package peer

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	"github.com/pion/transport/v5/vnet"
	"github.com/pion/turn/v4"
	"github.com/pion/webrtc/v4"

	"github.com/sigctl/sigctl/pkg/protocol"
)

// natTypes are those of RFC 4787; the last gives every peer another port.
var natTypes = []struct {
	name string
	nat  *vnet.NATType
}{
	{"open", nil},
	{"full cone", &vnet.NATType{MappingBehavior: vnet.EndpointIndependent, FilteringBehavior: vnet.EndpointIndependent}},
	{"address restricted", &vnet.NATType{MappingBehavior: vnet.EndpointIndependent, FilteringBehavior: vnet.EndpointAddrDependent}},
	{"port restricted", &vnet.NATType{MappingBehavior: vnet.EndpointIndependent, FilteringBehavior: vnet.EndpointAddrPortDependent}},
	{"symmetric", &vnet.NATType{MappingBehavior: vnet.EndpointAddrPortDependent, FilteringBehavior: vnet.EndpointAddrPortDependent}},
}

// vnetRelays gives a relay's allocations addresses on a simulated network.
type vnetRelays struct{ net *vnet.Net }

func (vnetRelays) Validate() error { return nil }

func (r vnetRelays) AllocatePacketConn(string, int) (net.PacketConn, net.Addr, error) {
	conn, err := r.net.ListenPacket("udp4", publicRelay+":0")
	if err != nil {
		return nil, nil, err
	}
	return conn, conn.LocalAddr(), nil
}

func (vnetRelays) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, net.ErrClosed
}

const publicRelay = "203.0.113.1"

// internet is a simulated one with a relay, whose links lose packets.
type internet struct {
	t     *testing.T
	root  *vnet.Router
	loss  float64
	mu    sync.Mutex // guards dice
	dice  *rand.Rand
	count int
}

func newInternet(t *testing.T, loss float64, delay time.Duration) *internet {
	t.Helper()
	root, err := vnet.NewRouter(&vnet.RouterConfig{
		CIDR: "203.0.113.0/24", MinDelay: delay, LoggerFactory: logging.NewDefaultLoggerFactory(),
	})
	if err != nil {
		t.Fatal(err)
	}
	in := &internet{t: t, root: root, loss: loss, dice: rand.New(rand.NewPCG(1, 2))}
	root.AddChunkFilter(func(vnet.Chunk) bool { return !in.lost() })
	return in
}

func (in *internet) lost() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.dice.Float64() < in.loss
}

// relay starts the relay. Each end of the internet has the same servers.
func (in *internet) relay() []protocol.ICEServer {
	in.t.Helper()
	machine := in.machine(in.root, publicRelay)
	conn, err := machine.ListenPacket("udp4", publicRelay+":3478")
	if err != nil {
		in.t.Fatal(err)
	}
	cfg := relayConfig()
	cfg.PacketConnConfigs = []turn.PacketConnConfig{{PacketConn: conn, RelayAddressGenerator: vnetRelays{machine}}}
	startTURN(in.t, cfg)
	return []protocol.ICEServer{
		{URLs: []string{"stun:" + publicRelay + ":3478"}},
		relayEntry("turn:" + publicRelay + ":3478?transport=udp"),
	}
}

func (in *internet) machine(router *vnet.Router, ip string) *vnet.Net {
	in.t.Helper()
	machine, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{ip}})
	if err == nil {
		err = router.AddNet(machine)
	}
	if err != nil {
		in.t.Fatal(err)
	}
	return machine
}

// behind returns a machine behind a NAT.
func (in *internet) behind(nat *vnet.NATType) *vnet.Net {
	in.t.Helper()
	in.count++
	if nat == nil {
		return in.machine(in.root, fmt.Sprintf("203.0.113.%d", 10+in.count))
	}
	home, err := vnet.NewRouter(&vnet.RouterConfig{
		CIDR: fmt.Sprintf("10.0.%d.0/24", in.count), NATType: nat,
		StaticIPs: []string{fmt.Sprintf("203.0.113.%d", 10+in.count)}, LoggerFactory: logging.NewDefaultLoggerFactory(),
	})
	if err == nil {
		err = in.root.AddRouter(home)
	}
	if err != nil {
		in.t.Fatal(err)
	}
	return in.machine(home, fmt.Sprintf("10.0.%d.2", in.count))
}

// connects has two machines connect, and returns how long it took from the time when the
// offerer had the answer. late is how much later the answerer gets the candidates.
func (in *internet) connects(cert webrtc.Certificate, a, b *vnet.NATType, late time.Duration) time.Duration {
	in.t.Helper()
	servers := in.relay()
	offerer, answerer := newICEPeer(in.t, cert, in.behind(a), servers), newICEPeer(in.t, cert, in.behind(b), servers)
	if err := in.root.Start(); err != nil {
		in.t.Fatal(err)
	}
	defer time.Sleep(time.Minute) // simulated: pion's ChannelBind outlives its Close
	defer in.root.Stop()
	defer answerer.pc.GracefulClose()
	defer offerer.pc.GracefulClose()
	offerer.describe(answerer)
	start := time.Now()
	offerer.addCandidatesOf(answerer)
	candidates := time.NewTimer(late)
	defer candidates.Stop()
	for i := range maxRepeats { // as trickle does
		again := firstRepeat<<(i+1) - firstRepeat
		defer time.AfterFunc(again, func() { offerer.pay(answerer) }).Stop()
		defer time.AfterFunc(again, func() { answerer.pay(offerer) }).Stop()
	}
	timeout := time.NewTimer(protocol.CallTimeout)
	defer timeout.Stop()
	for unconnected := []*icePeer{offerer, answerer}; len(unconnected) > 0; {
		select {
		case <-unconnected[0].connected:
			unconnected = unconnected[1:]
		case <-candidates.C:
			answerer.addCandidatesOf(offerer)
		case <-timeout.C:
			return protocol.CallTimeout
		}
	}
	return time.Since(start)
}

// The bound on checks costs no connection: every pair of NATs connects, on paths that
// lose packets and where one side is told of the other seconds later.
func TestNATPairs(t *testing.T) {
	cert, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, net := range []struct {
		loss  float64       // of packets, at each hop
		delay time.Duration // each way, between any two
		late  time.Duration
	}{
		{0, 20 * time.Millisecond, 50 * time.Millisecond},
		{0.05, 20 * time.Millisecond, 50 * time.Millisecond},
		{0.05, 250 * time.Millisecond, 3 * time.Second},
	} {
		t.Run(fmt.Sprintf("%v %% lost, %v, late %v", net.loss*100, net.delay, net.late), func(t *testing.T) {
			var total, worst time.Duration
			for _, a := range natTypes {
				for _, b := range natTypes {
					synctest.Test(t, func(t *testing.T) {
						took := newInternet(t, net.loss, net.delay).connects(cert, a.nat, b.nat, net.late)
						if took == protocol.CallTimeout {
							t.Errorf("%s to %s: not connected", a.name, b.name)
						}
						total, worst = total+took, max(worst, took)
					})
				}
			}
			t.Logf("mean %v, worst %v", (total / 25).Round(time.Millisecond), worst.Round(time.Millisecond))
		})
	}
}
