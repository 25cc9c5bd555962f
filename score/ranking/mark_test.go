package ranking

import (
	"fmt"
	"testing"
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
