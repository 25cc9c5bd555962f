package fsm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"laurel/score"
	"laurel/score/mark"
)

// entriesBehind is the largest number of log entries after the newest snapshot of a
// member (snapshotEntries in package cluster).
const entriesBehind = 8192

// BenchmarkRebuild measures a start without a trusted database: restoring a snapshot with
// a million marks from a file, and applying the log after it.
func BenchmarkRebuild(b *testing.B) {
	marks, behind := 1_000_000, entriesBehind
	if testing.Short() {
		marks, behind = 10_000, 256
	}
	file := filepath.Join(b.TempDir(), "snapshot")
	m := openMachine(b, b.TempDir())
	startRace(b, m, "G/r", "")
	applyMarks(b, m, marks, 0)
	first := m.Applied()
	if err := os.WriteFile(file, snapshotOf(b, m), 0o600); err != nil {
		b.Fatal(err)
	}
	m.Close()
	for _, size := range []int{1, 16, 64} {
		var log []Entry
		for i := range behind {
			log = append(log, Entry{first + 1 + uint64(i), encodeEntry(b, moreMarks(i*size, size))})
		}
		b.Run(fmt.Sprintf("entry=%d", size), func(b *testing.B) {
			for b.Loop() {
				rebuild(b, file, log)
			}
		})
	}
}

func rebuild(b *testing.B, snapshot string, log []Entry) {
	m := openMachine(b, b.TempDir())
	cpu := cpuTime(b)
	report(b, "restore-s", 1e9, func() {
		in, err := os.Open(snapshot)
		if err != nil {
			b.Fatal(err)
		}
		defer in.Close()
		if err := m.Restore(in); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric((cpuTime(b) - cpu).Seconds(), "restore-cpu-s")
	cpu = cpuTime(b)
	report(b, "replay-s", 1e9, func() {
		for entries := range slices.Chunk(log, 64) { // Raft's MaxAppendEntries
			if _, err := m.Apply(entries, entries[len(entries)-1].Index); err != nil {
				b.Fatal(err)
			}
		}
		if err := m.Commit(); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric((cpuTime(b) - cpu).Seconds(), "replay-cpu-s")
	if err := m.Close(); err != nil {
		b.Fatal(err)
	}
}

// moreMarks returns a post of n marks of the race.
func moreMarks(from, n int) score.Post {
	p := score.Post{Mode: score.UntilRefused}
	for i := from; i < from+n; i++ {
		value := mark.Decimal(i * 7919 % 5_000_000)
		p.Events = append(p.Events, score.Event{ID: "n" + strconv.Itoa(i), Source: "bard/n", Seq: uint64(i) + 1,
			Type: score.TypeResultSet, Time: noon, ContestID: "G/r", IDGiven: true, TimeGiven: true,
			Data: &score.ResultSet{Competitor: strconv.Itoa(i * 104729 % 1_000_000), Split: "finish", Mark: new(mark.Number(value))}})
	}
	return p
}
