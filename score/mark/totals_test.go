package mark_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score/mark"
)

func TestTotalsKeepTheirOrderInJSON(t *testing.T) {
	const text = `{"Z":1,"A":-2.5,"é":0}`
	var totals mark.Totals
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
	var totals mark.Totals
	err := json.Unmarshal([]byte("{"+b.String()[1:]+"}"), &totals)
	if err == nil || !strings.Contains(err.Error(), "1000") {
		t.Errorf("1001 totals: %v", err)
	}
}
