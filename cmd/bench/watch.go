package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	writePause = 2 * time.Millisecond
	readPause  = 4 * time.Millisecond
)

// watch is one poster that posts event after event wherever it is taken, and a reader of the same record at each member.
type watch struct {
	plays  *plays
	hunter hunter
	cancel context.CancelCauseFunc
	end    chan struct{}

	writing, reading sync.WaitGroup
	acked            atomic.Uint64 // the revision of the event acked last

	mu     sync.Mutex
	writes []moment
	reads  [][]moment // by member
	stale  int
	failed error
}

// startWatch begins to write and to read. Each event is posted to one of writeTo, each member is read. No try takes longer than limit.
func startWatch(ctx context.Context, members []member, writeTo []int, limit time.Duration, p *plays) *watch {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{plays: p, hunter: hunter{limit: limit}, cancel: cancel, end: make(chan struct{}), reads: make([][]moment, len(members))}
	for _, i := range writeTo {
		w.hunter.members = append(w.hunter.members, members[i])
	}
	w.writing.Go(func() { w.write(ctx) })
	for i, m := range members {
		w.reading.Go(func() { w.read(ctx, i, m) })
	}
	return w
}

func (w *watch) write(ctx context.Context) {
	for {
		sent := time.Now()
		revision, err := w.hunter.hunt(ctx, w.plays.append(nil))
		if err != nil {
			w.fail(err)
			return
		}
		w.acked.Store(revision)
		w.mu.Lock()
		w.writes = append(w.writes, moment{sent: sent, done: time.Now(), ok: true})
		w.mu.Unlock()
		select {
		case <-w.end:
			return
		case <-time.After(writePause):
		}
	}
}

func (w *watch) read(ctx context.Context, i int, m member) {
	for ctx.Err() == nil {
		least, sent := w.acked.Load(), time.Now()
		once, cancel := context.WithTimeout(ctx, w.hunter.limit)
		revision, err := m.look(once)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRefused) {
			w.fail(err)
			return
		}
		w.mu.Lock()
		w.reads[i] = append(w.reads[i], moment{sent, time.Now(), err == nil, err})
		if err == nil && revision < least {
			w.stale++
		}
		w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(readPause):
		}
	}
}

func (w *watch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
	w.cancel(err)
}

// back tells whether, since t, an event was acked and each of the members answers again.
func (w *watch) back(t time.Time, members []int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return w.failed
	}
	if _, ok := nextAfter(t, w.writes); !ok {
		return errors.New("no event has been acked")
	}
	for _, i := range members {
		if _, ok := nextAfter(t, w.reads[i]); !ok || !slices.ContainsFunc(w.reads[i][len(w.reads[i])-1:], func(m moment) bool { return m.ok }) {
			return fmt.Errorf("the member %d does not answer", i+1)
		}
	}
	return nil
}

// stop ends it. What is under way is waited for, so that every event that was made is acked.
func (w *watch) stop() error {
	close(w.end)
	w.writing.Wait()
	w.cancel(nil)
	w.reading.Wait()
	return w.failed
}
