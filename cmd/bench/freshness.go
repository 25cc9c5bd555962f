package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// freshness is what came out of the first reads after acks.
type freshness struct {
	reads, stale, refused int
	ways                  ways                    // of the first answers
	first, visible        *hdrhistogram.Histogram // microseconds from the ack to the first answer, and to one that shows what was acked
	beside                []float64               // events/s that others wrote, in each round
}

func newFreshness() *freshness {
	hist := func() *hdrhistogram.Histogram { return newMeter(time.Time{}, time.Time{}).hist }
	return &freshness{ways: ways{}, first: hist(), visible: hist()}
}

func (f *freshness) record(acked time.Time, s sighting) {
	f.reads++
	f.refused += s.refused
	f.ways[s.first.way]++
	if s.stale {
		f.stale++
	}
	for hist, at := range map[*hdrhistogram.Histogram]time.Time{f.first: s.first.at, f.visible: s.visible} {
		_ = hist.RecordValue(min(max(at.Sub(acked).Microseconds(), 1), time.Minute.Microseconds()))
	}
}

func (f *freshness) add(o *freshness) {
	f.reads, f.stale, f.refused = f.reads+o.reads, f.stale+o.stale, f.refused+o.refused
	f.ways.add(o.ways, 1)
	f.first.Merge(o.first)
	f.visible.Merge(o.visible)
	f.beside = append(f.beside, o.beside...)
}

// stalePart is the part of the reads that were stale, in percent.
func (f *freshness) stalePart() string {
	if f.stale == 0 {
		return "0"
	}
	return strconv.FormatFloat(100*float64(f.stale)/float64(f.reads), 'g', 3, 64)
}

func (f *freshness) String() string {
	return fmt.Sprintf("%7s reads  %6s stale (%s %%)  visible p50 %s ms p99 %s ms  %s", thousands(float64(f.reads)), thousands(float64(f.stale)), f.stalePart(),
		quantile(f.visible, 50), quantile(f.visible, 99), f.answered())
}

// answered tells how the first reads were answered.
func (f *freshness) answered() string {
	all := ways{"refused": f.refused}
	all.add(f.ways, 1)
	return all.String()
}

func quantile(h *hdrhistogram.Histogram, q float64) string {
	return millis(time.Duration(h.ValueAtQuantile(q)) * time.Microsecond)
}

// freshTable is all rounds of every cell together.
type freshTable struct {
	rows  []freshRow
	cells map[freshRow]*freshness
}

func (t *freshTable) markdown() string {
	var rows [][]string
	for _, r := range t.rows {
		c := t.cells[r]
		beside := "idle"
		if r.load > 0 {
			beside = thousands(mean(c.beside)) + " events/s"
		}
		rows = append(rows, []string{r.system, beside, thousands(float64(c.reads)), fmt.Sprintf("**%s** (%s %%)", thousands(float64(c.stale)), c.stalePart()),
			quantile(c.first, 50), quantile(c.first, 99), quantile(c.visible, 50), quantile(c.visible, 99), quantile(c.visible, 100), c.answered()})
	}
	return markdown([]string{"system", "others write", "first reads", "stale", "ack to first answer p50 ms", "p99 ms",
		"ack to visible p50 ms", "p99 ms", "most ms", "answered by"}, rows)
}

// verdict is an error if a frontend answered with what was no longer true.
func (t *freshTable) verdict() error {
	for _, r := range t.rows {
		if c := t.cells[r]; r.system == laurelName && c.stale > 0 {
			return fmt.Errorf("%d of %d reads from Laurel were stale; not one may be", c.stale, c.reads)
		}
	}
	return nil
}

func mean(list []float64) float64 {
	sum := 0.0
	for _, f := range list {
		sum += f
	}
	return sum / float64(max(len(list), 1))
}
