package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// load is writers that write on a schedule, however long an answer takes.
type load struct {
	began   time.Time
	writers []writer
	acked   atomic.Int64
	cancel  context.CancelCauseFunc
	running sync.WaitGroup
	end     chan struct{}
	ended   time.Duration
}

// startLoad has the writers write so many a second together until stop. The context it returns is over when one of them fails.
//
// Each writer has a schedule of its own and, where it is late, writes at once until it has made up for it: a server that
// stalls gets no rest for that.
func startLoad(ctx context.Context, writers []writer, perSecond float64) (context.Context, *load) {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &load{began: time.Now(), writers: writers, cancel: cancel, end: make(chan struct{})}
	step := time.Duration(float64(len(writers)) / perSecond * float64(time.Second))
	for i, w := range writers {
		due := l.began.Add(step * time.Duration(i) / time.Duration(len(writers)))
		l.running.Go(func() {
			if err := l.write(ctx, w, due, step); err != nil {
				cancel(err)
			}
		})
	}
	return ctx, l
}

func (l *load) write(ctx context.Context, w writer, due time.Time, step time.Duration) error {
	for ; ; due = due.Add(step) {
		select {
		case <-ctx.Done():
			return nil
		case <-l.end:
			return nil
		case <-time.After(time.Until(due)):
		}
		if err := w.write(ctx); err != nil {
			return err
		}
		l.acked.Add(1)
	}
}

// stop waits for what is under way, and verifies that the store has all of it. It must be called once.
func (l *load) stop(ctx context.Context, lastSeq func(context.Context, string) (uint64, error)) error {
	close(l.end)
	l.running.Wait()
	l.ended = time.Since(l.began)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	defer l.cancel(nil)
	acked := map[string]uint64{} // some writers may share a source
	for _, w := range l.writers {
		acked[w.source()] += w.lastSeq()
	}
	for source, n := range acked {
		if err := verify(ctx, lastSeq, source, n); err != nil {
			return err
		}
	}
	return nil
}

// perSecond is what has been acked, after stop.
func (l *load) perSecond() float64 { return float64(l.acked.Load()) / l.ended.Seconds() }
