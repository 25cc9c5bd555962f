package cluster

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/score"
)

// ownStream is the number of the stream to this member itself, which is no connection.
const ownStream = 1

func pushMembers(c raft.Configuration) []cache.Member {
	list := make([]cache.Member, len(c.Servers))
	for i, s := range c.Servers {
		list[i] = cache.Member{ID: string(s.ID), Voter: s.Suffrage == raft.Voter}
	}
	return list
}

// update makes a step of the push protocol, and sends what it gives to be sent.
func (l *leadership) update(step func(now time.Duration)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	step(l.of.clock())
	l.deliver()
	l.tellWithheld()
	l.serve()
	l.moved.tell()
}

// deliver sends the messages in the master's outbox. Those to this member itself are answered at once. l.mu must be held.
func (l *leadership) deliver() {
	own := string(l.of.self)
	var last cache.Message // a push goes to many, and is encoded once
	var frame []byte
	for out := l.master.Outbox(); len(out) > 0; out = l.master.Outbox() {
		for _, o := range out {
			if o.Member == own {
				l.deliverOwn(o)
				continue
			}
			s := l.streams[raft.ServerID(o.Member)]
			if s == nil || s.number != o.Stream {
				continue
			}
			if o.Message != last {
				last, frame = o.Message, appendMessage(nil, o.Message)
			}
			s.send(frame)
		}
	}
}

func (l *leadership) deliverOwn(o cache.Outgoing) {
	answer, err := l.own.Receive(o.Message, l.of.raft.CurrentTerm())
	now := l.of.clock()
	switch {
	case err != nil:
		if errors.Is(err, cache.ErrTwoMasters) {
			l.of.refuseHello(err)
		}
		l.master.StreamLost(o.Member, o.Stream, now) // a later master has spoken
	case answer != nil:
		l.master.Receive(o.Member, o.Stream, answer, now)
	}
}

// tick lets time pass for the push protocol until the leadership ends.
func (l *leadership) tick() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-timer.C:
		}
		l.configure()
		var pause time.Duration
		l.update(func(now time.Duration) { pause = l.master.Tick(now) - now })
		timer.Reset(max(pause, time.Millisecond))
	}
}

// configure tells the push protocol the latest configuration, if it is another one.
func (l *leadership) configure() {
	config := l.of.raft.GetConfiguration()
	if config.Error() != nil {
		return
	}
	latest := config.Configuration() // its index in the log Raft does not tell here
	l.mu.Lock()
	same := slices.Equal(latest.Servers, l.config.Servers)
	l.mu.Unlock()
	if same {
		return
	}
	l.update(func(now time.Duration) {
		l.config = latest
		l.master.SetMembers(pushMembers(l.config), now)
	})
	l.keepStreams()
}

// keepStreams begins to keep a stream to each new member, and ends those to members that are gone.
func (l *leadership) keepStreams() {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := map[raft.ServerID]bool{}
	for _, s := range l.config.Servers {
		there[s.ID] = true
		if s.ID == l.of.self || l.keeping[s.ID] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(l.ctx)
		l.keeping[s.ID] = cancel
		l.of.run(func() { l.keepStream(ctx, s.ID) })
	}
	for id, cancel := range l.keeping {
		if !there[id] {
			cancel()
			delete(l.keeping, id)
		}
	}
}

// open makes a connection the stream to a member.
func (l *leadership) open(id raft.ServerID, conn net.Conn) *stream {
	var s *stream
	l.update(func(now time.Duration) {
		l.number++
		s = newStream(ownStream+l.number, conn, l.of.scaled(streamSilence))
		l.streams[id] = s
		l.master.StreamOpened(string(id), s.number, now)
	})
	return s
}

func (l *leadership) lost(id raft.ServerID, s *stream) {
	l.update(func(now time.Duration) {
		if l.streams[id] == s {
			delete(l.streams, id)
		}
		l.master.StreamLost(string(id), s.number, now)
	})
	l.of.metrics.streamsLost.Inc()
}

// behind is the most pushes that one member has not acked; 0 at a member that is not the master.
func (m *Member) behind() int {
	l := m.reign.Load()
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.master.MaxUnacked()
}

