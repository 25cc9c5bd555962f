package cache

import (
	"fmt"
	"slices"
	"time"
)

// Master is a master's side of the push protocol in one epoch. It is not safe for concurrent use. Each call takes the present reading of the
// master's clock; what is to be sent, Outbox gives.
type Master struct {
	rules   Mutation
	timings Timings
	id      string
	epoch   uint64
	members map[string]*member
	outbox  []Outgoing

	round   uint64
	rounds  []round       // that may still give a lease, the oldest first
	end     time.Duration // of the master's own lease; 0 for none
	settled time.Duration // when the leases of the voters before the present ones are over
	nextAt  time.Duration // of the next beat

	ready    bool // everything committed before this epoch is applied
	serving  bool // and no older lease stands
	granting bool
	handing  handing
	pushed   uint64
	released uint64
	held     map[string]struct{} // the keys of records that some frontend has asked for

	awaited  []waiting     // revisions that a majority of the voters has acked, not released, the oldest first
	charged  time.Duration // up to when delays of writes are charged
	withheld []Penalty     // not told yet
}

// maxHeld bounds what a master remembers of its frontends' caches. At the bound it forgets all: records are then named when they change, and held
// again when somebody asks for them.
const maxHeld = 1 << 16

// member is a member of the group, voter or not, in the latest configuration.
type member struct {
	id       string
	voter    bool
	stream   uint64 // the present one, 0 for none
	welcome  bool   // the stream's Hello was answered
	started  bool   // its session has begun
	answered bool   // to a Hello of this epoch, ever
	old      time.Duration
	pushed   uint64        // P
	waits    []waiting     // pushes not acked, the oldest first
	until    time.Duration // writes wait for it so long, by the master's longer count; 0 if it has no lease
	recalled bool          // has not answered a Recall
	leaving  bool          // gets no new lease: it is to be removed
	gone     bool          // it is in the configuration no more
	retired  bool
	blocks   bool // the oldest revision that a majority has acked waits for it
	conduct  conduct
}

type waiting struct {
	to uint64
	at time.Duration
}

type round struct {
	number uint64
	sent   time.Duration
	agreed time.Duration // when a majority of the voters had acked it; 0 for not yet
	acked  map[string]bool
}

// Member names a member of the latest configuration.
type Member struct {
	ID    string
	Voter bool
}

// Out is a message and the stream that it goes to.
type Outgoing struct {
	Member  string
	Stream  uint64
	Message Message
}

// NewMaster begins an epoch of the member that id names. The epoch is the Raft term in which it was elected. It serves once Ready was called and the older leases are
// over. Granting tells whether the group is in push mode.
func NewMaster(id string, epoch uint64, members []Member, t Timings, granting bool, rules Mutation) *Master {
	m := &Master{rules: rules, timings: t, id: id, epoch: epoch, members: map[string]*member{}, granting: granting, held: map[string]struct{}{}}
	m.SetMembers(members, 0)
	return m
}

// SetMembers tells the latest configuration. One that is not in it any more is forgotten, but not before its lease is over.
func (m *Master) SetMembers(list []Member, now time.Duration) {
	moved := false
	for _, one := range list {
		if known := m.members[one.ID]; known != nil {
			moved = moved || known.voter != one.Voter
			if known.voter = one.Voter; known.gone {
				known.gone, known.leaving = false, false
			}
			continue
		}
		moved = moved || one.Voter
		m.members[one.ID] = &member{id: one.ID, voter: one.Voter}
	}
	for id, known := range m.members {
		if slices.ContainsFunc(list, func(one Member) bool { return one.ID == id }) {
			continue
		}
		moved = moved || known.voter
		known.voter, known.leaving, known.gone = false, true, true
	}
	if moved {
		m.settled = max(m.settled, m.end)
		for _, one := range m.members {
			m.settled = max(m.settled, one.until)
		}
	}
	m.advance(now)
}

// Settled tells whether the voters may be changed now. A later master asks a majority of the latest voters for older leases. That has a voter in
// common with any majority of the voters before their last change, but not of those before the last two: so no lease that the first of the three
// gave may stand when the second change begins, even if both are committed within the time of a lease.
func (m *Master) CanChangeVoters(now time.Duration) bool { return m.serving && m.settled <= now }

// Outbox is what is to be sent now, in order for each stream. It empties the box.
func (m *Master) Outbox() []Outgoing {
	out := m.outbox
	m.outbox = nil
	return out
}

func (m *Master) send(to *member, msg Message) {
	if to.stream != 0 {
		m.outbox = append(m.outbox, Outgoing{to.id, to.stream, msg})
	}
}

// each calls f for the members in the order of their ids, so that equal inputs give equal messages.
func (m *Master) each(f func(*member)) {
	ids := make([]string, 0, len(m.members))
	for id := range m.members {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		f(m.members[id])
	}
}

// Opened tells that there is a stream to a member. Its number is higher than those before. It takes the place of an older one.
func (m *Master) StreamOpened(id string, stream uint64, now time.Duration) {
	if one := m.members[id]; one != nil {
		one.lose()
		one.stream = stream
		m.send(one, &Hello{m.epoch, m.timings.Lease, m.id})
		m.release(now)
	}
}

// Lost tells that a stream has ended. Writes wait for the lease of its session as long as it may last.
func (m *Master) StreamLost(id string, stream uint64, now time.Duration) {
	if one := m.members[id]; one != nil && one.stream == stream {
		one.lose()
		m.release(now)
	}
}

