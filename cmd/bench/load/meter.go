package load

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
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
	meters := make([]*Meter, len(writers))
	running, ctx := errgroup.WithContext(ctx)
	for i, w := range writers {
		m := NewMeter(s)
		meters[i] = m
		running.Go(func() error {
			for sent := time.Now(); sent.Before(s.Until); {
				if err := w.Write(ctx); err != nil {
					return err
				}
				acked := time.Now()
				m.Record(sent, acked)
				sent = acked
			}
			return nil
		})
	}
	if running.Wait() != nil {
		return nil, context.Cause(ctx) // ctx may have ended before the writers failed
	}
	sum := NewMeter(Span{})
	for _, m := range meters {
		sum.Merge(m)
	}
	return sum, nil
}

// WhileWriting runs a function while the writers together write perSecond events a second,
// and returns how many a second were acknowledged. The function's context ends when one of
// them fails. A writer that is late writes without a pause until it has made up for it, so
// that a server that stalls gets no rest for that.
func WhileWriting(
	ctx context.Context, writers []Writer, perSecond float64, run func(context.Context) error,
) (written float64, err error) {
	var acked atomic.Int64
	began, end := time.Now(), make(chan struct{})
	step := time.Duration(float64(len(writers)) / perSecond * float64(time.Second))
	running, ctx := errgroup.WithContext(ctx)
	for i, w := range writers {
		due := began.Add(step * time.Duration(i) / time.Duration(len(writers)))
		running.Go(func() error {
			for ; ; due = due.Add(step) {
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-end:
					return nil
				case <-time.After(time.Until(due)):
				}
				if err := w.Write(ctx); err != nil {
					return err
				}
				acked.Add(1)
			}
		})
	}
	runErr := run(ctx)
	close(end)
	if err := running.Wait(); err != nil || runErr != nil {
		return 0, errors.Join(runErr, err)
	}
	return float64(acked.Load()) / time.Since(began).Seconds(), nil
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
