package ranking

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
)

// AppendJSON appends p as JSON, like score.Leaderboard. It is faster than json.Marshal,
// which matters because pages are rarely cached: few readers ask for the same one.
func (p *Page) AppendJSON(b []byte) []byte {
	b = appendText(append(b, `{"contest_id":`...), p.ContestID)
	b = appendText(append(b, `,"split":`...), p.Split)
	if p.Category != "" {
		b = appendText(append(b, `,"category":`...), p.Category)
	}
	b = strconv.AppendInt(append(b, `,"total":`...), int64(p.Total), 10)
	b = append(b, `,"rows":[`...)
	for i := range p.Rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.Rows[i].AppendJSON(b)
	}
	b = appendText(append(b, `],"next":`...), p.Next.String())
	return append(b, '}')
}

// AppendJSON appends r as JSON, like score.LeaderboardRow.
func (r *Row) AppendJSON(b []byte) []byte {
	b = appendText(append(b, `{"competitor":`...), r.Competitor)
	for _, m := range [...]struct{ name, value string }{
		{`,"name":`, r.Name},
		{`,"organisation":`, r.Organisation},
		{`,"category":`, r.Category},
	} {
		if m.value != "" {
			b = appendText(append(b, m.name...), m.value)
		}
	}
	if r.IRM != "" {
		b = appendText(append(b, `,"mark":null,"irm":`...), r.IRM)
		return append(b, `,"rank_equal":false,"diff":null}`...)
	}
	b = appendDecimal(append(b, `,"mark":`...), r.Mark)
	b = strconv.AppendInt(append(b, `,"rank":`...), int64(r.Rank), 10)
	b = strconv.AppendBool(append(b, `,"rank_equal":`...), r.RankEqual)
	return append(appendDecimal(append(b, `,"diff":`...), r.Diff), '}')
}

func appendDecimal(b []byte, d score.Decimal) []byte {
	b, _ = d.AppendText(b) // never fails
	return b
}

// appendText appends s as a JSON string. Bytes that are not UTF-8 are replaced.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
