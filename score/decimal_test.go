package score_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"laurel/score"
)

func TestDecimalReadsPlainNumbersExactly(t *testing.T) {
	for text, want := range map[string]score.Decimal{
		"0": 0, "-0": 0, "0.0": 0, "3": 3000, "-3": -3000, "9.58": 9580, "0.1": 100, "0.001": 1, "-0.005": -5,
		"130.37": 130370,
		"1.500":  1500, "1.5000000": 1500, "999999999999.999": score.MaxDecimal, "-999999999999.999": -score.MaxDecimal,
	} {
		got, err := score.ParseDecimal(text)
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
		got, err := score.ParseDecimal(text)
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
	for want, d := range map[string]score.Decimal{"0": 0, "3": 3000, "9.58": 9580, "-0.005": -5, "0.1": 100,
		"-12.34": -12340, "999999999999.999": score.MaxDecimal} {
		if d.String() != want {
			t.Errorf("%d is written %s, want %s", int64(d), d, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := score.Decimal(rapid.Int64Range(-int64(score.MaxDecimal), int64(score.MaxDecimal)).Draw(t, "thousandths"))
		back, err := score.ParseDecimal(d.String())
		if err != nil || back != d {
			t.Fatalf("%d is written %s and read back as %d, %v", int64(d), d, back, err)
		}
		b, err := json.Marshal(d)
		if err != nil || string(b) != d.String() {
			t.Fatalf("as JSON %s is %s, %v", d, b, err)
		}
		var again score.Decimal
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
	tenth, sum := score.Decimal(100), score.Decimal(0)
	for range 10 {
		sum, _ = sum.Add(tenth)
	}
	if sum != score.Points(1) {
		t.Errorf("ten times 0.1 is %s", sum)
	}
	for _, edge := range []score.Decimal{score.MaxDecimal, -score.MaxDecimal} {
		if _, ok := edge.Add(0); !ok {
			t.Errorf("%s itself is refused", edge)
		}
		if _, ok := edge.Add(edge / score.MaxDecimal); ok {
			t.Errorf("a sum beyond %s is taken", edge)
		}
		if _, ok := edge.Add(edge); ok {
			t.Errorf("twice %s is taken", edge)
		}
	}
}

func TestTotalsKeepTheirOrderInJSON(t *testing.T) {
	const text = `{"Z":1,"A":-2.5,"é":0}`
	var totals score.Totals
	if err := json.Unmarshal([]byte(text), &totals); err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(totals); err != nil || string(b) != text {
		t.Errorf("%s is read back as %s, %v", text, b, err)
	}
	if v, ok := totals.Get("A"); !ok || v != -2500 {
		t.Errorf("A is %s, %v", v, ok)
	}
	if _, ok := totals.Get("B"); ok {
		t.Error("there is a B")
	}
}

func TestTotalsAreLimited(t *testing.T) {
	var b strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&b, `,"C%d":1`, i)
	}
	var totals score.Totals
	err := json.Unmarshal([]byte("{"+b.String()[1:]+"}"), &totals)
	if err == nil || !strings.Contains(err.Error(), "1000") {
		t.Errorf("1001 totals: %v", err)
	}
}
