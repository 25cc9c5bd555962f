package mark

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/score/fastjson"
	"laurel/score/quote"
)

// Measure is a mark as a bard reports it: a number in the unit of its contest, or a time
// as on a clock, such as "2:11:31.2". It keeps the form that the bard chose, which the
// bard's signature covers.
type Measure struct {
	value Decimal // the number, or the seconds of the clock
	clock string  // "" for a number
}

// Number returns the Measure of a number.
func Number(d Decimal) Measure { return Measure{value: d} }

// maxClock limits the text of a clock, in bytes.
const maxClock = 32

var errClock = errors.New(`want h:mm:ss.fff or m:ss.fff, such as "2:11:31.2", with at most three fraction digits`)

// ParseMeasure parses a number, or a time as on a clock.
func ParseMeasure(s string) (m Measure, err error) {
	if strings.Contains(s, ":") {
		m.clock = s
		m.value, err = parseClock(s)
		return m, err
	}
	m.value, err = ParseDecimal(s)
	return m, err
}

// parseClock returns the seconds of a time as on a clock. Only its first part may exceed
// 59.
func parseClock(s string) (Decimal, error) {
	whole, fraction, point := strings.Cut(s, ".")
	parts := strings.Split(whole, ":")
	thousandths := strings.TrimRight(fraction, "0")
	if len(s) > maxClock || len(parts) < 2 || len(parts) > 3 || len(thousandths) > 3 || point && fraction == "" {
		return 0, fmt.Errorf("got %q; %w", quote.Clip(s), errClock)
	}
	const maxHours = 9 // digits
	var v int64
	for i, part := range parts {
		n, digits := appendDigits(0, part)
		if !digits || part == "" || len(part) > maxHours || i > 0 && (len(part) != 2 || n > 59) {
			return 0, fmt.Errorf("got %q; %w", quote.Clip(s), errClock)
		}
		v = v*60 + n
	}
	v, digits := appendDigits(v, thousandths)
	if !digits {
		return 0, fmt.Errorf("got %q; %w", quote.Clip(s), errClock)
	}
	for range 3 - len(thousandths) {
		v *= 10
	}
	if Decimal(v) > MaxDecimal {
		return 0, fmt.Errorf("got %q; the largest is %s seconds", quote.Clip(s), MaxDecimal)
	}
	return Decimal(v), nil
}

// String returns m as the bard gave it.
func (m Measure) String() string {
	if m.clock != "" {
		return m.clock
	}
	return m.value.String()
}

// MarshalJSONTo writes m as the bard gave it: a JSON number or string.
func (m Measure) MarshalJSONTo(e *jsontext.Encoder) error {
	if m.clock != "" {
		return e.WriteToken(jsontext.String(m.clock))
	}
	return m.value.MarshalJSONTo(e)
}

// UnmarshalJSONFrom reads a JSON number or a clock in a JSON string.
func (m *Measure) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	switch v.Kind() {
	case '0':
		m.clock = ""
		m.value, err = ParseDecimal(string(v))
		return err
	case '"':
		text, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return err
		}
		m.clock = string(text)
		m.value, err = parseClock(m.clock)
		return err
	}
	return fmt.Errorf("%s; want a number, such as 9.58, or a time as on a clock, such as \"2:11:31.2\"",
		quote.Got(v.Kind(), v))
}

// secondsPerUnit has the units of times. Without a unit a time is in seconds.
var secondsPerUnit = map[string]Decimal{"": 1, "s": 1, "min": 60, "h": 3600}

// TimeUnits are the units of times, for problems.
const TimeUnits = "s, min or h"

// SecondsPer returns the seconds of a unit of times.
func SecondsPer(unit string) (seconds Decimal, known bool) {
	seconds, known = secondsPerUnit[unit]
	return seconds, known
}

// In returns m in the unit in which a contest keeps its marks: seconds if they are times,
// else that of the contest. The conversion is exact. needed is what a definition needs for
// times.
func (m Measure) In(unit string, isTime bool, needed string) (Decimal, error) {
	switch {
	case !isTime && m.clock != "":
		return 0, fmt.Errorf("got %q, which is a time; want a number, or define the contest with %s", m.clock, needed)
	case !isTime || m.clock != "":
		return m.value, nil
	}
	factor, known := secondsPerUnit[unit]
	if !known {
		return 0, fmt.Errorf("the contest measures times in %q; define it with the unit %s",
			quote.Clip(unit), TimeUnits)
	}
	if m.value > MaxDecimal/factor || m.value < -MaxDecimal/factor {
		return 0, fmt.Errorf("got %s %s; the largest is %s s", m.value, unit, MaxDecimal)
	}
	return m.value * factor, nil
}

// ReadFast reads a JSON number or a clock. It reports false for what UnmarshalJSONFrom must
// judge.
func (m *Measure) ReadFast(r *fastjson.Reader) (ok bool) {
	if r.Space() != '"' {
		return m.value.ReadFast(r)
	}
	var err error
	if ok = r.Text(&m.clock); ok {
		m.value, err = parseClock(m.clock)
	}
	return ok && err == nil
}

// WriteFast writes m as MarshalJSONTo would.
func (m Measure) WriteFast(w *fastjson.Writer) {
	if m.clock != "" {
		w.Quote(m.clock)
	} else {
		m.value.WriteFast(w)
	}
}
