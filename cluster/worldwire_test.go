package cluster

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"laurel/cluster/peer"
)

// This file makes the connections of worldNet behave as TCP does on a bad network:
//
//   - A lost packet delays everything after it on its connection by one or more
//     retransmission timeouts, each twice as long as the one before. Other connections
//     are not delayed.
//   - After a cut each connection continues at its own next retransmission.
//   - Data written before Close still arrives, however late (FIN_WAIT1).
//   - The other ends of a host that vanished learn it only from keepalive probes.
//   - A slow link carries a large write piece by piece.
//
// It also recognizes the requests of Raft, so that a test can act on one of them, and
// counts what happened. A fault that a plan asks for and that the counts do not show was
// not injected.

const (
	minRTO     = 200 * time.Millisecond
	pieceBytes = 16 << 10

	// keepaliveIdle is the time before the first probe, to which a restarted host answers
	// with a reset. keepaliveLimit is the time after which a host that answers no probe
	// is given up.
	keepaliveIdle  = 15 * time.Second
	keepaliveLimit = keepaliveIdle + 9*15*time.Second
)

// The calls of hashicorp/raft, by their first byte on a connection. A frame is a call
// plus one; the frame of its answer has answerFrame set. 0 is neither.
const (
	callAppendEntries = iota
	callRequestVote
	callInstallSnapshot
	callTimeoutNow
	callRequestPreVote

	answerFrame byte = 0x80
)

// The counts of wire.
const (
	countWrites         = "writes"
	countOvertaken      = "pieces overtaken by another connection"
	countSlowPiece      = "pieces later than 100 ms"
	countLost           = "packets lost"
	countLateAfterCut   = "connections that continued late after a cut"
	countAfterClose     = "deliveries after a close"
	countCallAfterClose = "Raft calls delivered after a close"
	countSnapshotLate   = "snapshots delivered after a close"
	countSnapshotWhole  = "snapshots received whole"
	countSnapshotPieces = "snapshots received in pieces"
	countSnapshotBroken = "snapshots broken off"
	countSenderHung     = "snapshots whose sender hung"
	countSenderVanished = "snapshots whose sender vanished"
	countLateVote       = "votes after a leader's message"
)

// wire is the state of worldNet that this file needs.
type wire struct {
	// Guarded by worldNet.mu.
	since map[link]time.Time // when a direction was cut
	rates map[link]float64   // bytes a second that one connection can send; 0 means any
	late  bool               // connections continue at their own retransmissions after a cut
	loss  float64            // the probability that a piece is lost at first

	*wireState
}

// wireState has a lock of its own, which is the innermost.
type wireState struct {
	mu       sync.Mutex
	open     map[*worldPipe]struct{} // on which data may still arrive
	halfOpen map[*worldPipe]struct{} // whose sender has vanished
	newest   map[link]time.Time      // when the newest piece that arrived was sent
	heard    map[string]time.Time    // when a host last received AppendEntries
	counts   map[string]int
	watch    func(c *worldConn, frame byte, b []byte)
}

func newWire() wire {
	return wire{since: map[link]time.Time{}, rates: map[link]float64{}, wireState: &wireState{
		open: map[*worldPipe]struct{}{}, halfOpen: map[*worldPipe]struct{}{},
		newest: map[link]time.Time{}, heard: map[string]time.Time{}, counts: map[string]int{},
	}}
}

func (s *wireState) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

func (s *wireState) counted() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

func (s *wireState) remember(p *worldPipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[p] = struct{}{}
}

func (s *wireState) forget(p *worldPipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, p)
	delete(s.halfOpen, p)
}

func (s *wireState) pipes(of func(*wireState) map[*worldPipe]struct{}) []*worldPipe {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(of(s)))
}

func (s *wireState) openPipes() []*worldPipe {
	return s.pipes(func(s *wireState) map[*worldPipe]struct{} { return s.open })
}

