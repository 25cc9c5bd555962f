package question

import (
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"laurel/httpapi/handler"
)

// Staleness is how old an answer may be if there is no current one. The zero value accepts
// no old answer.
type Staleness struct {
	Accepted bool
	bounded  bool
	bound    time.Duration
}

// Accepts reports whether an answer of the given age will do.
func (s Staleness) Accepts(age time.Duration, known bool) bool {
	return s.Accepted && (!s.bounded || known && age <= s.bound)
}

// parseStaleness reads the parameter max_stale: a duration such as 30s, or seconds. Without
// a value any age will do.
func parseStaleness(q url.Values) (Staleness, error) {
	given := q.Get(maxStale)
	switch {
	case !q.Has(maxStale):
		return Staleness{}, nil
	case given == "":
		return Staleness{Accepted: true}, nil
	}
	bound, ok := parseSeconds(given)
	if !ok {
		var err error
		if bound, err = time.ParseDuration(given); err != nil || bound < 0 {
			return Staleness{}, handler.FieldProblem(maxStale,
				"got %s; want how old an answer may be, such as 30s", handler.Quoted(given))
		}
	}
	return Staleness{Accepted: true, bounded: true, bound: bound}, nil
}

// StalenessOf finds max-stale in the lists of Cache-Control. As RFC 9111 has it, an invalid
// one is ignored.
func StalenessOf(lists []string) Staleness {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			name, value, bounded := strings.Cut(strings.TrimSpace(one), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "max-stale") {
				continue
			}
			if !bounded {
				return Staleness{Accepted: true}
			}
			if bound, ok := parseSeconds(strings.Trim(strings.TrimSpace(value), `"`)); ok {
				return Staleness{Accepted: true, bounded: true, bound: bound}
			}
		}
	}
	return Staleness{}
}

// parseSeconds parses whole seconds. More than a duration can hold are as many as it can.
func parseSeconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil && (n == 0 || strings.Trim(s, "0123456789") != "") {
		return 0, false
	}
	return time.Duration(min(n, math.MaxInt64/uint64(time.Second))) * time.Second, true
}

// FormatAge returns an age as the header Age has it: in whole seconds, rounded up.
func FormatAge(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
