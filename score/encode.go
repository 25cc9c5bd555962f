package score

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The data of a signed event is written several times: for the signature, for the log, and by
// every state machine. The fast writer fails on anything that the general writer might
// refuse; FuzzFastWrite compares the two.

// MarshalData returns the stored form of d: JSON with the members in the order of the
// struct and without white space. Two events say the same if and only if their types and
// the stored forms of their data are equal.
func MarshalData(d Data) ([]byte, error) {
	return AppendData(make([]byte, 0, 256), d)
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
	return dataTypeOf(d.eventType()).write(b, d, canonical)
}

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
