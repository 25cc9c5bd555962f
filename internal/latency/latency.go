// Package latency counts durations in histograms of constant size.
package latency

import (
	"math/bits"
	"time"
)

// bucketsPerDoubling is the number of buckets for each power of two of a microsecond. A
// quantile is at most 1/16 too high.
const bucketsPerDoubling = 16

// Histogram counts durations. The zero value is empty. It is not safe for concurrent use.
type Histogram struct {
	Count   int           // of durations
	Max     time.Duration // the longest
	buckets [61 * bucketsPerDoubling]int
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	h.Count++
	h.Max = max(h.Max, d)
	h.buckets[bucketOf(uint64(max(d, 0)/time.Microsecond))]++
}

// bucketOf returns the bucket of a number of microseconds: one each for 0 to 15, and from
// there on 16 for each power of two.
func bucketOf(us uint64) int {
	shift := max(bits.Len64(us)-5, 0)
	return shift*bucketsPerDoubling + int(us>>shift)
}

// Quantile returns a duration that a share q of all does not exceed; 0 for an empty
// histogram.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank, counted := int(q*float64(h.Count)), 0
	for i, n := range h.buckets {
		if counted += n; counted > rank || counted == h.Count && counted > 0 {
			shift := max(i/bucketsPerDoubling-1, 0)
			return time.Duration(uint64(i-shift*bucketsPerDoubling+1)<<shift-1) * time.Microsecond
		}
	}
	return 0
}
