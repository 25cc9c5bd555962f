package ranking

import (
	"fmt"
	"testing"

	"github.com/go-json-experiment/json"

	"laurel/score/mark"
)

func TestRanksOfAnOrderedList(t *testing.T) {
	list := []Mark{{Value: 1}, {Value: 2}, {Value: 2}, {Value: 3}, {IRM: "DNF"}, {IRM: "DNS"}}
	if got := fmt.Sprint(Ranks(list, Direction{Lower: true})); got != "[1 2 2 4 0 0]" {
		t.Errorf("ranks are %s", got)
	}
	if got := Ranks(nil, Direction{}); len(got) != 0 {
		t.Errorf("ranks of nobody are %v", got)
	}
}

func FuzzMarkAsJSON(f *testing.F) {
	f.Add("W20", int64(8875), "", "M", "GAU", 0)
	f.Add("a\"\\<\u2028\n", int64(0), "DNF", "", "", 3)
	f.Add("\xff", int64(-5), "", "", "", 1)
	f.Fuzz(func(t *testing.T, competitor string, v int64, irm, category, organisation string, n int) {
		mark2 := mark.Decimal(-v)
		m := Mark{competitor, mark.Decimal(v), &mark2, max(n, 0), irm, category, max(n, 0), NewCategories(category, "M"),
			organisation, competitor}
		if n%2 == 0 {
			m.Mark2, m.Categories = nil, ""
		}
		want, wantErr := json.Marshal(m)
		got, err := m.AppendJSON(nil)
		if (err == nil) != (wantErr == nil) || err == nil && string(got) != string(want) {
			t.Fatalf("%+v is %s %v, as JSON %s %v", m, got, err, want, wantErr)
		}
	})
}
