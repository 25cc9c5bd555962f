package fsm

import (
	"context"
	"runtime"
	"testing"
	"time"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/ranking"
)

// askBoard asks again while too many boards are being built.
func askBoard(m *Machine, contestID string, q *ranking.Query) (p ranking.Leaderboard, revision uint64, err error) {
	deadline := time.Now().Add(time.Minute)
	for {
		p, revision, err = m.Board(context.Background(), contestID, q)
		if problemCode(err) != score.NotReady || time.Now().After(deadline) {
			return p, revision, err
		}
		runtime.Gosched()
	}
}

// boardOf returns a page of a leaderboard, which must exist.
func boardOf(t tester, m *Machine, contestID string, q *ranking.Query) ranking.Leaderboard {
	t.Helper()
	p, revision, err := askBoard(m, contestID, q)
	if err != nil {
		t.Fatal(err)
	}
	if revision == 0 || revision > m.Revision() {
		t.Fatalf("the board of %s has revision %d; the machine has %d", contestID, revision, m.Revision())
	}
	return p
}

// compareBoards compares the leaderboards of a machine with recorded results. The source
// lists some runners several times, and its official places have gaps. The order and the
// ties are therefore compared, not the places.
func compareBoards(t *testing.T, m *Machine, leaderboards map[string][]place) {
	t.Helper()
	for id, places := range leaderboards {
		last := map[string]place{}
		categories := map[string]bool{"": true}
		for _, p := range places {
			last[p.Competitor] = p
			categories[p.Category] = true
		}
		for category := range categories {
			compareBoard(t, m, id, category, last)
		}
	}
}

type place struct {
	Competitor    string       `json:"competitor"`
	Mark          mark.Decimal `json:"mark"`
	Place         int          `json:"place"`
	Category      string       `json:"category"`
	CategoryPlace int          `json:"category_place"`
}

// cursor parses the next of a page.
func cursor(t tester, next string) ranking.Cursor {
	c, err := ranking.ParseCursor(next)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// valueOf returns the mark of a row, 0 for an IRM.
func valueOf(mark *mark.Decimal) mark.Decimal {
	if mark == nil {
		return 0
	}
	return *mark
}

func compareBoard(t *testing.T, m *Machine, id, category string, last map[string]place) {
	q := ranking.Query{Category: category, Limit: 1000}
	var rows []ranking.Row
	for {
		p := boardOf(t, m, id, &q)
		rows = append(rows, p.Rows...)
		if q.After = cursor(t, p.Next); p.Next == "" {
			break
		}
	}
	n, before := 0, 0
	for i, row := range rows {
		truth, known := last[row.Competitor]
		if !known || truth.Mark != valueOf(row.Mark) || !row.Categories.Has(truth.Category) && truth.Category != "" {
			t.Errorf("%s %s: row %d is %+v; recorded is %+v", id, category, i, row, truth)
			return
		}
		official := truth.Place
		if category != "" {
			official = truth.CategoryPlace
		}
		equal := i > 0 && valueOf(rows[i-1].Mark) == valueOf(row.Mark)
		if want := i + 1; !equal && row.Rank != want || equal && row.Rank != rows[i-1].Rank {
			t.Errorf("%s %s: row %d has the rank %d", id, category, i, row.Rank)
		}
		if official < before && !equal {
			t.Errorf("%s %s: %s comes after place %d and has place %d", id, category, row.Competitor, before, official)
		}
		before = max(official, before)
		n++
	}
	want := 0
	for _, p := range last {
		if category == "" || p.Category == category {
			want++
		}
	}
	if n != want || n == 0 {
		t.Errorf("%s %q has %d rows; recorded are %d", id, category, n, want)
	}
}
