package main

import (
	"fmt"
	"strconv"
	"time"
)

// flapFigures is what posts took in one phase.
type flapFigures struct {
	posts               int64
	p50, p90, p99, mean time.Duration
	elections           uint64
}

func newFlapFigures(m *meter) flapFigures {
	at := func(q float64) time.Duration {
		return time.Duration(m.hist.ValueAtQuantile(q)) * time.Microsecond
	}
	return flapFigures{
		posts: m.hist.TotalCount(), p50: at(50), p90: at(90), p99: at(99),
		mean: time.Duration(m.hist.Mean() * float64(time.Microsecond)),
	}
}

func (f flapFigures) String() string {
	return fmt.Sprintf("%5d posts  p50 %7s  p90 %7s  p99 %7s  mean %7s ms  %d elections",
		f.posts, millis(f.p50), millis(f.p90), millis(f.p99), millis(f.mean), f.elections)
}

// flapTable is the rounds of every phase.
type flapTable struct{ rounds map[flapping][]flapFigures }

// markdown shows the medians of the rounds, and the ratio of each p90 to that of the quiet phase.
func (t *flapTable) markdown() string {
	columns := []struct {
		head string
		of   func(flapFigures) float64
	}{
		{"p50 ms", func(f flapFigures) float64 { return float64(f.p50) }},
		{"p90 ms", flapP90},
		{"p99 ms", func(f flapFigures) float64 { return float64(f.p99) }},
		{"mean ms", func(f flapFigures) float64 { return float64(f.mean) }},
	}
	head := []string{"the follower", "posts"}
	for _, c := range columns {
		head = append(head, c.head)
	}
	head = append(head, "p90 : quiet p90", "elections")
	var rows [][]string
	for _, f := range append([]flapping{{}}, flappings...) {
		rounds := t.rounds[f]
		posts, elections := int64(0), uint64(0)
		for _, r := range rounds {
			posts, elections = posts+r.posts, elections+r.elections
		}
		row := []string{f.String(), thousands(float64(posts))}
		for _, c := range columns {
			row = append(row, millis(time.Duration(median(rounds, c.of))))
		}
		compared := ratio(rounds, t.rounds[flapping{}], flapP90)
		rows = append(rows, append(row, compared, strconv.FormatUint(elections, 10)))
	}
	return markdown(head, rows)
}

func flapP90(f flapFigures) float64 { return float64(f.p90) }
