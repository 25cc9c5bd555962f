package mark

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/score/fastjson"
	"laurel/score/quote"
)

// Decimal is an exact decimal with up to three fraction digits, in thousandths: a score,
// a mark or a delta.
type Decimal int64

// MaxDecimal is the largest Decimal, and -MaxDecimal the smallest. The sum of two cannot
// overflow.
const MaxDecimal Decimal = 999_999_999_999_999

// Points returns n as a Decimal.
func Points(n int64) Decimal { return Decimal(n * 1000) }

var errDecimal = errors.New("want a plain number with at most three fraction digits, such as 3 or 9.58")

// ParseDecimal parses a plain JSON number: without exponent, with at most three fraction
// digits, and from -999999999999.999 to 999999999999.999.
func ParseDecimal(s string) (Decimal, error) {
	unsigned, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(unsigned, ".")
	thousandths := strings.TrimRight(fraction, "0")
	v, digits := appendDigits(0, whole)
	if digits {
		v, digits = appendDigits(v, thousandths)
	}
	switch {
	case !digits, whole == "", point && fraction == "", len(whole) > 1 && whole[0] == '0':
		return 0, fmt.Errorf("got %s; %w", quote.Clip(s), errDecimal)
	case len(thousandths) > 3:
		return 0, fmt.Errorf("got %s, which has more than three fraction digits; %w", quote.Clip(s), errDecimal)
	case len(whole) > 12:
		return 0, fmt.Errorf("got %s; the largest is %s", quote.Clip(s), MaxDecimal)
	}
	for range 3 - len(thousandths) {
		v *= 10
	}
	if negative {
		v = -v
	}
	return Decimal(v), nil
}

// appendDigits appends digits to those of v. ok is false if s has anything else.
func appendDigits(v int64, s string) (_ int64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		v = v*10 + int64(s[i]-'0')
	}
	return v, true
}

// Add returns d+e. ok is false if the sum is beyond MaxDecimal.
func (d Decimal) Add(e Decimal) (sum Decimal, ok bool) {
	sum = d + e
	return sum, sum <= MaxDecimal && sum >= -MaxDecimal
}

// AppendText appends d without trailing zeros: 3, 9.58, -0.005.
func (d Decimal) AppendText(b []byte) ([]byte, error) {
	v := int64(d)
	if v < 0 {
		b = append(b, '-')
		v = -v
	}
	b = strconv.AppendInt(b, v/1000, 10)
	if f := v % 1000; f != 0 {
		b = append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return b, nil
}

func (d Decimal) String() string {
	b, _ := d.AppendText(nil)
	return string(b)
}

// MarshalJSONTo writes d as a JSON number.
func (d Decimal) MarshalJSONTo(e *jsontext.Encoder) error {
	b, _ := d.AppendText(e.AvailableBuffer())
	return e.WriteValue(b)
}

// UnmarshalJSONFrom reads a JSON number.
func (d *Decimal) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() != '0' {
		return fmt.Errorf("%s; %w", quote.Got(v.Kind(), v), errDecimal)
	}
	*d, err = ParseDecimal(string(v))
	return err
}

// ReadFast reads a JSON number. It reports false for what UnmarshalJSONFrom must judge.
func (d *Decimal) ReadFast(r *fastjson.Reader) bool {
	v, ok := r.Decimal()
	*d = Decimal(v)
	return ok
}

// WriteFast writes d as MarshalJSONTo would. It fails if a JSON reader with 64-bit floats
// would change d.
func (d Decimal) WriteFast(w *fastjson.Writer) {
	if d > MaxDecimal || d < -MaxDecimal {
		w.Fail()
	}
	w.B, _ = d.AppendText(w.B)
}
