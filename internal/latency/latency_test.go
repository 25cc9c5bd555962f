package latency

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestEveryDurationIsCountedAtMostASixteenthTooHigh(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(-1, 1<<62).Draw(t, "nanoseconds"))
		var h Histogram
		h.Add(d)
		us := max(d, 0).Truncate(time.Microsecond)
		if got := h.Quantile(0.5); got < us || got > us+us/16 {
			t.Errorf("%v was counted as %v", us, got)
		}
	})
}

func TestQuantilesDivideTheDurations(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.99); got != 0 {
		t.Errorf("of none: %v; want 0", got)
	}
	for i := range 1000 {
		h.Add(time.Duration(i) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{
		0.5:  500 * time.Millisecond,
		0.99: 990 * time.Millisecond,
		1:    999 * time.Millisecond,
	} {
		if got := h.Quantile(q); got < want || got > want+want/16 {
			t.Errorf("quantile %v is %v; want %v", q, got, want)
		}
	}
}
