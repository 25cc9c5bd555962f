package cluster

import (
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cluster/push"
	"laurel/cluster/snapshots"
	"laurel/score"
)

type metrics struct {
	registry    prometheus.Registerer
	events      *prometheus.CounterVec
	entryEvents prometheus.Histogram
	commit      prometheus.Histogram
	release     prometheus.Histogram
	diskWrite   prometheus.Histogram
	retries     prometheus.Counter
	forwarded   prometheus.Counter
	rounds      prometheus.Counter
	polls       *prometheus.CounterVec
	pulledAge   prometheus.Histogram
	epochs      prometheus.Counter
	waits       *prometheus.CounterVec
	peerRefused *prometheus.CounterVec
	raftRefused *prometheus.CounterVec

	snapshotsReceived *prometheus.CounterVec
	push              *push.Metrics
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
		release: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "laurel_release_seconds", Buckets: seconds,
			Help: "Time from a commit until every frontend that may answer had it, at the master."}),
		diskWrite: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "laurel_log_write_seconds", Buckets: seconds,
			Help: "Time of one write of the Raft log or of Raft's vote, with its wait for the disk."}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "laurel_post_retries_total",
			Help: "Attempts to post that were repeated because the master was lost or not there."}),
		forwarded: prometheus.NewCounter(prometheus.CounterOpts{Name: "laurel_posts_forwarded_total", Help: "Posts that were handed to the master."}),
		rounds: prometheus.NewCounter(prometheus.CounterOpts{Name: "laurel_confirm_rounds_total",
			Help: "Rounds in which this master asked the voters whether it is still the master."}),
	}
	m.polls = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "laurel_polls_total",
		Help: "Answers polled in pull mode, by outcome: new, same, changed, gone, failed."}, []string{"outcome"})
	m.pulledAge = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "laurel_pulled_age_seconds", Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		Help: "Age of the answers given from memory in pull mode."})
	m.epochs = prometheus.NewCounter(prometheus.CounterOpts{Name: "laurel_epochs_total", Help: "Epochs in which this frontend began to serve as master."})
	m.waits = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "laurel_releases_total",
		Help: "Entries released at this master, by what they waited for: the acks of the frontends, or the lease of one that was silent."}, []string{"waited"})
	m.peerRefused = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "laurel_peer_refused_total",
		Help: "Connections and requests on the port for members that were refused, or given up because the other end was not who was meant, by reason."}, []string{"reason"})
	m.push = push.NewMetrics(r)
	m.raftRefused = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "laurel_raft_refused_total",
		Help: "Messages of other members' Rafts that were refused, by reason."}, []string{"reason"})
	m.snapshotsReceived = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "laurel_snapshots_received_total",
		Help: "Snapshots that a master sent to this frontend, by outcome: installed, known, failed."}, []string{"outcome"})
	for _, outcome := range []string{snapshots.Installed, snapshots.Known, snapshots.Failed} {
		m.snapshotsReceived.WithLabelValues(outcome) // shown from the beginning
	}
	r.MustRegister(m.raftRefused, m.snapshotsReceived, m.peerRefused, m.waits, m.epochs, m.polls, m.pulledAge, m.events, m.entryEvents, m.commit, m.release, m.diskWrite, m.retries, m.forwarded, m.rounds)
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
	gauge("laurel_lease_seconds", "What is left of this frontend's lease; 0 without one.", func() float64 { return member.frontend.State().Lease.Seconds() })
	gauge("laurel_pushed_revision", "P: this frontend's cache has every change up to this revision.", func() float64 { return float64(member.frontend.State().Pushed) })
	gauge("laurel_released_revision", "R: the changes up to this revision may be seen here.", func() float64 { return float64(member.frontend.State().Released) })
	gauge("laurel_answers_bytes", "Memory of the answers held in push mode, about.", func() float64 { return float64(member.frontend.State().Bytes) })
	gauge("laurel_push_behind", "Most pushes that one frontend has not acked yet, at the master.", func() float64 { return member.elected((*push.Sender).MaxUnacked) })
	gauge("laurel_leases_withheld", "Frontends that get no lease now because they made writes wait, at the master.", func() float64 { return member.elected((*push.Sender).Penalized) })
	if i := member.opts.Identity; i != nil {
		gauge("laurel_certificate_expiry_seconds", "What is left of this frontend's certificate; negative when it is over.", func() float64 { return i.Expires().Sub(i.Now()).Seconds() })
	}
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

// elected returns a number of the leadership in this epoch; 0 at a member that is not the master.
func (m *Member) elected(count func(*push.Sender) int) float64 {
	l := m.reign.Load()
	if l == nil {
		return 0
	}
	return float64(count(l.push))
}
