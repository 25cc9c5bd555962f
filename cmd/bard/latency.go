package main

import (
	"math/bits"
	"time"
)

// latencies is a histogram of durations that takes the same room for any number of them. Its buckets are a sixteenth of a power of two of a microsecond wide, so what it
// says is at most 1/16 too high.
type latencies struct {
	count   uint64
	buckets [61 * 16]uint64
}

func (l *latencies) add(d time.Duration) {
	l.count++
	l.buckets[bucketOf(uint64(max(d, 0)/time.Microsecond))]++
}

// bucketOf: 0 to 15 have buckets of their own; from there on 16 for each power of two.
func bucketOf(us uint64) int {
	shift := max(bits.Len64(us)-5, 0)
	return shift*16 + int(us>>shift)
}

// quantile is a duration that the part q of all are not above; 0 where there are none.
func (l *latencies) quantile(q float64) time.Duration {
	rank := uint64(q * float64(l.count))
	var seen uint64
	for i, n := range l.buckets {
		if seen += n; seen > rank || seen == l.count && seen > 0 {
			shift := max(i/16-1, 0)
			return time.Duration(uint64(i-shift*16+1)<<shift-1) * time.Microsecond
		}
	}
	return 0
}
