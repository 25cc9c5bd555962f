package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// telling is what came out of one cell.
type telling struct {
	p50, p99, most   time.Duration // from publish to receipt
	perSecond        float64       // events
	took             time.Duration // until the last was published
	cores            cores         // of the servers a second
	told, skipped    int           // events times watchers, and those that came only as a newer one
	missing          int           // watchers who were never told of the last event
	connected, after float64       // KiB a watcher
}

// take sums up what the readers of an audience that is over have seen.
func (m *telling) take(a *audience) {
	all := hdrhistogram.New(1, time.Minute.Microseconds(), 2)
	for _, r := range a.readers {
		all.Merge(r.hist)
		m.told += r.told
		m.skipped += r.skipped
	}
	of := func(q float64) time.Duration { return time.Duration(all.ValueAtQuantile(q)) * time.Microsecond }
	m.p50, m.p99, m.most = of(50), of(99), of(100)
}

func (m telling) String() string {
	s := fmt.Sprintf("p50 %7s ms  p99 %7s ms  most %7s ms  %.1f events/s  cores %s  KiB a watcher %.1f, after %.1f", millis(m.p50), millis(m.p99), millis(m.most),
		m.perSecond, m.cores, m.connected, m.after)
	if m.skipped > 0 {
		s += fmt.Sprintf("  skipped %s %%", percent(m.skipped, m.told))
	}
	if m.missing > 0 {
		s += fmt.Sprintf("  (%d WERE NOT TOLD OF THE LAST EVENT)", m.missing)
	}
	return s
}

func percent(part, whole int) string {
	return strconv.FormatFloat(100*float64(part)/float64(max(whole, 1)), 'f', 1, 64)
}

// watchersTable is the rounds of every cell.
type watchersTable struct {
	rows   []watchersRow
	rounds map[watchersRow][]telling
}

func (t *watchersTable) markdown() string {
	var rows [][]string
	for _, r := range t.rows {
		rounds := t.rounds[r]
		if len(rounds) == 0 {
			continue
		}
		least := slices.MinFunc(rounds, func(a, b telling) int { return cmp.Compare(a.p99, b.p99) })
		worst := slices.MaxFunc(rounds, func(a, b telling) int { return cmp.Compare(a.p99, b.p99) })
		most := slices.MaxFunc(rounds, func(a, b telling) int { return cmp.Compare(a.most, b.most) })
		told, skipped, missing := 0, 0, 0
		for _, m := range rounds {
			told, skipped, missing = told+m.told, skipped+m.skipped, missing+m.missing
		}
		newer := percent(skipped, told)
		if missing > 0 {
			newer += fmt.Sprintf(" (%d never)", missing)
		}
		rows = append(rows, []string{
			thousands(float64(r.watchers)), r.system, millis(time.Duration(median(rounds, tellP50))),
			fmt.Sprintf("**%s** (%s-%s)", millis(time.Duration(median(rounds, tellP99))), millis(least.p99), millis(worst.p99)),
			millis(most.most), strconv.FormatFloat(median(rounds, tellRate), 'f', 1, 64),
			cores{median(rounds, tellCores), median(rounds, func(m telling) float64 { return m.cores.own }), median(rounds, func(m telling) float64 { return m.cores.others })}.String(),
			fmt.Sprintf("**%.1f**, %.1f", median(rounds, tellConnected), median(rounds, tellAfter)),
			newer,
		})
	}
	return markdown([]string{"watchers", "system", "p50 ms", "p99 ms (least-most)", "most ms", "events/s", coresHead,
		"KiB a watcher: all connected, after", "% told only as a newer one"}, rows)
}

func tellP50(m telling) float64       { return float64(m.p50) }
func tellP99(m telling) float64       { return float64(m.p99) }
func tellRate(m telling) float64      { return m.perSecond }
func tellCores(m telling) float64     { return m.cores.servers }
func tellConnected(m telling) float64 { return m.connected }
func tellAfter(m telling) float64     { return m.after }

// aims sets what was measured beside what was aimed at.
func (t *watchersTable) aims() string {
	const size = 5000 // the aims are for so many
	var b strings.Builder
	line := func(r watchersRow, what, got, aim string) {
		if r.watchers != size || aim == "" {
			aim = "no aim"
		}
		if got != "" {
			fmt.Fprintf(&b, "- %s watchers, %s = **%s** (%s)\n", thousands(float64(r.watchers)), what, got, aim)
		}
	}
	for _, r := range t.rows {
		rounds := t.rounds[r]
		if r.system != laurelName || len(rounds) == 0 {
			continue
		}
		line(r, "p99, laurel : plain", ratio(rounds, t.rounds[watchersRow{r.watchers, plainName}], tellP99), "aim: at most 1")
		line(r, "p99, laurel : etcd", ratio(rounds, t.rounds[watchersRow{r.watchers, etcdName}], tellP99), "")
		kib := max(median(rounds, tellConnected), median(rounds, tellAfter))
		line(r, "KiB each at the frontend", strconv.FormatFloat(kib, 'f', 1, 64), "aim: at most 20")
	}
	return b.String()
}

// verdict is an error if a frontend did not tell somebody how it ended.
func (t *watchersTable) verdict() error {
	for _, r := range t.rows {
		for _, m := range t.rounds[r] {
			if r.system == laurelName && m.missing > 0 {
				return fmt.Errorf("%d of %d watchers of a frontend have not been told of the last event within %s; not one may be forgotten", m.missing, r.watchers, lateness)
			}
		}
	}
	return nil
}
