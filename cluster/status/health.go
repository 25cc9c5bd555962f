package status

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"laurel/cluster/autopilot"
	"laurel/cluster/peer"
	"laurel/score"
)

// Health watches how the group is, and finds who is dead. It is safe for concurrent use.
type Health struct {
	Source  *Source
	Reports *Reports
	Policy  func() autopilot.Policy
	// Epoch returns the epoch in which this member serves as the master; 0 if it does not.
	Epoch func() uint64
	// Sworn reports whether the group is sworn: its operators alone remove members, because nobody
	// takes a single frontend's word for it.
	Sworn func() bool
	// Remove removes a dead member, at the master. It is called on a goroutine that Go starts, and
	// not again before it has returned.
	Remove  func(id raft.ServerID, silent time.Duration)
	Go      func(func())
	Contact *prometheus.GaugeVec // laurel_member_last_contact_seconds, by member
	Logger  *slog.Logger

	started time.Time
	pilot   *autopilot.Pilot

	removing atomic.Bool

	mu     sync.Mutex
	at     time.Time // of last
	last   autopilot.Health
	policy autopilot.Policy // by which last was judged

	advised map[raft.ServerID]bool // dead members that the log has named, in the epoch
	epoch   uint64
	shown   map[string]bool // members that Contact has
}

// NewHealth returns h after setting it up. patience is that of autopilot.New.
func NewHealth(h *Health, patience time.Duration) *Health {
	h.pilot, h.started = autopilot.New(patience), time.Now()
	h.advised, h.shown = map[raft.ServerID]bool{}, map[string]bool{}
	return h
}

// Run judges how the group is now. It is called after each poll.
func (h *Health) Run() {
	o, policy := h.observe(), h.Policy()
	now := h.pilot.Observe(o, policy)
	i := slices.IndexFunc(now.Members, func(m autopilot.Member) bool { return m.ID == now.Remove })
	if i >= 0 && h.Sworn() {
		now.Members[i].Kept, now.Remove = keptSworn, ""
	}
	h.mu.Lock()
	h.at, h.last, h.policy = o.At, now, policy
	h.mu.Unlock()
	h.measure(&o)
	h.advise(&o, &now)
	if now.Remove != "" && h.removing.CompareAndSwap(false, true) {
		h.Go(func() {
			defer h.removing.Store(false)
			h.Remove(raft.ServerID(now.Remove), o.At.Sub(now.Members[i].Heard))
		})
	}
}

const keptSworn = "the group is sworn, and its operators alone remove members"

func (h *Health) observe() autopilot.Observation {
	r := h.Source.Raft
	master, _ := r.LeaderWithID()
	term := r.CurrentTerm()
	o := autopilot.Observation{
		At: time.Now(), Epoch: h.Epoch(), Log: r.LastIndex(), Heard: map[string]time.Time{},
		Reports: map[string]autopilot.Report{},
	}
	for _, s := range peer.Servers(r) {
		id := string(s.ID)
		o.Servers = append(o.Servers, autopilot.Server{ID: id, Voter: s.Suffrage == raft.Voter})
		if s.ID == h.Source.Self {
			o.Reports[id] = autopilot.Report{Follows: master != "", Log: r.LastIndex()}
			continue
		}
		last, heard, fresh := h.Reports.heardOf(s.ID)
		if !heard.IsZero() {
			o.Heard[id] = heard
		}
		if !fresh {
			continue
		}
		report := autopilot.Report{
			Follows: master != "" && last.Master == string(master) && last.Term == term,
			Log:     last.LogIndex, Whole: last.Whole, Heard: map[string]time.Time{},
		}
		for other, ms := range last.Heard {
			report.Heard[other] = heard.Add(-time.Duration(max(ms, 0)) * time.Millisecond)
		}
		o.Reports[id] = report
		if s.Address == master {
			o.Log = max(o.Log, last.LogIndex)
		}
	}
	return o
}

// measure shows when this member has last heard each other one.
func (h *Health) measure(o *autopilot.Observation) {
	gone := h.shown
	h.shown = map[string]bool{}
	for _, s := range o.Servers {
		if s.ID == string(h.Source.Self) {
			continue
		}
		heard, known := o.Heard[s.ID]
		if !known {
			heard = h.started
		}
		id := peer.MemberID(raft.ServerID(s.ID))
		h.Contact.WithLabelValues(id).Set(o.At.Sub(heard).Seconds())
		h.shown[id] = true
		delete(gone, id)
	}
	for id := range gone {
		h.Contact.DeleteLabelValues(id)
	}
}

