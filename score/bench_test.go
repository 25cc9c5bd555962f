package score_test

import (
	"slices"
	"strings"
	"testing"

	"laurel/score"
)

// BenchmarkDecode measures decoding an event of a client, and stored data.
func BenchmarkDecode(b *testing.B) {
	for _, text := range seeds {
		e, p := score.Decode([]byte(text))
		measured := []score.Type{score.TypeScorePlay, score.TypeResultSet, score.TypeContestDefine}
		if p != nil || !slices.Contains(measured, e.Type) {
			continue
		}
		data, err := score.MarshalData(e.Data)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("event/"+string(e.Type), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, p := score.Decode([]byte(text)); p != nil {
					b.Fatal(p)
				}
			}
		})
		b.Run("data/"+string(e.Type), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := score.UnmarshalData(e.Type, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeArray measures decoding a post of 64 plays.
func BenchmarkDecodeArray(b *testing.B) {
	text := []byte("[" + strings.Repeat(seeds[3]+",", 63) + seeds[3] + "]")
	b.ReportAllocs()
	for b.Loop() {
		if events, p := score.DecodeArray(text); p != nil || len(events) != 64 {
			b.Fatal(p)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/64/float64(b.N), "ns/event")
}
