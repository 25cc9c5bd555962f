package ranking

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"laurel/score"
)

// million returns the marks of a large tournament: codes of up to six digits, two
// categories, a hundred organisations.
func million() []Mark {
	random := rand.New(rand.NewPCG(1, 1))
	list := make([]Mark, 1_000_000)
	for i := range list {
		list[i] = Mark{
			Competitor:   strconv.Itoa(i),
			Value:        score.Decimal(random.IntN(5_000_000)),
			Categories:   NewCategories([]string{"F", "M"}[random.IntN(2)]),
			Organisation: "O" + strconv.Itoa(random.IntN(100)),
		}
	}
	return list
}

func build(list []Mark) *Board {
	builder := NewBuilder(Direction{Lower: true}, len(list))
	for _, m := range list {
		builder.Add(m)
	}
	return builder.Board()
}

func heapBytes() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// BenchmarkMemory measures the memory of a row with its strings, with and without a
// category, and the time of a garbage collection with a board of a million marks.
func BenchmarkMemory(b *testing.B) {
	list := million()
	for _, with := range []string{"category", "no category"} {
		if with == "no category" {
			for i := range list {
				list[i].Categories = ""
			}
		}
		b.Run(with, func(b *testing.B) {
			for b.Loop() {
				before := heapBytes()
				board := build(list)
				b.ReportMetric(float64(heapBytes()-before)/float64(board.Len()), "B/row")
				began := time.Now()
				runtime.GC()
				b.ReportMetric(time.Since(began).Seconds()*1000, "ms/collection")
				runtime.KeepAlive(board)
			}
		})
	}
}

func BenchmarkBoard(b *testing.B) {
	list := million()
	board := build(list)
	random := rand.New(rand.NewPCG(2, 1))
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m := list[random.IntN(len(list))]
			m.Value = score.Decimal(random.IntN(5_000_000))
			board.Set(m)
		}
	})
	for _, n := range []int{1, 10} {
		b.Run("around/"+strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := board.Page(&Query{Limit: n, Around: list[random.IntN(len(list))].Competitor}); !ok {
					b.Fatal("no row")
				}
			}
		})
	}
	b.Run("first/10", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			board.Page(&Query{Limit: 10})
		}
	})
}