// advise logs, once in an epoch of this member, which dead members stay until an operator
// removes them.
func (h *Health) advise(o *autopilot.Observation, now *autopilot.Health) {
	if o.Epoch != h.epoch {
		clear(h.advised)
		h.epoch = o.Epoch
	}
	for _, m := range now.Members {
		id := raft.ServerID(m.ID)
		if m.Kept == "" || m.Soon || h.advised[id] {
			continue
		}
		h.advised[id] = true
		h.Logger.Warn("a dead frontend is still in the group; remove it with laurel cluster leave, or replace it",
			"member", peer.MemberID(id), "silent", o.At.Sub(m.Heard).Round(time.Second), "kept", m.Kept)
	}
}

// Removes reports whether the last judgement has the master remove a member, and was made by
// the present settings of a group with these servers. Who is about to remove the member asks
// while nobody else can change the group.
func (h *Health) Removes(id raft.ServerID, servers []raft.Server) bool {
	policy := h.Policy()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last.Remove == string(id) && h.policy == policy &&
		slices.EqualFunc(h.last.Members, servers, func(m autopilot.Member, s raft.Server) bool {
			return m.ID == string(s.ID) && m.Voter == (s.Suffrage == raft.Voter)
		})
}

// Last returns the last judgement, and when it was made.
func (h *Health) Last() (last autopilot.Health, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last, h.at
}

// tolerance returns the number of voters that may be lost while the group goes on: 0 without
// a master.
func (h *Health) tolerance() int {
	if master, _ := h.Source.Raft.LeaderWithID(); master == "" {
		return 0
	}
	last, _ := h.Last()
	return last.Tolerance
}

// Register registers gauges of the health.
func (h *Health) Register(r prometheus.Registerer) {
	gauge := func(name, help string, f func() float64) {
		promauto.With(r).NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	gauge("laurel_failure_tolerance", "Voters that may be lost while the group goes on, as this frontend sees it.",
		func() float64 { return float64(h.tolerance()) })
	gauge("laurel_healthy", "1 if all members of the group are healthy, as this frontend sees them, else 0.",
		func() float64 {
			if last, _ := h.Last(); last.Healthy() {
				return 1
			}
			return 0
		})
	gauge("laurel_dead_members", "Members that no member that answers has heard for the time of clean_up_after.",
		func() float64 { last, _ := h.Last(); return float64(last.Dead()) })
}

// Silent returns for how long no member that answers has heard a member; 0 if this one does not
// know it yet.
func (h *Health) Silent(id raft.ServerID) time.Duration {
	last, at := h.Last()
	for _, m := range last.Members {
		if m.ID == string(id) {
			return max(at.Sub(m.Heard), 0)
		}
	}
	return 0
}

// Show adds how the members are to f.
func (h *Health) Show(f *score.Frontends) {
	last, at := h.Last()
	f.FailureTolerance = h.tolerance()
	for _, m := range last.Members {
		i := slices.IndexFunc(f.Frontends, func(e score.Frontend) bool {
			return e.ID == peer.MemberID(raft.ServerID(m.ID))
		})
		if i < 0 {
			continue
		}
		e := &f.Frontends[i]
		e.Healthy, e.Dead = m.Healthy && e.State != score.Unreachable, m.Dead
		e.LastContactMS = max(at.Sub(m.Heard), 0).Milliseconds()
	}
}

// Autopilot returns how the members are, and which of them are to be removed.
func (h *Health) Autopilot() score.Autopilot {
	last, at := h.Last()
	policy := h.Policy()
	a := score.Autopilot{
		CleanUpAfter: score.FormatDuration(policy.CleanUpAfter), MinVoters: policy.MinVoters,
		Stabilize: score.FormatDuration(policy.Stabilize), Healthy: last.Healthy(), FailureTolerance: h.tolerance(),
		Members: []score.AutopilotMember{},
	}
	for _, m := range last.Members {
		e := score.AutopilotMember{
			ID: peer.MemberID(raft.ServerID(m.ID)), Voter: m.Voter, Healthy: m.Healthy, Dead: m.Dead, Kept: m.Kept,
			LastContactMS: max(at.Sub(m.Heard), 0).Milliseconds(),
		}
		if m.Healthy {
			e.HealthyMS = max(at.Sub(m.Since), 0).Milliseconds()
		}
		a.Members = append(a.Members, e)
	}
	return a
}
