// Package metrics has what a member of the group counts and times. The gauges, which read
// its parts, are in package cluster.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"laurel/cluster/snapshots"
	"laurel/score"
)

// The reasons for which a frontend does not pass on what the master says became of a post.
const (
	Contradicted = "contradicted" // its own state has something else
	Late         = "late"         // its own state did not get so far in time
)

// Metrics are the counters and histograms of a member.
type Metrics struct {
	Events            *prometheus.CounterVec
	applied           prometheus.Counter // of Events; found without a look-up, because it counts most of them
	EntryEvents       prometheus.Histogram
	Commit            prometheus.Histogram
	Release           prometheus.Histogram
	DiskWrite         prometheus.Histogram
	Retries           prometheus.Counter
	Forwarded         prometheus.Counter
	OutcomesRefused   *prometheus.CounterVec
	Rounds            prometheus.Counter
	Polls             *prometheus.CounterVec
	PulledAge         prometheus.Histogram
	Epochs            prometheus.Counter
	Releases          *prometheus.CounterVec
	PeerRefused       *prometheus.CounterVec
	TokensRefused     *prometheus.CounterVec
	RaftRefused       *prometheus.CounterVec
	SnapshotsReceived *prometheus.CounterVec
	StreamsLost       prometheus.Counter
	LeasesWithheld    *prometheus.CounterVec
	HellosRefused     *prometheus.CounterVec
	MembersUp         *prometheus.GaugeVec
	MemberContact     *prometheus.GaugeVec
	MemberPutOut      *prometheus.GaugeVec
	ForeignAnswers    *prometheus.CounterVec
}

// New returns metrics that are registered with r.
func New(r prometheus.Registerer) *Metrics {
	register := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return register.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, label, help string) *prometheus.CounterVec {
		return register.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return register.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name string, buckets []float64, help string) prometheus.Histogram {
		return register.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	seconds := prometheus.ExponentialBuckets(0.0001, 2, 16) // 0.1 ms to 3.3 s
	m := &Metrics{
		Events: counters("laurel_events_total", "result",
			"Events that this frontend proposed as master, by result: applied, duplicate, or the code of the refusal."),
		EntryEvents: histogram("laurel_gathered_events", prometheus.ExponentialBuckets(1, 2, 11),
			"Events in one batch: one entry of the log, or one call to the master."),
		Commit: histogram("laurel_commit_seconds", seconds,
			"Time from proposing an entry until it was committed and applied, at the master."),
		Release: histogram("laurel_release_seconds", seconds,
			"Time from a commit until every frontend that may answer had it, at the master."),
		DiskWrite: histogram("laurel_log_write_seconds", seconds,
			"Time of one write of the Raft log or of Raft's vote, including the wait for the disk."),
		Retries: counter("laurel_post_retries_total",
			"Attempts to post that were repeated because the master was lost or missing."),
		Forwarded: counter("laurel_posts_forwarded_total", "Posts that were forwarded to the master."),
		OutcomesRefused: counters("laurel_outcomes_refused_total", "reason",
			"Outcomes of posts in a sworn group that the master told this frontend and that it did not pass on, by "+
				"reason: contradicted, its own state has something else; late, its state did not get so far in time."),
		Rounds: counter("laurel_confirm_rounds_total",
			"Rounds in which this master asked the voters whether it is still the master."),
		Polls: counters("laurel_polls_total", "outcome",
			"Answers polled in pull mode, by outcome: new, same, changed, gone, failed."),
		PulledAge: histogram("laurel_pulled_age_seconds", prometheus.ExponentialBuckets(0.01, 2, 12),
			"Age of the answers given from memory in pull mode."),
		Epochs: counter("laurel_epochs_total", "Epochs in which this frontend began to serve as master."),
		Releases: counters("laurel_releases_total", "waited",
			"Entries released at this master, by what they waited for: "+
				"the acks of the frontends, or the lease of a silent one."),
		PeerRefused: counters("laurel_peer_refused_total", "reason",
			"Connections and requests between members that were refused, "+
				"or given up because the other end was another member, by reason."),
		TokensRefused: counters("laurel_forwarded_tokens_refused_total", "reason",
			"Tokens of posts that another member forwarded to this master, and that were refused, by reason."),
		RaftRefused: counters("laurel_raft_refused_total", "reason",
			"Raft messages of other members that were refused, by reason."),
		SnapshotsReceived: counters("laurel_snapshots_received_total", "outcome",
			"Snapshots that a master sent to this frontend, by outcome: installed, known, failed."),
		StreamsLost: counter("laurel_streams_lost_total", "Streams from this master to a frontend that were lost."),
		LeasesWithheld: counters("laurel_leases_withheld_total", "member",
			"Times that this master withheld the next lease of a frontend that had delayed writes, by member."),
		HellosRefused: counters("laurel_hello_refused_total", "reason",
			"Streams of a master that were refused, by reason. Two masters of one epoch are a fault of the group; "+
				"the other reasons may occur while the master changes."),
		MembersUp: gauges("laurel_member_up",
			"1 if another member of the group answers this frontend, else 0, by member.", "member"),
		MemberContact: gauges("laurel_member_last_contact_seconds",
			"Time since another member of the group last answered this frontend, "+
				"or since this frontend started, by member.", "member"),
		MemberPutOut: gauges("laurel_member_put_out",
			"1 while this frontend takes nothing that another one of its sworn group begins, by member and reason.",
			"member", "reason"),
		ForeignAnswers: counters("laurel_foreign_answers_total", "member",
			"Times that another instance, or a member of another group, answered at the peer address of a member."),
	}
	m.exportFromTheStart()
	return m
}

// exportFromTheStart makes the series of which rates are taken before they have counted.
func (m *Metrics) exportFromTheStart() {
	m.applied = m.Events.WithLabelValues(score.Applied)
	for _, reason := range []string{Contradicted, Late} {
		m.OutcomesRefused.WithLabelValues(reason)
	}
	for _, outcome := range []string{snapshots.Installed, snapshots.Known, snapshots.Failed} {
		m.SnapshotsReceived.WithLabelValues(outcome)
	}
}

// CountResults counts events by their results.
func (m *Metrics) CountResults(results []score.Result) {
	for i := range results {
		switch r := &results[i]; {
		case r.Problem != nil:
			m.Events.WithLabelValues(string(r.Problem.Code)).Inc()
		case r.Status == score.Applied:
			m.applied.Inc()
		default:
			m.Events.WithLabelValues(r.Status).Inc()
		}
	}
}
