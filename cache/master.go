package cache

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Master is a master's side of the push protocol in one epoch. Each call takes the
// present reading of the master's clock; afterwards Outbox returns what is to be sent. It
// is not safe for concurrent use.
//
// Streams, sessions and pushes are here; rounds, acks, leases, releases, handing over and
// removals in lease.go; penalties for members that delay writes in penalty.go.
type Master struct {
	mutation Mutation
	timings  Timings
	id       string
	epoch    uint64
	members  map[string]*member
	outbox   []Outgoing

	round         uint64
	rounds        []round       // those that may still give a lease, the oldest first
	leaseEnd      time.Duration // of the master's own lease; 0 for none
	votersSettled time.Duration // when the leases from before the last change of voters are over
	nextBeat      time.Duration

	ready    bool // everything committed before this epoch is applied
	serving  bool // the master is ready, and no lease of an older epoch is valid
	granting bool
	handover handover
	pushed   uint64
	released uint64
	held     map[string]struct{} // the keys of records that some frontend has asked for

	awaited      []pending     // not released, but acked by a majority of the voters; the oldest first
	chargedUntil time.Duration // delays of writes are charged up to here
	newPenalties []Penalty     // since the last call of NewPenalties
}

// maxHeld bounds Master.held. At the bound the master forgets all: records are then named
// when they change, and held again when somebody asks for them.
const maxHeld = 1 << 16

// member is a member of the group, voter or not, in the latest configuration.
type member struct {
	id           string
	voter        bool
	stream       uint64 // the present stream; 0 for none
	welcomed     bool   // the stream's Hello was answered
	started      bool   // its session has begun
	everWelcomed bool   // it has answered a Hello of this epoch
	// oldLeasesEnd is when the leases of older epochs that depend on its acks are over.
	oldLeasesEnd time.Duration
	pushed       uint64        // P
	unacked      []pending     // pushes, the oldest first
	leaseEnd     time.Duration // writes wait for it until then, by the master's count; 0 for no lease
	recalling    bool          // it has not answered a Recall
	removing     bool          // it gets no new lease, because it is to be removed
	removed      bool          // it is not in the configuration any more
	retired      bool          // it has answered the last Retire
	blocking     bool          // the oldest of the awaited revisions waits for it
	conduct      conduct
}

// pending is a revision that waits since a moment.
type pending struct {
	revision uint64
	since    time.Duration
}

type round struct {
	number   uint64
	sent     time.Duration
	quorumAt time.Duration // when a majority of the voters had acked it; 0 for not yet
	acked    map[string]bool
}

// Member names a member of the latest configuration.
type Member struct {
	ID    string
	Voter bool
}

// Outgoing is a message and the stream that it goes to.
type Outgoing struct {
	Member  string
	Stream  uint64
	Message Message
}

// NewMaster begins an epoch, which is the Raft term in which the member id was elected.
// The master serves once Ready was called and the leases of older epochs are over.
// granting is true if the group is in push mode.
func NewMaster(id string, epoch uint64, members []Member, t Timings, granting bool, mutation Mutation) *Master {
	m := &Master{
		mutation: mutation,
		timings:  t,
		id:       id,
		epoch:    epoch,
		members:  map[string]*member{},
		granting: granting,
		held:     map[string]struct{}{},
	}
	m.SetMembers(members, 0)
	return m
}

// SetMembers sets the latest configuration. A member that is not in it any more is
// forgotten, but not before its lease is over.
func (m *Master) SetMembers(list []Member, now time.Duration) {
	votersChanged := false
	for _, entry := range list {
		mb := m.members[entry.ID]
		if mb == nil {
			mb = &member{id: entry.ID}
			m.members[entry.ID] = mb
		}
		votersChanged = votersChanged || mb.voter != entry.Voter
		mb.voter = entry.Voter
		if mb.removed {
			mb.removed, mb.removing = false, false
		}
	}
	for id, mb := range m.members {
		if slices.ContainsFunc(list, func(entry Member) bool { return entry.ID == id }) {
			continue
		}
		votersChanged = votersChanged || mb.voter
		mb.voter, mb.removing, mb.removed = false, true, true
	}
	if votersChanged {
		m.votersSettled = max(m.votersSettled, m.leaseEnd)
		for _, mb := range m.members {
			m.votersSettled = max(m.votersSettled, mb.leaseEnd)
		}
	}
	m.advance(now)
}

