package score

import (
	"strings"
	"testing"
	"time"
)

func TestTimesOfRFC3339AreTaken(t *testing.T) {
	for s, want := range map[string]string{
		"2026-02-09T10:16:40Z":                "2026-02-09T10:16:40Z",
		"2026-02-09t10:16:40z":                "2026-02-09T10:16:40Z",
		"2026-02-09t10:16:40.5+09:00":         "2026-02-09T10:16:40.5+09:00",
		"2026-02-09T10:16:40-00:00":           "2026-02-09T10:16:40Z",
		"2026-02-09T10:16:40.0123456789Z":     "2026-02-09T10:16:40.012345678Z",
		"2026-02-09T10:16:40+23:59":           "2026-02-09T10:16:40+23:59",
		"2016-12-31T23:59:60Z":                "2017-01-01T00:00:00Z",
		"2016-12-31t23:59:60.25z":             "2017-01-01T00:00:00.25Z",
		"2017-01-01T08:59:60+09:00":           "2017-01-01T09:00:00+09:00",
		"1990-06-30T15:59:60-08:00":           "1990-06-30T16:00:00-08:00",
		"0001-01-01T00:00:01Z":                "0001-01-01T00:00:01Z",
		"9999-12-31T23:59:59.999999999-00:00": "9999-12-31T23:59:59.999999999Z",
	} {
		got, err := ParseTime(s)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s is %s, %v; want %s", s, got.Format(time.RFC3339Nano), err, want)
		}
	}
}

func TestAWrongTimeIsShownWithWhatIsWrong(t *testing.T) {
	for s, why := range map[string]string{
		"2026-02-09 10:16:40Z":      "want an RFC 3339 time",
		"2026-02-09T10:16:40":       "want an RFC 3339 time",
		"2026-02-09T10:16Z":         "want an RFC 3339 time",
		"2026-2-09T10:16:40Z":       "want an RFC 3339 time",
		"2026-02-09T1:16:40Z":       "want an RFC 3339 time",
		"2026-02-09T10:16:40,5Z":    "want an RFC 3339 time",
		"2026-02-09T10:16:40.Z":     "want an RFC 3339 time",
		"2026-02-09T10:16:40+24:00": "want an RFC 3339 time",
		"2026-02-09T10:16:40+9":     "want an RFC 3339 time",
		"2026-02-09T10:16:40Z\n":    "want an RFC 3339 time",
		"２０26-02-09T10:16:40Z":      "want an RFC 3339 time",
		"":                          "want an RFC 3339 time",
		"2026-02-30T10:16:40Z":      "day out of range",
		"2025-02-29T10:16:40Z":      "day out of range",
		"2026-13-01T10:16:40Z":      "month out of range",
		"2026-02-09T24:00:00Z":      "hour out of range",
		"2026-02-09T10:60:00Z":      "minute out of range",
		"2026-02-09T10:16:61Z":      "second out of range",
		"2026-02-09T10:16:60Z":      "a leap second is 23:59:60 in UTC",
		"2026-02-09T23:59:60Z":      "a leap second is 23:59:60 in UTC",
		"2016-12-31T23:59:60+09:00": "a leap second is 23:59:60 in UTC",
	} {
		_, err := ParseTime(s)
		if err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "an RFC 3339 time, such as") {
			t.Errorf("%q: %v; want %s", s, err, why)
			continue
		}
		_, p := Decode([]byte(`{"type":"alert","contest_id":"D27/1","time":"` + strings.TrimSpace(s) +
			`","data":{"text":"t"}}`))
		if s == strings.TrimSpace(s) && (p == nil || p.Field != "time" || !strings.Contains(p.Detail, `got "`)) {
			t.Errorf("an event of %q: %v; want a problem of time that shows it", s, p)
		}
	}
}

func TestEveryTimeInAnEventMayHaveSmallLetters(t *testing.T) {
	e, p := Decode([]byte(`{"type":"contest.define","contest_id":"D27/1","time":"2026-02-09t10:16:40z","data":{"kind":` +
		`"head_to_head","sport":"x","title":"t","start_time":"2016-12-31t23:59:60z"}}`))
	if p != nil {
		t.Fatal(p)
	}
	start := e.Data.(*ContestDefine).StartTime
	if !e.Time.Equal(time.Date(2026, 2, 9, 10, 16, 40, 0, time.UTC)) ||
		!start.Equal(time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the event is of %s, and begins at %s", e.Time, start)
	}
	_, p = Decode([]byte(`{"type":"alert","contest_id":"D27/1","time":5,"data":{"text":"t"}}`))
	if p == nil || p.Detail != `got a number; want an RFC 3339 time, such as "2026-02-09T10:16:40Z"` {
		t.Errorf("a number as a time: %v", p)
	}
}
