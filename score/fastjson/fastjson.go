package fastjson

import (
	"encoding/base64"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Reader reads JSON from its beginning. Its methods report whether they succeeded. After
// a failure its position is meaningless.
type Reader struct {
	s      string // the strings that are read share its memory, unless copies is set
	at     int
	copies bool
	opened bool // an object or array has just begun
	failed bool
	loose  bool // see Loosen
}

// maxShared limits the texts whose memory is shared, so that a string that is kept holds
// little else.
const maxShared = 4 << 10

// NewReader returns a reader of s.
func NewReader(s string) Reader { return Reader{s: s, copies: len(s) > maxShared} }

// Pos returns the position in the text.
func (r *Reader) Pos() int { return r.at }

// Space skips white space and returns the next byte, or 0 at the end.
func (r *Reader) Space() byte {
	for ; r.at < len(r.s); r.at++ {
		switch c := r.s[r.at]; c {
		case ' ', '\t', '\n', '\r':
			r.loose = true
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

// Begin reads the beginning of an object or an array. A loop reads the rest; names of
// members may be repeated:
//
//	for r.Begin('{'); r.More('}'); {
//		if !r.Name(&name) || !r.Text(&value) {
//			return false
//		}
//	}
//	return r.Ended()
func (r *Reader) Begin(c byte) {
	r.opened = r.Next(c)
	r.failed = !r.opened
}

// More reports whether there is another member or element. It reads what is before it, or
// the end of the object or array.
func (r *Reader) More(end byte) bool {
	c := r.Space()
	first := r.opened
	r.opened = false
	switch {
	case r.failed:
		return false
	case c == end:
		r.at++
		return false
	case first:
		return true
	case c == ',':
		r.at++
		return true
	}
	r.failed = true
	return false
}

// Ended reports whether the object or array was read to its end, after More has returned
// false.
func (r *Reader) Ended() bool { return !r.failed }

// Name reads the name of a member and the colon after it.
func (r *Reader) Name(to *string) bool { return r.text(to) && r.Next(':') }

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
	ok := r.text(to)
	if r.copies {
		*to = strings.Clone(*to)
	}
	return ok
}

func (r *Reader) text(to *string) bool {
	if !r.Next('"') {
		return false
	}
	ascii := true
	for i := r.at; ; i++ {
		i += plainLen(r.s[i:])
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
		ascii, r.loose = false, true
	}
}

// plainLen returns the number of bytes before the first special one. It looks at eight at
// a time: of x, the lowest byte with its high bit set in (x-n*ones)&^x is the first that is
// less than n.
func plainLen(s string) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := s[i : i+8]
		x := uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 |
			uint64(w[4])<<32 | uint64(w[5])<<40 | uint64(w[6])<<48 | uint64(w[7])<<56
		quote, backslash := x^('"'*ones), x^('\\'*ones)
		found := (x | (x-' '*ones)&^x | (quote-ones)&^quote | (backslash-ones)&^backslash) & high
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(s) && !special[s[i]] {
		i++
	}
	return i
}

// Skips skips a text if it is what comes next.
func (r *Reader) Skips(text string) bool {
	ok := strings.HasPrefix(r.s[r.at:], text)
	if ok {
		r.at += len(text)
	}
	return ok
}

// Null reads null.
func (r *Reader) Null() bool {
	return r.Space() == 'n' && r.Skips("null")
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

// Decimal reads a number with up to 12 digits and 3 fraction digits, in thousandths.
func (r *Reader) Decimal() (thousandths int64, ok bool) {
	negative := r.Space() == '-'
	if negative {
		r.at++
	}
	from := r.at
	v := r.digits()
	whole := r.at - from
	if whole == 0 || whole > 12 || whole > 1 && r.s[from] == '0' {
		return 0, false
	}
	fraction := 0
	if r.at < len(r.s) && r.s[r.at] == '.' {
		r.at++
		from = r.at
		f := r.digits()
		if fraction = r.at - from; fraction == 0 || fraction > 3 {
			return 0, false
		}
		v = v*[...]int64{1, 10, 100, 1000}[fraction] + f
		r.loose = r.loose || f%10 == 0
	}
	v *= [...]int64{1000, 100, 10, 1}[fraction]
	if negative {
		r.loose = r.loose || v == 0
		v = -v
	}
	return v, true
}

// digits reads digits. The caller checks how many there were.
func (r *Reader) digits() (v int64) {
	for ; r.at < len(r.s) && '0' <= r.s[r.at] && r.s[r.at] <= '9'; r.at++ {
		v = v*10 + int64(r.s[r.at]-'0')
	}
	return v
}

// Bool reads true or false.
func (r *Reader) Bool(to *bool) bool {
	r.Space()
	*to = r.Skips("true")
	return *to || r.Skips("false")
}

// Count reads a positive integer of at most 16 digits.
func (r *Reader) Count(to *uint64) bool {
	s := r.Number()
	n, err := strconv.ParseUint(s, 10, 64)
	*to = n
	r.loose = r.loose || len(s) > 15 // 64-bit floats do not hold all of them
	return err == nil && len(s) <= 16 && s[0] != '0'
}

// Int reads an integer of at most 15 digits, in its shortest form.
func (r *Reader) Int(to *int) bool {
	s := r.Number()
	n, err := strconv.Atoi(s)
	digits := strings.TrimPrefix(s, "-")
	*to = n
	return err == nil && len(digits) <= 15 && (digits[0] != '0' || s == "0")
}

// Time reads an RFC 3339 time.
func (r *Reader) Time(to *time.Time) bool {
	var s string
	r.loose = true
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
