package httpapi

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/gorilla/mux"

	"laurel/score"
)

func medalTable(r *http.Request) (question, error) {
	if err := knownOnly(r); err != nil {
		return nil, err
	}
	competition := mux.Vars(r)["competition"]
	return func(v Records) (answer, error) {
		t, err := medalsOf(v, competition)
		if err != nil {
			return answer{}, err
		}
		m := t.Medals()
		return answer{m.Revision, m, func(b *bytes.Buffer) { medalsText(b, m.Rows, m.Outside) }}, nil
	}, nil
}

func medalRow(r *http.Request) (question, error) {
	if err := knownOnly(r); err != nil {
		return nil, err
	}
	competition, organisation := mux.Vars(r)["competition"], mux.Vars(r)["organisation"]
	return func(v Records) (answer, error) {
		t, err := medalsOf(v, competition)
		if err != nil {
			return answer{}, err
		}
		row, ok := t.Row(organisation)
		if !ok {
			return answer{}, score.Problemf(score.NotFound, "%s does not know the organisation %s; GET /v1/medals/%s lists those with medals",
				competition, quoted(organisation), competition)
		}
		return answer{t.Revision, row, func(b *bytes.Buffer) { medalsText(b, []score.MedalRow{row}, nil) }}, nil
	}, nil
}

func medalsOf(v Records, competition string) (*score.MedalTable, error) {
	t, ok, err := v.Medals(competition)
	if err == nil && !ok {
		err = score.Problemf(score.NotFound, "nothing has been reported of a competition %s", quoted(competition))
	}
	return t, err
}

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
