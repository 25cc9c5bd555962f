package client

import (
	"slices"

	"laurel/score"
)

// seen is up to which revision the caller of a watch has what it watches: nothing goes back, and no event comes twice.
type dedup struct {
	store     string
	scores    map[string]uint64
	medals    map[string]uint64
	timelines map[string]uint64
	windows   map[string]uint64
	started   bool
}

// of takes the name of the store in that a snapshot is of. It tells whether it is another than before: then revisions begin anew.
func (s *dedup) setStore(store string) (anew bool) {
	anew = s.started && store != s.store
	if !s.started || anew {
		s.scores, s.medals, s.timelines, s.windows = map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	}
	s.store, s.started = store, true
	return anew
}

// news takes out of u what the caller has already, and notes the rest as told. It tells whether there is any.
func (s *dedup) filter(u *Update) bool {
	if !s.started {
		s.setStore("")
	}
	newer := func(m map[string]uint64, name string, revision uint64) bool {
		if have, told := m[name]; told && revision <= have {
			return false
		}
		m[name] = revision
		return true
	}
	u.Scores = slices.DeleteFunc(u.Scores, func(r score.Record) bool { return !newer(s.scores, r.ContestID, r.Revision) })
	u.Medals = slices.DeleteFunc(u.Medals, func(m score.Medals) bool { return !newer(s.medals, m.Competition, m.Revision) })
	u.Timeline = slices.DeleteFunc(u.Timeline, func(e score.TimelineEvent) bool { return !newer(s.timelines, e.ContestID, e.Revision) })
	u.Leaderboards = slices.DeleteFunc(u.Leaderboards, func(w Window) bool { return !newer(s.windows, w.ContestID, w.Revision) })
	return len(u.Scores)+len(u.Medals)+len(u.Timeline)+len(u.Leaderboards) > 0
}
