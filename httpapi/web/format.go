package web

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"laurel/score"
)

// The functions of this file format like app/format.ts. A browser test compares the page
// before and after the script has run.

var statusWords = map[string]string{
	"UNSCHEDULED":     "Not scheduled",
	"SCHEDULED":       "Scheduled",
	"GETTING_READY":   "Getting ready",
	"RUNNING":         "Live",
	"SCHEDULED_BREAK": "Break",
	"DELAYED":         "Delayed",
	"INTERRUPTED":     "Interrupted",
	"POSTPONED":       "Postponed",
	"RESCHEDULED":     "Rescheduled",
	"CANCELLED":       "Cancelled",
	"FINISHED":        "Finished",
}

func kindOf(r *score.Record) string {
	var parts []string
	for _, s := range []string{words(r.Sport), capital(r.Phase), r.Event, r.Group} {
		if s != "" && !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " \u00b7 ")
}

// words formats an identifier such as stone-curling as Stone curling.
func words(s string) string {
	return capital(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '_' }), " "))
}

func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

func resultOf(r *score.Record, c *score.Standing) string {
	switch {
	case c.IRM != "":
		return c.IRM
	case c.Result == nil:
		return "\u2013"
	case r.ResultType == "TIME" && *c.Result >= 0 && r.Unit == "s":
		return duration(int64(*c.Result))
	case r.ResultType == "TIME" && *c.Result >= 0 && r.Unit == "min":
		return duration(60 * int64(*c.Result))
	}
	return strings.Replace(c.Result.String(), "-", "\u2212", 1)
}

// duration formats thousandths of a second as h:mm:ss.
func duration(thousandths int64) string {
	h, m, s := thousandths/3_600_000, thousandths/60_000%60, thousandths/1000%60
	fraction := ""
	if rest := thousandths % 1000; rest != 0 {
		fraction = "." + strings.TrimRight(fmt.Sprintf("%03d", rest), "0")
	}
	switch {
	case h > 0:
		return fmt.Sprintf("%d:%02d:%02d%s", h, m, s, fraction)
	case m > 0:
		return fmt.Sprintf("%d:%02d%s", m, s, fraction)
	}
	return fmt.Sprintf("%d%s", s, fraction)
}
