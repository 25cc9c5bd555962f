package ranking

import (
	"errors"
	"strings"

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

func cursorOf(r *score.LeaderboardRow) Cursor {
	c := Cursor{competitor: r.Competitor, irm: r.Mark == nil, given: true}
	if r.Mark != nil {
		c.value = *r.Mark
	}
	return c
}
