package fsm

import (
	"fmt"
	"slices"
	"testing"

	"laurel/score"
)

// BenchmarkApply measures applying real events in entries of several sizes: "play" is football and cricket, few competitors and many
// contests; "marathon" is one contest with very many marks.
func BenchmarkApply(b *testing.B) {
	plays := append(readStream(b, "worldcup", all), readStream(b, "cricket", all)...)
	for _, stream := range []struct {
		name   string
		events []score.Event
	}{{"play", plays}, {"marathon", readStream(b, "marathon", all)}} {
		for _, size := range []int{1, 64, 512} {
			entries := encodeAll(b, stream.events, size)
			b.Run(fmt.Sprintf("%s/entry=%d", stream.name, size), func(b *testing.B) { benchmarkApply(b, entries, len(stream.events)) })
		}
	}
}

func encodeAll(b *testing.B, events []score.Event, size int) (entries [][]byte) {
	for chunk := range slices.Chunk(events, size) {
		entries = append(entries, entryOf(b, score.Post{Events: chunk, Mode: score.UntilRefused}))
	}
	return entries
}

func benchmarkApply(b *testing.B, entries [][]byte, events int) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		m := open(b, b.TempDir())
		b.StartTimer()
		for i, data := range entries {
			index := uint64(i) + 1
			if _, err := m.Apply([]Entry{{index, data}}, index); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		if m.Revision() != uint64(events) {
			b.Fatalf("%d events were applied, want %d", m.Revision(), events)
		}
		m.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
