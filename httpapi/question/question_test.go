package question

import "testing"

func TestANameInAnotherFormAsksTheSame(t *testing.T) {
	const composed, combining = "Jos\u00e9", "Jose\u0301"
	for _, c := range []struct{ path, query string }{
		{"medals/OG50BC/%", ""},
		{"leaderboard/OG50BC/MAR", "around=%"}, {"leaderboard/OG50BC/MAR", "category=%"},
		{"leaderboard/OG50BC/MAR", "split=%"},
		{"scores", "competitor=%"}, {"scores", "sport=%"},
	} {
		keyOf := func(name string) string {
			put := func(s string) string {
				if i := len(s) - 1; i >= 0 && s[i] == '%' {
					return s[:i] + name
				}
				return s
			}
			q, err := Parse(put(c.path), put(c.query))
			if err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			return q.Key
		}
		if one, other := keyOf(composed), keyOf(combining); one != other {
			t.Errorf("%+v: %q in one form and %q in the other", c, one, other)
		}
	}
}
