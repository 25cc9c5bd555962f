package client_test

import (
	"errors"
	"slices"
	"testing"

	"laurel/client"
	"laurel/score"
	"laurel/score/mark"
)

const race = "OG50BC/ATH-M-MAR"

// runners returns the events of a race: 7 and 31 have equal marks, and 99 did not finish.
func runners() []score.Event {
	list := []score.Event{
		{Type: score.TypeContestDefine, ContestID: race, Data: &score.ContestDefine{
			Kind: score.Ranked, Sport: "marathon", ResultType: "TIME", Splits: []string{"10km", "finish"},
		}},
		{Type: score.TypeContestStatus, ContestID: race, Data: &score.ContestStatus{
			ScheduleStatus: score.Running, ResultStatus: "LIVE",
		}},
	}
	set := func(d *score.ResultSet) {
		list = append(list, score.Event{Type: score.TypeResultSet, ContestID: race, Data: d})
	}
	for i, code := range []string{"2888", "7", "31"} {
		ten, all := mark.Points(int64(1900-i)), mark.Points(int64(8000+(i+1)/2))
		set(&score.ResultSet{Competitor: code, Split: "10km", Mark: new(mark.Number(ten)), Category: []string{"M", "W", "M"}[i]})
		set(&score.ResultSet{Competitor: code, Split: "finish", Mark: new(mark.Number(all)), Category: []string{"M", "W", "M"}[i]})
	}
	set(&score.ResultSet{Competitor: "99", Split: "finish", IRM: "DNF"})
	return list
}

func TestLeaderboardHasPages(t *testing.T) {
	t.Parallel()
	_, c := group(t, 1, client.Options{})
	if _, err := c.Post(t.Context(), runners()); err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]struct {
		part  client.BoardPart
		want  []string
		total int
	}{
		"all":        {client.BoardPart{}, []string{"2888", "31", "7", "99"}, 4},
		"a page":     {client.BoardPart{Page: client.Page{Limit: 1, After: "8000000,2888"}}, []string{"31"}, 4},
		"neighbours": {client.BoardPart{Page: client.Page{Limit: 3}, Around: "7"}, []string{"31", "7", "99"}, 4},
		"a split":    {client.BoardPart{Split: "10km"}, []string{"31", "7", "2888"}, 3},
		"a category": {client.BoardPart{Category: "M"}, []string{"2888", "31"}, 2},
	} {
		l, err := c.Leaderboard(t.Context(), race, one.part)
		var got []string
		for _, r := range l.Rows {
			got = append(got, r.Competitor)
		}
		if err != nil || !slices.Equal(got, one.want) || l.Total != one.total || l.ContestID != race {
			t.Errorf("%s: got %v of %d (%v); want %v of %d", name, got, l.Total, err, one.want, one.total)
		}
	}
	l, err := c.Leaderboard(t.Context(), race, client.BoardPart{Page: client.Page{Limit: 2}})
	if err != nil || l.Split != "finish" || l.Next != "8001000,31" {
		t.Fatalf("got %+v, %v", l, err)
	}
	r := l.Rows[1]
	if r.Rank != 2 || !r.RankEqual || *r.Mark != mark.Points(8001) || *r.Diff != mark.Points(1) || !r.Categories.Has("M") {
		t.Errorf("got %+v", r)
	}
	var p *score.Problem
	_, err = c.Leaderboard(t.Context(), race, client.BoardPart{Around: "8"})
	if !errors.As(err, &p) || p.Code != score.NotFound {
		t.Errorf("got %v", err)
	}
}
