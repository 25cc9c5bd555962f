package ranking

import (
	"errors"
	"strings"

	"laurel/score"
)

// Query asks for a part of a board.
type Query struct {
	Split    string // "": the one that the contest shows
	Category string // "": all
	Limit    int    // rows, at least 1
	After    Cursor // begin behind this place
	Around   string // the competitor to have in the middle; After does not count then
}

// Page is a part of a board, and the answer to a question.
type Page struct {
	ContestID string
	Split     string
	Category  string
	Total     int // rows of the board, those with an IRM too
	Rows      []Row
	Next      Cursor // the place to go on behind; the zero Cursor at the end
}

// Row is a competitor's place. Who has an IRM has no mark, no rank and no difference.
type Row struct {
	Competitor   string
	Name         string // as the contest's definition lists it
	Organisation string
	Category     string
	Mark         score.Decimal
	IRM          string
	Rank         int           // 0: none
	RankEqual    bool          // another has the same
	Diff         score.Decimal // to the first, never less than 0
}

// Cursor is a place in the order of a board, of which there need not be a row any more. The zero Cursor is none.
type Cursor struct {
	competitor string
	value      score.Decimal
	irm, given bool
}

var errCursor = errors.New("want what an answer gave as next")

// ParseCursor reads what String writes: the mark, a comma, and the competitor's code; no mark for one with an IRM. "" is no cursor.
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

// cursor is the row's place.
func (r *Row) cursor() Cursor {
	return Cursor{competitor: r.Competitor, value: r.Mark, irm: r.IRM != "", given: true}
}
