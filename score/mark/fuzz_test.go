package mark_test

import (
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score/mark"
)

func FuzzParseDecimal(f *testing.F) {
	for _, seed := range []string{"0", "-0.005", "9.58", "130.370", "1e3", "999999999999.999", "NaN", "", "-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := mark.ParseDecimal(s)
		if err != nil {
			return
		}
		if d > mark.MaxDecimal || d < -mark.MaxDecimal {
			t.Fatalf("%q is %d, out of bounds", s, int64(d))
		}
		if back, err := mark.ParseDecimal(d.String()); err != nil || back != d {
			t.Fatalf("%q is %s, read back as %s, %v", s, d, back, err)
		}
		var number mark.Decimal
		if err := json.Unmarshal([]byte(s), &number); err != nil || number != d {
			t.Fatalf("%q is %s, as JSON %s, %v", s, d, number, err)
		}
	})
}
