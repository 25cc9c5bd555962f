package cluster

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"laurel/cache"
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
	m.registerLogGauges(gauge)
	m.registerDiskGauges(gauge)
	gauge("laurel_draining", "1 while this frontend is draining.",
		func() float64 { return oneIf(m.draining.Load()) })
	gauge("laurel_group_format", "Format of the group: of its log, snapshots and settings.",
		func() float64 { return float64(m.machine.Access().Settings.Format()) })
	promauto.With(m.opts.Metrics).NewGauge(prometheus.GaugeOpts{
		Name: "laurel_build_info", Help: "Always 1; the labels are the version of laurel and of Go.",
		ConstLabels: prometheus.Labels{"version": m.opts.Version, "goversion": runtime.Version()},
	}).Set(1)
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
	gauge("laurel_master", "1 if this frontend is the master.",
		func() float64 { return oneIf(m.leadership() != nil) })
}

// oneIf returns 1 for true and 0 for false, as a gauge has it.
func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// registerLogGauges registers the gauges of the log and its snapshots.
func (m *Member) registerLogGauges(gauge func(name, help string, f func() float64)) {
	gauge("laurel_log_index", "Index of the last entry in this frontend's log.",
		func() float64 { return float64(m.raft.LastIndex()) })
	gauge("laurel_log_bytes", "Size of this frontend's log on the disk.",
		func() float64 { return float64(m.storage.Log.Bytes()) })
	gauge("laurel_log_entries", "Entries of this frontend's log.",
		func() float64 { return float64(m.storage.Log.Entries()) })
	gauge("laurel_log_short", "1 if this frontend's log does not reach back to the last round that it has cosigned.",
		func() float64 { return oneIf(m.storage.Short()) })
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
}

// registerDiskGauges registers the gauges of the room on the disk.
func (m *Member) registerDiskGauges(gauge func(name, help string, f func() float64)) {
	gauge("laurel_disk_free_bytes", "Room on the file system of the data directory; -1 if it is not known.",
		func() float64 {
			if state := m.disk.Look(); state != nil {
				return float64(state.Free)
			}
			return -1
		})
	gauge("laurel_disk_need_bytes", "Room that log, snapshot and database of this frontend may need.",
		func() float64 { return float64(m.storage.DiskNeeds().Most) })
	gauge("laurel_disk_room", "1 if the disk of this frontend has room for posts, or that is not known, else 0.",
		func() float64 {
			if state := m.disk.Look(); state != nil && !state.Room {
				return 0
			}
			return 1
		})
	gauge("laurel_disk_reserve_bytes",
		"Room that is kept aside, so that this frontend can go on and start while its disk is full.",
		func() float64 { return float64(m.storage.Reserve().Size()) })
}

// count returns a count of the leadership since the election; 0 at a member that was not
// elected.
func (r *replica) count(f func(*cache.Master) int) (n float64) {
	if l := r.elected.Load(); l != nil {
		l.push.Read(func(m *cache.Master, _ time.Duration) { n = float64(f(m)) })
	}
	return n
}
