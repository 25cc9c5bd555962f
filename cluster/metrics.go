package cluster

import (
	"github.com/prometheus/client_golang/prometheus"

	"laurel/score"
)

type metrics struct {
	registry    prometheus.Registerer
	events      *prometheus.CounterVec
	entryEvents prometheus.Histogram
	commit      prometheus.Histogram
	diskWrite   prometheus.Histogram
	retries     prometheus.Counter
	forwarded   prometheus.Counter
	rounds      prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	if r == nil {
		r = prometheus.NewRegistry()
	}
	seconds := prometheus.ExponentialBuckets(0.0001, 2, 16) // 0.1 ms to 3.3 s
	m := &metrics{
		registry: r,
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "laurel_events_total",
			Help: "Events that this frontend proposed as master, by result: applied, duplicate, or the code of the refusal."}, []string{"result"}),
		entryEvents: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "laurel_gathered_events", Buckets: prometheus.ExponentialBuckets(1, 2, 11),
			Help: "Events that went together as one entry of the log, or as one call to the master."}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "laurel_commit_seconds", Buckets: seconds,
			Help: "Time from proposing an entry until it was committed and applied, at the master."}),
		diskWrite: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "laurel_log_write_seconds", Buckets: seconds,
			Help: "Time of one write of the Raft log or of Raft's vote, with its wait for the disk."}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "laurel_post_retries_total",
			Help: "Attempts to post that were repeated because the master was lost or not there."}),
		forwarded: prometheus.NewCounter(prometheus.CounterOpts{Name: "laurel_posts_forwarded_total", Help: "Posts that were handed to the master."}),
		rounds: prometheus.NewCounter(prometheus.CounterOpts{Name: "laurel_confirm_rounds_total",
			Help: "Rounds in which this master asked the voters whether it is still the master."}),
	}
	r.MustRegister(m.events, m.entryEvents, m.commit, m.diskWrite, m.retries, m.forwarded, m.rounds)
	return m
}

// observe adds what is read from the member when it is asked for.
func (m *metrics) observe(member *Member) {
	gauge := func(name, help string, f func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("laurel_revision", "Events in this frontend's database.", func() float64 { return float64(member.machine.Revision()) })
	gauge("laurel_applied_index", "Index of the last log entry in this frontend's database.", func() float64 { return float64(member.machine.Applied()) })
	gauge("laurel_log_index", "Index of the last entry in this frontend's log.", func() float64 { return float64(member.raft.LastIndex()) })
	gauge("laurel_epoch", "The Raft term.", func() float64 { return float64(member.raft.CurrentTerm()) })
	gauge("laurel_posts_waiting", "Posts that wait to be written or handed to the master.", func() float64 { return float64(member.gatherer.waiting()) })
	gauge("laurel_master", "1 if this frontend is the master.", func() float64 {
		if member.leads() != nil {
			return 1
		}
		return 0
	})
}

func (m *metrics) count(results []score.Result) {
	for i := range results {
		result := results[i].Status
		if p := results[i].Problem; p != nil {
			result = string(p.Code)
		}
		m.events.WithLabelValues(result).Inc()
	}
}