// observe calls f with each frame of Raft before it is sent, until it is called with nil.
func (s *wireState) observe(f func(c *worldConn, frame byte, b []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = f
}

// sentCalls is what one end of a connection has sent. Guarded by wireState.mu.
type sentCalls struct {
	dialed  bool
	carries byte   // the protocol, from the first byte
	body    bool   // the rest is the body of a snapshot
	calls   []byte // without an answer yet
}

// recognize returns the frame of a write.
func (c *worldConn) recognize(b []byte) (frame byte) {
	s := c.net.wire.wireState
	s.mu.Lock()
	watch := s.watch
	s.counts[countWrites]++
	switch {
	case len(b) == 0 || c.body:
	case c.dialed && c.carries == 0:
		c.carries = b[0]
	case c.dialed && c.carries == peer.ProtocolRaft && b[0] <= callRequestPreVote:
		frame = b[0] + 1
		c.calls = append(c.calls, frame)
		c.body = b[0] == callInstallSnapshot
	case !c.dialed && c.far.carries == peer.ProtocolRaft && len(c.far.calls) > 0:
		frame = c.far.calls[0] | answerFrame
		c.far.calls = c.far.calls[1:]
	}
	s.mu.Unlock()
	if frame == callInstallSnapshot+1 {
		size, _ := msgpackUint(b, "Size")
		c.far.in.expectSnapshot(int(size))
	}
	if frame != 0 && watch != nil {
		watch(c, frame, b)
	}
	return frame
}

// msgpackUint returns the number under a key of an encoded struct.
func msgpackUint(b []byte, key string) (uint64, bool) {
	key = string([]byte{0xa0 | byte(len(key))}) + key
	for i := 0; i+len(key) < len(b); i++ {
		if string(b[i:i+len(key)]) != key {
			continue
		}
		kind, rest := b[i+len(key)], b[i+len(key)+1:]
		if kind < 0x80 {
			return uint64(kind), true
		}
		var sizes = map[byte]int{0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8}
		size := sizes[kind]
		if size == 0 || len(rest) < size {
			return 0, false
		}
		var full [8]byte
		copy(full[8-size:], rest[:size])
		return binary.BigEndian.Uint64(full[:]), true
	}
	return 0, false
}

// isHeartbeat reports whether NetworkTransport takes an AppendEntries for a heartbeat.
func isHeartbeat(b []byte) bool {
	previous, ok := msgpackUint(b, "PrevLogEntry")
	commit, also := msgpackUint(b, "LeaderCommitIndex")
	return ok && also && previous == 0 && commit == 0
}

// transit is the part of worldPipe that this file needs. Guarded by worldPipe.mu.
type transit struct {
	rto      time.Duration
	held     bool      // by a test; nothing arrives
	ended    time.Time // when the sender closed the connection
	resetAt  time.Time // when keepalive ends it
	busy     time.Time // until when a slow link carries earlier data
	snapshot bool
	size     int // of the snapshot's body
	got      int // bytes of it that arrived
	parts    int // pieces that arrived
	late     bool
}

// hold keeps data that is sent from now on from arriving, until release.
func (p *worldPipe) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		return
	}
	p.held = true
	for i := range p.pieces {
		p.pieces[i].free = true
	}
}

func (p *worldPipe) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = false
	p.wake()
}

