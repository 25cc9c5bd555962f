package ranking

import "testing"

// Whatever is read as a cursor is a place, and is written as what reads as the same.
func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{"", "130.37,2", ",2888", "-1,a,b", "x,1", "1", "00.10,"} {
		f.Add(s)
	}
	board := New(true)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err != nil {
			return
		}
		if again, err := ParseCursor(c.String()); err != nil || again != c {
			t.Errorf("%q is %+v, which is written %q and reads %+v, %v", s, c, c.String(), again, err)
		}
		board.Page(&Query{Limit: 1, After: c})
	})
}
