package score

import (
	"bytes"
	"encoding/base64"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Nearly every event is a play, a mark or a status in plain JSON: no escapes, no null, no
// unknown and no duplicate members. The fast reader knows only that, and takes a quarter
// of the time of the general decoder. It fails on anything else, and the general decoder
// is used. Where the fast reader succeeds, the general decoder must too, with the same
// result; FuzzFastRead compares the two.

// fastReader reads JSON from its beginning. After a failure its position is meaningless.
type fastReader struct {
	b  []byte
	s  string // equal to b: the strings that are read share its memory
	at int
}

// UnmarshalData reads the stored form of data. It checks the JSON, but not the rules of
// Decode.
func UnmarshalData(t Type, b []byte) (Data, error) {
	of := dataTypeOf(t)
	if of == nil {
		return nil, &UnknownTypeError{t}
	}
	if d := of.read(b, ""); d != nil {
		return d, nil
	}
	return unmarshalGeneral(of, b)
}

func unmarshalGeneral(of dataType, b []byte) (Data, error) {
	d := of.empty()
	if err := json.Unmarshal(b, d, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	return d, nil
}

// event reads an event. It reads the data last, because the type may come after it.
func (r *fastReader) event() (w envelope, d Data, ok bool) {
	var from, to int
	ok = r.object(func(name string) bool {
		switch name {
		case "id":
			return r.text(&w.ID)
		case "source":
			return r.text(&w.Source)
		case "seq":
			w.Seq = new(uint64)
			return r.count(w.Seq)
		case "type":
			return r.text((*string)(&w.Type))
		case "time":
			w.Time = new(time.Time)
			return r.time(w.Time)
		case "contest_id":
			return r.text(&w.ContestID)
		case "key":
			return r.text(&w.Key)
		case "signature":
			return r.base64(&w.Signature)
		case "data":
			from = r.at
			ok := r.skip()
			to = r.at
			return ok
		}
		return false
	})
	if !ok || !r.end() {
		return w, nil, false
	}
	if of := dataTypeOf(w.Type); of != nil {
		d = of.read(r.b[from:to], r.s[from:to])
	}
	return w, d, d != nil
}

// space skips white space and returns the next byte, or 0 at the end.
func (r *fastReader) space() byte {
	for ; r.at < len(r.b); r.at++ {
		switch c := r.b[r.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// next skips white space and c. It reports whether c was there.
func (r *fastReader) next(c byte) bool {
	ok := r.space() == c
	r.at++
	return ok
}

// end reports whether only white space is left.
func (r *fastReader) end() bool {
	r.space()
	return r.at == len(r.b)
}

// maxFastMembers limits the members of an object, because their names are compared with
// each other.
const maxFastMembers = 12

// object reads an object with distinct names. member reads the value of a member.
func (r *fastReader) object(member func(name string) bool) bool {
	if !r.next('{') {
		return false
	}
	if r.space() == '}' {
		return r.next('}')
	}
	var seen [maxFastMembers]string
	for n := range seen {
		if !r.text(&seen[n]) || !r.next(':') {
			return false
		}
		for _, name := range seen[:n] {
			if name == seen[n] {
				return false
			}
		}
		if r.space(); !member(seen[n]) {
			return false
		}
		if r.space() == '}' {
			return r.next('}')
		}
		if !r.next(',') {
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

func (r *fastReader) text(to *string) bool {
	if !r.next('"') {
		return false
	}
	ascii := true
	for i := r.at; ; i++ {
		for i < len(r.b) && !special[r.b[i]] {
			i++
		}
		switch {
		case i >= len(r.b):
			return false
		case r.b[i] == '"':
			*to = r.s[r.at:i]
			r.at = i + 1
			return ascii || utf8.ValidString(*to)
		case r.b[i] < utf8.RuneSelf:
			return false
		}
		ascii = false
	}
}

// number returns the text of a number. The caller checks its form.
func (r *fastReader) number() string {
	r.space()
	from := r.at
	for r.at < len(r.b) && (r.b[r.at] == '-' || r.b[r.at] == '.' || '0' <= r.b[r.at] && r.b[r.at] <= '9') {
		r.at++
	}
	return r.s[from:r.at]
}

func (r *fastReader) decimal(to *Decimal) bool {
	v, err := ParseDecimal(r.number())
	*to = v
	return err == nil
}

func (r *fastReader) count(to *uint64) bool {
	s := r.number()
	if s == "" || len(s) > 16 || s[0] == '0' {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		*to = *to*10 + uint64(s[i]-'0')
	}
	return true
}

func (r *fastReader) totals(to *Totals) bool {
	return r.object(func(name string) bool {
		if *to == nil {
			*to = make(Totals, 0, 2)
		}
		var v Decimal
		ok := r.decimal(&v)
		*to = append(*to, Total{name, v})
		return ok
	})
}

func (r *fastReader) time(to *time.Time) bool {
	var s string
	return r.text(&s) && plainTime(s) && to.UnmarshalText(r.b[r.at-1-len(s):r.at-1]) == nil
}

func (r *fastReader) base64(to *[]byte) bool {
	if !r.next('"') {
		return false
	}
	n := bytes.IndexByte(r.b[r.at:min(len(r.b), r.at+2*MaxSignature)], '"')
	if n < 0 {
		return false
	}
	text := r.b[r.at : r.at+n]
	r.at += n + 1
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return false // AppendDecode would skip it
	}
	var err error
	*to, err = base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(n)), text)
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

// skip skips an object. It does not check what is inside.
func (r *fastReader) skip() bool {
	if r.space() != '{' {
		return false
	}
	for depth := 0; r.at < len(r.b); r.at++ {
		switch r.b[r.at] {
		case '"':
			for r.at++; r.at < len(r.b) && r.b[r.at] != '"'; r.at++ {
				if r.b[r.at] == '\\' {
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
