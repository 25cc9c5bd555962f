package main

import (
	"fmt"
	"strings"
)

// readsTable is the rounds of every cell.
type readsTable struct {
	rows   []readsRow
	rounds map[readsRow][]measurement
}

func (t *readsTable) markdown() string {
	var rows [][]string
	for _, r := range t.rows {
		rounds := t.rounds[r]
		written := ""
		if r.writes != noWrites {
			written = thousands(median(rounds, beside))
		}
		all, masters := ways{}, uint64(0)
		for _, m := range rounds {
			all.add(m.ways, 1)
			masters += m.masters
		}
		answered := all.String()
		if masters > 0 {
			answered += fmt.Sprintf(" (%d new masters)", masters)
		}
		rows = append(rows, append(append([]string{r.writes, r.target, written}, cells(rounds)...),
			ratio(rounds, t.rounds[readsRow{noWrites, r.target}], p99), answered))
	}
	return markdown([]string{"writes to", "asked", "events/s written", "reads/s (least-most)", "p50 ms", "p99 ms", coresHead, "p99 : p99 without writes", "answered by"}, rows)
}

func beside(m measurement) float64 { return m.beside }

// aims sets what was measured beside what was aimed at.
func (t *readsTable) aims() string {
	var b strings.Builder
	compare := func(writes, over, under, aim string, of func(measurement) float64) {
		if r := ratio(t.rounds[readsRow{writes, over}], t.rounds[readsRow{writes, under}], of); r != "" && r != "0.00" {
			fmt.Fprintf(&b, "- writes to %s, reads/s, %s : %s = **%s** (%s)\n", writes, over, under, r, aim)
		}
	}
	for _, w := range allWrites {
		for _, pair := range [][2]string{{laurelFollower, etcdFollower}, {laurelMaster, etcdLeader}} {
			compare(w, pair[0], bareServer, "aim: at least 0.9", perSecond)
			compare(w, pair[0], pair[1], "aim: at least 4", perSecond)
			compare(w, pair[0], nginxServer, "no aim", perSecond)
		}
	}
	for _, w := range []string{writesSame, writesOthers} {
		for _, target := range []string{laurelFollower, laurelMaster} {
			if r := ratio(t.rounds[readsRow{w, target}], t.rounds[readsRow{noWrites, target}], p99); r != "" && r != "0.00" {
				fmt.Fprintf(&b, "- %s, p99 with writes to %s : p99 without = **%s** (aim: at most 3)\n", target, w, r)
			}
		}
	}
	return b.String()
}
