package main

import (
	"net/netip"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sigctl/sigctl/signal"
	"github.com/sigctl/sigctl/turnserver"
)

// newMetrics is what /metrics tells of the process, of the relay if there is one,
// and of signaling if that is not nil. No label is a user's name or a client's
// address: whoever reads metrics need not know them, and they would be without number.
func newMetrics(r *relay, signaling func() signal.Stats) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if r != nil {
		registry.MustRegister(newRelayMetrics(r.Stats))
	}
	if signaling != nil {
		registry.MustRegister(newSignalMetrics(signaling))
	}
	return registry
}

// relayMetrics reads the relay's counts when it is asked.
type relayMetrics struct {
	stats func() turnserver.Stats

	allocations, reservations, users, created *prometheus.Desc

	// by listener and transport
	connections, refused, errors, dropped, packets, bytes *prometheus.Desc
}

func newRelayMetrics(stats func() turnserver.Stats) *relayMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sigctl_turn_"+name, help, labels, nil)
	}
	listener := func(name, help string, labels ...string) *prometheus.Desc {
		return desc(name, help, append([]string{"listener", "transport"}, labels...)...)
	}
	return &relayMetrics{
		stats:        stats,
		allocations:  desc("allocations", "Allocations that are open."),
		reservations: desc("reservations", "Ports that are kept for a client's next allocation."),
		users:        desc("users", "Users who have allocations or reservations."),
		created:      desc("allocations_created_total", "Allocations since the start."),
		connections:  listener("connections", "Connections that are open, of TCP, TLS and DTLS."),
		refused:      listener("connections_refused_total", "Connections that were closed before they could ask for anything, by reason.", "reason"),
		errors:       listener("errors_total", "Error responses, by STUN error code.", "code"),
		dropped:      listener("dropped_total", "Messages and packets that went no further, by reason.", "reason"),
		packets:      listener("packets_total", "Packets that were relayed.", "direction"),
		bytes:        listener("bytes_total", "Bytes of payload that were relayed.", "direction"),
	}
}

// Describe implements prometheus.Collector.
func (m *relayMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.allocations, m.reservations, m.users, m.created,
		m.connections, m.refused, m.errors, m.dropped, m.packets, m.bytes,
	} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (m *relayMetrics) Collect(metrics chan<- prometheus.Metric) {
	stats := m.stats()
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge(m.allocations, stats.Allocations)
	gauge(m.reservations, stats.Reservations)
	gauge(m.users, stats.Users)
	counter(m.created, stats.AllocationsCreated)
	for _, l := range stats.Listeners {
		at, transport := listenerLabel(l.Address), l.Transport.String()
		if l.Transport != turnserver.UDP {
			gauge(m.connections, l.Connections, at, transport)
		}
		for why, n := range l.Refused {
			counter(m.refused, n, at, transport, why)
		}
		for code, n := range l.Errors {
			counter(m.errors, n, at, transport, strconv.Itoa(code))
		}
		for why, n := range l.Dropped {
			counter(m.dropped, n, at, transport, why)
		}
		counter(m.packets, l.ToPeers.Packets, at, transport, "to_peers")
		counter(m.packets, l.FromPeers.Packets, at, transport, "from_peers")
		counter(m.bytes, l.ToPeers.Bytes, at, transport, "to_peers")
		counter(m.bytes, l.FromPeers.Bytes, at, transport, "from_peers")
	}
}

// listenerLabel names a listener: that of the port of HTTPS has no address of its own.
func listenerLabel(at netip.AddrPort) string {
	if !at.IsValid() {
		return "shared"
	}
	return at.String()
}
