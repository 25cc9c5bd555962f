package ranking

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"laurel/score"
)

// million are marks as a large tournament has them: codes of up to seven digits, two categories, a hundred organisations.
func million() []score.Mark {
	random := rand.New(rand.NewPCG(1, 1))
	list := make([]score.Mark, 1_000_000)
	for i := range list {
		list[i] = score.Mark{Competitor: strconv.Itoa(i), Value: score.Decimal(random.IntN(5_000_000)), Category: []string{"F", "M"}[random.IntN(2)],
			Organisation: "O" + strconv.Itoa(random.IntN(100))}
	}
	return list
}

func fill(list []score.Mark) *Board {
	f := NewBuilder(true, len(list))
	for _, m := range list {
		f.Add(m)
	}
	return f.Board()
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// BenchmarkMemory measures what a row takes, with a category and without one, its text included, how long it takes to make a board of a million, and to collect
// garbage beside it.
func BenchmarkMemory(b *testing.B) {
	list := million()
	for _, with := range []string{"category", "no category"} {
		if with == "no category" {
			for i := range list {
				list[i].Category = ""
			}
		}
		b.Run(with, func(b *testing.B) {
			for b.Loop() {
				before := heap()
				board := fill(list)
				b.ReportMetric(float64(heap()-before)/float64(board.Len()), "B/row")
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
	board := fill(list)
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
					b.Fatal("there is no such row")
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
