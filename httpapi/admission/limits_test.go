package admission

import "testing"

func TestBudgetsAreKeptForALimitedNumberOfKeys(t *testing.T) {
	var b budgets[int, int]
	fresh := func() *int { return new(int) }
	used := b.of(-1, 1000, fresh)
	for i := range 3000 {
		b.of(i, 1000, fresh)
		if b.of(-1, 1000, fresh) != used {
			t.Fatalf("a budget in use was dropped after %d others", i+1)
		}
		if n := len(b.recent) + len(b.older); n > 1000 {
			t.Fatalf("%d budgets are kept; want at most 1000", n)
		}
	}
}
