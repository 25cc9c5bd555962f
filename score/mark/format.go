package mark

import (
	"strconv"
	"strings"

	"laurel/score/fastjson"
)

// MaxPrecision is the number of fraction digits that a Decimal has.
const MaxPrecision = 3

// Format is how the marks of a contest are written for people, in text, on terminals and
// on the page (app/marks.ts). testdata/marks.json has examples that both must follow.
type Format struct {
	ResultType string `json:"result_type,omitzero"`
	Unit       string `json:"unit,omitzero"`      // of marks in records and leaderboards: s for TIME
	Unit2      string `json:"unit2,omitzero"`     // of mark2: s if it is a time
	Sort       string `json:"sort,omitzero"`      // asc if the lowest mark is best, or desc
	Precision  *int   `json:"precision,omitzero"` // fraction digits; as many as needed without it
}

// SameFormat reports whether both write every mark alike.
func (f *Format) SameFormat(other *Format) bool {
	a, b := *f, *other
	a.Precision, b.Precision = nil, nil
	return a == b && (f.Precision == nil) == (other.Precision == nil) &&
		(f.Precision == nil || *f.Precision == *other.Precision)
}

// WriteMembers writes the members of f.
func (f *Format) WriteMembers(w *fastjson.Writer) {
	w.OptionalText("result_type", f.ResultType)
	w.OptionalText("unit", f.Unit)
	w.OptionalText("unit2", f.Unit2)
	w.OptionalText("sort", f.Sort)
	if f.Precision != nil {
		w.Uint("precision", uint64(*f.Precision))
	}
}

// MarkText formats a mark: a time as 2:11:31.2, 9:58.1 or 9.79, anything else as a number.
// To a lower precision, times are rounded up and distances down, as they are measured in
// sports, and points to the nearest.
func (f *Format) MarkText(d Decimal) string {
	return f.text(f.round(d), f.ResultType == "TIME", f.Precision)
}

// mark2Text formats a second mark.
func (f *Format) mark2Text(d Decimal) string { return f.text(d, f.Unit2 == "s", nil) }

// GapText formats the difference of a mark to the best one: that of the two as they are
// written.
func (f *Format) GapText(mark, diff Decimal) string {
	best := mark + diff
	if f.Sort == "asc" {
		best = mark - diff
	}
	gap := f.round(mark) - f.round(best)
	return f.text(max(gap, -gap), f.ResultType == "TIME", f.Precision)
}

// round rounds d to the precision.
func (f *Format) round(d Decimal) Decimal {
	if f.Precision == nil {
		return d
	}
	step := Decimal(1)
	for range MaxPrecision - min(max(*f.Precision, 0), MaxPrecision) {
		step *= 10
	}
	rest := d % step
	cut := d - rest // toward zero
	switch {
	case f.ResultType == "TIME" && rest > 0, f.ResultType != "TIME" && f.ResultType != "DISTANCE" && 2*rest >= step:
		return cut + step
	case f.ResultType == "DISTANCE" && rest < 0, f.ResultType != "TIME" && -2*rest >= step:
		return cut - step
	}
	return cut
}

func (f *Format) text(d Decimal, clock bool, precision *int) string {
	b := make([]byte, 0, 24)
	if d < 0 {
		b, d = append(b, '-'), -d
	}
	whole, fraction := int64(d/1000), int64(d%1000)
	h, m, s := whole/3600, whole/60%60, whole%60
	switch {
	case !clock:
		b = strconv.AppendInt(b, whole, 10)
	case h > 0:
		b = append(strconv.AppendInt(b, h, 10), ':')
		b = append(appendTwo(b, m), ':')
		b = appendTwo(b, s)
	case m > 0:
		b = append(strconv.AppendInt(b, m, 10), ':')
		b = appendTwo(b, s)
	default:
		b = strconv.AppendInt(b, s, 10)
	}
	digits := strconv.Itoa(1000 + int(fraction))[1:]
	if precision != nil {
		digits = digits[:min(max(*precision, 0), MaxPrecision)]
	} else {
		digits = strings.TrimRight(digits, "0")
	}
	if digits != "" {
		b = append(append(b, '.'), digits...)
	}
	return string(b)
}

func appendTwo(b []byte, n int64) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// ResultText formats what a competitor has reached: the mark or the score, with a second
// mark and the IRM that it has at another split, or else its IRM; "" for nothing.
func (f *Format) ResultText(mark, mark2 *Decimal, irm, out string) string {
	if mark == nil || irm != "" {
		return irm
	}
	text := f.MarkText(*mark)
	if mark2 != nil {
		text += " / " + f.mark2Text(*mark2)
	}
	if out != "" {
		text += " " + out
	}
	return text
}
