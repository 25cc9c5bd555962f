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

// plain is the board as a sort makes it.
func plain(marks map[string]score.Mark, least bool, category string) []Row {
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
		if !least {
			byValue = -byValue
		}
		return cmp.Or(byValue, strings.Compare(a.Competitor, b.Competitor))
	})
	rows := []Row{}
	for i, m := range list {
		r := Row{Competitor: m.Competitor, Organisation: m.Organisation, Category: m.Category, IRM: m.IRM}
		if m.IRM == "" {
			equal := func(j int) bool { return j >= 0 && j < len(list) && list[j].IRM == "" && list[j].Value == m.Value }
			r.Mark, r.Rank, r.RankEqual = m.Value, i+1, equal(i-1) || equal(i+1)
			if equal(i - 1) {
				r.Rank = rows[i-1].Rank
			}
			if r.Diff = m.Value - list[0].Value; !least {
				r.Diff = -r.Diff
			}
		}
		rows = append(rows, r)
	}
	return rows
}

func TestEveryPageOfABoardIsThatOfAPlainSort(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		least := seed%2 == 0
		board, marks := begin(random, least)
		for range 40 {
			for range random.IntN(60) {
				change(random, board, marks)
			}
			category := []string{"", "F", "M", "none"}[random.IntN(4)]
			check(t, random, board, plain(marks, least, category), category)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// begin makes a board of some marks at once.
func begin(random *rand.Rand, least bool) (*Board, map[string]score.Mark) {
	marks, f := map[string]score.Mark{}, NewBuilder(least, 0)
	for range random.IntN(2) * random.IntN(5000) {
		m := some(random)
		if _, there := marks[m.Competitor]; !there {
			marks[m.Competitor] = m
		}
		f.Add(m)
	}
	return f.Board(), marks
}

// some is a mark, or an IRM.
func some(random *rand.Rand) score.Mark {
	m := score.Mark{Competitor: fmt.Sprint(random.IntN(1 + random.IntN(2000))), Category: []string{"", "F", "M"}[random.IntN(3)], Organisation: []string{"", "GAU"}[random.IntN(2)]}
	if random.IntN(9) == 0 {
		m.IRM = []string{"DNF", "DNS", "DSQ"}[random.IntN(3)]
	} else {
		m.Value = score.Decimal(random.IntN(300) - 20)
	}
	return m
}

func change(random *rand.Rand, board *Board, marks map[string]score.Mark) {
	m := some(random)
	if random.IntN(5) == 0 {
		_, there := marks[m.Competitor]
		delete(marks, m.Competitor)
		if board.Remove(m.Competitor) != there {
			panic("Remove says something else than there was")
		}
		return
	}
	marks[m.Competitor] = m
	board.Set(m)
}

func check(t *testing.T, random *rand.Rand, board *Board, want []Row, category string) {
	t.Helper()
	q := Query{Category: category, Limit: 1 + random.IntN(1+random.IntN(len(want)+3))}
	var got []Row
	for {
		p, ok := board.Page(&q)
		if !ok || p.Total != len(want) {
			t.Fatalf("%+v: a page of %d, %v; want %d", q, p.Total, ok, len(want))
		}
		got = append(got, p.Rows...)
		next, err := ParseCursor(p.Next.String())
		if err != nil || next != p.Next {
			t.Fatalf("the cursor %q reads as %+v, %v", p.Next, next, err)
		}
		if q.After = next; q.After == (Cursor{}) {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages of %d of %q:\n%v\nwant\n%v", q.Limit, category, got, want)
		return
	}
	if len(want) == 0 {
		return
	}
	at := random.IntN(len(want))
	p, ok := board.Page(&Query{Category: category, Limit: q.Limit, Around: want[at].Competitor})
	first := max(0, min(at-(q.Limit-1)/2, len(want)-q.Limit))
	if around := want[first:min(first+q.Limit, len(want))]; !ok || !slices.Equal(p.Rows, around) {
		t.Errorf("%d around %s:\n%v, %v\nwant\n%v", q.Limit, want[at].Competitor, p.Rows, ok, around)
	}
}
