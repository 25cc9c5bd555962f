package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cluster/enroll"
	"laurel/cluster/peer"
	"laurel/score"
)

const (
	// askEvery is how often a member asks each other one for its status, at a time scale of 1.
	askEvery = 250 * time.Millisecond
	// silence is after how long without an answer a member is called unreachable.
	silence = 4 * askEvery
)

// peerStatus is what a member says of itself.
type peerStatus struct {
	Member   raft.ServerID `json:"member"`
	URL      string        `json:"url"`
	Term     uint64        `json:"term"`
	Leads    bool          `json:"leads"`
	Master   string        `json:"master"` // the peer address of the master it knows
	State    string        `json:"state"`
	Revision uint64        `json:"revision"`
	Applied  uint64        `json:"applied"`
	Pushed   uint64        `json:"pushed"`
	Released uint64        `json:"released"`
	LeaseMS  int64         `json:"lease_ms"` // what is left of the lease, 0 without one
	Load     score.Load    `json:"load"`
	Joined   bool          `json:"joined"` // it has been a member of its group, and may have been removed since
	enroll.Certificates
	// Asker is the place of the member that asks; only a master says it.
	Asker *place `json:"asker,omitzero"`
	// Roster says whether the member that asks is in the group; see learnRemoval.
	Roster *listing `json:"roster,omitzero"`
}

// place is what a member has in the group's committed configuration: nothing, before it has joined and after it was removed.
type place struct {
	Peer  string `json:"peer,omitzero"`
	Voter bool   `json:"voter,omitzero"`
}

// status answers another member; from is that member's server id, "" if it is not known.
func (m *Member) status(from string) peerStatus {
	addr, _ := m.raft.LeaderWithID()
	s := peerStatus{Member: m.self, URL: m.opts.URL, Term: m.raft.CurrentTerm(), Master: string(addr), State: score.Serving,
		Revision: m.machine.Revision(), Applied: m.machine.Applied(), Joined: m.storage.Joined()}
	state := m.frontend.State()
	s.Pushed, s.Released, s.LeaseMS = state.Pushed, state.Released, ceilMS(state.Lease)
	if load := m.load.Load(); load != nil {
		s.Load = (*load)()
	}
	if addr == "" {
		s.State = score.Starting
	}
	s.Certificates = enroll.CertificatesOf(m.opts.Identity)
	lead := m.leads()
	s.Leads = lead != nil
	if from != "" {
		l := m.listing(raft.ServerID(from))
		s.Roster = &l
		if lead != nil {
			s.Asker = m.placeOf(lead, raft.ServerID(from))
		}
	}
	return s
}

