package handler

import (
	"net/url"
	"testing"
)

func TestACursorOfAnotherIncarnationIsANewBeginning(t *testing.T) {
	for _, c := range []struct {
		given string
		want  uint64
	}{
		{"", 0}, {"0", 0}, {"17", 17}, {Next("one", 17), 17}, {Next("two", 17), 0}, {Next("", 17), 17},
		{Next("one", 0), 0}, {"18446744073709551615", 1<<64 - 1},
	} {
		cursor, err := ParseCursor(url.Values{"after": {c.given}}, "x")
		if err != nil || cursor.In("one") != c.want {
			t.Errorf("%q is after %d (%v); want %d", c.given, cursor.In("one"), err, c.want)
		}
	}
}

func TestAMalformedCursorIsRefused(t *testing.T) {
	for _, bad := range []string{"x", "-1", "one-", "one-x", "one-1-2", "-17", "ONE-1", "é-1", "one-18446744073709551616",
		"abcdefghijklmnopqrstuvwxyz1234567-1"} {
		if c, err := ParseCursor(url.Values{"after": {bad}}, "the next"); err == nil {
			t.Errorf("%q was taken for %+v", bad, c)
		}
	}
}