// push brings what has changed into the caches: the new values of the records that are held somewhere, and the names of the others.
func (l *leadership) push() {
	m := l.of
	hint := m.appliedEntry()
	guarded := m.Access().Guarded
	held := func(key string) bool {
		if guarded {
			return false // nobody would take its value: see unvouched
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.master.Held(key)
	}
	c := m.machine.Changes(
		func(id string) bool { return held(cache.ScoreKey(id)) },
		func(competition string) bool { return held(cache.MedalsKey(competition)) })
	var records []cache.Record
	given := map[string]bool{}
	give := func(key string, revision uint64, value any) {
		if body, err := queries.Encode(value); err == nil {
			records = append(records, cache.Record{Key: key, Revision: revision, Body: body})
			given[key] = true
		}
	}
	for _, contest := range c.Records {
		give(cache.ScoreKey(contest.ID), contest.Revision, contest.Record())
	}
	for _, table := range c.MedalTables {
		give(cache.MedalsKey(table.Competition), table.Revision, table.Medals())
	}
	var stale []string
	name := func(key string) {
		if !given[key] {
			stale = append(stale, key)
		}
	}
	lists := map[string]bool{}
	for _, id := range c.Contests {
		name(cache.ScoreKey(id))
		stale = append(stale, cache.TimelineTag(id))
		if competition := score.CompetitionOf(id); !lists[competition] {
			lists[competition] = true
			stale = append(stale, cache.ListTag(competition))
		}
	}
	for _, competition := range c.Tables {
		name(cache.MedalsKey(competition))
	}
	for _, id := range c.Boards {
		stale = append(stale, cache.BoardTag(id))
	}
	l.update(func(now time.Duration) {
		l.follow(now)
		l.master.Push(records, stale, c.To, now)
		// Who loads what changed need not wait for Raft to tell it; a list is always loaded.
		if hint.index == 0 {
			return
		}
		frame := appendCommitted(nil, hint)
		for _, s := range l.streams {
			s.queue(frame)
		}
	})
}

// appliedEntry returns the last entry that the state machine has applied. Its index is 0 if the log does not have the entry any more.
func (m *Member) appliedEntry() committed {
	var e raft.Log
	index := m.machine.Applied()
	if index == 0 || m.storage.Log().GetLog(index, &e) != nil {
		return committed{}
	}
	return committed{index, e.Term}
}

// unvouched names what a push gives values of. In a guarded store a frontend shows only what its own state machine made of signed events, so that a
// master that lies cannot put a score into its cache.
func unvouched(p *cache.Push) *cache.Push {
	named := *p
	named.Records = nil
	for i := range p.Records {
		named.Stale = append(named.Stale, p.Records[i].Key)
	}
	return &named
}

// awaitReleased waits until everybody may see a revision that was committed in this epoch.
func (l *leadership) awaitReleased(ctx context.Context, revision uint64) error {
	for {
		next := l.moved.next()
		l.mu.Lock()
		released := l.master.Released()
		l.mu.Unlock()
		if released >= revision {
			return nil
		}
		select {
		case <-next:
		case <-l.ctx.Done():
			return errUnknown
		case <-ctx.Done():
			return errUnknown
		}
	}
}

// dismiss takes a member's lease, so that it answers nothing as a member when it is none any more. It waits no longer than a lease can last.
func (l *leadership) dismiss(ctx context.Context, id raft.ServerID) {
	l.update(func(now time.Duration) { l.master.BeginRemoval(string(id), now) })
	l.until(ctx, 2*l.of.timings().Lease, func(now time.Duration) bool { return l.master.Removable(string(id), now) })
}

// retire takes all leases back and tells the voters, so that the next master need not wait for any to run out. It waits no longer than a
// lease can last; if that is not enough, the next master waits instead.
func (l *leadership) retire(ctx context.Context) {
	l.update(func(now time.Duration) { l.master.BeginHandOver(now) })
	l.until(ctx, 2*l.of.timings().Lease, func(time.Duration) bool { return l.master.HandedOver() })
}

// resume goes on as master after a retire.
func (l *leadership) resume() { l.update(func(now time.Duration) { l.master.CancelHandOver(now) }) }

// until waits for a state of the push protocol, for at most limit; it tells whether it came.
func (l *leadership) until(ctx context.Context, limit time.Duration, reached func(now time.Duration) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		next := l.moved.next()
		l.mu.Lock()
		there := reached(l.of.clock())
		l.mu.Unlock()
		if there {
			return true
		}
		select {
		case <-next:
		case <-l.ctx.Done():
			return false
		case <-ctx.Done():
			return false
		}
	}
}
