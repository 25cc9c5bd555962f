package fsm

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"laurel/fsm/rounds"
	"laurel/score"
)

// BenchmarkApply measures applying real events in entries of several sizes. "play" is
// football and cricket, with few competitors and many contests. "marathon" is one contest
// with very many marks.
func BenchmarkApply(b *testing.B) {
	plays := append(readStream(b, "worldcup", noLimit), readStream(b, "cricket", noLimit)...)
	for _, stream := range []struct {
		name   string
		events []score.Event
	}{{"play", plays}, {"marathon", readStream(b, "marathon", noLimit)}} {
		for _, size := range []int{1, 64, 512} {
			entries := encodeAll(b, stream.events, size)
			b.Run(fmt.Sprintf("%s/entry=%d", stream.name, size),
				func(b *testing.B) { benchmarkApply(b, entries, len(stream.events)) })
		}
	}
}

func encodeAll(b *testing.B, events []score.Event, size int) (entries [][]byte) {
	for chunk := range slices.Chunk(events, size) {
		entries = append(entries, encodeEntry(b, score.Post{Events: chunk, Mode: score.UntilRefused}))
	}
	return entries
}

func benchmarkApply(b *testing.B, entries [][]byte, events int) {
	b.ReportAllocs()
	cpu := time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		m := openMachine(b, b.TempDir())
		b.StartTimer()
		began := cpuTime(b)
		for i, data := range entries {
			index := uint64(i) + 1
			if _, err := m.Apply([]Entry{{index, data}}, index); err != nil {
				b.Fatal(err)
			}
		}
		if err := m.Commit(); err != nil {
			b.Fatal(err)
		}
		cpu += cpuTime(b) - began
		b.StopTimer()
		if m.Revision() != uint64(events) {
			b.Fatalf("%d events were applied, want %d", m.Revision(), events)
		}
		m.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	// Compare this figure on a machine that also does other work.
	b.ReportMetric(float64(cpu.Microseconds())/float64(events)/float64(b.N), "cpu-us/event")
}

// cpuTime returns the processor time of this process, including garbage collection.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkApplyBesideAnswers measures applying while many ask for present answers.
func BenchmarkApplyBesideAnswers(b *testing.B) {
	events := readStream(b, "worldcup", noLimit)
	entries := encodeAll(b, events, 64)
	for _, readers := range []int{0, 1, 64} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				m := openMachine(b, b.TempDir())
				stop := make(chan struct{})
				var asking sync.WaitGroup
				for i := range readers {
					asking.Go(func() {
						for ; ; i++ {
							select {
							case <-stop:
								return
							default:
							}
							if _, err := m.Answer(rounds.Scores + events[i%len(events)].ContestID); err != nil {
								b.Error(err)
							}
						}
					})
				}
				b.StartTimer()
				for i, data := range entries {
					if _, err := m.Apply([]Entry{{uint64(i) + 1, data}}, uint64(i)+1); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				close(stop)
				asking.Wait()
				m.Close()
				b.StartTimer()
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N*len(entries)), "us/entry")
		})
	}
}

// BenchmarkVoid measures voiding one mark of the marathon, which takes a scan of all
// events of the contest.
func BenchmarkVoid(b *testing.B) {
	m := openMachine(b, b.TempDir())
	defer m.Close()
	applyAll(b, m, readStream(b, "marathon", noLimit), 512)
	const text = `{"type":"event.void","contest_id":"BOS-2013/OPEN",` +
		`"data":{"voids":"boston2013-%06d","reason":"wrong"}}`
	next := 5000
	for b.Loop() {
		r := score.Result{}
		for r.Status != score.Applied {
			r, next = postEvent(b, m, text, next), next+1
		}
	}
}
