package score

import (
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The data of a signed event is written several times: for the signature, for the log,
// and by every state machine. The fast writer takes a quarter of the time of the general
// one. It fails on anything that the general writer might refuse; FuzzFastWrite compares
// the two.

// MarshalData returns the stored form of d: JSON with the members in the order of the
// struct and without white space. Two events say the same if and only if their types and
// the stored forms of their data are equal.
func MarshalData(d Data) ([]byte, error) {
	b, err := AppendData(make([]byte, 0, 256), d)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// AppendData appends the stored form of d.
func AppendData(b []byte, d Data) ([]byte, error) {
	if written, ok := writeFast(b, d, false); ok {
		return written, nil
	}
	whole, err := json.Marshal(d)
	return append(b, whole...), err
}

func writeFast(b []byte, d Data, canonical bool) (_ []byte, ok bool) {
	if d == nil {
		return b, false
	}
	return d.kind().write(b, d, canonical)
}

// fastWriter writes the members of an object. If ok is false, b is invalid.
type fastWriter struct {
	b  []byte
	ok bool
}

func (w *fastWriter) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), `":`...)
}

func (w *fastWriter) text(name, s string) {
	w.name(name)
	w.quote(s)
}

func (w *fastWriter) decimal(name string, d Decimal) {
	w.name(name)
	w.b, _ = d.AppendText(w.b)
}

// maxFastTotals limits totals because their names are compared with each other.
const maxFastTotals = 8

func (w *fastWriter) totals(name string, t Totals) {
	w.ok = w.ok && len(t) <= maxFastTotals
	w.name(name)
	w.b = append(w.b, '{')
	for i := 0; i < len(t) && w.ok; i++ {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		for j := range i {
			w.ok = w.ok && t[i].Code != t[j].Code
		}
		w.quote(t[i].Code)
		w.b = append(w.b, ':')
		w.b, _ = t[i].Value.AppendText(w.b)
	}
	w.b = append(w.b, '}')
}

func (w *fastWriter) quote(s string) {
	plain := true
	for i := range len(s) {
		c := s[i]
		plain = plain && c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\'
	}
	if plain {
		w.b = append(append(append(w.b, '"'), s...), '"')
		return
	}
	var err error
	w.b, err = jsontext.AppendQuote(w.b, s)
	w.ok = w.ok && err == nil
}
