package fsm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/ranking"
)

// BenchmarkMillion measures a store with a million marks at one split: applying marks
// while the board is in memory and while it is not, opening the closed database,
// restoring a snapshot, the first question, which builds the board, and the memory that
// the board takes.
func BenchmarkMillion(b *testing.B) {
	marks := 1_000_000
	if testing.Short() {
		marks = 50_000
	}
	for b.Loop() {
		dir := b.TempDir()
		m := openMachine(b, dir)
		startRace(b, m, "G/r", "")
		applyMarks(b, m, marks/2, 0)
		report(b, "apply-us/mark", time.Duration(marks/2)*time.Second, func() { applyMarks(b, m, marks/2, marks/2) })
		report(b, "first-answer-s", time.Second, func() { boardOf(b, m, "G/r", &ranking.Query{Limit: 10}) })
		report(b, "apply-kept-us/mark", time.Duration(marks/10)*time.Second, func() { applyMarks(b, m, marks/10, 0) })
		report(b, "digest-s", time.Second, func() { digestOf(b, m) })
		snapshot := snapshotOf(b, m)
		if err := m.Close(); err != nil {
			b.Fatal(err)
		}
		report(b, "open-closed-s", time.Second, func() { m = openMachine(b, dir) })
		report(b, "restore-s", time.Second, func() {
			if err := m.Restore(bytes.NewReader(snapshot)); err != nil {
				b.Fatal(err)
			}
		})
		snapshot = nil
		runtime.GC()
		before := heapBytes()
		report(b, "first-answer-restored-s", time.Second, func() {
			boardOf(b, m, "G/r", &ranking.Query{Limit: 10, Around: "77"})
		})
		runtime.GC()
		b.ReportMetric((heapBytes()-before)/float64(marks), "B/row")
		m.Close()
	}
}

// BenchmarkMillionOpen opens the database in the directory LAUREL_MILLION, which it
// creates first if there is none, asks for its board and reports the memory of the
// process.
func BenchmarkMillionOpen(b *testing.B) {
	dir := os.Getenv("LAUREL_MILLION")
	if dir == "" {
		b.Skip("set LAUREL_MILLION")
	}
	if _, err := os.Stat(dir); err != nil {
		m := func() *Machine { os.Mkdir(dir, 0o700); return openMachine(b, dir) }()
		startRace(b, m, "G/r", "")
		applyMarks(b, m, 1_000_000, 0)
		m.Close()
		b.Skip("created the database; run the benchmark again")
	}
	for b.Loop() {
		var m *Machine
		report(b, "open-s", time.Second, func() { m = openMachine(b, dir) })
		b.ReportMetric(resident(b, "VmRSS"), "MiB-open")
		report(b, "first-answer-s", time.Second, func() { boardOf(b, m, "G/r", &ranking.Query{Limit: 10}) })
		b.ReportMetric(resident(b, "VmRSS"), "MiB")
		b.ReportMetric(resident(b, "RssAnon"), "MiB-anon")
		b.ReportMetric(resident(b, "VmHWM"), "MiB-peak")
		if _, _, err := m.Board(context.Background(), "G/r", &ranking.Query{Limit: 1, Around: "4711"}); err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}

// digestOf returns the digest of the state, as frontends of a sworn group compare it.
func digestOf(b *testing.B, m *Machine) []byte {
	b.Helper()
	s, err := m.Snapshot()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Release()
	sum := sha256.New()
	if err := s.Write(sum); err != nil {
		b.Fatal(err)
	}
	return sum.Sum(nil)
}

func applyMarks(b *testing.B, m *Machine, n, from int) {
	for n > 0 {
		events := make([]score.Event, 0, 512)
		for range min(n, cap(events)) {
			value := mark.Decimal((from*7919 + n*104729) % 5_000_000)
			events = append(events, score.Event{ID: "m" + strconv.Itoa(int(m.Revision())+len(events)),
				Source: "bard/m", Seq: m.Revision() - 1 + uint64(len(events)), Type: score.TypeResultSet,
				Time: noon, ContestID: "G/r", IDGiven: true, TimeGiven: true,
				Data: &score.ResultSet{Competitor: strconv.Itoa(from), Split: "finish", Mark: new(mark.Number(value)),
					Category: []string{"F", "M"}[from%2], Organisation: "O" + strconv.Itoa(from%100)}})
			from, n = from+1, n-1
		}
		for _, r := range applyPosts(b, m, score.Post{Events: events, Mode: score.UntilRefused})[0] {
			if r.Problem != nil {
				b.Fatal(r.Problem)
			}
		}
	}
}

// report measures the duration of f in a unit.
func report(b *testing.B, name string, unit time.Duration, f func()) {
	began := time.Now()
	f()
	took := time.Since(began).Seconds()
	if strings.Contains(name, "us/") {
		took *= 1e6
	}
	b.ReportMetric(took/unit.Seconds(), name)
}

func heapBytes() float64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return float64(s.HeapAlloc)
}

// resident returns a line of /proc/self/status in MiB.
func resident(b *testing.B, name string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, after, _ := strings.Cut(string(text), name+":")
	var kib float64
	fmt.Sscan(after, &kib)
	return kib / 1024
}
