package ranking

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"laurel/score/mark"
)

// plainCompare compares two marks with different words than Direction.Order.
func plainCompare(a, b *Mark, by Direction) int {
	rank := func(m *Mark) int {
		return slices.Index([]string{"", "LAP", "OTL", "NM", "DNF", "RET", "WDR", "DNS", "DSQ", "DQB"}, m.Unplaced())
	}
	begun := func(m *Mark) bool { return 1 <= rank(m) && rank(m) <= 6 }
	direct := func(order int, lower bool) int {
		if lower {
			return order
		}
		return -order
	}
	switch {
	case begun(a) && begun(b):
		return cmp.Or(cmp.Compare(b.Reached, a.Reached), cmp.Compare(rank(a), rank(b)))
	case rank(a) > 0 || rank(b) > 0:
		return cmp.Compare(rank(a), rank(b))
	case a.Value != b.Value:
		return direct(cmp.Compare(a.Value, b.Value), by.Lower)
	case (a.Mark2 == nil) != (b.Mark2 == nil):
		if a.Mark2 == nil {
			return 1
		}
		return -1
	case a.Mark2 != nil && *a.Mark2 != *b.Mark2:
		return direct(cmp.Compare(*a.Mark2, *b.Mark2), by.Lower2)
	}
	last := func(place int) int { return cmp.Or(place, 1<<30) } // no place comes last
	return cmp.Compare(last(a.Place), last(b.Place))
}

// plainSort returns the rows of a board by sorting the marks.
func plainSort(marks map[string]Mark, by Direction, category string) []Row {
	var list []Mark
	for _, m := range marks {
		if category == "" || m.Categories.Has(category) {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b Mark) int {
		return cmp.Or(plainCompare(&a, &b, by), strings.Compare(a.Competitor, b.Competitor))
	})
	rows := []Row{}
	for i, m := range list {
		r := Row{
			Competitor: m.Competitor, Name: m.Name, Organisation: m.Organisation, Categories: m.Categories, IRM: m.Unplaced(),
		}
		if r.IRM == "" {
			equal := func(j int) bool {
				return j >= 0 && j < len(list) && list[j].Unplaced() == "" && plainCompare(&list[j], &m, by) == 0
			}
			r.Mark, r.Mark2, r.Out = &m.Value, m.Mark2, m.Out
			r.Rank, r.RankEqual = i+1, equal(i-1) || equal(i+1)
			if equal(i - 1) {
				r.Rank = rows[i-1].Rank
			}
			diff := m.Value - list[0].Value
			if !by.Lower {
				diff = -diff
			}
			r.Diff = &diff
		}
		rows = append(rows, r)
	}
	return rows
}

func TestPagesEqualASort(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		by := Direction{Lower: seed%2 == 0, Lower2: seed%4 < 2}
		board, marks := newBoard(random, by)
		for range 40 {
			for range random.IntN(60) {
				changeMark(random, board, marks)
			}
			category := []string{"", "F", "M", "none"}[random.IntN(4)]
			checkPages(t, random, board, plainSort(marks, by, category), category)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// newBoard returns a board that a Builder built from random marks, and the marks.
func newBoard(random *rand.Rand, by Direction) (*Board, map[string]Mark) {
	marks, builder := map[string]Mark{}, NewBuilder(by, 0)
	for range random.IntN(2) * random.IntN(5000) {
		m := randomMark(random)
		if _, ok := marks[m.Competitor]; !ok {
			marks[m.Competitor] = m
		}
		builder.Add(m)
	}
	return builder.Board(), marks
}

// randomMark returns a mark or an IRM.
func randomMark(random *rand.Rand) Mark {
	m := Mark{
		Competitor:   fmt.Sprint(random.IntN(1 + random.IntN(2000))),
		Categories:   NewCategories([]string{"", "F", "M"}[random.IntN(3)], []string{"", "M", "M40"}[random.IntN(3)]),
		Organisation: []string{"", "GAU"}[random.IntN(2)],
		Name:         []string{"", "Astérix", "Obelix, and a dog"}[random.IntN(3)],
	}
	if random.IntN(9) == 0 {
		m.IRM = []string{"LAP", "OTL", "NM", "DNF", "RET", "WDR", "DNS", "DSQ", "DQB"}[random.IntN(9)]
		m.Reached = random.IntN(3)
	} else {
		m.Value = mark.Decimal(random.IntN(300) - 20)
		m.Place = max(0, random.IntN(6)-3)
		if random.IntN(3) == 0 {
			mark2 := mark.Decimal(random.IntN(5) - 2)
			m.Mark2 = &mark2
		}
	}
	m.Out = []string{"", "", "", "DNF", "DSQ"}[random.IntN(5)]
	return m
}

// changeMark sets or removes a random mark, on the board and in the map.
func changeMark(random *rand.Rand, board *Board, marks map[string]Mark) {
	m := randomMark(random)
	if random.IntN(5) == 0 {
		_, ok := marks[m.Competitor]
		delete(marks, m.Competitor)
		if board.Remove(m.Competitor) != ok {
			panic("Remove reports another result than the map")
		}
		return
	}
	marks[m.Competitor] = m
	board.Set(m)
}

// checkPages compares all pages of a random size, and the page around a random
// competitor, with want.
func checkPages(t *testing.T, random *rand.Rand, board *Board, want []Row, category string) {
	t.Helper()
	q := Query{Category: category, Limit: 1 + random.IntN(1+random.IntN(len(want)+3))}
	var got []Row
	for {
		p, ok := board.Page(&q)
		if !ok || p.Total != len(want) {
			t.Fatalf("%+v: a page of %d, %v; want %d", q, p.Total, ok, len(want))
		}
		got = append(got, p.Rows...)
		next, err := ParseCursor(p.Next)
		if err != nil || next.String() != p.Next {
			t.Fatalf("the cursor %q reads as %+v, %v", p.Next, next, err)
		}
		if read, err := url.ParseQuery("after=" + p.Next); err != nil || read.Get("after") != p.Next {
			t.Fatalf("the cursor %q is not a plain parameter: %v", p.Next, err)
		}
		if q.After = next; q.After == (Cursor{}) {
			break
		}
	}
	if !slices.EqualFunc(got, want, Row.Equal) {
		t.Errorf("pages of %d of %q:\n%v\nwant\n%v", q.Limit, category, got, want)
		return
	}
	if len(want) == 0 {
		return
	}
	at := random.IntN(len(want))
	p, ok := board.Page(&Query{Category: category, Limit: q.Limit, Around: want[at].Competitor})
	first := max(0, min(at-(q.Limit-1)/2, len(want)-q.Limit))
	around := want[first:min(first+q.Limit, len(want))]
	if !ok || !slices.EqualFunc(p.Rows, around, Row.Equal) {
		t.Errorf("%d around %s:\n%v, %v\nwant\n%v", q.Limit, want[at].Competitor, p.Rows, ok, around)
	}
}
