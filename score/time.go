package score

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score/quote"
)

// timeForm is the form of a time in RFC 3339, whose letters may be small.
var timeForm = regexp.MustCompile(
	`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// ParseTime reads a time of RFC 3339. A leap second, 23:59:60 UTC at the end of a month, is
// the first second of the next day, as in the time of computers.
func ParseTime(s string) (time.Time, error) {
	const want = "want an RFC 3339 time, such as \"2026-02-09T10:16:40Z\""
	if !timeForm.MatchString(s) {
		return time.Time{}, fmt.Errorf("got %q; %s", quote.Clip(s), want)
	}
	b := []byte(s)
	const letter, second = len("2026-02-09"), len("2026-02-09T10:16:")
	b[letter] = 'T'
	if b[len(b)-1] == 'z' {
		b[len(b)-1] = 'Z'
	}
	leap := string(b[second:second+2]) == "60"
	if leap {
		copy(b[second:], "59")
	}
	t, err := time.Parse(time.RFC3339, string(b))
	if wrong, ok := errors.AsType[*time.ParseError](err); ok {
		return time.Time{}, fmt.Errorf("got %q%s; %s", quote.Clip(s), wrong.Message, want)
	}
	if leap {
		t = t.Add(time.Second)
		if utc := t.UTC(); utc.Day() != 1 || utc.Hour() != 0 || utc.Minute() != 0 || utc.Second() != 0 {
			return time.Time{}, fmt.Errorf("got %q: a leap second is 23:59:60 in UTC at the end of a month; %s",
				quote.Clip(s), want)
		}
	}
	return t, err
}

// timeError is the error of ParseTime within that of the JSON.
type timeError struct{ error }

// withTimes makes the general JSON code read times by ParseTime.
var withTimes = json.WithUnmarshalers(json.UnmarshalFromFunc(func(d *jsontext.Decoder, t *time.Time) error {
	if d.PeekKind() != '"' {
		return errors.ErrUnsupported
	}
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	if *t, err = ParseTime(token.String()); err != nil {
		return timeError{err}
	}
	return nil
}))
