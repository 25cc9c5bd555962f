package backup

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are what operators see of the backups of one frontend. A frontend that is the
// master knows of those of the masters before it, as far as the target lists them.
type Metrics struct {
	lastSuccess, revision, bytes prometheus.Gauge
	interval                     prometheus.Gauge
	seconds                      prometheus.Summary
	failures                     prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return promauto.With(r).NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	return &Metrics{
		lastSuccess: gauge("laurel_backup_last_success_timestamp_seconds",
			"When the last backup that this frontend knows of was begun, or found to be of the present state; "+
				"0 without one."),
		revision: gauge("laurel_backup_revision", "Revision of the last backup that this frontend knows of."),
		bytes:    gauge("laurel_backup_bytes", "Size of the last backup that this frontend made."),
		interval: gauge("laurel_backup_interval_seconds", "Time between two backups, as --backup says."),
		seconds: promauto.With(r).NewSummary(prometheus.SummaryOpts{
			Name: "laurel_backup_seconds", Help: "Backups that this frontend made, and the time that they took.",
		}),
		failures: promauto.With(r).NewCounter(prometheus.CounterOpts{
			Name: "laurel_backup_failures_total", Help: "Backups of this frontend that failed.",
		}),
	}
}

func (m *Metrics) know(f File) {
	m.lastSuccess.Set(float64(f.Time.Unix()))
	m.revision.Set(float64(f.Revision))
}
