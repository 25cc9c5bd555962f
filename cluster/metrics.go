package cluster

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"laurel/cache"
	"laurel/cluster/internal/durable"
	"laurel/cluster/snapshots"
	"laurel/score"
)

type metrics struct {
	events            *prometheus.CounterVec
	entryEvents       prometheus.Histogram
	commit            prometheus.Histogram
	release           prometheus.Histogram
	diskWrite         prometheus.Histogram
	retries           prometheus.Counter
	forwarded         prometheus.Counter
	rounds            prometheus.Counter
	polls             *prometheus.CounterVec
	pulledAge         prometheus.Histogram
	epochs            prometheus.Counter
	releases          *prometheus.CounterVec
	peerRefused       *prometheus.CounterVec
	tokensRefused     *prometheus.CounterVec
	raftRefused       *prometheus.CounterVec
	snapshotsReceived *prometheus.CounterVec
	streamsLost       prometheus.Counter
	leasesWithheld    *prometheus.CounterVec
	hellosRefused     *prometheus.CounterVec
	membersUp         *prometheus.GaugeVec
	foreignAnswers    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	register := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return register.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, label, help string) *prometheus.CounterVec {
		return register.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	histogram := func(name string, buckets []float64, help string) prometheus.Histogram {
		return register.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	seconds := prometheus.ExponentialBuckets(0.0001, 2, 16) // 0.1 ms to 3.3 s
	m := &metrics{
		events: counters("laurel_events_total", "result",
			"Events that this frontend proposed as master, by result: applied, duplicate, or the code of the refusal."),
		entryEvents: histogram("laurel_gathered_events", prometheus.ExponentialBuckets(1, 2, 11),
			"Events in one batch: one entry of the log, or one call to the master."),
		commit: histogram("laurel_commit_seconds", seconds,
			"Time from proposing an entry until it was committed and applied, at the master."),
		release: histogram("laurel_release_seconds", seconds,
			"Time from a commit until every frontend that may answer had it, at the master."),
		diskWrite: histogram("laurel_log_write_seconds", seconds,
			"Time of one write of the Raft log or of Raft's vote, including the wait for the disk."),
		retries: counter("laurel_post_retries_total",
			"Attempts to post that were repeated because the master was lost or missing."),
		forwarded: counter("laurel_posts_forwarded_total", "Posts that were forwarded to the master."),
		rounds: counter("laurel_confirm_rounds_total",
			"Rounds in which this master asked the voters whether it is still the master."),
		polls: counters("laurel_polls_total", "outcome",
			"Answers polled in pull mode, by outcome: new, same, changed, gone, failed."),
		pulledAge: histogram("laurel_pulled_age_seconds", prometheus.ExponentialBuckets(0.01, 2, 12),
			"Age of the answers given from memory in pull mode."),
		epochs: counter("laurel_epochs_total", "Epochs in which this frontend began to serve as master."),
		releases: counters("laurel_releases_total", "waited",
			"Entries released at this master, by what they waited for: "+
				"the acks of the frontends, or the lease of a silent one."),
		peerRefused: counters("laurel_peer_refused_total", "reason",
			"Connections and requests between members that were refused, "+
				"or given up because the other end was another member, by reason."),
		tokensRefused: counters("laurel_forwarded_tokens_refused_total", "reason",
			"Tokens of posts that another member forwarded to this master, and that were refused, by reason."),
		raftRefused: counters("laurel_raft_refused_total", "reason",
			"Raft messages of other members that were refused, by reason."),
		snapshotsReceived: counters("laurel_snapshots_received_total", "outcome",
			"Snapshots that a master sent to this frontend, by outcome: installed, known, failed."),
		streamsLost: counter("laurel_streams_lost_total", "Streams from this master to a frontend that were lost."),
		leasesWithheld: counters("laurel_leases_withheld_total", "member",
			"Times that this master withheld the next lease of a frontend that had delayed writes, by member."),
		hellosRefused: counters("laurel_hello_refused_total", "reason",
			"Streams of a master that were refused, by reason. "+
				"Two masters of one epoch are a fault of the group; "+
				"the other reasons may occur while the master changes."),
		membersUp: register.NewGaugeVec(prometheus.GaugeOpts{
			Name: "laurel_member_up", Help: "1 if another member of the group answers this frontend, else 0, by member.",
		}, []string{"member"}),
		foreignAnswers: counters("laurel_foreign_answers_total", "member",
			"Times that another instance, or a member of another group, answered at the peer address of a member."),
	}
	for _, outcome := range []string{snapshots.Installed, snapshots.Known, snapshots.Failed} {
		m.snapshotsReceived.WithLabelValues(outcome) // exported from the start
	}
	return m
}

// registerGauges registers gauges that read the member.
func (m *Member) registerGauges() {
	gauge := func(name, help string, f func() float64) {
		promauto.With(m.opts.Metrics).NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	gauge("laurel_revision", "Events in this frontend's database.",
		func() float64 { return float64(m.machine.Revision()) })
	gauge("laurel_applied_index", "Index of the last log entry in this frontend's database.",
		func() float64 { return float64(m.machine.Applied()) })
	gauge("laurel_log_index", "Index of the last entry in this frontend's log.",
		func() float64 { return float64(m.raft.LastIndex()) })
	gauge("laurel_log_bytes", "Size of this frontend's log on the disk.",
		func() float64 { return float64(m.storage.Log.Bytes()) })
	gauge("laurel_snapshot_bytes", "Size of this frontend's newest snapshot; 0 without one.",
		func() float64 { size, _ := m.storage.Snapshots.Newest(); return float64(size) })
	gauge("laurel_snapshot_age_seconds", "Age of this frontend's newest snapshot; 0 without one.",
		func() float64 {
			_, stored := m.storage.Snapshots.Newest()
			if stored.IsZero() {
				return 0
			}
			return time.Since(stored).Seconds()
		})
	gauge("laurel_disk_free_bytes", "Room on the file system of the data directory; -1 if it is not known.",
		func() float64 {
			free, err := durable.Free(m.opts.Dir)
			if err != nil {
				return -1
			}
			return float64(free)
		})
	gauge("laurel_epoch", "The Raft term.",
		func() float64 { return float64(m.raft.CurrentTerm()) })
	gauge("laurel_lease_seconds", "Rest of this frontend's lease; 0 without one.",
		func() float64 { return m.frontend.State().Lease.Seconds() })
	gauge("laurel_pushed_revision", "P: this frontend's cache has every change up to this revision.",
		func() float64 { return float64(m.frontend.State().Pushed) })
	gauge("laurel_released_revision", "R: the changes up to this revision may be shown here.",
		func() float64 { return float64(m.frontend.State().Released) })
	gauge("laurel_answers_bytes", "Memory of the answers held in push mode, approximately.",
		func() float64 { return float64(m.frontend.State().Bytes) })
	gauge("laurel_push_behind", "Largest number of pushes that one frontend has not acknowledged, at the master.",
		func() float64 { return m.count((*cache.Master).MaxUnacked) })
	gauge("laurel_leases_withheld", "Frontends that get no lease now because they delayed writes, at the master.",
		func() float64 { return m.count((*cache.Master).Penalized) })
	if i := m.opts.Identity; i != nil {
		gauge("laurel_certificate_expiry_seconds",
			"Time until this frontend's certificate expires; negative after that.",
			func() float64 { return i.Expires().Sub(i.Now()).Seconds() })
	}
	gauge("laurel_authority_key_holders",
		"Removed frontends that hold the private key of the group's authority; laurel cluster ca rotate ends that.",
		func() float64 { return float64(len(m.machine.Access().KeyHolders())) })
	gauge("laurel_forgotten_entry", "Newest log entry that this frontend was heard to hold and lacks; 0 if none. "+
		"It gives no vote meanwhile.", func() float64 {
		forgotten, _ := m.source.Gate.Forgotten()
		return float64(forgotten.Index)
	})
	gauge("laurel_contradicting_voters", "Voters that have another state after the same log entry as this frontend.",
		func() float64 { return float64(m.divergence.Contradicting()) })
	gauge("laurel_posts_waiting", "Posts that wait to be written, or to be forwarded to the master.",
		func() float64 { return float64(m.poster.batcher.Waiting()) })
	gauge("laurel_master", "1 if this frontend is the master.", func() float64 {
		if m.leadership() != nil {
			return 1
		}
		return 0
	})
}

// countResults counts events by their results.
func (m *metrics) countResults(results []score.Result) {
	for i := range results {
		result := results[i].Status
		if p := results[i].Problem; p != nil {
			result = string(p.Code)
		}
		m.events.WithLabelValues(result).Inc()
	}
}

// count returns a count of the leadership since the election; 0 at a member that was not
// elected.
func (r *replica) count(f func(*cache.Master) int) (n float64) {
	if l := r.elected.Load(); l != nil {
		l.push.Read(func(m *cache.Master, _ time.Duration) { n = float64(f(m)) })
	}
	return n
}
