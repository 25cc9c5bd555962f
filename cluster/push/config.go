package push

import (
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache"
	"laurel/cluster/peer"
	"laurel/fsm"
)

// Config is what the two ends need of their member.
type Config struct {
	Self      raft.ServerID
	Raft      *raft.Raft
	Log       Log
	Machine   *fsm.Machine
	Frontend  *cache.Frontend
	Port      *peer.Port
	Transport *peer.Transport
	Clock     func() time.Duration
	Timings   cache.Timings
	Mutation  cache.Mutation // for tests of the protocol
	// Scale stretches a time limit by the member's time scale.
	Scale func(time.Duration) time.Duration
	// Go runs a function on a goroutine that the member waits for when it closes.
	Go      func(func())
	Stopped <-chan struct{} // closed when Raft has stopped
	Metrics *Metrics
	Logger  *slog.Logger
}

// Log reads Raft's log.
type Log interface {
	GetLog(index uint64, to *raft.Log) error
}

// Metrics counts what the streams do.
type Metrics struct {
	streamsLost    prometheus.Counter
	leasesWithheld *prometheus.CounterVec
	hellosRefused  *prometheus.CounterVec
}

// NewMetrics registers the metrics at r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		streamsLost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "laurel_streams_lost_total",
			Help: "Streams from this master to a frontend that were lost.",
		}),
		leasesWithheld: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "laurel_leases_withheld_total",
			Help: "Times that this master withheld the next lease of a frontend that had delayed writes, by member.",
		}, []string{"member"}),
		hellosRefused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "laurel_hello_refused_total",
			Help: "Streams of a master that were refused, by reason. " +
				"Two masters of one epoch are a fault of the group; " +
				"the other reasons may occur while the master changes.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{helloOtherPeer, helloOtherScale, helloNotLeader, helloStale, helloTwoMasters} {
		m.hellosRefused.WithLabelValues(reason) // exported from the start
	}
	r.MustRegister(m.streamsLost, m.leasesWithheld, m.hellosRefused)
	return m
}
