package question

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/medal"
)

func parseMedals(competition string, _ url.Values) (Question, error) {
	q := Medals(competition)
	if !validCompetition(competition) {
		return Question{}, q.Missing()
	}
	return q, nil
}

// Medals asks for the medal table of a competition.
func Medals(competition string) Question {
	return Question{
		Key: cache.MedalsKey(competition),
		Ask: func(v queries.View) ([]byte, uint64, error) {
			t, ok, err := v.Medals(competition)
			if err != nil || !ok {
				return nil, v.Revision(), err
			}
			body, err := queries.Encode(t.Standings())
			return body, t.Revision, err
		},
		Missing: func() *score.Problem {
			return score.Problemf(score.NotFound,
				"no events of competition %s have been posted", handler.Quoted(competition))
		},
		Text: textRenderer(func(b *bytes.Buffer, m *medal.Standings) { medalsText(b, m.Rows, m.Outside) }),
	}
}

// parseMedalRow reads the question for one row of a medal table from
// "competition/organisation".
func parseMedalRow(name string, _ url.Values) (Question, error) {
	competition, organisation, _ := strings.Cut(name, "/")
	missing := func() *score.Problem {
		return score.Problemf(score.NotFound,
			"organisation %s is not in the medal table of competition %s; GET /v1/medals/%[2]s lists the table",
			handler.Quoted(organisation), competition)
	}
	if !validCompetition(competition) || organisation == "" || len(organisation) > MaxFilter {
		return Question{}, missing()
	}
	return Question{
		// An organisation may contain any character, a question mark too.
		Key: cache.MedalsKey(competition) + "/" + (&url.URL{Path: organisation}).EscapedPath(),
		Tag: cache.MedalsKey(competition),
		Ask: func(v queries.View) ([]byte, uint64, error) {
			t, ok, err := v.Medals(competition)
			if err != nil || !ok {
				return nil, v.Revision(), err
			}
			row, ok := t.Row(organisation)
			if !ok {
				return nil, v.Revision(), nil
			}
			body, err := queries.Encode(row)
			return body, t.Revision, err
		},
		Missing: missing,
		Text:    textRenderer(func(b *bytes.Buffer, row *medal.Row) { medalsText(b, []medal.Row{*row}, nil) }),
	}, nil
}

func validCompetition(s string) bool { return score.ValidPath(s) && !strings.Contains(s, "/") }

func medalsText(b *bytes.Buffer, rows, outside []medal.Row) {
	t := textfmt.NewTable("RANK", "ORGANISATION", "GOLD", "SILVER", "BRONZE", "TOTAL")
	for _, list := range [][]medal.Row{rows, outside} {
		for _, m := range list {
			rank := rankText(m.Rank)
			if m.RankEqual {
				rank = "=" + rank
			}
			t.Row(rank, m.Organisation,
				strconv.Itoa(m.Gold), strconv.Itoa(m.Silver), strconv.Itoa(m.Bronze), strconv.Itoa(m.Total))
		}
	}
	t.Write(b)
}
