package fastjson

import (
	"errors"
	"strconv"
	"time"

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

// Key writes the name of a member as it is in JSON: with quotes and a colon.
func (w *Writer) Key(key string) {
	b := w.B
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	w.B = append(b, key...)
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

// Time writes a time.
func (w *Writer) Time(t time.Time) {
	b, err := t.AppendText(append(w.B, '"'))
	if err != nil {
		w.err = err
		return
	}
	w.B = append(b, '"')
}

// Array writes a member whose value is an array of n elements. element appends one to B.
func (w *Writer) Array(name string, n int, element func(i int)) {
	w.Name(name)
	w.Elements(n, element)
}

// Elements writes an array of n elements. element appends one to B.
func (w *Writer) Elements(n int, element func(i int)) {
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
	if plainLen(s) == len(s) {
		b := append(w.B, '"')
		b = append(b, s...)
		w.B = append(b, '"')
		return
	}
	var err error
	if w.B, err = jsontext.AppendQuote(w.B, s); err != nil {
		w.err = err
	}
}
