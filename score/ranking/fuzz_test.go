package ranking

import "testing"

// FuzzParseCursor checks that a cursor survives String and ParseCursor, and that Page
// accepts it.
func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{"", "130370,2", ",2888", "-1,a,b", "x,1", "1", "0010,", "1.5,2", "9790:2,7", "9:1021:1,7",
		"9:-1021:1:2,7", "9;1021;1,7", "99999999999999999999,7"} {
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
