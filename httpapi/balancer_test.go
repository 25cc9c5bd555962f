package httpapi

import (
	"testing"
	"time"

	"laurel/score"
)

// spread returns the balance of frontend f1 with own watchers and other serving frontends.
func spread(own int, others map[string]int) balance {
	b := balance{own: own, serving: map[string]score.Frontend{"f1": {ID: "f1", URL: "http://f1", Watchers: own}}}
	total := own
	for id, watchers := range others {
		b.serving[id] = score.Frontend{ID: id, URL: "http://" + id, Watchers: watchers}
		total += watchers
	}
	b.share = float64(total) / float64(len(b.serving))
	return b
}

func TestNobodyIsSentHomeBeforeTheSettleTime(t *testing.T) {
	h, now := homes{}, time.Unix(1000, 0)
	alone, both := spread(100, nil), spread(100, map[string]int{"f2": 0})
	for _, step := range []struct {
		what  string
		after time.Duration
		b     balance
		sends bool
	}{
		{"away", 0, alone, false},
		{"away for an hour", time.Hour, alone, false},
		{"just back", 0, both, false},
		{"not back for long enough", settleTime - 1, both, false},
		{"away again", 0, alone, false},
		{"just back again", 1, both, false},
		{"again not back for long enough", settleTime - 1, both, false},
		{"back", 1, both, true},
		{"still there", homeInterval, both, true},
	} {
		now = now.Add(step.after)
		list := h.decide(step.b, map[string]int{"f2": 80}, 0, now)
		if sends := len(list) > 0; sends != step.sends || sends &&
			(list[0].home.URL != "http://f2" || list[0].count < 1) {
			t.Errorf("%s: it sends %+v", step.what, list)
		}
	}
}

func TestWatchersGoHomeInSmallStepsFromAFrontendAboveItsShare(t *testing.T) {
	for _, c := range []struct {
		what      string
		b         balance
		guests    map[string]int
		departing int
		want      int
	}{
		{"an eighth at a time", spread(1000, map[string]int{"f2": 0}), map[string]int{"f2": 400}, 0, 50},
		{"few guests: a part of all watchers", spread(6400, map[string]int{"f2": 0}), map[string]int{"f2": 160}, 0,
			100},
		{"the last", spread(20, map[string]int{"f2": 10}), map[string]int{"f2": 1}, 0, 1},
		{"two homes: not below the share together", spread(106, map[string]int{"f2": 97, "f3": 97}),
			map[string]int{"f2": 80, "f3": 80}, 0, 3},
		{"half the difference to the home", spread(108, map[string]int{"f2": 104, "f3": 4}), map[string]int{"f2": 80},
			0, 2},
		{"no more than the share", spread(100, map[string]int{"f2": 100}), map[string]int{"f2": 80}, 0, 0},
		{"departing watchers do not count", spread(1000, map[string]int{"f2": 0}), map[string]int{"f2": 400}, 500, 0},
		{"an unknown home", spread(1000, map[string]int{"f2": 0}), map[string]int{"f9": 400}, 0, 0},
	} {
		h, now := homes{}, time.Unix(1000, 0)
		h.decide(c.b, c.guests, c.departing, now)
		count := 0
		for _, s := range h.decide(c.b, c.guests, c.departing, now.Add(settleTime)) {
			count += s.count
		}
		if count != c.want {
			t.Errorf("%s: %d are sent; want %d", c.what, count, c.want)
		}
	}
}
