package admission

import (
	"net/netip"
	"sync"

	"laurel/httpapi/fastpath"
	"laurel/httpapi/handler"
	"laurel/internal/address"
	"laurel/score"
)

// What clients have not read is held in memory. Bounds of one address keep a few clients
// from taking what all need, and the bound of all keeps the frontend from running out.
const (
	// MaxAnswerBytes bounds the bytes of answers under way together: of answers of more
	// than FreeAnswer bytes, and of what watchers have not read.
	MaxAnswerBytes = 256 << 20
	// AnswerBytesPerAddress bounds those of one address. A single answer may be larger.
	AnswerBytesPerAddress = 32 << 20
	// FreeAnswer is the size up to which an answer is not counted. The connections bound
	// those.
	FreeAnswer = 64 << 10
	// WatchersPerAddress bounds the watchers of one address, whatever connections they
	// use: as many as it may have connections.
	WatchersPerAddress = ConnectionsPerAddress
	// WatchersPerConnection bounds those of one HTTP/2 connection.
	WatchersPerConnection = 8
)

// memory counts what addresses hold. An address that holds nothing takes no memory.
type memory struct {
	mu        sync.Mutex
	bytes     int
	addresses map[netip.Addr]*share
}

// share is what one address holds.
type share struct{ users, watchers, bytes int }

// Holder holds memory, and perhaps a place for a watcher, in the name of an address.
type Holder struct {
	control *Control
	peer    *fastpath.Peer
	address netip.Addr
	share   *share // nil for an address without bounds
	watches bool
}

// newHolder returns a holder for a peer. Its caller must call Leave.
func (c *Control) newHolder(p *fastpath.Peer) *Holder {
	h := &Holder{control: c, peer: p}
	if c.Limits.exempt(p) {
		return h
	}
	h.address = address.Client(p.Addr)
	m := &c.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if h.share = m.addresses[h.address]; h.share == nil {
		if m.addresses == nil {
			m.addresses = map[netip.Addr]*share{}
		}
		h.share = &share{}
		m.addresses[h.address] = h.share
	}
	h.share.users++
	return h
}

// Leave gives everything back but the bytes, which must have been given back before.
func (h *Holder) Leave() {
	if h.share == nil {
		return
	}
	if h.watches {
		h.peer.GiveLong()
	}
	m := &h.control.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if h.watches {
		h.share.watchers--
	}
	if h.share.users--; h.share.users == 0 {
		delete(m.addresses, h.address)
	}
}

// Hold takes n bytes. It reports false, and has done nothing, if the address or all
// together hold too many.
func (h *Holder) Hold(n int) bool {
	m, l := &h.control.memory, &h.control.Limits
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes+n > l.MaxAnswerBytes ||
		h.share != nil && h.share.bytes > 0 && h.share.bytes+n > l.AnswerBytesPerAddress {
		return false
	}
	h.add(n)
	return true
}

// Resize changes how many bytes are held, by one call of Hold.
func (h *Holder) Resize(from, to int) {
	h.control.memory.mu.Lock()
	defer h.control.memory.mu.Unlock()
	h.add(to - from)
}

func (h *Holder) add(n int) {
	h.control.memory.bytes += n
	if h.share != nil {
		h.share.bytes += n
	}
}

// EnterWatch takes a place for a watcher, in whose name memory may then be held.
func (g *Gate) EnterWatch(caller *handler.Caller) (*Holder, *score.Problem) {
	h := g.newHolder(caller.Peer)
	if h.share == nil {
		return h, nil
	}
	if !h.peer.TakeLong(WatchersPerConnection) {
		h.Leave()
		return nil, g.Refuse(reasonWatchers, score.Problemf(score.RateLimited,
			"this connection has %d watchers, its limit; use another connection", WatchersPerConnection))
	}
	g.memory.mu.Lock()
	full := h.share.watchers >= g.Limits.WatchersPerAddress
	if !full {
		h.share.watchers, h.watches = h.share.watchers+1, true
	}
	g.memory.mu.Unlock()
	if full {
		h.peer.GiveLong()
		h.Leave()
		return nil, g.Refuse(reasonWatchers, score.Problemf(score.RateLimited,
			"this address has %d watchers, its limit", g.Limits.WatchersPerAddress))
	}
	return h, nil
}

// HoldAnswer holds an answer of n bytes until its client has read it, when the caller must
// call written. That is nil for an answer that is not counted.
func (g *Gate) HoldAnswer(p *fastpath.Peer, n int) (written func(), refused *score.Problem) {
	if n <= FreeAnswer {
		return nil, nil
	}
	h := g.newHolder(p)
	if !h.Hold(n) {
		h.Leave()
		return nil, g.Refuse(reasonUnread, score.Problemf(score.RateLimited,
			"too many bytes of answers have not been read yet by their clients; read them, or retry in 1 s"))
	}
	return func() {
		h.Resize(n, 0)
		h.Leave()
	}, nil
}

// AnswersUnderWay returns how many bytes of answers are held.
func (c *Control) AnswersUnderWay() int {
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	return c.memory.bytes
}
