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

// BenchmarkScoreBesideWindows tells how long it takes until a watcher of a score has read a change, while 126 marks a second move runners on a board of
// 100,000, and as many watchers as it says each watch the neighbours of a runner of their own. Each mark changes the ranks in all windows behind it.
func BenchmarkScoreBesideWindows(b *testing.B) {
	for _, windows := range []int{0, 1000, 5000} {
		b.Run(fmt.Sprint("windows=", windows), func(b *testing.B) { scoreBeside(b, windows) })
	}
}

func scoreBeside(b *testing.B, windows int) {
	s := newShop()
	const runners = 100_000
	field := make([]any, 0, 2*runners)
	for i := range runners {
		field = append(field, fmt.Sprint(i), rand.N(20_000))
	}
	s.mark("C/1", field...)
	h := New(s, 2)
	defer h.Close()
	var events atomic.Int64
	for i := range windows {
		c := watch(b, h, Subjects{Boards: []Window{{ContestID: "C/1", Around: fmt.Sprint(i * (runners / windows)), Limit: 10}}}, "")
		go func() {
			for line, err := c.r.ReadSlice('\n'); err == nil; line, err = c.r.ReadSlice('\n') {
				if bytes.HasPrefix(line, []byte("event: leaderboard")) {
					events.Add(1)
				}
			}
		}()
	}
	carried(b, h, s.change("C/2"))
	c := watch(b, h, Subjects{Contests: []string{"C/2"}}, "")
	if _, err := c.next(); err != nil {
		b.Fatal(err)
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		for tick := time.NewTicker(time.Second / 126); ; {
			select {
			case <-tick.C:
				s.mark("C/1", fmt.Sprint(rand.N(runners)), rand.N(2_000))
			case <-over:
				return
			}
		}
	}()
	var took []time.Duration
	first, began := events.Load(), time.Now()
	for b.Loop() {
		time.Sleep(10*time.Millisecond + rand.N(20*time.Millisecond))
		began := time.Now()
		at := s.change("C/2")
		for {
			g, err := c.next()
			if err != nil {
				b.Fatal(err)
			}
			if g.data.Revision >= at {
				break
			}
		}
		took = append(took, time.Since(began))
	}
	if windows > 0 {
		b.ReportMetric(float64(events.Load()-first)/time.Since(began).Seconds()/float64(windows), "events/s/window")
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
}