func (one *member) lose() {
	one.stream, one.welcome, one.started, one.recalled, one.pushed, one.waits = 0, false, false, false, 0, nil
	one.conduct.round = 0
}

// Receive takes in a message of a member. After an error its stream must be closed. One of a stream that is lost has no effect. Now must have been read
// after the message came: leases are counted from it.
func (m *Master) Receive(id string, stream uint64, msg Message, now time.Duration) error {
	one := m.members[id]
	if one == nil || one.stream != stream {
		return nil
	}
	switch msg := msg.(type) {
	case *Welcome:
		m.welcomed(one, msg, now)
	case *Ack:
		m.acked(one, msg, now)
	case *Returned:
		if one.recalled {
			one.recalled, one.until = false, 0
		}
	case *Retired:
		one.retired = one.retired || msg.Round == m.handing.round
	default:
		return fmt.Errorf("a frontend does not send %T", msg)
	}
	m.advance(now)
	return nil
}

// welcomed notes until when a lease may last that an older master granted on this frontend's acks.
func (m *Master) welcomed(one *member, w *Welcome, now time.Duration) {
	if one.welcome {
		return
	}
	one.welcome, one.answered = true, true
	one.old = now - shorter(w.Age) + longer(longer(m.timings.Lease))
	if w.NoLease {
		one.old = now
	}
	if m.serving {
		m.begin(one)
	}
}

// Ready tells that everything committed before this epoch is applied here, up to a revision.
func (m *Master) Ready(revision uint64, now time.Duration) {
	if !m.ready {
		m.ready, m.pushed, m.released = true, revision, revision
		m.advance(now)
	}
}

// Tick lets time pass. It returns when it wants to be called again, at the latest.
func (m *Master) Tick(now time.Duration) time.Duration {
	if now >= m.nextAt && !m.handing.under {
		m.beat(now)
	}
	m.advance(now)
	next := m.nextAt
	if m.handing.under {
		next = now + m.timings.Beat // there are no rounds meanwhile
	}
	for _, one := range m.members {
		if one.until > now {
			next = min(next, one.until)
		}
		if !m.serving && one.answered && one.old > now {
			next = min(next, one.old)
		}
	}
	return next
}

// advance does what has become possible.
func (m *Master) advance(now time.Duration) {
	for id, one := range m.members {
		if one.gone && !one.holds(now) {
			delete(m.members, id)
		}
	}
	m.serve(now)
	m.release(now)
	m.retire(now)
}

// serve begins to serve when no lease of an older master can stand: each stood on the acks of a majority, which has a voter in common
// with any majority that has answered here.
func (m *Master) serve(now time.Duration) {
	if m.serving || !m.ready {
		return
	}
	voters, free := 0, 0
	for _, one := range m.members {
		if !one.voter {
			continue
		}
		voters++
		if one.answered && (one.old <= now || m.rules.has(MutationSkipLeaseWait)) {
			free++
		}
	}
	if free*2 <= voters {
		return
	}
	m.serving = true
	m.each(func(one *member) {
		if one.welcome {
			m.begin(one)
		}
	})
}

// begin begins a session: it starts with all that has been pushed until now, and is pushed what comes.
func (m *Master) begin(one *member) {
	one.started, one.pushed, one.waits = true, 0, nil
	m.send(one, &Start{At: m.pushed, Released: m.released})
}

// Push takes in the changes of the revisions that follow on those pushed, up to to. In pull mode there is nothing to push them to.
func (m *Master) Push(records []Record, stale []string, to uint64, now time.Duration) {
	if !m.ready || to <= m.pushed {
		return
	}
	p := &Push{From: m.pushed, To: to, Records: records, Stale: stale, Released: m.released}
	m.pushed = to
	m.each(func(one *member) {
		if one.started && m.granting {
			one.waits = append(one.waits, waiting{to, now})
			m.send(one, p)
		}
	})
	m.release(now)
}

// Held tells whether some frontend has asked for a record in this epoch. Its new values are to be pushed; of others it is enough to name them.
func (m *Master) Held(key string) bool {
	_, ok := m.held[key]
	return ok
}

func (m *Master) hold(keys []string) {
	for _, key := range keys {
		if len(m.held) >= maxHeld {
			clear(m.held)
		}
		m.held[key] = struct{}{}
	}
}

// Released is R: what readers may see, and bards may be told. It is 0 until the master serves: what Ready brought may have events of this epoch,
// and while an older lease stands a frontend may still answer without them.
func (m *Master) Released() uint64 {
	if !m.serving {
		return 0
	}
	return m.released
}

// Serving tells whether older leases are over and everything committed before is here.
func (m *Master) Serving() bool { return m.serving }

// SetGranting switches between push, which grants leases, and pull, which does not. Calm tells when the leases are back.
func (m *Master) SetGranting(on bool, now time.Duration) {
	if on == m.granting {
		return
	}
	m.granting = on
	m.each(func(one *member) {
		switch {
		case !on:
			m.recall(one)
		case one.started:
			m.begin(one) // it has been told nothing since
		}
	})
	m.advance(now)
}

// Calm tells whether no frontend has a lease.
func (m *Master) NoLeases(now time.Duration) bool {
	for _, one := range m.members {
		if one.holds(now) {
			return false
		}
	}
	return true
}

// Behind is the most pushes that one member has not acked.
func (m *Master) MaxUnacked() (most int) {
	for _, one := range m.members {
		most = max(most, len(one.waits))
	}
	return most
}
