package client

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"laurel/score"
)

const (
	// DefaultWindow is the default of StreamOptions.Window.
	DefaultWindow = 4096
	// DefaultPatience is the default of StreamOptions.Patience.
	DefaultPatience = 30 * time.Second

	// maxWaiting bounds the unanswered JSON. A larger event waits alone.
	maxWaiting = 8 << 20
	// idWindow bounds the window of events without a seq, because the store remembers
	// only the last 1,024 ids of a source.
	idWindow = 512
)

// StreamOptions configure a Stream. The zero value has the defaults.
type StreamOptions struct {
	// Window bounds the unanswered events. Send waits for room. 0 means DefaultWindow.
	Window int
	// Patience is how long the stream tries, at one frontend after the other, without any
	// answer before it gives up. 0 means DefaultPatience.
	Patience time.Duration
	// Answered is called for each event, in the order of Send, from one goroutine. No
	// further answer is read while it runs, so it must not take long.
	Answered func(Answer)
	// Refused is called if a line was refused, after Answered. If ok is true, the stream goes
	// on with the replacement in the place of the line, or without one if it is the zero Line.
	// It is called for a replacement that is refused, too. nil: a refusal ends the stream.
	Refused func(l Line, p *score.Problem) (replacement Line, ok bool)
	// Trouble is called when a connection failed, before its events are sent again.
	Trouble func(url string, err error)
}

// Line is an event of a stream as JSON.
type Line struct {
	ID     string
	Seq    uint64
	JSON   []byte // one line, without its end; the stream keeps it until the event is answered
	Number int    // for the caller; the Answer has it
	// Event, if it is set, is encoded as the JSON, and signed if the client has a key. ID
	// and Seq are then set from it. SendLine does not keep it.
	Event *score.Event

	unsigned  bool      // JSON is the form to be signed, without the signature
	firstSent time.Time // zero if it was not sent yet
}

// Answer is the outcome of a line.
type Answer struct {
	Line   Line
	Result score.Result  // it has a Problem if the line was refused
	Took   time.Duration // since the line was first sent, over all attempts
	URL    string        // of the frontend that answered
}

// RefusedError ends a stream: the event was refused, so no event after it was applied.
type RefusedError struct {
	Line    Line
	Problem *score.Problem

	replaced bool // the stream goes on, with another line in its place or without one
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("event %q was refused: %v", e.Line.ID, e.Problem)
}
func (e *RefusedError) Unwrap() error { return e.Problem }

// Stream posts events in order, each applied only after the one before. When its
// connection fails, it sends the unanswered events again to another frontend. Those that
// had been applied already are answered with score.Duplicate, and count once. A Stream is
// safe for concurrent use; the order of concurrent sends is not defined.
type Stream struct {
	c      *Client
	o      StreamOptions
	ctx    context.Context
	cancel context.CancelFunc
	keyID  string        // "" if nothing is signed
	more   chan struct{} // has a value when the writer must look at the queue again
	done   chan struct{} // closed when the stream has ended

	mu    sync.Mutex
	room  sync.Cond // the queue got shorter, or the stream ended
	queue []Line    // unanswered
	ready int       // the first of the queue that are signed, if the client has a key
	sent  int       // the first of those that were sent on the present connection
	// uncertain is how many of the first were sent on an earlier connection, which was lost,
	// and may have been applied.
	uncertain int
	bytes     int // of the queue
	closed    bool
	err       error
	progress  time.Time // the time of the last answer, or when an event came into the empty queue
	stats     StreamStats
}

// StreamStats counts the failures of a stream so far.
type StreamStats struct {
	Retries   int // connections that failed with events unanswered
	Failovers int // how often the stream continued at another frontend
}

// Stream starts a stream. It sends nothing before the first event. Cancelling ctx ends it
// at once; the events that are unanswered then may be applied or not.
func (c *Client) Stream(ctx context.Context, o StreamOptions) *Stream {
	o.Window = cmp.Or(max(o.Window, 0), DefaultWindow)
	o.Patience = cmp.Or(max(o.Patience, 0), DefaultPatience)
	if o.Answered == nil {
		o.Answered = func(Answer) {}
	}
	if o.Trouble == nil {
		o.Trouble = func(string, error) {}
	}
	s := &Stream{c: c, o: o, more: make(chan struct{}, 1), done: make(chan struct{})}
	s.room.L = &s.mu
	s.ctx, s.cancel = context.WithCancel(ctx)
	if len(c.o.Key) > 0 {
		s.keyID = score.KeyID(c.o.Key.Public().(ed25519.PublicKey))
	}
	go s.run()
	return s
}

// Send queues an event, which gets an id if it has none. It waits for room in the window,
// but not for the answer. Once the stream has failed, it returns the error of Close.
//
// If the client has a key, Send signs the event, which must have a source and a seq. An
// event without a time gets the present time.
func (s *Stream) Send(e *score.Event) error {
	if e.ID == "" {
		e.ID = defaultID(e)
	}
	if s.keyID != "" && e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	return s.SendLine(Line{Event: e})
}

