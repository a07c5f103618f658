package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sigctl/sigctl/signal"
)

// signalMetrics reads the signaling server's counts when it is asked.
type signalMetrics struct {
	stats func() signal.Stats

	sessions, pending, refused *prometheus.Desc
}

func newSignalMetrics(stats func() signal.Stats) *signalMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sigctl_"+name, help, labels, nil)
	}
	return &signalMetrics{
		stats:    stats,
		sessions: desc("sessions", "Users who are signed in to this server."),
		pending:  desc("connections_pending", "Connections that have not signed in."),
		refused: desc("refused_total", "Connections, logins and requests that were refused, and connections that were "+
			"closed to make room for newer ones, by reason.", "reason"),
	}
}

// Describe implements prometheus.Collector.
func (m *signalMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.sessions, m.pending, m.refused} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (m *signalMetrics) Collect(metrics chan<- prometheus.Metric) {
	stats := m.stats()
	metrics <- prometheus.MustNewConstMetric(m.sessions, prometheus.GaugeValue, float64(stats.Sessions))
	metrics <- prometheus.MustNewConstMetric(m.pending, prometheus.GaugeValue, float64(stats.Pending))
	for why, n := range stats.Refused {
		metrics <- prometheus.MustNewConstMetric(m.refused, prometheus.CounterValue, float64(n), why)
	}
}
