package main

import (
	"context"
	"errors"
	"io"
	"time"

	"laurel/client"
	"laurel/score"
)

const (
	// maxAhead bounds the events that a standby has read and not seen acknowledged.
	maxAhead = 4096
	// minStandby bounds --standby from below.
	minStandby = 100 * time.Millisecond
	// maxPoll is the longest time between two looks at the last seq.
	maxPoll = time.Second
)

// following is what a standby knows of the source that it follows.
type following struct {
	asked time.Time // when it last asked for the last seq
	last  uint64    // the last seq then
	known bool      // it has asked
	sent  uint64    // the last seq that it has posted itself
	moved time.Time // when another bard was last seen to have posted; zero: never
}

// arrival is an event, or the error in its place, and when it was due.
type arrival struct {
	inputEvent
	err error
	at  time.Time
}

// follow leaves the events of an input to another bard, and posts those that are not
// acknowledged in time. It never makes an identity.
func (s *singer) follow(ctx context.Context, in *input, stream *client.Stream) error {
	ctx, s.abort = context.WithCancel(ctx)
	defer s.abort()
	arrivals := make(chan arrival, maxAhead)
	go s.readAhead(ctx, in, arrivals)
	source := ""
	for {
		var a arrival
		select {
		case a = <-arrivals:
		case <-ctx.Done():
			return ctx.Err()
		}
		if a.err == io.EOF {
			return nil
		}
		if err := a.checkFollowed(&source); err != nil {
			return lineError(a.Number, a.ID, err)
		}
		acked, err := s.awaitAck(ctx, &a)
		if err != nil {
			return err
		}
		if acked {
			s.skipped++
			s.last = a.inputEvent
			continue
		}
		s.mu.Lock()
		s.following.sent = a.Seq
		s.mu.Unlock()
		if err := s.send(ctx, &a.inputEvent, a.err, stream); err != nil {
			return err
		}
	}
}

// checkFollowed reports why a standby cannot post the event under the same identity as
// the bard that it follows. source is that of the events before, "" for the first.
func (a *arrival) checkFollowed(source *string) error {
	switch {
	case a.err != nil && a.Seq == 0:
		return a.err
	case a.Seq == 0 || a.made:
		return errors.New("it needs a source, a seq and, to be signed, an id of its own: " +
			"a standby posts under the same identity as the bard that it follows")
	case *source != "" && *source != a.source:
		return score.Problemf(score.InvalidEvent,
			"its source is %s, that of the line before %s; a standby follows one source", a.source, *source)
	}
	*source = a.source
	return nil
}

// readAhead reads the events of an input when they are due.
func (s *singer) readAhead(ctx context.Context, in *input, to chan<- arrival) {
	p := pace{speed: s.speed}
	for {
		e, err := in.next()
		if err == nil && p.wait(ctx, e.time) != nil {
			return
		}
		select {
		case to <- arrival{e, err, time.Now()}:
		case <-ctx.Done():
			return
		}
		if err != nil && e.Seq == 0 {
			return // the end, or a line that no alert can replace
		}
	}
}

// awaitAck waits until an event is acknowledged. It returns false if it is to be posted:
// the time of --standby has passed since it came and since another bard's latest event.
// If another event has its seq, it must be posted, too, to be refused.
func (s *singer) awaitAck(ctx context.Context, a *arrival) (acked bool, err error) {
	f := &s.following
	poll := min(s.standby/10, maxPoll)
	for {
		if s.posted.sources[a.source].LastSeq < a.Seq && time.Since(f.asked) >= poll {
			if _, err := s.posted.read(ctx, a.source, a.Seq); err != nil {
				return false, err
			}
			f.asked = time.Now()
		}
		e, ok, err := s.posted.find(ctx, a.source, a.Seq)
		if err != nil {
			return false, err
		}
		quiet := s.noteLast(s.posted.sources[a.source].LastSeq)
		if ok {
			return a.is(&e), nil
		}
		if a.at.After(quiet) {
			quiet = a.at
		}
		wait := time.Until(quiet.Add(s.standby))
		if wait <= 0 {
			return false, nil
		}
		select {
		case <-time.After(min(wait, poll)):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// noteLast takes in the present last seq. It returns when another bard was last seen to
// have posted.
func (s *singer) noteLast(last uint64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.following
	if f.known && last > max(f.last, f.sent) {
		f.moved = time.Now()
	}
	f.last, f.known = max(f.last, last), true
	return f.moved
}
