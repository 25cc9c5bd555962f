package ranking

import (
	"errors"
	"strconv"
	"strings"

	"laurel/score"
	"laurel/score/fastjson"
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
	w := fastjson.NewWriter(b)
	w.Text("contest_id", p.ContestID)
	w.Text("split", p.Split)
	w.OptionalText("category", p.Category)
	w.Name("total")
	w.B = strconv.AppendInt(w.B, int64(p.Total), 10)
	w.Name("rows")
	w.B = append(w.B, '[')
	for i := range p.Rows {
		if i > 0 {
			w.B = append(w.B, ',')
		}
		w.B = p.Rows[i].AppendJSON(w.B)
	}
	w.B = append(w.B, ']')
	w.Text("next", p.Next.String())
	return end(&w)
}

// AppendJSON appends r as JSON, like score.LeaderboardRow.
func (r *Row) AppendJSON(b []byte) []byte {
	w := fastjson.NewWriter(b)
	w.Text("competitor", r.Competitor)
	w.OptionalText("name", r.Name)
	w.OptionalText("organisation", r.Organisation)
	w.OptionalText("category", r.Category)
	w.Name("mark")
	if r.IRM != "" {
		w.B = append(w.B, "null"...)
		w.Text("irm", r.IRM)
		w.B = append(w.B, `,"rank_equal":false,"diff":null`...)
		return end(&w)
	}
	w.B, _ = r.Mark.AppendText(w.B)
	w.Name("rank")
	w.B = strconv.AppendInt(w.B, int64(r.Rank), 10)
	w.Name("rank_equal")
	w.B = strconv.AppendBool(w.B, r.RankEqual)
	w.Name("diff")
	w.B, _ = r.Diff.AppendText(w.B)
	return end(&w)
}

// end ends an object. Bytes that are not UTF-8 have been replaced.
func end(w *fastjson.Writer) []byte {
	b, _ := w.End()
	return b
}
