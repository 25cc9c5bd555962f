package main

import (
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// writer does one durable write at a time. It is used by one goroutine.
type writer interface {
	// write returns when the write is acked. It may try again where that is safe.
	write(ctx context.Context) error
	source() string
	lastSeq() uint64 // acked
	retries() int
	close()
}

// meter counts what is acked in the measured time. It is used by one goroutine.
type meter struct {
	from, until time.Time
	hist        *hdrhistogram.Histogram // microseconds
}

// newMeter bounds a meter's memory to some 20 KiB: a microsecond to a minute, exact to a hundredth.
func newMeter(from, until time.Time) *meter {
	return &meter{from: from, until: until, hist: hdrhistogram.New(1, time.Minute.Microseconds(), 2)}
}

func (m *meter) record(sent, acked time.Time) {
	if acked.Before(m.from) || acked.After(m.until) {
		return
	}
	// Beyond a minute is a minute: every request gives up long before.
	_ = m.hist.RecordValue(min(max(acked.Sub(sent).Microseconds(), 1), time.Minute.Microseconds()))
}

// measurement is what came out of one cell.
type measurement struct {
	perSecond float64
	p50, p99  time.Duration
	cores     cores
	retries   int
	beside    float64 // events/s that others wrote meanwhile
	ways      ways    // how reads were answered
	masters   uint64  // that came to serve meanwhile: a figure with one in it is of something else
}

func summarize(meters []*meter, took time.Duration) measurement {
	sum := newMeter(time.Time{}, time.Time{}).hist
	for _, m := range meters {
		sum.Merge(m.hist)
	}
	return measurement{
		perSecond: float64(sum.TotalCount()) / took.Seconds(),
		p50:       time.Duration(sum.ValueAtQuantile(50)) * time.Microsecond,
		p99:       time.Duration(sum.ValueAtQuantile(99)) * time.Microsecond,
	}
}

// span is when a cell measures.
type span struct{ from, until time.Time }

func (b *bench) span() span {
	from := time.Now().Add(b.warmup)
	return span{from, from.Add(b.duration)}
}

// closedLoop has every writer write one after another until the span ends; what is under way then is waited for.
func closedLoop(ctx context.Context, writers []writer, s span, serverCPU func() (time.Duration, error)) (measurement, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	meters := make([]*meter, len(writers))
	var wg sync.WaitGroup
	for i, w := range writers {
		m := newMeter(s.from, s.until)
		meters[i] = m
		wg.Go(func() {
			for sent := time.Now(); sent.Before(s.until); {
				if err := w.write(ctx); err != nil {
					cancel(err)
					return
				}
				acked := time.Now()
				m.record(sent, acked)
				sent = acked
			}
		})
	}
	used, err := cpuDuring(ctx, s, serverCPU)
	wg.Wait()
	if ctx.Err() != nil {
		return measurement{}, context.Cause(ctx)
	}
	if err != nil {
		return measurement{}, err
	}
	out := summarize(meters, s.until.Sub(s.from))
	out.cores = used
	for _, w := range writers {
		out.retries += w.retries()
	}
	return out, nil
}
