package cluster

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// worldPipe is one direction of a connection.
type worldPipe struct {
	net      *worldNet
	link     link
	mu       sync.Mutex
	pieces   []worldPiece
	failed   error // of reading and writing, from now on
	deadline time.Time
	changed  chan struct{} // nil if no reader waits
	transit
}

// worldPiece is the data of one write, or the end of a connection.
type worldPiece struct {
	at    time.Time
	data  []byte
	end   error
	sent  time.Time
	frame byte // see worldwire_test.go
	begun bool // a part was read
	free  bool // sent before the pipe was held
}

// newWorldPipe makes a direction of a connection. n.mu must be held.
func newWorldPipe(n *worldNet, l link) *worldPipe {
	p := &worldPipe{net: n, link: l}
	p.rto = minRTO + time.Duration(n.rand.Int64N(int64(minRTO/2)))
	n.wire.remember(p)
	return p
}

// wake lets a reader check again. p.mu must be held.
func (p *worldPipe) wake() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

func (p *worldPipe) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.unfinished()
		p.failed, p.pieces = err, nil
		p.net.wire.forget(p)
	}
	p.wake()
}

func (p *worldPipe) write(b []byte, frame byte) (int, error) {
	p.mu.Lock()
	failed := p.failed
	p.mu.Unlock()
	switch failed {
	case nil:
	case errGone:
		return len(b), nil
	default:
		return 0, syscall.EPIPE
	}
	p.sendInPieces(b, frame)
	return len(b), nil
}

func (p *worldPipe) end(err error) { p.send(worldPiece{end: err}) }

func (p *worldPipe) send(piece worldPiece) {
	piece.sent = time.Now()
	p.net.mu.Lock()
	delay := p.net.delay() + p.net.lost(p)
	rate := p.net.wire.rates[p.link]
	p.net.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return
	}
	if piece.end != nil && p.ended.IsZero() {
		p.ended = piece.sent
	}
	piece.at = p.serialize(len(piece.data), rate).Add(delay)
	if n := len(p.pieces); n > 0 && p.pieces[n-1].at.After(piece.at) {
		piece.at = p.pieces[n-1].at
	}
	p.pieces = append(p.pieces, piece)
	p.wake()
}

func (p *worldPipe) read(b []byte) (int, error) {
	for {
		n, next, err := p.take(b)
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
		next.wait()
	}
}

// worldWait is what a reader waits for: the first of several events.
type worldWait struct {
	changed, held <-chan struct{}
	until         time.Time // never if zero
}

func (w worldWait) wait() {
	var at <-chan time.Time
	if !w.until.IsZero() {
		timer := time.NewTimer(time.Until(w.until))
		defer timer.Stop()
		at = timer.C
	}
	select {
	case <-w.changed:
	case <-w.held:
	case <-at:
	}
}

// take returns the data that has arrived, or what to wait for.
func (p *worldPipe) take(b []byte) (n int, next worldWait, err error) {
	p.net.mu.Lock()
	next.held = p.net.held(p.link)
	p.net.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.failed != nil {
		return 0, next, p.failed
	}
	if !p.resetAt.IsZero() && !now.Before(p.resetAt) {
		return 0, next, syscall.ECONNRESET
	}
	if !p.deadline.IsZero() && !now.Before(p.deadline) {
		return 0, next, os.ErrDeadlineExceeded
	}
	deliverable := func() bool { return len(p.pieces) > 0 && (!p.held || p.pieces[0].free) }
	for next.held == nil && n < len(b) && deliverable() && !p.pieces[0].at.After(now) {
		first := &p.pieces[0]
		if first.end != nil {
			if n == 0 {
				err = first.end
				p.net.wire.forget(p)
			}
			return n, next, err
		}
		p.arrives(first)
		size := copy(b[n:], first.data)
		n += size
		if first.data = first.data[size:]; len(first.data) == 0 {
			p.pieces = p.pieces[1:]
		}
	}
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	next.changed, next.until = p.changed, p.deadline
	if !p.resetAt.IsZero() && (next.until.IsZero() || p.resetAt.Before(next.until)) {
		next.until = p.resetAt
	}
	if next.held == nil && deliverable() && (next.until.IsZero() || p.pieces[0].at.Before(next.until)) {
		next.until = p.pieces[0].at
	}
	return n, next, nil
}
