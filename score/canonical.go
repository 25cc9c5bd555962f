package score

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

var errNotCanonical = errors.New("the data is not in canonical form")

// AppendCanonical appends d as JSON in the canonical form of RFC 8785. An error means that d cannot be
// written, or holds a number that not every JSON reader keeps.
func AppendCanonical(b []byte, d Data) ([]byte, error) {
	if quick, ok := quickForm(b, d); ok {
		return quick, nil
	}
	data, err := MarshalData(d)
	if err != nil {
		return b, err
	}
	data, err = Canonicalize(data)
	return append(b, data...), err
}

// Canonicalize returns a JSON object with its members in the order of RFC 8785. It is an error if
// anything but the order of the members is not in the canonical form, so that data in another
// spelling is not taken for the same.
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
	// White space is removed from both.
	if !bytes.Equal(ordered, canonical) || len(canonical) != len(data) || canonical[0] != '{' {
		return nil, errNotCanonical
	}
	return canonical, nil
}

// quickForm appends the data of what nearly every event is with its members in the order of the signed form, as the sorter would put them; false if that is
// not for a quick writer.
func quickForm(b []byte, d Data) (_ []byte, ok bool) {
	w := quickWriter{append(b, '{'), true}
	switch d := d.(type) {
	case *ScorePlay:
		if d == nil || d.Delta == nil || !bounded(*d.Delta) || !d.Result.inOrder() || !d.StatsDelta.inOrder() {
			return b, false
		}
		w.given("action", d.Action)
		w.given("athlete", d.Athlete)
		w.given("clock", d.Clock)
		w.given("comment", d.Comment)
		w.text("competitor", d.Competitor)
		w.decimal("delta", *d.Delta)
		w.given("period", d.Period)
		w.totals("result", d.Result)
		w.totals("stats_delta", d.StatsDelta)
	case *ResultSet:
		if d == nil || d.Mark != nil && !bounded(*d.Mark) {
			return b, false
		}
		w.given("category", d.Category)
		w.given("comment", d.Comment)
		w.text("competitor", d.Competitor)
		w.given("irm", d.IRM)
		if d.Mark != nil {
			w.decimal("mark", *d.Mark)
		}
		w.given("organisation", d.Organisation)
		w.given("reason", d.Reason)
		w.text("split", d.Split)
	case *ContestStatus:
		if d == nil {
			return b, false
		}
		w.given("clock", d.Clock)
		w.given("comment", d.Comment)
		w.given("period", d.Period)
		w.given("result_status", d.ResultStatus)
		w.given("schedule_status", d.ScheduleStatus)
	default:
		return b, false
	}
	return append(w.b, '}'), w.ok
}

// inOrder tells whether the codes are ASCII, of which the order is certain, and stand in it, each once.
func (t Totals) inOrder() bool {
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

// bounded: a decimal beyond its bound has more digits than the signed form takes.
func bounded(d Decimal) bool { return d <= MaxDecimal && d >= -MaxDecimal }
