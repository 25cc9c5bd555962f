package score

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

var errNotCanonical = errors.New("the data is not in canonical form")

// AppendCanonical appends d as JSON in the canonical form of RFC 8785. It returns an
// error if d cannot be written, or holds a number that a JSON reader with 64-bit floats
// would change.
func AppendCanonical(b []byte, d Data) ([]byte, error) {
	if written, ok := writeFast(b, d, true); ok {
		return written, nil
	}
	data, err := MarshalData(d)
	if err != nil {
		return b, err
	}
	data, err = Canonicalize(data)
	return append(b, data...), err
}

// Canonicalize returns a JSON object in the canonical form of RFC 8785. Only the order of
// its members may differ from that form: it returns an error for any other spelling, so
// that no signature covers two spellings of the same data.
func Canonicalize(data []byte) ([]byte, error) {
	ordered, canonical := jsontext.Value(bytes.Clone(data)), jsontext.Value(bytes.Clone(data))
	err := ordered.Canonicalize(
		jsontext.CanonicalizeRawInts(false),
		jsontext.CanonicalizeRawFloats(false),
		jsontext.PreserveRawStrings(true),
	)
	if err == nil {
		err = canonical.Canonicalize()
	}
	if err != nil {
		return nil, err
	}
	// White space is removed from both, which changes the length.
	if !bytes.Equal(ordered, canonical) || len(canonical) != len(data) || canonical[0] != '{' {
		return nil, errNotCanonical
	}
	return canonical, nil
}

// canonical reports whether the fast writer writes t in canonical form: its names are in
// order, and printable ASCII that needs no escapes, and its values are within bounds.
func (t Totals) canonical() bool {
	for i := range t {
		for j := range len(t[i].Code) {
			if c := t[i].Code[j]; c < ' ' || c > '~' || c == '"' || c == '\\' {
				return false
			}
		}
		if i > 0 && t[i-1].Code >= t[i].Code || !bounded(t[i].Value) {
			return false
		}
	}
	return true
}

// bounded reports whether a 64-bit float holds d exactly.
func bounded(d Decimal) bool { return d <= MaxDecimal && d >= -MaxDecimal }
