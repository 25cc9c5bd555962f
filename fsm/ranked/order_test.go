package ranked

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
	"laurel/score/ranking"
)

// plain is the marks of one split, sorted for each question.
type plain map[string]ranking.Mark

func (p plain) sorted(by ranking.Direction) []ranking.Mark {
	return slices.SortedFunc(maps.Values(p), func(a, b ranking.Mark) int {
		return cmp.Or(by.Order(&a).Compare(by.Order(&b)), strings.Compare(a.Competitor, b.Competitor))
	})
}

// anyMark returns a mark with every combination of members, which is often equal to another.
func anyMark(random *rand.Rand, competitor string) ranking.Mark {
	m := ranking.Mark{Competitor: competitor, Value: mark.Points(random.Int64N(300) - 20)}
	switch random.IntN(8) {
	case 0:
		m.Mark2 = new(mark.Points(random.Int64N(2)))
	case 1:
		m.Place = random.IntN(3)
	case 2:
		m.Value, m.IRM = 0, score.IRMs[random.IntN(len(score.IRMs))]
	}
	return m
}

// The best marks are known exactly while more marks come and go than are remembered as the
// best, and after an undo and another transaction.
func TestTheBestMarksAreThoseOfThePlainSort(t *testing.T) {
	const steps, competitors = 4000, 3 * maxBest
	for _, sort := range []string{"asc", "desc"} {
		random := rand.New(rand.NewPCG(1, 2))
		of := fold.NewContest("G/r")
		of.Definition.Kind, of.Definition.Sort = score.Ranked, sort
		model, by := plain{}, of.Definition.Direction()
		check := func(c *Contest, n int) {
			t.Helper()
			want := model.sorted(by)
			got, total := c.First("finish", n)
			want = want[:min(n, len(want))]
			if total != len(model) || codesOf(got) != codesOf(want) {
				t.Fatalf("%s: of %d marks the first are %s; want %s of %d", sort, total, codesOf(got), codesOf(want), len(model))
			}
		}
		// step sets or removes a mark. Late steps mostly remove the best.
		step := func(c *Contest, i int) {
			code := fmt.Sprint("c", random.IntN(competitors))
			if first, _ := c.First("finish", 1); i > steps/2 && len(first) > 0 && random.IntN(4) > 0 {
				code = first[0].Competitor
			}
			if random.IntN(3) == 0 || i > steps/2 {
				c.Remove([]Key{{"finish", code}})
				c.Settle(code, c.Traits(code))
				delete(model, code)
				return
			}
			m := anyMark(random, code)
			c.Set("finish", m)
			if irm := m.Unplaced(); irm != "" { // Reached is that of the record
				m = *c.record(code).at(0)
			}
			model[code] = m
		}
		work := write(t, func(w *Writer, tx *database.Tx) {
			c := w.Contest(of)
			for i := range steps {
				if i%97 == 96 {
					before, present := maps.Clone(model), random.IntN(steps)
					tx.BeginUndo()
					for range 20 {
						step(c, present)
					}
					tx.Undo()
					tx.EndUndo()
					model = before
				}
				step(c, i)
				if i%10 == 0 {
					check(c, fold.MaxLeaders)
				}
				if i%250 == 249 { // as another transaction would begin
					w.Flush()
					clear(w.splits)
					clear(w.changed)
					w.last = recordKey{}
				}
			}
		}, func(tx *bolt.Tx) {
			total, err := Total(tx, "G/r", "finish")
			if n := len(slices.Collect(maps.Keys(model))); err != nil || total != n {
				t.Errorf("the database has %d marks, %v; want %d", total, err, n)
			}
		})
		if work.read == 0 || work.read > steps*competitors/10 {
			t.Errorf("%s: %d records were read in search of the best", sort, work.read)
		}
	}
}

// A contest keeps its leaders for long, and the codes of a split that was read share memory.
func TestTheFirstMarksDoNotHoldTheCodesOfAllOthers(t *testing.T) {
	of := fold.NewContest("G/r")
	of.Definition.Kind = score.Ranked
	write(t, func(w *Writer, _ *database.Tx) {
		c := w.Contest(of)
		for i := range maxBest {
			c.Set("finish", ranking.Mark{Competitor: fmt.Sprintf("competitor-%04d", i), Value: mark.Points(int64(i))})
		}
		w.Flush()
		clear(w.splits) // as another transaction would begin
		w.last = recordKey{}
		first, _ := c.First("finish", fold.MaxLeaders)
		at := func(s string) uintptr { return uintptr(unsafe.Pointer(unsafe.StringData(s))) }
		best := w.split(splitKey{"G/r", "finish"}).best
		from, to := at(best[0].competitor), at(best[maxBest-1].competitor)
		if len(first) != fold.MaxLeaders || from >= to {
			t.Fatalf("%d marks of a split that was not read", len(first))
		}
		for _, m := range first {
			if p := at(m.Competitor); from <= p && p <= to {
				t.Errorf("%s holds the codes of %d", m.Competitor, maxBest)
			}
		}
	}, func(*bolt.Tx) {})
}

func codesOf(list []ranking.Mark) string {
	var codes []string
	for _, m := range list {
		codes = append(codes, m.Competitor+m.Unplaced())
	}
	return strings.Join(codes, " ")
}

// A record is as before when it has been encoded and decoded, and any other bytes are damaged
// or a record.
func TestARecordIsAsBeforeWhenItWasStored(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var r, again record
		r.reset("code")
		if random.IntN(2) == 0 {
			r.named = ranking.Traits{Categories: ranking.NewCategories("F", "F40"), Organisation: "GAU"}
		}
		if r.shown = r.named; random.IntN(2) == 0 {
			r.shown = ranking.Traits{Categories: ranking.NewCategories("M"), Organisation: "ROM", Name: "Asterix"}
		}
		for split := range 6 {
			if m := anyMark(random, "code"); random.IntN(2) == 0 {
				r.dress(&m)
				r.set(split, m)
			}
		}
		r.restate()
		r.named = r.named.Recount(r.marks)
		b := r.append(nil)
		if err := again.decode("code", b); err != nil {
			t.Fatal(err)
		}
		if got, want := describe(&again), describe(&r); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		b[random.IntN(len(b))] ^= byte(1 + random.IntN(255))
		again.decode("code", b[:random.IntN(len(b)+1)])
	}
}

func describe(r *record) string {
	text := fmt.Sprintf("%q %+v %+v", r.competitor, r.named, r.shown)
	for i, m := range r.marks {
		b, err := json.Marshal(m)
		text += fmt.Sprint(" ", r.splits[i], " ", string(b), err)
	}
	return text
}
