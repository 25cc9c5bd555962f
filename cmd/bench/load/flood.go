package load

import (
	"context"
	"fmt"
	"net/http"
	"syscall"
	"time"
)

const (
	// floodBurst is the number of requests sent before answers are read.
	floodBurst = 64
	// FloodPatience bounds the wait for answers after the last request.
	FloodPatience = 20 * time.Second
	// opening bounds the connections that have not been answered yet while a flood opens
	// them.
	opening = 128
)

// Flood posts over many connections when posts are due, whether or not earlier ones were
// answered. One goroutine does that.
type Flood struct {
	deadline time.Duration // a later answer is worth nothing to the client
	poll     *epoll[*flooder]
	all      []*flooder
	idle     []*flooder // the one that has rested longest is first, so that none rests until it is closed
	busy     int        // requests under way
	due      time.Time  // of the next request
	step     time.Duration
	most     int // connections in use at once
	tally    *Tally
}

// flooder is one connection with one request under way at a time, and a source of its
// own. It sends a refused event again before the next one.
type flooder struct {
	conn    *rawConn[*flooder]
	plays   *Plays
	head    []byte
	request []byte
	acked   uint64
	unsure  bool // the last event may be in the store
	due     time.Time
}

// Tally counts the posts that were due in a span, by what became of them.
type Tally struct {
	Offered, Sent, Good, Late, Lost int
	Refused                         map[int]int   // by status
	NoRetryAfter                    int           // refused without a Retry-After
	Behind                          time.Duration // the most that the generator was late
	Seconds                         []int         // good answers in each second
	Latency                         *Meter

	span Span
}

// NewFlood opens a connection for each of the plays, to addrs in turn. Each sends its
// first event at once: a server closes a connection that is silent. The flood must be
// closed.
func NewFlood(ctx context.Context, addrs []string, plays []*Plays, deadline time.Duration) (*Flood, error) {
	poll, err := newEpoll[*flooder]()
	if err != nil {
		return nil, err
	}
	f := &Flood{deadline: deadline, poll: poll}
	now := time.Now()
	f.begin(Span{now, now})
	for i, p := range plays {
		addr := addrs[i%len(addrs)]
		c := &flooder{plays: p, head: postHead(addr), due: now}
		c.prepare()
		if err := poll.open(addr, c.request, c); err != nil {
			f.Close()
			return nil, err
		}
		f.all = append(f.all, c)
		f.busy++
		for f.busy >= opening && err == nil {
			err = f.receive(ctx, 10)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	for _, c := range poll.conns {
		c.state.conn = c
	}
	return f, f.drain(ctx)
}

// Close closes all connections.
func (f *Flood) Close() { f.poll.close() }

func (f *Flood) begin(s Span) {
	f.due = time.Now()
	f.tally = &Tally{
		Refused: map[int]int{},
		Seconds: make([]int, int(s.Until.Sub(s.From)/time.Second)+1),
		Latency: NewMeter(Span{}),
		span:    s,
	}
}

// Acked calls g for each source with the seq that was acknowledged last. With unsure, the
// store may have the next event, too.
func (f *Flood) Acked(g func(source string, seq uint64, unsure bool) error) error {
	for _, c := range f.all {
		if err := g(c.plays.source, c.acked, c.unsure || !c.due.IsZero()); err != nil {
			return err
		}
	}
	return nil
}

// Offer posts perSecond events a second over all connections until the end of the span,
// and waits for the answers.
func (f *Flood) Offer(ctx context.Context, perSecond float64, s Span) (*Tally, error) {
	f.step, f.most = time.Duration(float64(time.Second)/perSecond), len(f.all)
	return f.run(ctx, s)
}

// InTurn posts one event after another over n connections until the end of the span.
func (f *Flood) InTurn(ctx context.Context, n int, s Span) (*Tally, error) {
	f.step, f.most = 0, n
	return f.run(ctx, s)
}

func (f *Flood) run(ctx context.Context, s Span) (*Tally, error) {
	f.begin(s)
	for now := time.Now(); now.Before(s.Until); now = time.Now() {
		if err := f.send(now); err != nil {
			return nil, err
		}
		if err := f.receive(ctx, 1); err != nil {
			return nil, err
		}
	}
	if err := f.drain(ctx); err != nil {
		return nil, err
	}
	for _, c := range f.all {
		if !c.due.IsZero() && s.Has(c.due) {
			f.tally.Lost++
		}
	}
	return f.tally, nil
}

// drain waits for all answers, for a bounded time.
func (f *Flood) drain(ctx context.Context) error {
	for end := time.Now().Add(FloodPatience); f.busy > 0 && time.Now().Before(end); {
		if err := f.receive(ctx, 10); err != nil {
			return err
		}
	}
	return nil
}

// isDue reports whether a post is to be sent now.
func (f *Flood) isDue(now time.Time) bool {
	if f.step > 0 {
		return !f.due.After(now)
	}
	return f.busy < f.most && len(f.idle) > 0
}

func (f *Flood) send(now time.Time) error {
	for n := 0; n < floodBurst && f.isDue(now); n++ {
		due := now
		if f.step > 0 {
			due = f.due
			f.due = f.due.Add(f.step)
		}
		counts := f.tally.span.Has(due)
		if counts {
			f.tally.Offered++
		}
		if len(f.idle) == 0 {
			continue // it was offered, but no connection is free
		}
		c := f.idle[0]
		f.idle = f.idle[1:]
		c.due = due
		c.prepare()
		f.busy++
		if _, err := syscall.Write(c.conn.fd, c.request); err != nil {
			return fmt.Errorf("flood: %w", err)
		}
		if counts {
			f.tally.Sent++
			f.tally.Behind = max(f.tally.Behind, now.Sub(due))
		}
	}
	return nil
}

// prepare makes the next request, unless the last one was refused.
func (c *flooder) prepare() {
	if c.plays.seq == c.acked {
		c.request = appendRequest(c.request[:0], c.head, c.plays.Append(nil))
	}
}

func (f *Flood) receive(ctx context.Context, millis int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return f.poll.wait(millis, func(c *rawConn[*flooder], data []byte) (int, error) {
		a, whole, err := parseAnswer(data)
		if err != nil || !whole {
			return 0, err
		}
		return len(data), f.take(c.state, a, time.Now())
	})
}

// take counts an answer. Its connection is idle afterwards.
func (f *Flood) take(c *flooder, a Answer, now time.Time) error {
	took, counts := now.Sub(c.due), f.tally.span.Has(c.due)
	c.due = time.Time{}
	f.busy--
	f.idle = append(f.idle, c)
	switch {
	case a.Status == http.StatusOK && IsAcked(a.Body):
		c.acked, c.unsure = c.plays.seq, false
		if counts {
			f.tally.answered(took, f.deadline, now)
		}
	case a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable:
		c.unsure = c.unsure || a.Status == http.StatusServiceUnavailable
		if counts {
			f.tally.Refused[a.Status]++
			if a.RetryAfter <= 0 {
				f.tally.NoRetryAfter++
			}
		}
	default:
		return fmt.Errorf("flood: status %d: %s", a.Status, Clip(a.Body))
	}
	return nil
}

func (t *Tally) answered(took, deadline time.Duration, now time.Time) {
	t.Latency.Add(took)
	if took > deadline {
		t.Late++
		return
	}
	t.Good++
	if i := int(now.Sub(t.span.From) / time.Second); i < len(t.Seconds) {
		t.Seconds[i]++
	}
}
