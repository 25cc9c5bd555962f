package client

import (
	"slices"

	"laurel/score"
	"laurel/score/medal"
)

// dedup records the revisions that the caller of a watch has been given, so that no
// record goes back to a lower revision and no event comes twice.
type dedup struct {
	store     string
	scores    map[string]uint64
	medals    map[string]uint64
	timelines map[string]uint64
	windows   map[string]uint64
	started   bool
}

// setStore notes the store of a snapshot. It reports whether that is another one than
// before: then revisions start over.
func (s *dedup) setStore(store string) (anew bool) {
	anew = s.started && store != s.store
	if !s.started || anew {
		s.scores, s.medals = map[string]uint64{}, map[string]uint64{}
		s.timelines, s.windows = map[string]uint64{}, map[string]uint64{}
	}
	s.store, s.started = store, true
	return anew
}

// filter removes from u what the caller has been given, and notes the rest. It reports
// whether anything is left.
func (s *dedup) filter(u *Update) bool {
	if !s.started {
		s.setStore("")
	}
	known := func(m map[string]uint64, name string, revision uint64) bool {
		if have, ok := m[name]; ok && revision <= have {
			return true
		}
		m[name] = revision
		return false
	}
	u.Scores = slices.DeleteFunc(u.Scores, func(r score.Record) bool {
		return known(s.scores, r.ContestID, r.Revision)
	})
	u.Medals = slices.DeleteFunc(u.Medals, func(m medal.Standings) bool {
		return known(s.medals, m.Competition, m.Revision)
	})
	u.Timeline = slices.DeleteFunc(u.Timeline, func(e score.TimelineEvent) bool {
		return known(s.timelines, e.ContestID, e.Revision)
	})
	u.Leaderboards = slices.DeleteFunc(u.Leaderboards, func(w Window) bool {
		return known(s.windows, w.ContestID, w.Revision)
	})
	return len(u.Scores)+len(u.Medals)+len(u.Timeline)+len(u.Leaderboards) > 0
}
