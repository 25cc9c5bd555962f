package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// WatchReaders is the number of goroutines that read the watchers' connections. One or
// two made no difference that could be seen on two cores.
const WatchReaders = 2

// beginning bounds the watchers that are connected and not yet begun, so that no server's
// queue of connections overflows.
const beginning = 256

// Watchers are the watchers of one contest at one frontend, each with a stream of its
// own.
type Watchers struct {
	began   time.Time
	first   uint64         // revision of the first event; nobody else writes to the store
	warmup  int            // number of events that are not measured
	sent    []atomic.Int64 // when each event was published, in nanoseconds after began; 0: not yet
	count   int
	readers []*watchReader
	begun   atomic.Int64 // watchers that have got the record as it was when they came
	done    atomic.Int64 // watchers that have got the last event
	over    atomic.Bool
	failed  chan error
	reading sync.WaitGroup
}

// Seen is what the watchers have seen.
type Seen struct {
	Latency *Meter // from publishing to receipt, for each watcher and event
	Told    int    // watchers times events
	Skipped int    // of these, those that came only as a newer one
	Missing int    // watchers that never got the last event
}

// OpenWatchers has n watchers watch a contest at a frontend, and waits until each has
// begun. first is the revision of the next event, of warmup+events that are published.
// The watchers must be closed, also after an error.
func OpenWatchers(ctx context.Context, addr, contest string, n int, first uint64, warmup, events int) (*Watchers, error) {
	w := &Watchers{
		began: time.Now(), first: first, warmup: warmup, sent: make([]atomic.Int64, warmup+events),
		count: n, failed: make(chan error, 1),
	}
	for range WatchReaders {
		poll, err := newEpoll[*watcher]()
		if err != nil {
			return w, err
		}
		w.readers = append(w.readers, &watchReader{all: w, poll: poll, latency: NewMeter(Span{})})
	}
	// moved: the frontend must not send a watcher to another one.
	request := []byte("GET /v1/watch?moved=1&contest=" + contest + " HTTP/1.1\r\nHost: " + addr +
		"\r\nAccept: text/event-stream\r\n\r\n")
	for i := range n {
		r := w.readers[i%len(w.readers)]
		if err := r.poll.open(addr, request, &watcher{}); err != nil {
			return w, fmt.Errorf("watcher %d of %d: %w", i+1, n, err)
		}
		for int64(i)-w.begun.Load() >= beginning {
			if err := w.readAll(ctx); err != nil {
				return w, err
			}
		}
	}
	for w.begun.Load() < int64(n) {
		if err := w.readAll(ctx); err != nil {
			return w, err
		}
	}
	for _, r := range w.readers {
		w.reading.Go(r.run)
	}
	return w, nil
}

// readAll reads what there is, before the readers run.
func (w *Watchers) readAll(ctx context.Context) error {
	for _, r := range w.readers {
		if err := r.poll.wait(1, r.take); err != nil {
			return fmt.Errorf("watcher: %w", err)
		}
	}
	return context.Cause(ctx)
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
		case err := <-w.failed:
			return err
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

// Wait waits until every watcher has got the last event, for at most limit, and returns
// what they have seen.
func (w *Watchers) Wait(ctx context.Context, limit time.Duration) (Seen, error) {
	late := time.NewTimer(limit)
	defer late.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var err error
	for waiting := true; waiting && w.done.Load() < int64(w.count); {
		select {
		case err = <-w.failed:
			waiting = false
		case <-ctx.Done():
			err = context.Cause(ctx)
			waiting = false
		case <-late.C:
			waiting = false
		case <-tick.C:
		}
	}
	w.end()
	s := Seen{Latency: NewMeter(Span{}), Missing: w.count - int(w.done.Load())}
	for _, r := range w.readers {
		s.Latency.Merge(r.latency)
		s.Told += r.told
		s.Skipped += r.skipped
	}
	return s, err
}

func (w *Watchers) end() {
	w.over.Store(true)
	w.reading.Wait()
}

// Close ends the readers and closes the connections.
func (w *Watchers) Close() {
	w.end()
	for _, r := range w.readers {
		r.poll.close()
	}
}

// watchReader reads the connections of some watchers. It belongs to its goroutine until
// all is over.
type watchReader struct {
	all           *Watchers
	poll          *epoll[*watcher]
	latency       *Meter
	told, skipped int
}

// watcher is one stream.
type watcher struct {
	begun bool
	next  int // the first event that it has not got
}

// run reads until the watchers are over.
func (r *watchReader) run() {
	const overPoll = 50 // ms
	for !r.all.over.Load() {
		if err := r.poll.wait(overPoll, r.take); err != nil {
			select {
			case r.all.failed <- fmt.Errorf("watcher: %w", err):
			default: // another reader has failed
			}
			return
		}
	}
}

// take handles the whole messages of data.
func (r *watchReader) take(c *rawConn[*watcher], data []byte) (used int, err error) {
	at := time.Since(r.all.began)
	for {
		begins, revision, n, err := parseMessage(data[used:])
		if err != nil || n == 0 {
			return used, err
		}
		used += n
		if begins && !c.state.begun {
			c.state.begun = true
			r.all.begun.Add(1)
		}
		if revision != 0 {
			if err := r.count(c.state, revision, at); err != nil {
				return used, err
			}
		}
	}
}

// count counts the events up to a revision. An event that a newer one replaced counts
// when the newer one comes: from then on its watcher knows it.
func (r *watchReader) count(w *watcher, revision uint64, at time.Duration) error {
	a := r.all
	if revision < a.first {
		return nil
	}
	last := int(revision - a.first)
	if last >= len(a.sent) || a.sent[last].Load() == 0 {
		return fmt.Errorf("got the revision %d, which has not been published", revision)
	}
	if w.next > last {
		return nil
	}
	for ; w.next <= last; w.next++ {
		if w.next < a.warmup {
			continue
		}
		r.latency.Add(at - time.Duration(a.sent[w.next].Load()))
		r.told++
		if w.next < last {
			r.skipped++
		}
	}
	if w.next == len(a.sent) {
		a.done.Add(1)
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
