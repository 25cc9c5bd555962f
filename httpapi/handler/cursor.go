package handler

import (
	"net/url"
	"strconv"
	"strings"

	"laurel/score"
)

// Cursor is the parameter after of a list whose entries have numbers, such as revisions.
// A number means something else in another incarnation of the store.
type Cursor struct {
	incarnation string // "" for a number alone, which is taken for one of any incarnation
	after       uint64
}

// CursorAt returns a cursor after a number.
func CursorAt(after uint64) Cursor { return Cursor{after: after} }

// ParseCursor reads the parameter after: a number, or a Next.
func ParseCursor(q url.Values, want string) (c Cursor, err error) {
	given := q.Get("after")
	if given == "" {
		return c, nil
	}
	number, qualified := given, false
	if c.incarnation, number, qualified = strings.Cut(given, "-"); !qualified {
		c.incarnation, number = "", given
	}
	c.after, err = strconv.ParseUint(number, 10, 64)
	if err != nil || qualified && !score.ValidLineage(c.incarnation) {
		return Cursor{}, Unwanted("after", given, want)
	}
	return c, nil
}

// In returns the number after which a list begins. A cursor of another incarnation gets a
// new beginning.
func (c Cursor) In(incarnation string) uint64 {
	if c.incarnation != "" && c.incarnation != incarnation {
		return 0
	}
	return c.after
}

// String returns c as a parameter after, "" for the beginning.
func (c Cursor) String() string {
	switch {
	case c.after == 0:
		return ""
	case c.incarnation == "":
		return strconv.FormatUint(c.after, 10)
	}
	return c.incarnation + "-" + strconv.FormatUint(c.after, 10)
}

// Next returns the parameter after of the next page, "" for 0.
func Next(incarnation string, after uint64) string { return Cursor{incarnation, after}.String() }
