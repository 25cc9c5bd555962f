package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

type faultRow struct{ system, fault string }

// faultTable is all that was seen of every fault.
type faultTable struct {
	rows []faultRow
	seen map[faultRow][]seen
}

func (t *faultTable) markdown() string {
	columns := []struct {
		head string
		of   func(seen) time.Duration
	}{
		{"next acked write", func(s seen) time.Duration { return s.next }},
		{"longest stall of writes", func(s seen) time.Duration { return s.stall }},
		{"in the second before", func(s seen) time.Duration { return s.stallBefore }},
		{"reads back at all others", func(s seen) time.Duration { return s.back }},
		{"longest gap between reads", func(s seen) time.Duration { return s.gap }},
	}
	head := []string{"system", "fault", "times"}
	for _, c := range columns {
		head = append(head, c.head+" p50 (worst) ms")
	}
	head = append(head, "reads", "stale")
	var rows [][]string
	for _, r := range t.rows {
		list := t.seen[r]
		row := []string{r.system, r.fault, strconv.Itoa(len(list))}
		for _, c := range columns {
			p50, worst := halfAndWorst(list, c.of)
			row = append(row, fmt.Sprintf("**%s** (%s)", millis(p50), millis(worst)))
		}
		reads, stale := 0, 0
		for _, s := range list {
			reads, stale = reads+s.reads, stale+s.stale
		}
		rows = append(rows, append(row, thousands(float64(reads)), thousands(float64(stale))))
	}
	return markdown(head, rows)
}

// verdict is an error if a frontend answered with what was no longer true.
func (t *faultTable) verdict() error {
	for _, r := range t.rows {
		for i, s := range t.seen[r] {
			if r.system == laurelName && s.stale > 0 {
				return fmt.Errorf("%s, time %d: %d of %d reads from Laurel were stale; not one may be", r.fault, i+1, s.stale, s.reads)
			}
		}
	}
	return nil
}

func halfAndWorst(list []seen, of func(seen) time.Duration) (p50, worst time.Duration) {
	if len(list) == 0 {
		return 0, 0
	}
	var d []time.Duration
	for _, s := range list {
		d = append(d, of(s))
	}
	slices.Sort(d)
	return d[(len(d)-1)/2], d[len(d)-1]
}
