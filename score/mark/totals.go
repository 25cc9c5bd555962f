package mark

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score/fastjson"
	"laurel/score/quote"
)

// Total is a named number: the score of a competitor or of a period, or a statistic.
type Total struct {
	Code  string
	Value Decimal
}

// Totals is a JSON object of decimals that keeps its order, so that nothing depends on
// the order of a map.
type Totals []Total

// Get returns the number named code.
func (t Totals) Get(code string) (Decimal, bool) {
	for i := range t {
		if t[i].Code == code {
			return t[i].Value, true
		}
	}
	return 0, false
}

// MarshalJSONTo writes t as a JSON object in the order of t.
func (t Totals) MarshalJSONTo(e *jsontext.Encoder) error {
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, n := range t {
		if err := e.WriteToken(jsontext.String(n.Code)); err != nil {
			return err
		}
		if err := n.Value.MarshalJSONTo(e); err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndObject)
}

// maxTotals limits the members of one object of totals.
const maxTotals = 1000

// UnmarshalJSONFrom reads a JSON object of decimals and keeps its order.
func (t *Totals) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if k := dec.PeekKind(); k != '{' {
		if err := dec.SkipValue(); err != nil {
			return err
		}
		return fmt.Errorf("%s; want an object of numbers, such as {\"GAU\":2}", quote.Got(k, nil))
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	*t = (*t)[:0]
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		n := Total{Code: name.String()}
		if len(*t) == maxTotals {
			return fmt.Errorf("has more than %d members, which is the most", maxTotals)
		}
		if err := json.UnmarshalDecode(dec, &n.Value); err != nil {
			return err
		}
		*t = append(*t, n)
	}
	_, err := dec.ReadToken()
	return err
}

// Sort sorts t by name, the order of the stored form.
func (t Totals) Sort() {
	slices.SortFunc(t, func(a, b Total) int { return cmp.Compare(a.Code, b.Code) })
}

// Sorted reports whether the names of t are distinct and in order.
func (t Totals) Sorted() bool {
	for i := 1; i < len(t); i++ {
		if t[i-1].Code >= t[i].Code {
			return false
		}
	}
	return true
}

// ReadFast reads totals into room as far as it has any. It reports false for what
// UnmarshalJSONFrom must judge, as repeated names.
func (t *Totals) ReadFast(r *fastjson.Reader, room Totals) bool {
	for r.Begin('{'); r.More('}'); {
		n := Total{}
		if !r.Text(&n.Code) || !r.Next(':') || !n.Value.ReadFast(r) || len(room) == maxSearched {
			return false
		}
		if _, repeated := room.Get(n.Code); repeated {
			return false
		}
		if len(room) > 0 && n.Code < room[len(room)-1].Code {
			r.Loosen() // the canonical form is in order
		}
		room = append(room, n)
	}
	if len(room) > 0 {
		*t = room
	}
	return r.Ended()
}

// maxSearched limits the totals whose names are compared with each other.
const maxSearched = 32

// distinct reports whether the names of t are distinct, if they are few or in order.
func (t Totals) distinct() bool {
	if t.Sorted() || len(t) > maxSearched {
		return t.Sorted()
	}
	for i := range t {
		if _, repeated := t[:i].Get(t[i].Code); repeated {
			return false
		}
	}
	return true
}

// WriteFast fails if the names may not be distinct. In the canonical form they must be in
// order, and ASCII, of which the order is that of UTF-16.
func (t Totals) WriteFast(w *fastjson.Writer, canonical bool) {
	if canonical && !t.Sorted() || !t.distinct() {
		w.Fail()
		return
	}
	w.B = append(w.B, '{')
	for i, n := range t {
		if i > 0 {
			w.B = append(w.B, ',')
		}
		if canonical && strings.ContainsFunc(n.Code, func(r rune) bool { return r >= utf8.RuneSelf }) {
			w.Fail()
		}
		w.Quote(n.Code)
		w.B = append(w.B, ':')
		n.Value.WriteFast(w)
	}
	w.B = append(w.B, '}')
}
