package httpapi

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"laurel/score"
)

// scorePage is the answer to a list of contests.
type scorePage struct {
	Scores []score.Record `json:"scores"`
	Next   string         `json:"next"` // the parameter after of the next page, "" at the end
}

func listScores(r *http.Request) (question, error) {
	q, err := parameters(r, "competition", "sport", "status", "competitor", "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(q)
	if err != nil {
		return nil, err
	}
	after := q.Get("after")
	if after != "" && !score.ValidPath(after) {
		return nil, fieldProblem("after", "got %s; want what an answer gave as next", quoted(after))
	}
	f := score.Filter{Competition: q.Get("competition"), Sport: q.Get("sport"), Status: q.Get("status"), Competitor: q.Get("competitor")}
	return func(v Records) (answer, error) {
		list, next, err := v.Contests(f, after, limit)
		if err != nil {
			return answer{}, err
		}
		page := scorePage{list, next}
		return answer{v.Revision(), page, func(b *bytes.Buffer) { scoresText(b, page) }}, nil
	}, nil
}

func oneScore(r *http.Request) (question, error) {
	if err := knownOnly(r); err != nil {
		return nil, err
	}
	id := mux.Vars(r)["contest"]
	return func(v Records) (answer, error) {
		rec, ok, err := v.Contest(id)
		switch {
		case err != nil:
			return answer{}, err
		case !ok:
			return answer{}, score.Problemf(score.NotFound, "no contest %s has been defined; GET /v1/scores lists those there are", quoted(id))
		}
		return answer{rec.Revision, rec, func(b *bytes.Buffer) { scoreText(b, &rec) }}, nil
	}, nil
}

func scoresText(b *bytes.Buffer, page scorePage) {
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

func resultText(c *score.Placed) string {
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
	tiebreak := slices.ContainsFunc(rec.Competitors, func(c score.Placed) bool { return c.Tiebreak != 0 })
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

// periodsOf lists a contest's periods in the order in which its competitors have them.
func periodsOf(rec *score.Record) []string {
	var periods []string
	for _, c := range rec.Competitors {
		for _, t := range c.Periods {
			if !slices.Contains(periods, t.Code) {
				periods = append(periods, t.Code)
			}
		}
	}
	return periods
}

func rankText(rank int) string {
	if rank == 0 {
		return "-"
	}
	return strconv.Itoa(rank)
}
