package fsm

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"pgregory.net/rapid"

	"laurel/fsm/leaderboard"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/ranking"
)

var (
	races      = []string{"G/r1", "G/r2"}
	raceSplits = []string{"", "a", "b", "finish"}
	categories = []string{"", "F", "M"}
)

// askBoards asks for boards without waiting for their builds, so that the next steps find
// some of them in memory and some being built.
func (h *randomHistory) askBoards(t *rapid.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for range rapid.IntRange(1, 4).Draw(t, "questions") {
		q := ranking.Query{Split: rapid.SampledFrom(raceSplits).Draw(t, "split"), Limit: 3}
		_, _, err := h.m.Board(cancelled, rapid.SampledFrom(races).Draw(t, "race"), &q)
		if p := (*score.Problem)(nil); err != nil && !errors.As(err, &p) && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

// boundBoards changes the number of rows that the machine keeps in memory.
func (h *randomHistory) boundBoards(t *rapid.T) {
	limits := rapid.SampledFrom([]int{2 * 64, 4 * 64, leaderboard.DefaultMaxRows})
	h.m.boards.SetMaxRows(limits.Draw(t, "rows in memory"))
}

// checkBoards compares every board with a plain sort of the marks that are not voided.
func (h *randomHistory) checkBoards(t *rapid.T, f *referenceState) {
	for _, id := range races {
		c := f.contests[id]
		if c == nil {
			if _, revision, err := askBoard(h.m, id, &ranking.Query{Limit: 1}); problemCode(err) != score.NotFound ||
				revision > h.m.Revision() {
				t.Fatalf("the board of %s, which is not defined, has revision %d and the error %v", id, revision, err)
			}
			continue
		}
		for _, split := range raceSplits {
			q := ranking.Query{Split: split, Limit: 1}
			p, revision, err := askBoard(h.m, id, &q)
			wantSplit := cmp.Or(split, c.Split, c.Definition.FinalSplit())
			if !slices.Contains(c.Definition.AllSplits(), wantSplit) {
				if problemCode(err) != score.InvalidEvent {
					t.Fatalf("%s has no split %q; the error is %v", id, split, err)
				}
				continue
			}
			if err != nil || p.Split != wantSplit || revision != c.Revision {
				t.Fatalf("the board of %s at %q is that of %q, revision %d (%v); want %q, revision %d", id, split,
					p.Split, revision, err, wantSplit, c.Revision)
			}
			for _, category := range categories {
				h.checkPages(t, id, ranking.Query{Split: split, Category: category},
					plainRows(c, f.marks[id].all(wantSplit), category))
			}
		}
	}
}

// checkPages compares a board in pages of any size, and around each competitor.
func (h *randomHistory) checkPages(t *rapid.T, id string, q ranking.Query, want []ranking.Row) {
	q.Limit = rapid.IntRange(1, 4).Draw(t, "rows of a page")
	var got []ranking.Row
	for ask := q; ; {
		p := boardOf(t, h.m, id, &ask)
		if p.Total != len(want) || len(p.Rows) > q.Limit {
			t.Fatalf("%s %+v: %d rows of %d; want %d in all", id, q, len(p.Rows), p.Total, len(want))
		}
		got = append(got, p.Rows...)
		if ask.After = cursor(t, p.Next); p.Next == "" {
			break
		}
	}
	if !slices.EqualFunc(got, want, ranking.Row.Equal) {
		t.Fatalf("%s %+v:\n%+v\nwant\n%+v", id, q, got, want)
	}
	for i, row := range want {
		q.Around = row.Competitor
		first := max(0, min(i-(q.Limit-1)/2, len(want)-q.Limit))
		p, near := boardOf(t, h.m, id, &q), want[first:min(first+q.Limit, len(want))]
		if !slices.EqualFunc(p.Rows, near, ranking.Row.Equal) {
			t.Fatalf("%s %+v:\n%+v\nwant\n%+v", id, q, p.Rows, near)
		}
	}
	q.Around = "nobody"
	if _, _, err := askBoard(h.m, id, &q); problemCode(err) != score.NotFound {
		t.Fatalf("%s %+v: %v", id, q, err)
	}
}

// plainRows returns the rows of sorted marks.
func plainRows(c *fold.Contest, marks []ranking.Mark, category string) (rows []ranking.Row) {
	marks = slices.DeleteFunc(slices.Clone(marks), func(m ranking.Mark) bool {
		return category != "" && !m.Categories.Has(category)
	})
	ranks := ranking.Ranks(marks, c.Definition.Direction())
	for i, m := range marks {
		row := ranking.Row{Competitor: m.Competitor, Name: m.Name, Organisation: m.Organisation,
			Categories: m.Categories, IRM: m.Unplaced(), Rank: ranks[i]}
		for _, listed := range c.Competitors {
			if e := listed.Known(); e.Code == m.Competitor {
				row.Name, row.Organisation = e.Name, cmp.Or(e.Organisation, row.Organisation)
			}
		}
		if row.IRM == "" {
			row.Mark2, row.Out = m.Mark2, m.Out
			diff := m.Value - marks[0].Value
			if !c.Definition.LowerIsBetter() {
				diff = -diff
			}
			row.Mark, row.Diff = &m.Value, &diff
			row.RankEqual = i > 0 && ranks[i-1] == ranks[i] || i+1 < len(ranks) && ranks[i+1] == ranks[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func problemCode(err error) score.Code {
	if p := (*score.Problem)(nil); errors.As(err, &p) {
		return p.Code
	}
	return ""
}
