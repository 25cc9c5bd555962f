package ranking

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"laurel/score/mark"
)

// million returns the marks of a large tournament: codes of up to six digits, two
// categories, a hundred organisations.
func million() []Mark {
	random := rand.New(rand.NewPCG(1, 1))
	list := make([]Mark, 1_000_000)
	for i := range list {
		list[i] = Mark{
			Competitor:   strconv.Itoa(i),
			Value:        mark.Decimal(random.IntN(5_000_000)),
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

// A race with clubs, age groups and names has other marks than those of million, and one
// with second marks or photo finishes has hardly two alike.
func TestNamesTeamsAndSecondMarksTakeLittleMemory(t *testing.T) {
	const rows, maxBytes = 20_000, 130
	random := rand.New(rand.NewPCG(1, 1))
	heapBytes() // the second collection frees what earlier tests have left in pools
	before := int64(heapBytes())
	board := New(Direction{Lower: true})
	for i := range rows {
		mark2 := mark.Decimal(random.IntN(5_000_000))
		board.Set(Mark{
			Competitor: strconv.Itoa(i), Name: "Runner " + strconv.Itoa(i), Value: mark.Decimal(random.IntN(5_000_000)),
			Mark2: &mark2, Place: i + 1, Organisation: "O" + strconv.Itoa(random.IntN(100)),
			Categories: NewCategories("M", "M"+strconv.Itoa(random.IntN(12))),
		})
	}
	if perRow := (int64(heapBytes()) - before) / rows; perRow > maxBytes {
		t.Errorf("a row takes %d bytes; want at most %d", perRow, maxBytes)
	}
	runtime.KeepAlive(board)
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
			m.Value = mark.Decimal(random.IntN(5_000_000))
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