// stall keeps data that is sent from now on from arriving for a while.
func (p *worldPipe) stall(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = time.Now().Add(d)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func (p *worldPipe) expectSnapshot(size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.snapshot, p.size = true, size
}

// receivingSnapshot reports whether a snapshot is under way. p.mu must be held.
func (p *worldPipe) receivingSnapshot() bool { return p.snapshot && p.got < p.size && p.failed == nil }

// sendInPieces sends the data of one write.
func (p *worldPipe) sendInPieces(b []byte, frame byte) {
	for first := true; first || len(b) > 0; first = false {
		n := min(len(b), pieceBytes)
		p.send(worldPiece{data: slices.Clone(b[:n]), frame: frame})
		b, frame = b[n:], 0
	}
}

// lost returns how late a piece is because its packet was lost; mostly 0. n.mu must be
// held.
func (n *worldNet) lost(p *worldPipe) time.Duration {
	if n.wire.loss == 0 || n.rand.Float64() >= n.wire.loss {
		return 0
	}
	n.wire.count(countLost)
	times := 1
	for times < 5 && n.rand.IntN(2) == 0 {
		times++
	}
	return p.rto * (1<<times - 1)
}

// serialize returns when a link will have carried a piece. p.mu must be held.
func (p *worldPipe) serialize(size int, rate float64) time.Time {
	at := later(time.Now(), p.busy)
	if rate > 0 {
		at = at.Add(time.Duration(float64(size) / rate * float64(time.Second)))
		p.busy = at
	}
	return at
}

// retransmitLate delivers data that a cut has held at each connection's next
// retransmission. n.mu must be held.
func (n *worldNet) retransmitLate(l link) {
	if !n.wire.late {
		return
	}
	for _, p := range n.wire.openPipes() {
		if p.link == l && p.retransmit(n.wire.since[l]) {
			n.wire.count(countLateAfterCut)
		}
	}
}

func (p *worldPipe) retransmit(since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := slices.IndexFunc(p.pieces, func(one worldPiece) bool { return !one.at.Before(since) })
	if first < 0 {
		return false
	}
	now := time.Now()
	at, rto := later(p.pieces[first].sent, since), p.rto
	for ; !at.After(now); rto *= 2 {
		at = at.Add(rto)
	}
	for i := first; i < len(p.pieces); i++ {
		p.pieces[i].at = later(p.pieces[i].at, at)
	}
	return true
}

// leaveHalfOpen notes that the other end of a connection has vanished.
func (n *worldNet) leaveHalfOpen(c *worldConn) {
	p := c.in
	p.mu.Lock()
	p.resetAt = time.Now().Add(keepaliveLimit)
	p.wake()
	p.mu.Unlock()
	n.wire.mu.Lock()
	defer n.wire.mu.Unlock()
	n.wire.halfOpen[p] = struct{}{}
}

// resetHalfOpen lets keepalive detect that a host has restarted. n.mu must be held.
func (n *worldNet) resetHalfOpen(host string) {
	for _, p := range n.wire.pipes(func(s *wireState) map[*worldPipe]struct{} { return s.halfOpen }) {
		if p.link.from != host {
			continue
		}
		p.mu.Lock()
		if at := time.Now().Add(keepaliveIdle); at.Before(p.resetAt) {
			p.resetAt = at
		}
		p.wake()
		p.mu.Unlock()
	}
}

// countInterrupted counts the snapshots that a host is sending.
func (n *worldNet) countInterrupted(host, what string) {
	for _, p := range n.wire.openPipes() {
		p.mu.Lock()
		if p.link.from == host && p.receivingSnapshot() {
			n.wire.count(what)
		}
		p.mu.Unlock()
	}
}

// unfinished counts a snapshot that is interrupted. p.mu must be held.
func (p *worldPipe) unfinished() {
	if p.receivingSnapshot() {
		p.net.wire.count(countSnapshotBroken)
	}
}

// arrives updates the counts for a piece that is read. p.mu must be held.
func (p *worldPipe) arrives(one *worldPiece) {
	if one.begun {
		return
	}
	one.begun = true
	now, s := time.Now(), p.net.wire.wireState
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(one.sent) > 100*time.Millisecond {
		s.counts[countSlowPiece]++
	}
	if one.sent.Before(s.newest[p.link]) {
		s.counts[countOvertaken]++
	} else {
		s.newest[p.link] = one.sent
	}
	if !p.ended.IsZero() && now.Sub(p.ended) >= time.Second {
		if !p.late {
			s.counts[countAfterClose]++
		}
		p.late = true
		if one.frame != 0 && one.frame&answerFrame == 0 {
			s.counts[countCallAfterClose]++
		}
		if one.frame == callInstallSnapshot+1 {
			s.counts[countSnapshotLate]++
		}
	}
	switch one.frame {
	case callAppendEntries + 1:
		s.heard[p.link.to] = now
	case (callRequestVote + 1) | answerFrame:
		if s.heard[p.link.to].After(one.sent) {
			s.counts[countLateVote]++
		}
	}
	if p.snapshot && one.frame == 0 && p.got < p.size {
		p.parts++
		if p.got += len(one.data); p.got >= p.size {
			s.counts[countSnapshotWhole]++
			if p.parts > 1 {
				s.counts[countSnapshotPieces]++
			}
		}
	}
}
