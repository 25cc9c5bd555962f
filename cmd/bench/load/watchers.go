package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// beginning bounds the watchers that are connected and not yet begun, so that no server's
// queue of connections overflows.
const beginning = 256

// Watchers are the watchers of one contest at one frontend, each with a stream of its
// own. One goroutine reads them all.
type Watchers struct {
	began  time.Time
	first  uint64         // revision of the first event; nobody else writes to the store
	warmup int            // number of events that are not measured
	sent   []atomic.Int64 // when each event was published, in nanoseconds after began; 0: not yet
	count  int
	poll   *epoll[*watcher]
	begun  int // watchers that have got the record as it was when they came
	done   int // watchers that have got the last event
	seen   Seen
	cancel context.CancelFunc
	ended  chan struct{} // closed when the reader has ended
	failed error         // of the reader
}

// Seen is what the watchers have seen.
type Seen struct {
	Latency *Meter // from publishing to receipt, for each watcher and event
	Told    int    // watchers times events
	Skipped int    // of these, those that came only as a newer one
}

// OpenWatchers has n watchers watch a contest at a frontend, and waits until each has
// begun. first is the revision of the next event, of warmup+events that are published.
// The watchers must be closed.
func OpenWatchers(ctx context.Context, addr, contest string, n int, first uint64, warmup, events int) (*Watchers, error) {
	poll, err := newEpoll[*watcher]()
	if err != nil {
		return nil, err
	}
	w := &Watchers{
		began: time.Now(), first: first, warmup: warmup, sent: make([]atomic.Int64, warmup+events), count: n,
		poll: poll, seen: Seen{Latency: NewMeter(Span{})}, ended: make(chan struct{}),
	}
	if err := w.open(ctx, addr, contest); err != nil {
		poll.close()
		return nil, err
	}
	ctx, w.cancel = context.WithCancel(ctx)
	go w.read(ctx)
	return w, nil
}

func (w *Watchers) open(ctx context.Context, addr, contest string) error {
	// moved: the frontend must not send a watcher to another one.
	request := []byte("GET /v1/watch?moved=1&contest=" + contest + " HTTP/1.1\r\nHost: " + addr +
		"\r\nAccept: text/event-stream\r\n\r\n")
	for opened := 0; w.begun < w.count; {
		if opened < w.count && opened-w.begun < beginning {
			opened++
			if err := w.poll.open(addr, request, &watcher{}); err != nil {
				return fmt.Errorf("watcher %d of %d: %w", opened, w.count, err)
			}
			continue
		}
		if err := errors.Join(w.poll.wait(1, w.take), context.Cause(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// read reads until every watcher has got the last event, or ctx ends.
func (w *Watchers) read(ctx context.Context) {
	defer close(w.ended)
	const millis = 50
	for w.done < w.count && ctx.Err() == nil && w.failed == nil {
		w.failed = w.poll.wait(millis, w.take)
	}
}

// Publish has p write all events, perSecond a second, whether or not the watchers keep
// up.
func (w *Watchers) Publish(ctx context.Context, p *Poster, perSecond float64) error {
	step := time.Duration(float64(time.Second) / perSecond)
	due := time.Now()
	for i := range w.sent {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.ended: // Wait says why
			return nil
		case <-time.After(time.Until(due)):
		}
		due = due.Add(step)
		w.sent[i].Store(int64(time.Since(w.began)))
		if err := p.Write(ctx); err != nil {
			return err
		}
		if got, want := p.Revision(), w.first+uint64(i); got != want {
			return fmt.Errorf("event %d got the revision %d; want %d, because nobody else writes", i+1, got, want)
		}
	}
	return nil
}

// Wait waits until every watcher has got the last event, and returns what they have seen.
// It is an error if that takes longer than limit.
func (w *Watchers) Wait(ctx context.Context, limit time.Duration) (Seen, error) {
	select {
	case <-w.ended:
	case <-ctx.Done():
	case <-time.After(limit):
	}
	w.end()
	err := errors.Join(w.failed, context.Cause(ctx))
	if err == nil && w.done < w.count {
		err = fmt.Errorf("%d of %d watchers did not get the last event within %s", w.count-w.done, w.count, limit)
	}
	return w.seen, err
}

func (w *Watchers) end() {
	w.cancel()
	<-w.ended
}

// Close ends the reader and closes the connections.
func (w *Watchers) Close() {
	w.end()
	w.poll.close()
}

// watcher is one stream.
type watcher struct {
	begun bool
	next  int // the first event that it has not got
}

// take handles the whole messages of data.
func (w *Watchers) take(c *rawConn[*watcher], data []byte) (used int, err error) {
	at := time.Since(w.began)
	for {
		begins, revision, n, err := parseMessage(data[used:])
		if err != nil || n == 0 {
			return used, err
		}
		used += n
		if begins && !c.state.begun {
			c.state.begun = true
			w.begun++
		}
		if revision != 0 {
			if err := w.got(c.state, revision, at); err != nil {
				return used, err
			}
		}
	}
}

// got counts the events up to a revision. An event that a newer one replaced counts
// when the newer one comes: from then on its watcher knows it.
func (w *Watchers) got(of *watcher, revision uint64, at time.Duration) error {
	if revision < w.first {
		return nil
	}
	last := int(revision - w.first)
	if last >= len(w.sent) || w.sent[last].Load() == 0 {
		return fmt.Errorf("got the revision %d, which has not been published", revision)
	}
	if of.next > last {
		return nil
	}
	for ; of.next <= last; of.next++ {
		if of.next < w.warmup {
			continue
		}
		w.seen.Latency.Add(at - time.Duration(w.sent[of.next].Load()))
		w.seen.Told++
		if of.next < last {
			w.seen.Skipped++
		}
	}
	if of.next == len(w.sent) {
		w.done++
	}
	return nil
}

// parseMessage parses the first server-sent event of data: whether the stream begins with
// it, the revision of the record in it, 0 for none, and its length, 0 if it is not there
// whole.
func parseMessage(data []byte) (begins bool, revision uint64, n int, err error) {
	if bytes.HasPrefix(data, []byte("HTTP/1.1 ")) && len(data) >= 12 && string(data[9:12]) != "200" {
		return false, 0, 0, fmt.Errorf("refused: %s", Clip(data))
	}
	end := bytes.Index(data, []byte("\n\n"))
	if end < 0 {
		return false, 0, 0, nil
	}
	n = end + 2
	// A chunk's length, or the answer's head, may precede the first line.
	_, event, _ := bytes.Cut(data[:n], []byte("event: "))
	switch {
	case bytes.HasPrefix(event, []byte("snapshot\n")):
		return true, 0, n, nil
	case bytes.HasPrefix(event, []byte("score\n")):
		if i := bytes.LastIndex(event, []byte(`"revision":`)); i >= 0 {
			revision, err = RevisionOf(event[i:])
			return false, revision, n, err
		}
		return false, 0, n, errors.New("a score without a revision")
	}
	return false, 0, n, nil
}
