package main

import (
	"fmt"
	"strings"
	"time"
)

type boardsRow struct {
	writes       bool
	what, target string
}

func (r boardsRow) String() string { return fmt.Sprintf("%s of %s, %s", r.what, r.target, r.beside()) }

func (r boardsRow) beside() string {
	if r.writes {
		return "marks come in"
	}
	return "idle"
}

// boardsTable is what came out. Pairs are of Laurel and of Redis, or of a start after a stop and after a kill.
type boardsTable struct {
	players int
	marks   [2]float64 // a second
	row     float64    // bytes, in Redis
	first   time.Duration
	memory  memory
	rows    []boardsRow
	rounds  map[boardsRow][]measurement
	starts  [2]time.Duration
	started [2]memory
}

func (t *boardsTable) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s players. Marks/s, each player once: Laurel %s, Redis %s. The first answer about the board, for which a frontend makes it, took %.2f s at the most; a frontend then: %s. A row takes %.0f bytes in Redis (its dataset).\n",
		thousands(float64(t.players)), thousands(t.marks[0]), thousands(t.marks[1]), t.first.Seconds(), t.memory, t.row)
	fmt.Fprintf(&b, "From starting a frontend until it answers about the board itself: after a stop %.2f s (%s), after a SIGKILL %.2f s (%s).\n\n",
		t.starts[0].Seconds(), t.started[0], t.starts[1].Seconds(), t.started[1])
	var rows [][]string
	for _, r := range t.rows {
		rounds := t.rounds[r]
		if len(rounds) == 0 {
			continue
		}
		written, against := "", ""
		if r.writes {
			written = thousands(median(rounds, beside))
		}
		if r.target != redisName {
			against = ratio(rounds, t.rounds[boardsRow{r.writes, r.what, redisName}], perSecond)
		}
		all := ways{}
		for _, m := range rounds {
			all.add(m.ways, 1)
		}
		rows = append(rows, append(append([]string{r.what, r.target, written}, cells(rounds)...), against, all.String()))
	}
	b.WriteString(markdown([]string{"asked for", "of", "marks/s meanwhile", "reads/s (least-most)", "p50 ms", "p99 ms", coresHead, "reads/s, Laurel : Redis", "answered by"}, rows))
	return b.String()
}

func (m memory) String() string {
	mib := func(kib int64) int64 { return (kib + 512) / 1024 }
	return fmt.Sprintf("%d MiB resident, %d of its own, %d of mapped files, %d at the peak", mib(m.rss), mib(m.anon), mib(m.file), mib(m.peak))
}
