package push

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/cluster/peer"
	"laurel/fsm"
	"laurel/score"
)

// Config is what the two ends need of their member.
type Config struct {
	Self      raft.ServerID
	Raft      *raft.Raft
	Log       raft.LogStore
	Machine   *fsm.Machine
	Frontend  *cache.Frontend
	Port      *peer.Port
	Transport *peer.Transport
	Clock     func() time.Duration
	Timings   cache.Timings
	Mutation  cache.Mutation // for tests of the protocol
	// Protocols returns the versions that another member speaks; see peer.CommonProtocol.
	Protocols func(raft.ServerID) (oldest, newest uint64)
	// Scale stretches a time limit by the member's time scale.
	Scale func(time.Duration) time.Duration
	// Go runs a function on a goroutine that the member waits for when it closes.
	Go             func(func())
	StreamsLost    prometheus.Counter
	LeasesWithheld *prometheus.CounterVec // by member
	HellosRefused  *prometheus.CounterVec // by reason
	Logger         *slog.Logger
}

// ownStream is the number of the stream to this member itself, which is no connection.
const ownStream = 1

// Sender is the master's end of the push protocol in one epoch. It is safe for concurrent
// use.
type Sender struct {
	Config
	epoch   uint64
	ctx     context.Context // ends with the epoch
	serving func(raft.Configuration)

	mu       sync.Mutex // guards the rest
	waiters  []waiter
	master   *cache.Master
	own      *cache.Link
	config   raft.Configuration // the latest
	streams  map[raft.ServerID]*stream
	dialing  map[raft.ServerID]context.CancelFunc // the members to which a stream is kept
	last     uint64                               // the number of streams so far
	isServed bool
}

// waiter waits for a state of the master.
type waiter struct {
	reached func(m *cache.Master, now time.Duration) bool
	done    chan struct{} // closed when reached has reported true
}

// NewSender begins an epoch, which ends with ctx. serving is called once, with the
// configuration, when the master may serve; it must not call the Sender. Close must be
// called.
func NewSender(
	ctx context.Context, c Config, epoch uint64, config raft.Configuration, serving func(raft.Configuration),
) *Sender {
	s := &Sender{
		Config: c, epoch: epoch, ctx: ctx, serving: serving, config: config,
		streams: map[raft.ServerID]*stream{}, dialing: map[raft.ServerID]context.CancelFunc{},
	}
	s.master = cache.NewMaster(string(s.Self), epoch, members(config), s.Timings, true, s.Mutation)
	s.own = s.Frontend.Open(true)
	s.Update(func(m *cache.Master, now time.Duration) { m.StreamOpened(string(s.Self), ownStream, now) })
	s.dialMembers()
	return s
}

// Close ends the stream to this member itself. The context must have ended.
func (s *Sender) Close() { s.own.Close() }

func members(c raft.Configuration) []cache.Member {
	list := make([]cache.Member, len(c.Servers))
	for i, server := range c.Servers {
		list[i] = cache.Member{ID: string(server.ID), Voter: server.Suffrage == raft.Voter}
	}
	return list
}

// Update makes a step of the protocol and sends the messages that result.
func (s *Sender) Update(step func(m *cache.Master, now time.Duration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Clock()
	step(s.master, now)
	s.send()
	s.reportPenalties()
	if !s.isServed && s.master.Serving() && s.ctx.Err() == nil {
		s.isServed = true
		s.serving(s.config)
	}
	s.waiters = slices.DeleteFunc(s.waiters, func(w waiter) bool {
		if !w.reached(s.master, now) {
			return false
		}
		close(w.done)
		return true
	})
}

// Read calls f with the master, which f must not change.
func (s *Sender) Read(f func(m *cache.Master, now time.Duration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.master, s.Clock())
}

// Await waits until reached reports true, but no longer than a lease can last. It reports
// whether that happened. reached is called after each step, and must not change the master.
func (s *Sender) Await(ctx context.Context, reached func(m *cache.Master, now time.Duration) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*s.Timings.Lease)
	defer cancel()
	return s.await(ctx, reached)
}

