package score

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"laurel/score/quote"
)

// Checker checks the members of a value and keeps the first problem that it finds. Fields
// are named by their path, such as data.delta.
type Checker struct{ Problem *Problem }

// Fail records a problem, unless there already is one.
func (c *Checker) Fail(field, format string, args ...any) {
	if c.Problem == nil {
		c.Problem = fieldProblem(field, format, args...)
	}
}

// adopt records the problem of an element of a list.
func (c *Checker) adopt(one *Checker, list string, i int) {
	if p := one.Problem; p != nil && c.Problem == nil {
		c.Problem = p.At(fmt.Sprintf("%s.%d.%s", list, i, p.Field))
	}
}

// Text checks that s has at most limit bytes and no control characters. A long text
// (limit is at least maxText) may have line breaks and tabs.
func (c *Checker) Text(field, s string, limit int, required bool) {
	if plainText(s, limit, required) {
		return
	}
	switch {
	case c.Problem != nil:
	case s == "" && required:
		c.Fail(field, "missing; want a string")
	case len(s) > limit:
		c.Fail(field, "has %d bytes; the most is %d", len(s), limit)
	case !utf8.ValidString(s):
		c.Fail(field, "is not UTF-8")
	}
	for _, r := range s {
		// A line break in a name would break tables and terminals.
		if unicode.IsControl(r) && (limit < maxText || r != '\n' && r != '\t') {
			c.Fail(field, "has the control character %U; want plain text", r)
		}
	}
}

// plainText reports whether s is valid and printable ASCII, as nearly every text is.
func plainText(s string, limit int, required bool) bool {
	if len(s) > limit || s == "" && required {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Path checks that s consists of valid segments joined by slashes.
func (c *Checker) Path(field, s string, limit int) {
	switch {
	case s == "":
		c.Fail(field, "missing; want segments of letters, digits and ._~- joined by /")
		return
	case len(s) > limit:
		c.Fail(field, "has %d bytes; the most is %d", len(s), limit)
		return
	}
	for rest, more := s, true; more; {
		var segment string
		if segment, rest, more = strings.Cut(rest, "/"); !ValidSegment(segment) {
			c.Fail(field,
				"got %q; want segments of letters, digits and ._~- joined by /, none of them empty, . or ..",
				quote.Clip(s))
			return
		}
	}
}

// ValidSegment reports whether s is a segment of a path that needs no escaping in a URL:
// letters, digits and ._~-, but not . or ..
func ValidSegment(s string) bool {
	if s == "" || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		if !inSegment[s[i]] {
			return false
		}
	}
	return true
}

// inSegment has the bytes of segments.
var inSegment = func() (is [256]bool) {
	for _, b := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-") {
		is[b] = true
	}
	return is
}()

// ValidPath reports whether s can be the id of a contest, or a source.
func ValidPath(s string) bool {
	c := Checker{}
	c.Path("", s, MaxContestID)
	return c.Problem == nil
}

// maxOffset is the largest offset of a time that RFC 3339 knows, in seconds.
const maxOffset = 24*60*60 - 1

// Time checks that JSON can hold t as it is: the year is within 1 to 9999 in UTC and
// within 0 to 9999 in t's own zone, whose offset is a whole number of minutes. The zero
// time, which means "not given", is out of range.
func (c *Checker) Time(field string, t time.Time) {
	_, offset := t.Zone()
	// Within these bounds of years 1970 to 9998 the year need not be computed.
	if unix := t.Unix(); unix >= 0 && unix < 253_370_764_800 && offset%60 == 0 && max(offset, -offset) <= maxOffset {
		return
	}
	utc, local := t.UTC().Year(), t.Year()
	if utc < 1 || utc > 9999 || local < 0 || local > 9999 || offset%60 != 0 || t.IsZero() {
		c.Fail(field, "is out of range in UTC; want a time in the years 1 to 9999")
	}
}

// OneOf checks that s is one of values.
func (c *Checker) OneOf(field, s string, required bool, values []string) {
	switch {
	case s == "" && !required, slices.Contains(values, s):
	case s == "":
		c.Fail(field, "missing; want one of %s", strings.Join(values, ", "))
	default:
		c.Fail(field, "got %q; want one of %s", quote.Clip(s), strings.Join(values, ", "))
	}
}

// Names checks a list of distinct strings of at most limit bytes.
func (c *Checker) Names(field string, list []string, limit int) {
	if len(list) > maxList {
		c.Fail(field, "has %d members; the most is %d", len(list), maxList)
		return
	}
	for i, s := range list {
		if !plainText(s, limit, required) { // build the path only if the name is wrong
			c.Text(fmt.Sprintf("%s.%d", field, i), s, limit, required)
		}
		if slices.Contains(list[:i], s) {
			c.Fail(field, "has %q twice", quote.Clip(s))
		}
	}
}
