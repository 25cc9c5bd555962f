package ranking

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"laurel/score"
)

// plainSort returns the rows of a board by sorting the marks.
func plainSort(marks map[string]score.Mark, lower bool, category string) []score.LeaderboardRow {
	var list []score.Mark
	for _, m := range marks {
		if category == "" || m.Category == category {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b score.Mark) int {
		if (a.IRM == "") != (b.IRM == "") {
			return cmp.Compare(len(a.IRM), len(b.IRM)) // one of them is empty
		}
		byValue := cmp.Compare(a.Value, b.Value)
		if !lower {
			byValue = -byValue
		}
		return cmp.Or(byValue, strings.Compare(a.Competitor, b.Competitor))
	})
	rows := []score.LeaderboardRow{}
	for i, m := range list {
		r := score.LeaderboardRow{
			Competitor: m.Competitor, Organisation: m.Organisation, Category: m.Category, IRM: m.IRM,
		}
		if m.IRM == "" {
			equal := func(j int) bool {
				return j >= 0 && j < len(list) && list[j].IRM == "" && list[j].Value == m.Value
			}
			r.Mark, r.Rank, r.RankEqual = &m.Value, i+1, equal(i-1) || equal(i+1)
			if equal(i - 1) {
				r.Rank = rows[i-1].Rank
			}
			diff := m.Value - list[0].Value
			if !lower {
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
		lower := seed%2 == 0
		board, marks := newBoard(random, lower)
		for range 40 {
			for range random.IntN(60) {
				changeMark(random, board, marks)
			}
			category := []string{"", "F", "M", "none"}[random.IntN(4)]
			checkPages(t, random, board, plainSort(marks, lower, category), category)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// newBoard returns a board that a Builder built from random marks, and the marks.
func newBoard(random *rand.Rand, lower bool) (*Board, map[string]score.Mark) {
	marks, builder := map[string]score.Mark{}, NewBuilder(lower, 0)
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
func randomMark(random *rand.Rand) score.Mark {
	m := score.Mark{
		Competitor:   fmt.Sprint(random.IntN(1 + random.IntN(2000))),
		Category:     []string{"", "F", "M"}[random.IntN(3)],
		Organisation: []string{"", "GAU"}[random.IntN(2)],
	}
	if random.IntN(9) == 0 {
		m.IRM = []string{"DNF", "DNS", "DSQ"}[random.IntN(3)]
	} else {
		m.Value = score.Decimal(random.IntN(300) - 20)
	}
	return m
}

// changeMark sets or removes a random mark, on the board and in the map.
func changeMark(random *rand.Rand, board *Board, marks map[string]score.Mark) {
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
func checkPages(t *testing.T, random *rand.Rand, board *Board, want []score.LeaderboardRow, category string) {
	t.Helper()
	q := Query{Category: category, Limit: 1 + random.IntN(1+random.IntN(len(want)+3))}
	var got []score.LeaderboardRow
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
		if q.After = next; q.After == (Cursor{}) {
			break
		}
	}
	if !slices.EqualFunc(got, want, score.LeaderboardRow.Equal) {
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
	if !ok || !slices.EqualFunc(p.Rows, around, score.LeaderboardRow.Equal) {
		t.Errorf("%d around %s:\n%v, %v\nwant\n%v", q.Limit, want[at].Competitor, p.Rows, ok, around)
	}
}
