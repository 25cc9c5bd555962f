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

// Medals asks for the medal table of a competition.
func Medals(competition string) Question {
	return Question{
		Key: cache.MedalsKey(competition),
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			t, ok, err := v.Medals(competition)
			if err != nil || !ok {
				return nil, 0, err
			}
			return t.Standings(), t.Revision, nil
		}),
		Missing: func() *score.Problem {
			return score.Problemf(score.NotFound,
				"no events of competition %s have been posted", handler.Quoted(competition))
		},
		Text: textRenderer(func(b *bytes.Buffer, m *medal.Standings) { medalsText(b, m.Rows, m.Outside) }),
	}
}

// medalRow asks for one row of a medal table. name is "competition/organisation".
func medalRow(name string) Question {
	competition, organisation, _ := strings.Cut(name, "/")
	return Question{
		// An organisation may contain any character, a question mark too.
		Key: cache.MedalsKey(competition) + "/" + (&url.URL{Path: organisation}).EscapedPath(),
		Tag: cache.MedalsKey(competition),
		Ask: encoded(func(v queries.View) (any, uint64, error) {
			t, ok, err := v.Medals(competition)
			if err != nil || !ok {
				return nil, 0, err
			}
			row, ok := t.Row(organisation)
			if !ok {
				return nil, 0, nil
			}
			return row, t.Revision, nil
		}),
		Missing: func() *score.Problem {
			return score.Problemf(score.NotFound,
				"organisation %s is not in the medal table of competition %s; GET /v1/medals/%[2]s lists the table",
				handler.Quoted(organisation), competition)
		},
		Text: textRenderer(func(b *bytes.Buffer, row *medal.Row) { medalsText(b, []medal.Row{*row}, nil) }),
	}
}

func validRow(name string) bool {
	competition, organisation, _ := strings.Cut(name, "/")
	return validCompetition(competition) && organisation != "" && len(organisation) <= MaxFilter
}

func validCompetition(s string) bool { return score.ValidPath(s) && !strings.Contains(s, "/") }

func medalsText(b *bytes.Buffer, rows, outside []medal.Row) {
	t := textfmt.NewTable("RANK", "ORGANISATION", "GOLD", "SILVER", "BRONZE", "TOTAL")
	for _, list := range [][]medal.Row{rows, outside} {
		for _, m := range list {
			t.Row(rankText(m.Rank, m.RankEqual), m.Organisation,
				strconv.Itoa(m.Gold), strconv.Itoa(m.Silver), strconv.Itoa(m.Bronze), strconv.Itoa(m.Total))
		}
	}
	t.Write(b)
}
