package posts

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"laurel/score"
)

// interruptedWrite is how long the client of an interrupted stream may leave its last
// answers unread.
const interruptedWrite = time.Second

// prefetcher reads the next chunk while one is being posted.
type prefetcher struct {
	body    io.Reader
	control *http.ResponseController // whose methods fail without a connection
	idle    time.Duration            // limit of each read of the body
	done    chan struct{}
	reading context.Context // ends when the stream is interrupted or stopped
	cancel  context.CancelFunc

	mu      sync.Mutex
	changed sync.Cond // pending or stopped has changed
	pending chunk
	stopped bool
	over    bool           // the stream has been read to its end
	firstBy time.Time      // when the first event must have come; zero for no limit
	why     *score.Problem // why the stream was interrupted
}

func newPrefetcher(
	ctx context.Context, control *http.ResponseController, body io.Reader, idle time.Duration,
) *prefetcher {
	a := &prefetcher{body: body, control: control, idle: idle, done: make(chan struct{})}
	a.reading, a.cancel = context.WithCancel(ctx)
	a.changed.L = &a.mu
	return a
}

// start reads chunks and has check look at each of them.
func (a *prefetcher) start(check func(*chunk)) {
	go func() {
		defer close(a.done)
		in := newEventReader(a)
		defer in.free()
		for more := true; more; {
			c := in.next()
			check(&c)
			more = a.add(c)
		}
	}()
}

// expectEvent ends the stream if no event comes within a time, unless that is 0.
func (a *prefetcher) expectEvent(within time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.firstBy = time.Time{}
	if within > 0 {
		a.firstBy = time.Now().Add(within)
	}
}

// interrupt ends the reading for a reason, which the client is told. What was read before
// is still posted, unless it has to wait.
func (a *prefetcher) interrupt(reason *score.Problem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || a.why != nil {
		return
	}
	a.why = reason
	a.cancel()
	if !a.over {
		_ = a.control.SetReadDeadline(time.Unix(1, 0))
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(interruptedWrite))
}

// limitWrite bounds the write that follows. It holds mu, so that it does not replace the
// shorter limit of an interrupt that comes meanwhile.
func (a *prefetcher) limitWrite(limit time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.why != nil {
		limit = min(limit, interruptedWrite)
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(limit)) // fails without a connection
}

// reason returns why the stream was interrupted, nil if it was not.
func (a *prefetcher) reason() *score.Problem {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.why
}

// add appends c to the pending chunk once there is room for it. It reports whether to
// read on.
func (a *prefetcher) add(c chunk) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.stopped && !a.pending.hasRoomFor(&c) {
		a.changed.Wait()
	}
	a.pending.add(c)
	a.changed.Signal()
	return !c.ended && !a.stopped
}

// next waits for the next chunk. There is none after one that has ended.
func (a *prefetcher) next() chunk {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.pending.events) == 0 && !a.pending.ended {
		a.changed.Wait()
	}
	c := a.pending
	a.pending = chunk{}
	a.changed.Signal()
	return c
}

// stop ends the reading and waits until it has ended, because the body must not be read
// after the handler has returned.
func (a *prefetcher) stop() {
	a.cancel()
	a.mu.Lock()
	a.stopped = true
	if !a.over {
		// After the end of a body net/http waits for the next request. A deadline that
		// passes then would end the connection.
		_ = a.control.SetReadDeadline(time.Unix(1, 0))
	}
	a.changed.Signal()
	a.mu.Unlock()
	<-a.done
}

var errStopped = errors.New("the stream was stopped")

// Read reads from the body within the idle time, until the prefetcher is stopped or
// interrupted.
func (a *prefetcher) Read(b []byte) (int, error) {
	if err := a.beforeRead(); err != nil {
		return 0, err
	}
	n, err := a.body.Read(b)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err == nil:
		// With HTTP/2 a deadline passes even while nothing is read, and ends the body.
		_ = a.control.SetReadDeadline(time.Time{})
	case err == io.EOF:
		a.over = true
		_ = a.control.SetReadDeadline(time.Time{}) // posting the end may take longer
	case a.why != nil:
		return n, a.why
	case errors.Is(err, os.ErrDeadlineExceeded) && !a.firstBy.IsZero():
		return n, errNoEvent
	}
	return n, err
}

// beforeRead sets the deadline of a read.
func (a *prefetcher) beforeRead() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.stopped:
		return errStopped
	case a.why != nil:
		return a.why
	}
	deadline := time.Now().Add(a.idle)
	if !a.firstBy.IsZero() && a.firstBy.Before(deadline) {
		deadline = a.firstBy
	}
	_ = a.control.SetReadDeadline(deadline)
	return nil
}

var errNoEvent = score.Problemf(score.InvalidEvent,
	"no event came in time; begin a stream when there is an event to post, or send a token with it")
