package httpapi

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/score"
)

func medalTable(competition, query string) (question, error) {
	_, consents, err := asked(query)
	if err != nil {
		return question{}, err
	}
	missing := func() *score.Problem {
		return score.Problemf(score.NotFound, "nothing has been reported of a competition %s", quoted(competition))
	}
	if !validCompetition(competition) {
		return question{}, missing()
	}
	return question{
		key: cache.MedalsKey(competition),
		ask: func(v queries.View) ([]byte, uint64, error) {
			t, ok, err := v.Medals(competition)
			if err != nil || !ok {
				return nil, v.Revision(), err
			}
			body, err := queries.Encode(t.Medals())
			return body, t.Revision, err
		},
		missing: missing,
		text:    forPeople(func(b *bytes.Buffer, m *score.Medals) { medalsText(b, m.Rows, m.Outside) }),
		consent: consents,
	}, nil
}

func medalRow(competition, organisation, query string) (question, error) {
	_, consents, err := asked(query)
	if err != nil {
		return question{}, err
	}
	missing := func() *score.Problem {
		return score.Problemf(score.NotFound, "nothing is known of an organisation %s in a competition %s; GET /v1/medals/%[2]s lists those with medals",
			quoted(organisation), competition)
	}
	if !validCompetition(competition) || organisation == "" || len(organisation) > maxFilter {
		return question{}, missing()
	}
	return question{
		// An organisation may have any signs in it, a question mark among them.
		key: cache.MedalsKey(competition) + "/" + (&url.URL{Path: organisation}).EscapedPath(),
		tag: cache.MedalsKey(competition),
		ask: func(v queries.View) ([]byte, uint64, error) {
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
		missing: missing,
		text:    forPeople(func(b *bytes.Buffer, row *score.MedalRow) { medalsText(b, []score.MedalRow{*row}, nil) }),
		consent: consents,
	}, nil
}

func validCompetition(s string) bool { return score.ValidPath(s) && !strings.Contains(s, "/") }

func medalsText(b *bytes.Buffer, rows, outside []score.MedalRow) {
	t := newTable(b, "RANK", "ORGANISATION", "GOLD", "SILVER", "BRONZE", "TOTAL")
	for _, list := range [][]score.MedalRow{rows, outside} {
		for _, m := range list {
			rank := rankText(m.Rank)
			if m.RankEqual {
				rank = "=" + rank
			}
			t.row(rank, m.Organisation, strconv.Itoa(m.Gold), strconv.Itoa(m.Silver), strconv.Itoa(m.Bronze), strconv.Itoa(m.Total))
		}
	}
	t.end()
}
