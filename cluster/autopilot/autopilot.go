// Package autopilot decides which dead members the master should remove from its group. It
// is pure: reports and times in, decisions out.
//
// A member is dead when nobody that answers has heard of it for [Policy.CleanUpAfter]. Of
// the dead, non-voters go first. A voter goes only under rules that keep the group safe:
// see [Pilot.Observe]. Each member runs a [Pilot], because all of them show the health of
// the group, and because the next master is to know what the last one knew.
package autopilot

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Policy is what the settings of the group say.
type Policy struct {
	// CleanUpAfter is the silence after which a member is dead; 0 has nobody removed.
	CleanUpAfter time.Duration
	// MinVoters is the number of voters that stay; 0 has no voter removed.
	MinVoters int
	// Stabilize is for how long the master, and the voters that are to decide without a
	// removed one, must have been well before a removal.
	Stabilize time.Duration
}

// Default is the policy of a group that has set nothing.
var Default = Policy{CleanUpAfter: 72 * time.Hour, Stabilize: 10 * time.Second}

// Server is a member of the configuration.
type Server struct {
	ID    string // id@instance
	Voter bool
}

// Report is what a member that answers has reported lately.
type Report struct {
	// Follows is true if the member knows the same master in the same term as the observer.
	Follows bool
	Log     uint64 // index of the last entry of its log
	// Heard is when it has last heard each other member, by the observer's clock. Members that it
	// has not heard since it started are left out.
	Heard map[string]time.Time
	Whole int // see Health.Whole
}

// Observation is what a member sees of its group.
type Observation struct {
	At      time.Time
	Epoch   uint64 // in which the observer serves as the master; 0 if it does not
	Servers []Server
	Log     uint64 // index of the last entry of the master's log, as far as the observer knows
	// Heard is when the observer has last heard each other member, as in Report.
	Heard   map[string]time.Time
	Reports map[string]Report // of the members that answer, the observer too
}

// Health is how a group is.
type Health struct {
	Members []Member // in the order of the configuration
	// Tolerance is the number of voters that may still be lost while the group goes on.
	Tolerance int
	// Whole is the number of voters when all of them were last healthy together for
	// Stabilize. An observer that has not seen it since it started knows it from the
	// others.
	Whole int
	// Remove is the member that the master should remove now; "" for none.
	Remove string
}

// Healthy reports whether all members are healthy.
func (h *Health) Healthy() bool {
	return !slices.ContainsFunc(h.Members, func(m Member) bool { return !m.Healthy })
}

// Dead returns the number of dead members.
func (h *Health) Dead() (n int) {
	for _, m := range h.Members {
		if m.Dead {
			n++
		}
	}
	return n
}

// Member is how one member is.
type Member struct {
	Server
	Healthy bool
	Since   time.Time // when it became healthy; zero if it is not
	Heard   time.Time // when anybody that answers has last heard it, or when the observer began to wait for it
	Dead    bool      // nobody has heard it for CleanUpAfter
	// Kept says why the master does not remove it although it is dead. Soon is true if that
	// ends by itself.
	Kept string
	Soon bool
}

// Pilot watches a group. It is not safe for concurrent use.
type Pilot struct {
	patience time.Duration
	at       time.Time // of the last observation; zero before the first
	awake    time.Time // since when no two observations were too far apart
	epoch    uint64    // in which the observer last was the master; 0 if it was not
	led      time.Time // when epoch became what it is
	left     time.Time // when a member last left the configuration
	whole    int       // see Health.Whole
	well     time.Time // since when all voters are healthy; zero if they are not
	rested   bool      // they were for Stabilize at some time
	members  map[string]*watched
}

// watched is what a Pilot remembers of a member.
type watched struct {
	first   time.Time // when it was first seen in the configuration
	healthy time.Time // since when it is healthy; zero if it is not
	goal    uint64    // an entry of the master's log that it did not have when last looked at
	goalAt  time.Time // when the master had that entry
	current time.Time // its log has all that the master's had at this time
}

// New returns a Pilot. patience is how far the log of a healthy member may be behind the
// master's. A Pilot that observes nothing for so long was stopped itself, and begins to
// wait anew.
func New(patience time.Duration) *Pilot {
	return &Pilot{patience: patience, members: map[string]*watched{}}
}

// Observe takes in an observation and returns the health of the group. At the master, at
// most one dead member is to be removed, and only if
//
//   - the master has led, and has observed without a pause, for Stabilize. A new master has
//     no recent reports;
//   - no member has left the group within Stabilize;
//
// and a voter only if besides
//
//   - MinVoters is set, and so many voters stay;
//   - more than half of the voters stay that were there when all of them were last
//     healthy. So a group does not shrink to one voter while it is never well;
//   - of those that stay a majority has been healthy for Stabilize, the master included.
func (p *Pilot) Observe(o Observation, policy Policy) Health {
	if p.at.IsZero() || o.At.Sub(p.at) > p.patience {
		p.awake = o.At // nobody is healthy, because the logs were last compared before the pause
	}
	if o.Epoch != p.epoch || p.at.IsZero() {
		p.epoch, p.led = o.Epoch, o.At
	}
	p.forget(o)
	h := Health{Members: make([]Member, len(o.Servers))}
	for i, s := range o.Servers {
		h.Members[i] = p.observe(&o, s)
		h.Members[i].Dead = policy.CleanUpAfter > 0 && o.At.Sub(h.Members[i].Heard) >= policy.CleanUpAfter
	}
	p.count(&o, policy, &h)
	if o.Epoch > 0 {
		p.choose(&o, policy, &h)
	}
	p.at = o.At
	return h
}