func (s *Sender) await(ctx context.Context, reached func(m *cache.Master, now time.Duration) bool) bool {
	w := waiter{reached, make(chan struct{})}
	s.mu.Lock()
	ok := reached(s.master, s.Clock())
	if !ok {
		s.waiters = append(s.waiters, w)
	}
	s.mu.Unlock()
	if ok {
		return true
	}
	select {
	case <-w.done:
		return true
	case <-s.ctx.Done():
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiters = slices.DeleteFunc(s.waiters, func(other waiter) bool { return other.done == w.done })
	return false
}

// AwaitReleased waits until all frontends may show a revision that was committed in this
// epoch. It reports whether that happened before ctx or the epoch ended.
func (s *Sender) AwaitReleased(ctx context.Context, revision uint64) bool {
	return s.await(ctx, func(m *cache.Master, _ time.Duration) bool { return m.Released() >= revision })
}

// Revoke takes a member's lease back, so that it answers nothing after its removal. It
// waits no longer than a lease can last.
func (s *Sender) Revoke(ctx context.Context, id raft.ServerID) {
	s.Update(func(m *cache.Master, now time.Duration) { m.BeginRemoval(string(id), now) })
	s.Await(ctx, func(m *cache.Master, now time.Duration) bool { return m.Removable(string(id), now) })
}

// BeginHandOver takes all leases back and tells the voters, so that the next master need
// not wait for any lease to expire. It waits no longer than a lease can last; if that is
// not enough, the next master waits instead.
func (s *Sender) BeginHandOver(ctx context.Context) {
	s.Update(func(m *cache.Master, now time.Duration) { m.BeginHandOver(now) })
	s.Await(ctx, func(m *cache.Master, _ time.Duration) bool { return m.HandedOver() })
}

// CancelHandOver grants leases again. It has no effect after the epoch.
func (s *Sender) CancelHandOver() {
	s.Update(func(m *cache.Master, now time.Duration) { m.CancelHandOver(now) })
}

// send sends the messages in the master's outbox. s.mu must be held.
func (s *Sender) send() {
	var last cache.Message // a push goes to many members, and is encoded once
	var frame []byte
	for out := s.master.Outbox(); len(out) > 0; out = s.master.Outbox() {
		for _, o := range out {
			if o.Member == string(s.Self) {
				s.sendOwn(o)
				continue
			}
			to := s.streams[raft.ServerID(o.Member)]
			if to == nil || to.number != o.Stream {
				continue
			}
			if hello, ok := o.Message.(*cache.Hello); ok {
				to.send(appendHello(nil, hello, to.version))
				continue
			}
			if o.Message != last {
				last, frame = o.Message, AppendMessage(nil, o.Message)
			}
			to.send(frame)
		}
	}
}

// sendOwn gives a message to this member's own frontend, and the answer to the master.
func (s *Sender) sendOwn(o cache.Outgoing) {
	answer, err := s.own.Receive(o.Message, s.Raft.CurrentTerm())
	now := s.Clock()
	switch {
	case err != nil:
		if errors.Is(err, cache.ErrTwoMasters) {
			s.HellosRefused.WithLabelValues(reasonTwoMasters).Inc()
			s.Logger.Error("two masters of one epoch", "epoch", s.epoch, "err", err)
		}
		s.master.StreamLost(o.Member, o.Stream, now) // a later master's stream was admitted
	case answer != nil:
		s.master.Receive(o.Member, o.Stream, answer, now)
	}
}

// reportPenalties logs and counts the frontends that get no lease for a while because
// they delayed writes. s.mu must be held.
func (s *Sender) reportPenalties() {
	for _, p := range s.master.NewPenalties() {
		id := peer.MemberID(raft.ServerID(p.Member))
		s.LeasesWithheld.WithLabelValues(id).Inc()
		s.Logger.Warn("a frontend delayed writes; it gets no lease until it has acknowledged in time for a while",
			"member", id, "delayed", p.Debt, "rounds", p.Rounds)
	}
}

// Run advances the protocol's time until the epoch ends.
func (s *Sender) Run() {
	for s.ctx.Err() == nil {
		s.UpdateConfiguration()
		var pause time.Duration
		s.Update(func(m *cache.Master, now time.Duration) { pause = m.Tick(now) - now })
		select {
		case <-time.After(max(pause, time.Millisecond)):
		case <-s.ctx.Done():
		}
	}
}

// UpdateConfiguration takes over Raft's latest configuration, and returns it.
func (s *Sender) UpdateConfiguration() raft.Configuration {
	latest := s.Raft.GetConfiguration().Configuration()
	s.mu.Lock()
	config := s.config
	s.mu.Unlock()
	if slices.Equal(latest.Servers, config.Servers) {
		return config
	}
	s.Update(func(m *cache.Master, now time.Duration) {
		latest = s.Raft.GetConfiguration().Configuration() // another call may have taken over a later one
		s.config = latest
		m.SetMembers(members(latest), now)
	})
	s.dialMembers()
	return latest
}

// Connected reports whether there is a stream to another member.
func (s *Sender) Connected(id raft.ServerID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[id] != nil
}

// Push pushes what the state machine has applied since the last call: the new values of
// the records that frontends hold, and the keys and tags of all else that changed.
func (s *Sender) Push() {
	hint := AppliedCommit(s.Machine, s.Log)
	guarded := s.Machine.Access().Guarded
	held := func(key string) bool {
		if guarded {
			return false // frontends do not accept values; see withoutValues
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.master.Held(key)
	}
	changes := s.Machine.Changes(
		func(id string) bool { return held(cache.ScoreKey(id)) },
		func(competition string) bool { return held(cache.MedalsKey(competition)) })
	records, stale := invalidate(&changes)
	mode := s.Machine.CacheMode()
	s.Update(func(m *cache.Master, now time.Duration) {
		m.SetGranting(mode == score.Push, now)
		m.Push(records, stale, changes.To, now)
		// With the hint a frontend that loads a changed answer need not wait for Raft to
		// tell it of the commit.
		if hint == (Commit{}) {
			return
		}
		frame := AppendMessage(nil, &hint)
		for _, to := range s.streams {
			to.queue(frame)
		}
	})
}

// invalidate returns the records of changes that have a new value, and the keys and tags
// of all other answers that are stale now.
func invalidate(c *fsm.Changes) (records []cache.Record, stale []string) {
	pushed := map[string]bool{}
	add := func(key string, revision uint64, value any) {
		if body, err := queries.Encode(value); err == nil {
			records = append(records, cache.Record{Key: key, Revision: revision, Body: body})
			pushed[key] = true
		}
	}
	for _, contest := range c.Records {
		record := contest.Record()
		add(cache.ScoreKey(contest.ID), contest.Revision, &record)
	}
	for _, table := range c.MedalTables {
		add(cache.MedalsKey(table.Competition), table.Revision, table.Standings())
	}
	addStale := func(key string) {
		if !pushed[key] {
			stale = append(stale, key)
		}
	}
	lists := map[string]bool{}
	for _, id := range c.Timelines {
		stale = append(stale, cache.TimelineTag(id))
	}
	for _, id := range c.Contests {
		addStale(cache.ScoreKey(id))
		if competition := score.CompetitionOf(id); !lists[competition] {
			lists[competition] = true
			stale = append(stale, cache.ListTag(competition))
		}
	}
	for _, competition := range c.Tables {
		addStale(cache.MedalsKey(competition))
	}
	for _, id := range c.Boards {
		stale = append(stale, cache.BoardTag(id))
	}
	return records, stale
}
