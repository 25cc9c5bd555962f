package httpapi

import (
	"bytes"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/score"
)

// scorePage is the answer to a list of contests.
type scorePage struct {
	Scores []score.Record `json:"scores"`
	Next   string         `json:"next"` // the parameter after of the next page, "" at the end
}

// maxFilter bounds the value of a filter, which becomes a part of a key; no name in the store is longer.
const maxFilter = 512

func listScores(query string) (question, error) {
	filters := [...]string{"competition", "sport", "status", "competitor"}
	q, consents, err := asked(query, append(filters[:], "limit", "after")...)
	if err != nil {
		return question{}, err
	}
	limit, err := pageSize(q)
	if err != nil {
		return question{}, err
	}
	chosen := url.Values{}
	for _, name := range filters {
		switch given := q.Get(name); {
		case len(given) > maxFilter:
			return question{}, fieldProblem(name, "got %d bytes; nothing has a name of more than %d", len(given), maxFilter)
		case given != "":
			chosen.Set(name, given)
		}
	}
	if limit != DefaultPage {
		chosen.Set("limit", strconv.Itoa(limit))
	}
	after := q.Get("after")
	if after != "" {
		if !score.ValidPath(after) {
			return question{}, fieldProblem("after", "got %s; want what an answer gave as next", quoted(after))
		}
		chosen.Set("after", after)
	}
	f := score.Filter{Competition: q.Get("competition"), Sport: q.Get("sport"), Status: q.Get("status"), Competitor: q.Get("competitor")}
	return question{
		key: keyOf("scores", chosen),
		tag: cache.ListTag(score.CompetitionOf(f.Competition)),
		ask: func(v queries.View) ([]byte, uint64, error) {
			list, next, err := v.Contests(f, after, limit)
			if err != nil {
				return nil, 0, err
			}
			body, err := queries.Encode(scorePage{list, next})
			return body, v.Revision(), err
		},
		text:    forPeople(scoresText),
		consent: consents,
	}, nil
}

// contestPages are all contests that pass a filter, in pages. An error is the last.
func contestPages(v queries.View, f score.Filter) iter.Seq2[[]score.Record, error] {
	return func(yield func([]score.Record, error) bool) {
		for after := ""; ; {
			list, next, err := v.Contests(f, after, MaxPage)
			if !yield(list, err) || err != nil || next == "" {
				return
			}
			after = next
		}
	}
}

func oneScore(id, query string) (question, error) {
	_, consents, err := asked(query)
	if err != nil {
		return question{}, err
	}
	missing := func() *score.Problem {
		return score.Problemf(score.NotFound, "no contest %s has been defined; GET /v1/scores lists those there are", quoted(id))
	}
	if !score.ValidPath(id) {
		return question{}, missing()
	}
	return question{
		key: cache.ScoreKey(id),
		ask: func(v queries.View) ([]byte, uint64, error) {
			rec, ok, err := v.Contest(id)
			if err != nil || !ok {
				return nil, v.Revision(), err
			}
			body, err := queries.Encode(rec)
			return body, rec.Revision, err
		},
		missing: missing,
		text:    forPeople(scoreText),
		consent: consents,
	}, nil
}

func scoresText(b *bytes.Buffer, page *scorePage) {
	t := newTable(b, "CONTEST", "TITLE", "STATUS", "RESULT", "PERIOD", "SCORE")
	for i := range page.Scores {
		rec := &page.Scores[i]
		t.row(rec.ContestID, rec.Title, rec.ScheduleStatus, rec.ResultStatus, rec.Period, standing(rec))
	}
	t.end()
	nextText(b, page.Next)
}

// standing is a contest's score in a few words: both sides, or who leads.
func standing(rec *score.Record) string {
	const most = 3
	var parts []string
	for i, c := range rec.Competitors {
		if i == most || rec.Kind == score.Ranked && c.Result == nil && c.IRM == "" {
			break
		}
		s := c.Code + " " + resultText(&c)
		if c.Tiebreak != 0 {
			s += " (" + c.Tiebreak.String() + ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

func resultText(c *score.Standing) string {
	switch {
	case c.IRM != "":
		return c.IRM
	case c.Result == nil:
		return "-"
	}
	return c.Result.String()
}

func scoreText(b *bytes.Buffer, rec *score.Record) {
	fmt.Fprintf(b, "%s\n", plain(joinWords("  ", rec.ContestID, rec.Title)))
	fmt.Fprintf(b, "%s\n", plain(joinWords("  ", rec.ScheduleStatus, rec.ResultStatus, rec.Period, rec.Clock, rec.Split)))
	if rec.Winner != "" {
		fmt.Fprintf(b, "winner: %s\n", plain(rec.Winner))
	}
	b.WriteByte('\n')
	periods := periodsOf(rec)
	tiebreak := slices.ContainsFunc(rec.Competitors, func(c score.Standing) bool { return c.Tiebreak != 0 })
	headings := append([]string{"RANK", "CODE", "NAME", "ORG", "RESULT"}, periods...)
	if tiebreak {
		headings = append(headings, "TIEBREAK")
	}
	t := newTable(b, headings...)
	for i := range rec.Competitors {
		c := &rec.Competitors[i]
		cells := []string{rankText(c.Rank), c.Code, c.Name, c.Organisation, resultText(c)}
		for _, period := range periods {
			cell := "-"
			if v, ok := c.Periods.Get(period); ok {
				cell = v.String()
			}
			cells = append(cells, cell)
		}
		if tiebreak {
			cells = append(cells, c.Tiebreak.String())
		}
		t.row(cells...)
	}
	t.end()
	if rec.Total != nil && *rec.Total > len(rec.Competitors) {
		fmt.Fprintf(b, "\n%d of %d\n", len(rec.Competitors), *rec.Total)
	}
}

func rankText(rank int) string {
	if rank == 0 {
		return "-"
	}
	return strconv.Itoa(rank)
}
