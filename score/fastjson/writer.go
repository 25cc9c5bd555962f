package fastjson

import (
	"errors"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

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
