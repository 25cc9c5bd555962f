package ranking

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

// The slots of a removed code are closed, so that those behind it are found.
func TestCodesAreFoundUntilTheyAreRemoved(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	const n = 300
	rows := make([]row, n)
	for i := range rows {
		rows[i].text = rowText(strconv.Itoa(i), "Name")
	}
	var c codes
	present := map[uint32]bool{}
	for range 20_000 {
		if i := uint32(random.IntN(n)); present[i] {
			c.remove(rows, i)
			delete(present, i)
		} else {
			c.add(rows, i)
			present[i] = true
		}
		i := uint32(random.IntN(n))
		if number, found := c.number(rows, strconv.Itoa(int(i))); found != present[i] || found && number != i {
			t.Fatalf("%d of %d is found: %t, as %d", i, len(present), found, number)
		}
	}
	if len(c.slots) > 512 {
		t.Errorf("at most %d codes have %d slots", n, len(c.slots))
	}
}

func TestASharedValueIsForgottenWithItsLastUser(t *testing.T) {
	var s shared[string]
	a, b := s.take("a"), s.take("b")
	if again := s.take("a"); again != a || a == b {
		t.Fatalf("a is %d and %d, b is %d", a, again, b)
	}
	s.leave(a)
	if s.values[a] != "a" {
		t.Error("a is forgotten, and has a user")
	}
	s.leave(a)
	if c := s.take("c"); c != a || s.values[c] != "c" || len(s.numbers) != 2 {
		t.Errorf("c is %d of %v", c, s.values)
	}
}
