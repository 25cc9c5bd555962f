package mark_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"laurel/score/mark"
)

func TestDecimalReadsPlainNumbersExactly(t *testing.T) {
	for text, want := range map[string]mark.Decimal{
		"0": 0, "-0": 0, "0.0": 0, "3": 3000, "-3": -3000, "9.58": 9580, "0.1": 100, "0.001": 1, "-0.005": -5,
		"130.37": 130370,
		"1.500":  1500, "1.5000000": 1500, "999999999999.999": mark.MaxDecimal, "-999999999999.999": -mark.MaxDecimal,
	} {
		got, err := mark.ParseDecimal(text)
		if err != nil || got != want {
			t.Errorf("ParseDecimal(%s) is %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestDecimalRefusesOtherNumbers(t *testing.T) {
	for text, detail := range map[string]string{
		"": "want a plain number", "-": "want a plain number", ".": "want a plain number", ".5": "want a plain number",
		"5.": "want a plain number",
		"+1": "want a plain number", "1e3": "got 1e3; want a plain number", "1E-2": "want a plain number",
		"NaN":      "want a plain number",
		"Infinity": "want a plain number", "1,5": "want a plain number", "1.2.3": "want a plain number",
		" 1": "want a plain number", "0x10": "want a plain number",
		"01": "want a plain number", "-00.5": "want a plain number", "--1": "want a plain number",
		"١":                              "want a plain number",
		"1.2345":                         "more than three fraction digits",
		"0.0001":                         "more than three fraction digits",
		"1000000000000":                  "the largest is 999999999999.999",
		"-9999999999999":                 "the largest is 999999999999.999",
		strings.Repeat("9", 1_000_000):   "the largest is",
		"0." + strings.Repeat("é", 1000): "want a plain number",
	} {
		got, err := mark.ParseDecimal(text)
		if err == nil {
			t.Errorf("ParseDecimal(%.40s) is %s; want an error", text, got)
			continue
		}
		if !strings.Contains(err.Error(), detail) || len(err.Error()) > 250 ||
			strings.ToValidUTF8(err.Error(), "!") != err.Error() {
			t.Errorf("ParseDecimal(%.40s): error %q; want %q, short and in UTF-8", text, err, detail)
		}
	}
}

func TestDecimalIsWrittenWithoutTrailingZeros(t *testing.T) {
	for want, d := range map[string]mark.Decimal{"0": 0, "3": 3000, "9.58": 9580, "-0.005": -5, "0.1": 100,
		"-12.34": -12340, "999999999999.999": mark.MaxDecimal} {
		if d.String() != want {
			t.Errorf("%d is written %s, want %s", int64(d), d, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := mark.Decimal(rapid.Int64Range(-int64(mark.MaxDecimal), int64(mark.MaxDecimal)).Draw(t, "thousandths"))
		back, err := mark.ParseDecimal(d.String())
		if err != nil || back != d {
			t.Fatalf("%d is written %s and read back as %d, %v", int64(d), d, back, err)
		}
		b, err := json.Marshal(d)
		if err != nil || string(b) != d.String() {
			t.Fatalf("as JSON %s is %s, %v", d, b, err)
		}
		var again mark.Decimal
		if err := json.Unmarshal(b, &again); err != nil || again != d {
			t.Fatalf("JSON %s is read back as %s, %v", b, again, err)
		}
		exact, ok := new(big.Rat).SetString(d.String())
		if !ok || exact.Cmp(big.NewRat(int64(d), 1000)) != 0 {
			t.Fatalf("%s is not exactly %d thousandths", d, int64(d))
		}
	})
}

func TestDecimalAddsExactlyAndReportsOverflow(t *testing.T) {
	tenth, sum := mark.Decimal(100), mark.Decimal(0)
	for range 10 {
		sum, _ = sum.Add(tenth)
	}
	if sum != mark.Points(1) {
		t.Errorf("ten times 0.1 is %s", sum)
	}
	for _, edge := range []mark.Decimal{mark.MaxDecimal, -mark.MaxDecimal} {
		if _, ok := edge.Add(0); !ok {
			t.Errorf("%s itself is refused", edge)
		}
		if _, ok := edge.Add(edge / mark.MaxDecimal); ok {
			t.Errorf("a sum beyond %s is taken", edge)
		}
		if _, ok := edge.Add(edge); ok {
			t.Errorf("twice %s is taken", edge)
		}
	}
}
