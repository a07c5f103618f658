package turnserver

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// elsewhere is an address that this machine cannot bind, as an IPv6 one that is tentative.
const elsewhere = "198.51.100.1"

// Of a wildcard's addresses one that cannot be bound is left out, and the log says so. One that was named is not, nor is
// the last one.
func TestUnavailableAddress(t *testing.T) {
	var log bytes.Buffer
	ts := newIdleServer(t, func(cfg *Config) { cfg.Logger, cfg.Shards = debugLogger(&log), 2 })
	here := prefixes("127.0.0.1/8", elsewhere+"/24", "127.0.0.9/8")
	for _, tt := range []struct {
		name       string
		ips        []netip.Addr
		nets       []netip.Prefix
		transports []Transport
		want       string // the addresses, or part of the error
		warnings   int
	}{
		{"the first", prefixIPs("0.0.0.0/0"), prefixes(elsewhere+"/24", "127.0.0.1/8"), []Transport{UDP, TCP}, "UDP 127.0.0.1 TCP 0.0.0.0", 1},
		{"one in between", prefixIPs("0.0.0.0/0"), here, []Transport{UDP, TCP}, "UDP 127.0.0.1 UDP 127.0.0.9 TCP 0.0.0.0", 1},
		{"the last", prefixIPs("0.0.0.0/0"), here[1:2], []Transport{UDP, TCP}, elsewhere, 1},
		{"the last of a transport", prefixIPs("0.0.0.0/0"), here[1:2], []Transport{TCP, UDP}, elsewhere, 1},
		{"a named one", prefixIPs(elsewhere + "/32"), here, []Transport{UDP, TCP}, elsewhere, 0},
		{"none of the family", prefixIPs("::/0"), here, []Transport{UDP, TCP}, "no address of that kind", 0},
	} {
		log.Reset()
		opened, err := ts.bindEach(tt.ips, 0, tt.nets, tt.transports)
		for i := 0; errors.Is(err, syscall.EADDRINUSE) && i < maxPortTries; i++ { // as bindAddress does
			log.Reset()
			opened, err = ts.bindEach(tt.ips, 0, tt.nets, tt.transports)
		}
		closeAll(opened)
		var got []string
		for _, l := range opened {
			for _, p := range l.places {
				got = append(got, l.transport.String(), p.ip.String())
			}
			if l.address.Port() == 0 || l.address.Port() != opened[0].address.Port() {
				t.Errorf("%s: %v has another port than %v", tt.name, l.address, opened[0].address)
			}
		}
		if text := strings.Join(got, " "); err == nil && text != tt.want || err != nil && (opened != nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %s, %v, want %s", tt.name, text, err, tt.want)
		}
		warnings := strings.Count(log.String(), "level=WARN")
		if named := strings.Count(log.String(), " addr="+elsewhere+" "); warnings != tt.warnings || named != tt.warnings ||
			warnings > 0 && !strings.Contains(log.String(), "the relay tries again") {
			t.Errorf("%s: got %d warnings, want %d that name %s and say what to do:\n%s", tt.name, warnings, tt.warnings, elsewhere, log.String())
		}
	}
}

// Any other fault of one address of a wildcard is one of all.
func TestTakenAddressOfWildcard(t *testing.T) {
	taken := newPeer(t, "127.0.0.9")
	ts := newIdleServer(t, nil)
	opened, err := ts.bindEach(prefixIPs("0.0.0.0/0"), taken.addr.Port(), prefixes("127.0.0.1/8", "127.0.0.9/8"), []Transport{UDP})
	if opened != nil || err == nil || !strings.Contains(err.Error(), taken.addr.String()) {
		t.Errorf("got %v, %v, want an error that names %v", opened, err, taken.addr)
	}
	again, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(taken.addr.Port())})
	if err != nil {
		t.Fatalf("a listener is left open: %v", err)
	}
	again.Close()
}
