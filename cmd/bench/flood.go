package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// floodBurst is how many requests are sent before it is looked what was answered.
	floodBurst = 64
	// floodPatience is how long after the last request answers are waited for.
	floodPatience = 20 * time.Second
)

// flood sends requests over many connections when they are due, whether or not earlier ones were answered. One goroutine and epoll do that: what
// the generator costs is taken from the servers where they share the cores.
type flood struct {
	poll     int
	deadline time.Duration // an answer after that is worth nothing to who asked
	lines    map[int32]*line
	crowds   []*crowd
	open     int // requests under way
	events   []syscall.EpollEvent
	buf      []byte
}

// crowd is the lines that are asked the same kind of thing.
type crowd struct {
	idle  []*line // who has rested longest is first: no connection rests so long that it is closed
	all   []*line
	due   time.Time
	step  time.Duration // from one to the next; 0: as soon as a line is idle
	most  int           // lines that are used; 0: all
	busy  int
	tally *tally
}

// line is one connection with one request under way at a time, and for posts a source of its own: a refused event goes again before the next.
type line struct {
	fd      int
	host    string
	crowd   *crowd
	plays   *plays // nil: it reads
	head    []byte
	request []byte
	acked   uint64
	doubt   bool // the last event may be in the store or not
	due     time.Time
	rest    []byte // the beginning of an answer
}

// tally is what became of the requests that were due in the measured time.
type tally struct {
	from, until                     time.Time
	offered, sent, good, late, lost int
	refused                         map[int]int
	bare                            int // refused without Retry-After
	hist                            *hdrhistogram.Histogram
	behind                          time.Duration // the most that a request was sent after it was due
	slots                           []int         // good answers by the second
}

func newTally(s span) *tally {
	return &tally{from: s.from, until: s.until, refused: map[int]int{}, hist: newMeter(s.from, s.until).hist, slots: make([]int, int(s.until.Sub(s.from)/time.Second)+1)}
}

func (t *tally) has(due time.Time) bool { return !due.Before(t.from) && due.Before(t.until) }

func newFlood(deadline time.Duration) (*flood, error) {
	poll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &flood{poll: poll, deadline: deadline, lines: map[int32]*line{}, events: make([]syscall.EpollEvent, 512), buf: make([]byte, maxAnswer)}, nil
}

func (f *flood) close() {
	for _, l := range f.lines {
		syscall.Close(l.fd)
	}
	syscall.Close(f.poll)
}

// seat opens a connection for each line, which begins with its first request: a server closes one that says nothing.
func (f *flood) seat(ctx context.Context, lines []*line) (*crowd, error) {
	const arriving = 128
	now := time.Now()
	c := &crowd{tally: newTally(span{now, now})}
	f.crowds = append(f.crowds, c)
	for _, l := range lines {
		to, err := netip.ParseAddrPort(l.host)
		if err != nil {
			return nil, err
		}
		l.crowd, l.due = c, now
		l.prepare()
		if l.fd, err = connectRaw(to, l.request); err != nil {
			return nil, fmt.Errorf("connecting to %s: %w", l.host, err)
		}
		f.lines[int32(l.fd)] = l
		if err := syscall.EpollCtl(f.poll, syscall.EPOLL_CTL_ADD, l.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(l.fd)}); err != nil {
			return nil, fmt.Errorf("epoll: %w", err)
		}
		c.all = append(c.all, l)
		c.busy++
		f.open++
		for f.open >= arriving {
			if err := f.receive(ctx, 10); err != nil {
				return nil, err
			}
		}
	}
	return c, f.drain(ctx)
}

// drain waits for all answers, but not for ever.
func (f *flood) drain(ctx context.Context) error {
	for end := time.Now().Add(floodPatience); f.open > 0 && time.Now().Before(end); {
		if err := f.receive(ctx, 10); err != nil {
			return err
		}
	}
	return nil
}

// run sends what is due until the end of the span, and waits for the answers. Rate 0 is one after another on so many lines.
func (f *flood) run(ctx context.Context, s span) error {
	for now := time.Now(); now.Before(s.until); now = time.Now() {
		for _, c := range f.crowds {
			if err := f.send(c, now); err != nil {
				return err
			}
		}
		if err := f.receive(ctx, 1); err != nil {
			return err
		}
	}
	if err := f.drain(ctx); err != nil {
		return err
	}
	for _, c := range f.crowds {
		for _, l := range c.all {
			if !l.due.IsZero() && c.tally.has(l.due) {
				c.tally.lost++
			}
		}
	}
	return nil
}

