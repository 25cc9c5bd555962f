package ranking

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
)

// Query selects a page of a board.
type Query struct {
	Split    string // "" for the contest's current split
	Category string // "" for all
	Limit    int    // rows, at least 1
	After    Cursor // the row before the page
	Around   string // the competitor in the middle of the page; takes precedence over After
}

// Page is a part of a board.
type Page struct {
	ContestID string
	Split     string
	Category  string
	Total     int // rows of the whole board, with IRMs
	Rows      []Row
	Next      Cursor // After of the next page; zero at the end
}

// Row is one competitor on a board. A competitor with an IRM has no mark, no rank and no
// difference.
type Row struct {
	Competitor   string
	Name         string // from the contest's definition; set by the caller
	Organisation string
	Category     string
	Mark         score.Decimal
	IRM          string
	Rank         int           // 0 for none
	RankEqual    bool          // another row has the same rank
	Diff         score.Decimal // to the first, never negative
}

// Cursor is a position on a board. The row that was there may have been removed since.
// The zero Cursor means "none".
type Cursor struct {
	competitor string
	value      score.Decimal
	irm, given bool
}

var errCursor = errors.New("want the value of next in an answer")

// ParseCursor parses the result of String: the mark, a comma, and the competitor's code.
// A position with an IRM has no mark. The empty string is the zero Cursor.
func ParseCursor(s string) (c Cursor, err error) {
	if s == "" {
		return c, nil
	}
	mark, competitor, ok := strings.Cut(s, ",")
	if !ok {
		return c, errCursor
	}
	c = Cursor{competitor: competitor, irm: mark == "", given: true}
	if !c.irm {
		if c.value, err = score.ParseDecimal(mark); err != nil {
			return Cursor{}, errCursor
		}
	}
	return c, nil
}

func (c Cursor) String() string {
	switch {
	case !c.given:
		return ""
	case c.irm:
		return "," + c.competitor
	}
	return c.value.String() + "," + c.competitor
}

func (r *Row) cursor() Cursor {
	return Cursor{competitor: r.Competitor, value: r.Mark, irm: r.IRM != "", given: true}
}

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
