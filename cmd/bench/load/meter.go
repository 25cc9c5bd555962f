package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Span is the time in which a cell is measured.
type Span struct{ From, Until time.Time }

// Has reports whether t is in the span.
func (s Span) Has(t time.Time) bool { return !t.Before(s.From) && !t.After(s.Until) }

// Meter keeps latencies of requests that ended within a span: a microsecond to a minute,
// exact to a hundredth, in some 20 KiB. It is used by one goroutine.
type Meter struct {
	span Span
	hist *hdrhistogram.Histogram // microseconds
}

// NewMeter returns an empty meter. The zero Span takes everything.
func NewMeter(s Span) *Meter {
	return &Meter{span: s, hist: hdrhistogram.New(1, time.Minute.Microseconds(), 2)}
}

// Record takes a request that was sent and answered at these times, if it was answered
// within the span.
func (m *Meter) Record(sent, answered time.Time) {
	if m.span == (Span{}) || m.span.Has(answered) {
		m.Add(answered.Sub(sent))
	}
}

// Add takes a latency. More than a minute counts as a minute: every request is given up
// before.
func (m *Meter) Add(d time.Duration) {
	_ = m.hist.RecordValue(min(max(d.Microseconds(), 1), time.Minute.Microseconds()))
}

// Merge takes what another meter has.
func (m *Meter) Merge(o *Meter) { m.hist.Merge(o.hist) }

// Count returns the number of latencies.
func (m *Meter) Count() int64 { return m.hist.TotalCount() }

// Quantile returns the latency that q percent did not exceed.
func (m *Meter) Quantile(q float64) time.Duration {
	return time.Duration(m.hist.ValueAtQuantile(q)) * time.Microsecond
}

// Writer does one durable write at a time. It is used by one goroutine.
type Writer interface {
	// Write returns when the write is acknowledged. It may retry where that is safe.
	Write(ctx context.Context) error
	// Source names the events of this writer, and Acked is the seq of the last that was
	// acknowledged.
	Source() string
	Acked() uint64
	Close()
}

// OpenAll returns n writers that open makes.
func OpenAll(n int, open func(i int) (Writer, error)) (list []Writer, err error) {
	for i := range n {
		w, err := open(i)
		if err != nil {
			CloseAll(list)
			return nil, err
		}
		list = append(list, w)
	}
	return list, nil
}

// CloseAll closes writers.
func CloseAll(list []Writer) {
	for _, w := range list {
		w.Close()
	}
}

// ClosedLoop has every writer write one event after another until the span ends. It waits
// for the writes that are under way then, and returns the latencies of those that ended
// within the span.
func ClosedLoop(ctx context.Context, writers []Writer, s Span) (*Meter, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	meters := make([]*Meter, len(writers))
	var running sync.WaitGroup
	for i, w := range writers {
		m := NewMeter(s)
		meters[i] = m
		running.Go(func() {
			for sent := time.Now(); sent.Before(s.Until); {
				if err := w.Write(ctx); err != nil {
					cancel(err)
					return
				}
				acked := time.Now()
				m.Record(sent, acked)
				sent = acked
			}
		})
	}
	running.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	sum := NewMeter(Span{})
	for _, m := range meters {
		sum.Merge(m)
	}
	return sum, nil
}

// Scheduled is writers that write at fixed times, however long an answer takes.
type Scheduled struct {
	writers []Writer
	began   time.Time
	acked   atomic.Int64
	cancel  context.CancelCauseFunc
	running sync.WaitGroup
	end     chan struct{}
}

// StartScheduled has the writers write perSecond events a second together until Stop. The
// context that it returns ends when one of them fails. A writer that is late writes
// without a pause until it has made up for it, so that a server that stalls gets no rest
// for that.
func StartScheduled(ctx context.Context, writers []Writer, perSecond float64) (context.Context, *Scheduled) {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &Scheduled{writers: writers, began: time.Now(), cancel: cancel, end: make(chan struct{})}
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

func (l *Scheduled) write(ctx context.Context, w Writer, due time.Time, step time.Duration) error {
	for ; ; due = due.Add(step) {
		select {
		case <-ctx.Done():
			return nil
		case <-l.end:
			return nil
		case <-time.After(time.Until(due)):
		}
		if err := w.Write(ctx); err != nil {
			return err
		}
		l.acked.Add(1)
	}
}

// Stop waits for the writes under way and returns how many events a second were
// acknowledged. It must be called once.
func (l *Scheduled) Stop(ctx context.Context) (perSecond float64, err error) {
	close(l.end)
	l.running.Wait()
	took := time.Since(l.began)
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	l.cancel(nil)
	return float64(l.acked.Load()) / took.Seconds(), nil
}

// Sleep waits for d, or returns why ctx ended.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