// offer has a crowd asked so many times a second from now on, and counted in the span. None: it rests.
func (c *crowd) offer(perSecond float64, s span) {
	c.tally, c.due, c.most = newTally(s), time.Now(), -1
	if perSecond > 0 {
		c.step, c.most = time.Duration(float64(time.Second)/perSecond), len(c.all)
	}
}

// inTurn has n lines asked one thing after another.
func (c *crowd) inTurn(n int, s span) { c.tally, c.step, c.most = newTally(s), 0, n }

func (f *flood) send(c *crowd, now time.Time) error {
	for range floodBurst {
		if c.step > 0 && c.due.After(now) || c.step == 0 && (c.busy >= c.most || len(c.idle) == 0) || c.most < 0 {
			return nil
		}
		due := now
		if c.step > 0 {
			due = c.due
			c.due = c.due.Add(c.step)
		}
		counts := c.tally.has(due)
		if counts {
			c.tally.offered++
		}
		if len(c.idle) == 0 {
			continue // offered, and no connection is free: whose it is does not come through
		}
		l := c.idle[0]
		c.idle = c.idle[1:]
		l.due = due
		l.prepare()
		c.busy++
		f.open++
		if _, err := syscall.Write(l.fd, l.request); err != nil {
			return fmt.Errorf("asking %s: %w", l.host, err)
		}
		if counts {
			c.tally.sent++
			c.tally.behind = max(c.tally.behind, now.Sub(due))
		}
	}
	return nil
}

// prepare makes the request, unless the last one was refused.
func (l *line) prepare() {
	if l.plays == nil || l.plays.seq > l.acked {
		return
	}
	l.request = appendRequest(l.request[:0], l.head, l.plays.append(nil))
}

func (f *flood) receive(ctx context.Context, millis int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	n, err := syscall.EpollWait(f.poll, f.events, millis)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, e := range f.events[:max(n, 0)] {
		if err := f.read(f.lines[e.Fd]); err != nil {
			return fmt.Errorf("the answer of %s: %w", f.lines[e.Fd].host, err)
		}
	}
	return nil
}

// read reads once what there is; what is left makes the connection ready again.
func (f *flood) read(l *line) error {
	n, err := syscall.Read(l.fd, f.buf)
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("the connection was closed")
	}
	data := f.buf[:n]
	if len(l.rest) > 0 {
		l.rest = append(l.rest, data...)
		data = l.rest
	}
	a, whole, err := wholeAnswer(data)
	if err != nil {
		return err
	}
	if !whole {
		if len(l.rest) == 0 {
			l.rest = append(l.rest, data...)
		}
		return nil
	}
	err = f.take(l, a, time.Now())
	l.rest = l.rest[:0]
	return err
}

// take counts an answer; its line is idle again.
func (f *flood) take(l *line, a answer, now time.Time) error {
	c := l.crowd
	took, counts := now.Sub(l.due), c.tally.has(l.due)
	l.due = time.Time{}
	f.open--
	c.busy--
	c.idle = append(c.idle, l)
	switch {
	case a.status == http.StatusOK && (l.plays == nil || acked(a.body)):
		if l.plays != nil {
			l.acked, l.doubt = l.plays.seq, false
		}
		if counts {
			c.tally.answered(took, f.deadline, now)
		}
	case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
		l.doubt = l.doubt || a.status == http.StatusServiceUnavailable
		if counts {
			c.tally.refused[a.status]++
			if a.retryAfter <= 0 {
				c.tally.bare++
			}
		}
	default:
		return fmt.Errorf("status %d: %s", a.status, clip(a.body))
	}
	return nil
}

func (t *tally) answered(took, deadline time.Duration, now time.Time) {
	_ = t.hist.RecordValue(min(max(took.Microseconds(), 1), time.Minute.Microseconds()))
	if took > deadline {
		t.late++
		return
	}
	t.good++
	if i := int(now.Sub(t.from) / time.Second); i < len(t.slots) {
		t.slots[i]++
	}
}
