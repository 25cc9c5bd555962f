package status

import (
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cluster/peer"
)

// missedPolls is the number of polls in a row that a member must miss to be lost: a member
// that starts again at once is not. Time alone would not do, because a member that was
// paused itself has not heard of any other for long.
const missedPolls = 4

// Presence notes which other members answer this one. It logs when one is lost and when it
// is back, once each: at the master as a warning, because the group has lost some of what
// it can bear, and elsewhere at INFO.
type Presence struct {
	Source   *Source
	Reports  *Reports
	Up       *prometheus.GaugeVec // by member
	Every    time.Duration        // between two polls
	Master   func() bool          // reports whether this member is the master
	Stopping func() bool          // reports whether this member is stopping
	Logger   *slog.Logger

	members map[raft.ServerID]*attendance
}

// attendance is how a member has answered.
type attendance struct {
	heard  time.Time // when it last answered, or when it was first expected to
	missed int       // polls in a row
	lost   bool
	warned bool // that it is lost
}

// NewPresence returns p after setting it up.
func NewPresence(p Presence) *Presence {
	p.members = map[raft.ServerID]*attendance{}
	return &p
}

// Run updates the presence of all members. It is called after each poll.
func (p *Presence) Run() {
	current := map[raft.ServerID]bool{}
	ids := map[string]bool{}
	for _, s := range peer.Servers(p.Source.Raft) {
		if s.ID == p.Source.Self {
			continue
		}
		current[s.ID], ids[peer.MemberID(s.ID)] = true, true
		a := p.members[s.ID]
		if a == nil {
			a = &attendance{heard: time.Now()}
			p.members[s.ID] = a
		}
		_, fresh := p.Reports.Last(s.ID)
		p.update(s, a, fresh)
	}
	for id := range p.members {
		if current[id] {
			continue
		}
		delete(p.members, id)
		if name := peer.MemberID(id); !ids[name] {
			p.Up.DeleteLabelValues(name)
		}
	}
}

// update notes whether a member has answered lately.
func (p *Presence) update(s raft.Server, a *attendance, answered bool) {
	id, away := peer.MemberID(s.ID), time.Since(a.heard).Round(time.Millisecond)
	log := p.Logger.With("member", id, "peer", s.Address, "away", away)
	if answered {
		if a.lost {
			log.Info("a frontend answers again")
		}
		*a = attendance{heard: time.Now()}
		p.Up.WithLabelValues(id).Set(1)
		return
	}
	a.missed++
	isLost := a.missed >= missedPolls && away >= missedPolls*p.Every
	if !a.lost && !isLost || p.Stopping() {
		return
	}
	p.Up.WithLabelValues(id).Set(0)
	switch isMaster := p.Master(); {
	case isMaster && !a.warned:
		log.Warn("a frontend does not answer")
		a.warned = true
	case !isMaster && !a.lost:
		log.Info("a frontend does not answer")
	}
	a.lost = true
}