// CanChangeVoters reports whether the voters may be changed now. A later master asks a
// majority of the latest voters for older leases. That majority has a voter in common
// with any majority before the last change of the voters, but not before the last two. So
// no lease that depends on the first set of voters may be left when the second change
// begins.
func (m *Master) CanChangeVoters(now time.Duration) bool { return m.serving && m.votersSettled <= now }

// Outbox empties the outbox and returns it: what is to be sent, in order for each stream.
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

// each calls f for the members in the order of their ids, so that equal inputs give equal
// messages.
func (m *Master) each(f func(*member)) {
	for _, id := range slices.Sorted(maps.Keys(m.members)) {
		f(m.members[id])
	}
}

// majority reports whether a condition holds for a majority of the voters.
func (m *Master) majority(holds func(*member) bool) bool {
	voters, some := 0, 0
	for _, mb := range m.members {
		if mb.voter {
			voters++
			if holds(mb) {
				some++
			}
		}
	}
	return some*2 > voters
}

// dropWhile returns list without the leading elements for which drop is true.
func dropWhile[T any](list []T, drop func(T) bool) []T {
	for len(list) > 0 && drop(list[0]) {
		list = list[1:]
	}
	return list
}

// StreamOpened notes a new stream to a member, which replaces an older one. Its number is
// higher than those before.
func (m *Master) StreamOpened(id string, stream uint64, now time.Duration) {
	if mb := m.members[id]; mb != nil {
		mb.streamLost()
		mb.stream = stream
		m.send(mb, &Hello{m.epoch, m.timings.Lease, m.id})
		m.release(now)
	}
}

// StreamLost notes that a stream has ended. Writes wait for the lease of its session for
// as long as that may last.
func (m *Master) StreamLost(id string, stream uint64, now time.Duration) {
	if mb := m.members[id]; mb != nil && mb.stream == stream {
		mb.streamLost()
		m.release(now)
	}
}

func (mb *member) streamLost() {
	mb.stream, mb.welcomed, mb.started, mb.recalling = 0, false, false, false
	mb.pushed, mb.unacked = 0, nil
	mb.conduct.lastRound = 0
}

// Receive takes in a message of a member. After an error its stream must be closed. A
// message of a stream that is lost has no effect. now must have been read after the
// message came, because leases are counted from it.
func (m *Master) Receive(id string, stream uint64, msg Message, now time.Duration) error {
	mb := m.members[id]
	if mb == nil || mb.stream != stream {
		return nil
	}
	switch msg := msg.(type) {
	case *Welcome:
		m.takeWelcome(mb, msg, now)
	case *Ack:
		m.takeAck(mb, msg, now)
	case *Returned:
		if mb.recalling {
			mb.recalling, mb.leaseEnd = false, 0
		}
	case *Retired:
		mb.retired = mb.retired || msg.Round == m.handover.round
	default:
		return fmt.Errorf("a frontend sent %T, which only masters send", msg)
	}
	m.advance(now)
	return nil
}

// takeWelcome notes how long a lease that depends on the member's older acks may last.
func (m *Master) takeWelcome(mb *member, w *Welcome, now time.Duration) {
	if mb.welcomed {
		return
	}
	mb.welcomed, mb.everWelcomed = true, true
	mb.oldLeasesEnd = now - shorter(w.Age) + longer(longer(m.timings.Lease))
	if w.NoLease {
		mb.oldLeasesEnd = now
	}
	if m.serving {
		m.startSession(mb)
	}
}

// Ready notes that everything committed before this epoch, up to a revision, is applied
// here.
func (m *Master) Ready(revision uint64, now time.Duration) {
	if !m.ready {
		m.ready, m.pushed, m.released = true, revision, revision
		m.advance(now)
	}
}