// SendLine is Send for an event that is JSON already, or whose Answer needs the caller's
// Number. The line must have an identity: an id, or a source and a seq. JSON is sent as
// it is and not signed.
func (s *Stream) SendLine(l Line) error {
	if l.Event != nil {
		if err := s.prepare(&l); err != nil {
			return err
		}
	}
	s.mu.Lock()
	for s.err == nil && !s.closed && !s.fits(&l) {
		s.room.Wait()
	}
	if s.err != nil || s.closed {
		defer s.mu.Unlock()
		return cmp.Or(s.err, errors.New("the stream is closed"))
	}
	if len(s.queue) == 0 {
		s.progress = time.Now()
	}
	s.queue = append(s.queue, l)
	s.bytes += len(l.JSON)
	if s.keyID == "" {
		s.ready++
	}
	due := s.sent < s.ready || s.signable() > 0
	s.mu.Unlock()
	if due {
		s.wakeWriter()
	}
	return nil
}

func (s *Stream) fits(l *Line) bool {
	window := s.o.Window
	if l.Seq == 0 {
		window = min(window, idWindow)
	}
	n := len(s.queue)
	return n == 0 || n < window && s.bytes+len(l.JSON) <= maxWaiting
}

// Close waits until every event is answered, and ends the stream. The error is a
// *RefusedError if an event was refused, a *score.Problem if the stream as a whole was, or
// the cause of the stream's context. If no answer came for Patience, it is a *score.Problem,
// or an *UnreachableError if nothing that is unanswered was sent. The problem is
// score.OutcomeUnknown if unanswered events may have been applied.
func (s *Stream) Close() error {
	s.mu.Lock()
	s.closed = true
	s.room.Broadcast()
	s.mu.Unlock()
	s.wakeWriter()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Stats returns the failures so far.
func (s *Stream) Stats() StreamStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Stream) wakeWriter() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

func (s *Stream) run() {
	defer close(s.done)
	defer s.cancel()
	failedAt := "" // "" if the last connection did not fail
	for failures := 0; s.waitForWork(); {
		url := s.c.frontends.pick()
		answers, err := s.postOver(url, failedAt != "" && url != failedAt)
		refused, ok := errors.AsType[*RefusedError](err)
		if err == nil || ok && refused.replaced {
			failures, failedAt = 0, ""
			continue
		}
		if isRefusal(err) || s.ctx.Err() != nil {
			s.finish(s.refused(err))
			return
		}
		s.c.frontends.markFailed(url, err)
		s.c.refreshInBackground(true)
		s.mu.Lock()
		s.stats.Retries++
		quiet := time.Since(s.progress)
		s.mu.Unlock()
		s.o.Trouble(url, err)
		if failedAt = url; answers > 0 {
			failures = 0
		}
		failures++
		if quiet >= s.o.Patience || s.c.frontends.allUntrusted() {
			s.finish(s.exhausted(quiet, fmt.Errorf("%s: %w", url, err)))
			return
		}
		sleep(s.ctx, s.c.pause(failures, hasCode(err, score.RateLimited, score.NoSpace)))
	}
}

// waitForWork waits for an event to send. It returns false if there will be none.
func (s *Stream) waitForWork() bool {
	for s.ctx.Err() == nil {
		s.mu.Lock()
		n, closed := len(s.queue), s.closed
		s.mu.Unlock()
		if n > 0 || closed {
			return n > 0
		}
		select {
		case <-s.more:
		case <-s.ctx.Done():
		}
	}
	s.finish(context.Cause(s.ctx))
	return false
}

func (s *Stream) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cause := context.Cause(s.ctx); cause != nil {
		err = fmt.Errorf("the stream was cancelled with %d events unanswered: %w", len(s.queue), cause)
	}
	s.err = err
	s.queue, s.bytes, s.ready, s.sent, s.uncertain = nil, 0, 0, 0, 0
	s.room.Broadcast()
}

// exhausted returns the error of a stream that got no answer for too long.
func (s *Stream) exhausted(quiet time.Duration, last error) error {
	switch unknown := s.unknown(last); {
	case unknown != nil && !hasCode(last, score.OutcomeUnknown):
		last = unknown
	case !errors.As(last, new(*score.Problem)):
		last = s.c.frontends.unreachable(last)
	}
	return fmt.Errorf("no event was answered for %s: %w", quiet.Round(time.Second), last)
}

// refused returns the error of a stream that was refused. A caller that has lost its right
// may have had it when the events were sent before.
func (s *Stream) refused(err error) error {
	unknown := s.unknown(err)
	if unknown != nil && hasCode(err, score.Unauthorized, score.Forbidden, score.Unsigned) {
		return unknown
	}
	return err
}

// unknown returns the error of a stream whose unanswered events may have been applied; nil
// if none of them was sent on an earlier connection.
func (s *Stream) unknown(last error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uncertain == 0 {
		return nil
	}
	return score.Problemf(score.OutcomeUnknown, "%d of the events may have been applied or not (%v); "+
		"repeat them with the same identities: each counts once", s.uncertain, last)
}

// isRefusal reports whether err is a problem that any frontend would report.
func isRefusal(err error) bool {
	p, ok := errors.AsType[*score.Problem](err)
	return ok && !transient(p.Status)
}
