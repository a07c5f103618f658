package main

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sigctl/sigctl/turnserver"
)

// exposed is what registry tells, without comments.
func exposed(registry *prometheus.Registry) string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var b strings.Builder
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestRelayMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newRelayMetrics(func() turnserver.Stats {
		return turnserver.Stats{
			Allocations: 3, Reservations: 1, Users: 2, AllocationsCreated: 40,
			Listeners: []turnserver.ListenerStats{{
				Transport: turnserver.UDP, Address: netip.MustParseAddrPort("192.0.2.1:3478"),
				Errors: map[int]uint64{401: 5, 486: 6}, Dropped: map[string]uint64{"policy": 7},
				ToPeers: turnserver.Traffic{Packets: 8, Bytes: 800}, FromPeers: turnserver.Traffic{Packets: 9, Bytes: 900},
			}, {
				Transport: turnserver.TLS, Connections: 2, Refused: map[string]uint64{"handshake": 4},
			}},
		}
	}))
	want := `sigctl_turn_allocations 3
sigctl_turn_allocations_created_total 40
sigctl_turn_bytes_total{direction="from_peers",listener="192.0.2.1:3478",transport="UDP"} 900
sigctl_turn_bytes_total{direction="from_peers",listener="shared",transport="TLS"} 0
sigctl_turn_bytes_total{direction="to_peers",listener="192.0.2.1:3478",transport="UDP"} 800
sigctl_turn_bytes_total{direction="to_peers",listener="shared",transport="TLS"} 0
sigctl_turn_connections{listener="shared",transport="TLS"} 2
sigctl_turn_connections_refused_total{listener="shared",reason="handshake",transport="TLS"} 4
sigctl_turn_dropped_total{listener="192.0.2.1:3478",reason="policy",transport="UDP"} 7
sigctl_turn_errors_total{code="401",listener="192.0.2.1:3478",transport="UDP"} 5
sigctl_turn_errors_total{code="486",listener="192.0.2.1:3478",transport="UDP"} 6
sigctl_turn_packets_total{direction="from_peers",listener="192.0.2.1:3478",transport="UDP"} 9
sigctl_turn_packets_total{direction="from_peers",listener="shared",transport="TLS"} 0
sigctl_turn_packets_total{direction="to_peers",listener="192.0.2.1:3478",transport="UDP"} 8
sigctl_turn_packets_total{direction="to_peers",listener="shared",transport="TLS"} 0
sigctl_turn_reservations 1
sigctl_turn_users 2
`
	if got := exposed(registry); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

// The metrics of a server are those of its own relay and sessions, of no other in the
// process.
func TestServerMetrics(t *testing.T) {
	ts := startPlainServer(t, nil)
	ts.signIn("user1")
	got := exposed(newMetrics(ts.relay, ts.signal.Stats))
	for _, want := range []string{
		"sigctl_sessions 1\n", "sigctl_connections_pending ", `sigctl_refused_total{reason="too_many"} 0` + "\n", "sigctl_turn_allocations 0\n", "go_goroutines ",
		`sigctl_turn_connections{listener="` + ts.relay.Addrs(turnserver.TCP)[0].String() + `",transport="TCP"} 0` + "\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if got := exposed(newMetrics(nil, nil)); strings.Contains(got, "sigctl_") {
		t.Errorf("metrics of nothing:\n%s", got)
	}
}
