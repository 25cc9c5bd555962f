package httpapi

import (
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// consent is how old an answer may be for a caller who would rather have an old one than none. The zero value wants none.
type consent struct {
	given   bool
	bounded bool
	bound   time.Duration
}

// allows tells whether an answer of an age, if it is known, is better than none.
func (c consent) allows(age time.Duration, known bool) bool {
	return c.given && (!c.bounded || known && age <= c.bound)
}

// consentOf is the parameter max_stale: a duration as 30s, or seconds; without a value any age will do.
func consentOf(q url.Values) (consent, error) {
	given := q.Get(maxStale)
	switch {
	case !q.Has(maxStale):
		return consent{}, nil
	case given == "":
		return consent{given: true}, nil
	}
	bound, ok := secondsOf(given)
	if !ok {
		var err error
		if bound, err = time.ParseDuration(given); err != nil || bound < 0 {
			return consent{}, fieldProblem(maxStale, "got %s; want how old an answer may be, such as 30s", quoted(given))
		}
	}
	return consent{given: true, bounded: true, bound: bound}, nil
}

// consentIn finds max-stale in the lists of Cache-Control. What cannot be read there is no consent, as RFC 9111 has it.
func consentIn(lists []string) consent {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			name, value, bounded := strings.Cut(strings.TrimSpace(one), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "max-stale") {
				continue
			}
			if !bounded {
				return consent{given: true}
			}
			if bound, ok := secondsOf(strings.Trim(strings.TrimSpace(value), `"`)); ok {
				return consent{given: true, bounded: true, bound: bound}
			}
		}
	}
	return consent{}
}

// secondsOf reads whole seconds. More than a duration can hold are as many as it can.
func secondsOf(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil && (n == 0 || strings.Trim(s, "0123456789") != "") {
		return 0, false
	}
	return time.Duration(min(n, math.MaxInt64/uint64(time.Second))) * time.Second, true
}

// ageOf is an age as the header has it: in whole seconds, and never less than it is.
func ageOf(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