func ceilMS(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// placeOf is nil for one whose place is being decided on: it is being taken in, or out.
func (m *Member) placeOf(lead *leadership, id raft.ServerID) *place {
	if s, ok := lead.member(id); ok {
		return &place{Peer: string(s.Address), Voter: s.Suffrage == raft.Voter}
	}
	if slices.ContainsFunc(m.servers(), func(s raft.Server) bool { return s.ID == id }) {
		return nil
	}
	return &place{}
}

func (m *Member) servers() []raft.Server {
	config := m.raft.GetConfiguration()
	if config.Error() != nil {
		return nil
	}
	return config.Configuration().Servers
}

// reported reports whether a majority of the voters of r's configuration last said that their
// term is at least so high. What a voter said long ago does not count.
func (n *neighbours) reported(r *raft.Raft, atLeast uint64) bool {
	voters := peer.Voters(r)
	agree := 0
	for _, v := range voters {
		if said, fresh := n.last(v.ID); fresh && said.Term >= atLeast {
			agree++
		}
	}
	return agree*2 > len(voters)
}

// neighbours keeps what the other members last said.
type neighbours struct {
	member             *Member
	ask                chan struct{}
	mu                 sync.Mutex
	heard              map[raft.ServerID]heard
	place              *place // this member's own, as a master last said; nil if none has
	absent             map[raft.ServerID]absence
	listed             time.Time       // when a member last said that this one is in the group, or the start
	over               sync.Once       // see wasRemoved
	doubted, doubtSaid []raft.ServerID // see doubt
}

type heard struct {
	peerStatus
	at time.Time
	// refused is true if a connection to the member was refused since: no process listens there.
	refused bool
}

func newNeighbours(m *Member) *neighbours {
	return &neighbours{member: m, ask: make(chan struct{}, 1), heard: map[raft.ServerID]heard{}, absent: map[raft.ServerID]absence{}, listed: time.Now()}
}

func (n *neighbours) askNow() {
	select {
	case n.ask <- struct{}{}:
	default:
	}
}

func (n *neighbours) run() {
	tick := time.NewTicker(n.member.scaled(askEvery))
	defer tick.Stop()
	for {
		select {
		case <-n.member.ctx.Done():
			return
		case <-tick.C:
		case <-n.ask:
		}
		n.askAll()
	}
}

func (n *neighbours) askAll() {
	m := n.member
	ctx, cancel := context.WithTimeout(m.ctx, m.scaled(askEvery))
	defer cancel()
	var asked sync.WaitGroup
	for _, s := range m.servers() {
		if s.ID == m.self {
			continue
		}
		asked.Go(func() {
			status, err := m.statusOf(ctx, string(s.Address))
			if errors.Is(err, syscall.ECONNREFUSED) {
				n.connectionRefused(s.ID)
			}
			if status.Member != s.ID {
				return
			}
			n.notes(s.ID, status.Roster)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.heard[s.ID] = heard{peerStatus: status, at: time.Now()}
			n.mu.Unlock()
			if status.Leads && status.Asker != nil && status.Term >= m.raft.CurrentTerm() {
				n.learnPlace(*status.Asker)
			}
		})
	}
	asked.Wait()
	m.learnRemoval()
}

// learnPlace keeps a master's word for this member's place. It only makes this member ask for
// another one; see announce.
func (n *neighbours) learnPlace(p place) {
	n.mu.Lock()
	n.place = &p
	n.mu.Unlock()
}

// ownPlace is nil if no master has said it yet.
func (n *neighbours) ownPlace() *place {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.place
}

// connectionRefused records that no process listens at a member's address. It is unreachable at once,
// without waiting for silence to pass.
func (n *neighbours) connectionRefused(id raft.ServerID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h, ok := n.heard[id]; ok {
		h.refused = true
		n.heard[id] = h
	}
}

func (n *neighbours) last(id raft.ServerID) (heard, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h, ok := n.heard[id]
	return h, ok && time.Since(h.at) < n.member.scaled(silence)
}

// masters are the peer addresses that the others take for the master's.
func (n *neighbours) masters() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for _, h := range n.heard {
		if h.Master != "" {
			list = append(list, h.Master)
		}
	}
	return list
}

// Frontends is the group as this member sees it.
func (m *Member) Frontends() score.Frontends {
	addr, master := m.raft.LeaderWithID()
	f := score.Frontends{Mode: m.CacheMode(), Epoch: m.raft.CurrentTerm(), Frontends: []score.Frontend{}}
	for _, s := range m.servers() {
		id := memberID(s.ID)
		e := score.Frontend{ID: id, Peer: string(s.Address), Voter: s.Suffrage == raft.Voter, Master: addr != "" && s.ID == master, State: score.Unreachable}
		if e.Master {
			f.Master = id
		}
		if s.ID == m.self {
			m.status("").show(&e)
		} else if h, fresh := m.neighbour.last(s.ID); fresh && !h.refused {
			h.show(&e)
		} else {
			e.URL, e.Revision = h.URL, h.Revision
		}
		f.Frontends = append(f.Frontends, e)
	}
	return f
}

func (s peerStatus) show(e *score.Frontend) {
	e.URL, e.State, e.Revision, e.Pushed, e.Released, e.LeaseMS, e.Leased = s.URL, s.State, s.Revision, s.Pushed, s.Released, s.LeaseMS, s.LeaseMS > 0
	e.Watchers, e.Reads = s.Load.Watchers, s.Load.Reads
}
