package cluster

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"laurel/cache"
	"laurel/cluster/internal/durable"
)

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

// count returns a count of the leadership since the election; 0 at a member that was not
// elected.
func (r *replica) count(f func(*cache.Master) int) (n float64) {
	if l := r.elected.Load(); l != nil {
		l.push.Read(func(m *cache.Master, _ time.Duration) { n = float64(f(m)) })
	}
	return n
}
