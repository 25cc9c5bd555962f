package admission

import "testing"

func TestBudgetsAreKeptForALimitedNumberOfKeys(t *testing.T) {
	var b budgets[int, int]
	for i := range 3000 {
		b.of(i, 1000, func() *int { return new(int) })
	}
	if n := len(b.all); n == 0 || n > 1000 {
		t.Errorf("%d budgets are kept; want 1 to 1000", n)
	}
}