// forget forgets the members that have left the configuration.
func (p *Pilot) forget(o Observation) {
	for id := range p.members {
		if !slices.ContainsFunc(o.Servers, func(s Server) bool { return s.ID == id }) {
			delete(p.members, id)
			p.left = o.At
		}
	}
}

// observe returns how one member is.
func (p *Pilot) observe(o *Observation, s Server) Member {
	w := p.members[s.ID]
	if w == nil {
		w = &watched{first: o.At, goal: o.Log, goalAt: o.At, current: o.At}
		p.members[s.ID] = w
	}
	report, answers := o.Reports[s.ID]
	if report.Log >= w.goal {
		w.current, w.goal, w.goalAt = w.goalAt, o.Log, o.At
	}
	switch healthy := answers && report.Follows && o.At.Sub(w.current) <= p.patience; {
	case !healthy:
		w.healthy = time.Time{}
	case w.healthy.IsZero():
		w.healthy = o.At
	}
	m := Member{Server: s, Healthy: !w.healthy.IsZero(), Since: w.healthy, Heard: o.Heard[s.ID]}
	if answers {
		m.Heard = o.At
	}
	for _, r := range o.Reports {
		if at := r.Heard[s.ID]; at.After(m.Heard) {
			m.Heard = at
		}
	}
	if m.Heard.IsZero() {
		m.Heard = w.first
	}
	return m
}

// count sets the tolerance, and notes when all voters are well.
func (p *Pilot) count(o *Observation, policy Policy, h *Health) {
	voters, healthy := 0, 0
	for _, m := range h.Members {
		if !m.Voter {
			continue
		}
		voters++
		if m.Healthy {
			healthy++
		}
	}
	h.Tolerance = max(healthy-majority(voters), 0)
	switch {
	case healthy < voters:
		p.well = time.Time{}
	case p.well.IsZero():
		p.well = o.At
	case o.At.Sub(p.well) >= policy.Stabilize:
		p.whole, p.rested = voters, true
	}
	if p.whole == 0 {
		p.whole = voters
	}
	for _, r := range o.Reports {
		if !p.rested {
			p.whole = max(p.whole, r.Whole)
		}
	}
	h.Whole = p.whole
}

func majority(voters int) int { return voters/2 + 1 }

// choose says which dead member goes and why the others stay.
func (p *Pilot) choose(o *Observation, policy Policy, h *Health) {
	var dead []*Member
	for i := range h.Members {
		if m := &h.Members[i]; m.Dead {
			dead = append(dead, m)
		}
	}
	slices.SortStableFunc(dead, func(a, b *Member) int {
		if a.Voter != b.Voter {
			if b.Voter {
				return -1
			}
			return 1
		}
		return cmp.Or(a.Heard.Compare(b.Heard), cmp.Compare(a.ID, b.ID))
	})
	for _, m := range dead {
		if m.Kept = p.wait(o, policy); m.Kept == "" && h.Remove != "" {
			m.Kept = "one goes at a time"
		}
		if m.Soon = m.Kept != ""; m.Soon {
			continue
		}
		if m.Kept = objection(o, policy, h, m); m.Kept == "" {
			h.Remove = m.ID
		}
	}
}

// wait returns why nobody is to be removed yet; "" if somebody may be.
func (p *Pilot) wait(o *Observation, policy Policy) string {
	for _, wait := range []struct {
		since time.Time
		what  string
	}{{p.awake, "the master has just started to look"}, {p.led, "the master was just elected"},
		{p.left, "another member has just left"}} {
		if o.At.Sub(wait.since) < policy.Stabilize {
			return wait.what
		}
	}
	return ""
}

// objection returns why a dead member is not to be removed; "" if it is.
func objection(o *Observation, policy Policy, h *Health, dead *Member) string {
	if !dead.Voter {
		return ""
	}
	stay, well := 0, 0
	for _, m := range h.Members {
		if !m.Voter || m.ID == dead.ID {
			continue
		}
		stay++
		if m.Healthy && o.At.Sub(m.Since) >= policy.Stabilize {
			well++
		}
	}
	switch {
	case policy.MinVoters == 0:
		return "no voter is removed until min_voters is set"
	case stay < policy.MinVoters:
		return fmt.Sprintf("%d voters would stay, and min_voters is %d", stay, policy.MinVoters)
	case stay < majority(h.Whole):
		return fmt.Sprintf("%d voters would stay, no majority of the %d that were last healthy together", stay, h.Whole)
	case well < majority(stay):
		return fmt.Sprintf("%d of the %d voters that would stay are healthy, no majority", well, stay)
	}
	return ""
}
