package spectators

import (
	"math"
	"time"
)

// bucketsPerDoubling is the resolution of a histogram: its quantiles are exact to 5 %.
const bucketsPerDoubling = 16

// histogram counts durations from a microsecond to more than an hour.
type histogram struct {
	n       int
	max     time.Duration
	buckets [32 * bucketsPerDoubling]int
}

func (h *histogram) add(d time.Duration) {
	i := 0
	if d > time.Microsecond {
		i = min(int(math.Log2(float64(d)/float64(time.Microsecond))*bucketsPerDoubling), len(h.buckets)-1)
	}
	h.buckets[i]++
	h.n++
	h.max = max(h.max, d)
}

// quantile returns the duration that a share q of all does not exceed; 0 of an empty histogram.
func (h *histogram) quantile(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(h.n)))
	for i, n := range h.buckets {
		if rank -= n; rank <= 0 && n > 0 {
			bound := math.Exp2(float64(i+1)/bucketsPerDoubling) * float64(time.Microsecond)
			return min(h.max, time.Duration(bound))
		}
	}
	return 0
}

// short formats a duration with about three digits.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
