package ranking

import "testing"

// FuzzParseCursor checks that a cursor survives String and ParseCursor, and that Page
// accepts it.
func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{"", "130.37,2", ",2888", "-1,a,b", "x,1", "1", "00.10,", "DNF:3,7", "9.79::2,7", "9:1021:0,7",
		"DNF:-1,7", "DNF;3,7"} {
		f.Add(s)
	}
	board := New(Direction{Lower: true})
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err != nil {
			return
		}
		if back, err := ParseCursor(c.String()); err != nil || back != c {
			t.Errorf("%q parses as %+v, whose string %q parses as %+v, %v", s, c, c.String(), back, err)
		}
		board.Page(&Query{Limit: 1, After: c})
	})
}
