package watch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkScoreBesideWindows measures the time until a watcher of a score has read a
// change, while 126 marks a second move competitors on a leaderboard of 100,000 and many
// watchers each watch the neighbours of another competitor. Each mark changes the ranks in
// all windows below it.
func BenchmarkScoreBesideWindows(b *testing.B) {
	for _, windows := range []int{0, 1000, 5000} {
		b.Run(fmt.Sprint("windows=", windows), func(b *testing.B) { benchmarkScore(b, windows) })
	}
}

func benchmarkScore(b *testing.B, windows int) {
	s := newFakeStore()
	const competitors = 100_000
	marks := make([]any, 0, 2*competitors)
	for i := range competitors {
		marks = append(marks, fmt.Sprint(i), rand.N(20_000))
	}
	s.setMarks("C/1", marks...)
	h := New(s, 2)
	defer h.Close()
	var events atomic.Int64
	for i := range windows {
		window := Window{ContestID: "C/1", Around: fmt.Sprint(i * (competitors / windows)), Limit: 10}
		c := watch(b, h, Subjects{Windows: []Window{window}}, "")
		go func() {
			for line, err := c.r.ReadSlice('\n'); err == nil; line, err = c.r.ReadSlice('\n') {
				if bytes.HasPrefix(line, []byte("event: leaderboard")) {
					events.Add(1)
				}
			}
		}()
	}
	awaitDelivered(b, h, s.change("C/2"))
	c := watch(b, h, Subjects{Contests: []string{"C/2"}}, "")
	if _, err := c.next(); err != nil {
		b.Fatal(err)
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for tick := time.NewTicker(time.Second / 126); ; {
			select {
			case <-tick.C:
				s.setMarks("C/1", fmt.Sprint(rand.N(competitors)), rand.N(2_000))
			case <-stop:
				return
			}
		}
	}()
	var latencies []time.Duration
	firstEvents, began := events.Load(), time.Now()
	for b.Loop() {
		<-time.After(10*time.Millisecond + rand.N(20*time.Millisecond))
		began := time.Now()
		at := s.change("C/2")
		for {
			e, err := c.next()
			if err != nil {
				b.Fatal(err)
			}
			if e.data.Revision >= at {
				break
			}
		}
		latencies = append(latencies, time.Since(began))
	}
	if windows > 0 {
		perWindow := float64(events.Load()-firstEvents) / time.Since(began).Seconds() / float64(windows)
		b.ReportMetric(perWindow, "events/s/window")
	}
	slices.Sort(latencies)
	b.ReportMetric(latencies[len(latencies)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(latencies[len(latencies)*99/100].Seconds()*1000, "p99-ms")
}