// Tick lets time pass. It returns the latest time at which it must be called again.
func (m *Master) Tick(now time.Duration) time.Duration {
	if now >= m.nextBeat && !m.handover.active {
		m.beat(now)
	}
	m.advance(now)
	next := m.nextBeat
	if m.handover.active {
		next = now + m.timings.Beat // there are no rounds meanwhile
	}
	for _, mb := range m.members {
		if mb.leaseEnd > now {
			next = min(next, mb.leaseEnd)
		}
		if !m.serving && mb.everWelcomed && mb.oldLeasesEnd > now {
			next = min(next, mb.oldLeasesEnd)
		}
	}
	return next
}

func (m *Master) advance(now time.Duration) {
	for id, mb := range m.members {
		if mb.removed && !mb.hasLease(now) {
			delete(m.members, id)
		}
	}
	m.maybeServe(now)
	m.release(now)
	m.announceRetirement(now)
}

// maybeServe begins to serve once no lease of an older master can be valid. Each depends
// on the acks of a majority, which has a voter in common with any majority that has
// answered here.
func (m *Master) maybeServe(now time.Duration) {
	if m.serving || !m.ready {
		return
	}
	free := m.majority(func(mb *member) bool {
		return mb.everWelcomed && (mb.oldLeasesEnd <= now || m.mutation.has(MutationSkipLeaseWait))
	})
	if !free {
		return
	}
	m.serving = true
	m.each(func(mb *member) {
		if mb.welcomed {
			m.startSession(mb)
		}
	})
}

func (m *Master) startSession(mb *member) {
	mb.started, mb.pushed, mb.unacked = true, 0, nil
	m.send(mb, &Start{At: m.pushed, Released: m.released})
}

// Push pushes the changes of the next revisions, up to to. In pull mode it sends nothing.
func (m *Master) Push(records []Record, stale []string, to uint64, now time.Duration) {
	if !m.ready || to <= m.pushed {
		return
	}
	p := &Push{From: m.pushed, To: to, Records: records, Stale: stale, Released: m.released}
	m.pushed = to
	m.each(func(mb *member) {
		if mb.started && m.granting {
			mb.unacked = append(mb.unacked, pending{to, now})
			m.send(mb, p)
		}
	})
	m.release(now)
}

// Held reports whether some frontend holds a record, whose new values must be pushed. Of
// other records it is enough to push the names.
func (m *Master) Held(key string) bool {
	_, ok := m.held[key]
	return ok
}

func (m *Master) noteHeld(keys []string) {
	for _, key := range keys {
		if len(m.held) >= maxHeld {
			clear(m.held)
		}
		m.held[key] = struct{}{}
	}
}

// Released returns R: the revision up to which readers may see changes and bards may be
// acked. It is 0 until the master serves: the state at Ready may have events of this
// epoch, and while an older lease stands some frontend may still answer without them.
func (m *Master) Released() uint64 {
	if !m.serving {
		return 0
	}
	return m.released
}

// Serving reports whether all leases of older epochs are over and everything committed
// before this epoch is applied.
func (m *Master) Serving() bool { return m.serving }

// SetGranting switches between push mode, in which the master grants leases, and pull
// mode, in which it does not. NoLeases reports when all leases are back.
func (m *Master) SetGranting(on bool, now time.Duration) {
	if on == m.granting {
		return
	}
	m.granting = on
	m.each(func(mb *member) {
		switch {
		case !on:
			m.recall(mb)
		case mb.started:
			m.startSession(mb) // it was pushed nothing meanwhile
		}
	})
	m.advance(now)
}

// NoLeases reports whether no frontend has a lease.
func (m *Master) NoLeases(now time.Duration) bool {
	for _, mb := range m.members {
		if mb.hasLease(now) {
			return false
		}
	}
	return true
}

// MaxUnacked returns the largest number of pushes that one member has not acked.
func (m *Master) MaxUnacked() (most int) {
	for _, mb := range m.members {
		most = max(most, len(mb.unacked))
	}
	return most
}
