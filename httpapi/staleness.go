package httpapi

import (
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"laurel/httpapi/handler"
)

// staleness is how old an answer may be if there is no current one. The zero value accepts no old answer.
type staleness struct {
	accepted bool
	bounded  bool
	bound    time.Duration
}

// accepts reports whether an answer of the given age will do.
func (s staleness) accepts(age time.Duration, known bool) bool {
	return s.accepted && (!s.bounded || known && age <= s.bound)
}

// parseStaleness reads the parameter max_stale: a duration such as 30s, or seconds. Without a value any age
// will do.
func parseStaleness(q url.Values) (staleness, error) {
	given := q.Get(maxStale)
	switch {
	case !q.Has(maxStale):
		return staleness{}, nil
	case given == "":
		return staleness{accepted: true}, nil
	}
	bound, ok := parseSeconds(given)
	if !ok {
		var err error
		if bound, err = time.ParseDuration(given); err != nil || bound < 0 {
			return staleness{}, handler.FieldProblem(maxStale, "got %s; want how old an answer may be, such as 30s", handler.Quoted(given))
		}
	}
	return staleness{accepted: true, bounded: true, bound: bound}, nil
}

// stalenessOf finds max-stale in the lists of Cache-Control. As RFC 9111 has it, an invalid one is ignored.
func stalenessOf(lists []string) staleness {
	for _, list := range lists {
		for one := range strings.SplitSeq(list, ",") {
			name, value, bounded := strings.Cut(strings.TrimSpace(one), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "max-stale") {
				continue
			}
			if !bounded {
				return staleness{accepted: true}
			}
			if bound, ok := parseSeconds(strings.Trim(strings.TrimSpace(value), `"`)); ok {
				return staleness{accepted: true, bounded: true, bound: bound}
			}
		}
	}
	return staleness{}
}

// parseSeconds parses whole seconds. More than a duration can hold are as many as it can.
func parseSeconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil && (n == 0 || strings.Trim(s, "0123456789") != "") {
		return 0, false
	}
	return time.Duration(min(n, math.MaxInt64/uint64(time.Second))) * time.Second, true
}

// formatAge returns an age as the header Age has it: in whole seconds, rounded up.
func formatAge(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
