package fastjson

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Reader reads JSON from its beginning. Its methods report whether they succeeded. After
// a failure its position is meaningless.
type Reader struct {
	s  string // the strings that are read share its memory
	at int
}

// NewReader returns a reader of s.
func NewReader(s string) Reader { return Reader{s: s} }

// Pos returns the position in the text.
func (r *Reader) Pos() int { return r.at }

// Space skips white space and returns the next byte, or 0 at the end.
func (r *Reader) Space() byte {
	for ; r.at < len(r.s); r.at++ {
		switch c := r.s[r.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// Next skips white space and c. It reports whether c was there.
func (r *Reader) Next(c byte) bool {
	ok := r.Space() == c
	r.at++
	return ok
}

// End reports whether only white space is left.
func (r *Reader) End() bool {
	r.Space()
	return r.at == len(r.s)
}

// maxMembers limits the members of an object, because their names are compared with
// each other.
const maxMembers = 12

// Object reads an object with distinct names. member reads the value of a member.
func (r *Reader) Object(member func(name string) bool) bool {
	if !r.Next('{') {
		return false
	}
	if r.Space() == '}' {
		return r.Next('}')
	}
	var seen [maxMembers]string
	for n := range seen {
		if !r.Text(&seen[n]) || !r.Next(':') {
			return false
		}
		for _, name := range seen[:n] {
			if name == seen[n] {
				return false
			}
		}
		if r.Space(); !member(seen[n]) {
			return false
		}
		if r.Space() == '}' {
			return r.Next('}')
		}
		if !r.Next(',') {
			return false
		}
	}
	return false
}

// special holds the bytes in a string that need attention: its end, escapes, control
// characters, and whatever is not ASCII.
var special = func() (is [256]bool) {
	for c := range is {
		is[c] = c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf
	}
	return is
}()

// Text reads a string.
func (r *Reader) Text(to *string) bool {
	if !r.Next('"') {
		return false
	}
	ascii := true
	for i := r.at; ; i++ {
		for i < len(r.s) && !special[r.s[i]] {
			i++
		}
		switch {
		case i >= len(r.s):
			return false
		case r.s[i] == '"':
			*to = r.s[r.at:i]
			r.at = i + 1
			return ascii || utf8.ValidString(*to)
		case r.s[i] < utf8.RuneSelf:
			return false
		}
		ascii = false
	}
}

// Number returns the text of a number. The caller checks its form.
func (r *Reader) Number() string {
	r.Space()
	from := r.at
	for r.at < len(r.s) && (r.s[r.at] == '-' || r.s[r.at] == '.' || '0' <= r.s[r.at] && r.s[r.at] <= '9') {
		r.at++
	}
	return r.s[from:r.at]
}

// Bool reads true or false.
func (r *Reader) Bool(to *bool) bool {
	r.Space()
	for _, b := range [...]bool{true, false} {
		if text := strconv.FormatBool(b); strings.HasPrefix(r.s[r.at:], text) {
			*to = b
			r.at += len(text)
			return true
		}
	}
	return false
}

// Count reads a positive integer of at most 16 digits.
func (r *Reader) Count(to *uint64) bool {
	s := r.Number()
	n, err := strconv.ParseUint(s, 10, 64)
	*to = n
	return err == nil && len(s) <= 16 && s[0] != '0'
}

// Time reads an RFC 3339 time.
func (r *Reader) Time(to *time.Time) bool {
	var s string
	return r.Text(&s) && plainTime(s) && to.UnmarshalText([]byte(s)) == nil
}

// Base64 reads a non-empty string in base64 of at most limit characters.
func (r *Reader) Base64(to *[]byte, limit int) bool {
	var text string
	if !r.Text(&text) || len(text) > limit {
		return false
	}
	var err error
	*to, err = base64.StdEncoding.DecodeString(text)
	return err == nil && len(*to) > 0
}

// plainTime reports whether s has none of what UnmarshalText accepts beyond RFC 3339: an
// hour of one digit, a comma, an offset of a day or more.
func plainTime(s string) bool {
	n := len(s)
	if n < len("2026-02-09T08:00:00Z") || s[13] != ':' || s[19] == ',' {
		return false
	}
	return s[n-1] == 'Z' || s[n-5] < '2' && s[n-2] < '6'
}

// Skip skips an object. It does not check what is inside.
func (r *Reader) Skip() bool {
	if r.Space() != '{' {
		return false
	}
	for depth := 0; r.at < len(r.s); r.at++ {
		switch r.s[r.at] {
		case '"':
			for r.at++; r.at < len(r.s) && r.s[r.at] != '"'; r.at++ {
				if r.s[r.at] == '\\' {
					r.at++
				}
			}
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				r.at++
				return true
			}
		}
	}
	return false
}

// Writer writes an object.
type Writer struct {
	B   []byte // what has been written
	err error
}

// NewWriter returns a writer that has begun an object after b.
func NewWriter(b []byte) Writer { return Writer{B: append(b, '{')} }

// End ends the object. It returns what has been written, or the first error. In the place
// of bytes that are not UTF-8 there are replacement characters.
func (w *Writer) End() ([]byte, error) { return append(w.B, '}'), w.err }

// Fail makes the result invalid.
func (w *Writer) Fail() { w.err = errFailed }

var errFailed = errors.New("not plain JSON")

// Name writes the name of a member, which needs no escapes.
func (w *Writer) Name(name string) {
	if w.B[len(w.B)-1] != '{' {
		w.B = append(w.B, ',')
	}
	w.B = append(append(append(w.B, '"'), name...), `":`...)
}

// Text writes a member whose value is a string.
func (w *Writer) Text(name, s string) {
	w.Name(name)
	w.Quote(s)
}

// OptionalText writes a member whose value is a string, unless that is empty.
func (w *Writer) OptionalText(name, s string) {
	if s != "" {
		w.Text(name, s)
	}
}

// Uint writes a member whose value is a number.
func (w *Writer) Uint(name string, n uint64) {
	w.Name(name)
	w.B = strconv.AppendUint(w.B, n, 10)
}

// OptionalUint writes a member whose value is a number, unless that is 0.
func (w *Writer) OptionalUint(name string, n uint64) {
	if n != 0 {
		w.Uint(name, n)
	}
}

// Bool writes a member whose value is true or false.
func (w *Writer) Bool(name string, b bool) {
	w.Name(name)
	w.B = strconv.AppendBool(w.B, b)
}

// Array writes a member whose value is an array of n elements. element appends one to B.
func (w *Writer) Array(name string, n int, element func(i int)) {
	w.Name(name)
	w.B = append(w.B, '[')
	for i := range n {
		if i > 0 {
			w.B = append(w.B, ',')
		}
		element(i)
	}
	w.B = append(w.B, ']')
}

// Quote writes a string.
func (w *Writer) Quote(s string) {
	plain := true
	for i := range len(s) {
		c := s[i]
		plain = plain && c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\'
	}
	if plain {
		w.B = append(append(append(w.B, '"'), s...), '"')
		return
	}
	var err error
	if w.B, err = jsontext.AppendQuote(w.B, s); err != nil {
		w.err = err
	}
}
