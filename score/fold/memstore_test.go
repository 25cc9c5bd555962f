package fold_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/medal"
	"laurel/score/ranking"
)

// memStore is the simplest store: it folds events in memory, one after the other.
type memStore struct {
	contests map[string]*fold.Contest
	marks    map[string]*memMarks
	medals   map[string]*medal.Table
	awards   map[string]score.MedalAward
	revision uint64
}

func newMemStore() *memStore {
	return &memStore{
		contests: map[string]*fold.Contest{},
		marks:    map[string]*memMarks{},
		medals:   map[string]*medal.Table{},
		awards:   map[string]score.MedalAward{},
	}
}

func (s *memStore) table(competition string) *medal.Table {
	t := s.medals[competition]
	if t == nil {
		t = &medal.Table{Competition: competition}
		s.medals[competition] = t
	}
	return t
}

func (s *memStore) apply(e *score.Event) *score.Problem {
	switch d := e.Data.(type) {
	case *score.CompetitionDefine:
		s.table(e.Competition()).Define(d)
	case *score.MedalAward:
		s.table(e.Competition()).AddMedals(d.Organisation, d.Medal, 1)
		s.awards[d.AwardID] = *d
	case *score.MedalRevoke:
		a, ok := s.awards[d.AwardID]
		if !ok {
			return score.Problemf(score.NotFound, "no award %q", d.AwardID)
		}
		s.table(e.Competition()).AddMedals(a.Organisation, a.Medal, -1)
		delete(s.awards, d.AwardID)
	case *score.Alert:
	default:
		c := s.contests[e.ContestID]
		if c == nil {
			if e.Type != score.TypeContestDefine {
				return score.Problemf(score.NotFound, "no contest %q", e.ContestID)
			}
			c = fold.NewContest(e.ContestID)
			s.marks[e.ContestID] = &memMarks{contest: c}
		}
		if p := c.Fold(e, s.marks[e.ContestID], fold.Live); p != nil {
			return p
		}
		s.contests[e.ContestID] = c
		c.Revision = s.revision + 1
	}
	s.revision++
	return nil
}

// memMarks stores the marks of each split in a sorted slice.
type memMarks struct {
	contest  *fold.Contest
	splits   map[string]*memSplit
	traits   map[string]ranking.Traits
	entrants map[string]score.Entrant
}

type memSplit struct {
	of     map[string]*ranking.Mark
	sorted []*ranking.Mark
}

func (m *memMarks) order(a, b *ranking.Mark) int {
	direction := m.contest.Definition.Direction()
	return cmp.Or(direction.Order(a).Compare(direction.Order(b)), cmp.Compare(a.Competitor, b.Competitor))
}

func (m *memMarks) Traits(competitor string) ranking.Traits { return m.traits[competitor] }

func (m *memMarks) Set(split string, mark ranking.Mark) (total int, restated bool) {
	if m.splits == nil {
		m.splits, m.traits = map[string]*memSplit{}, map[string]ranking.Traits{}
	}
	s := m.splits[split]
	if s == nil {
		s = &memSplit{of: map[string]*ranking.Mark{}}
		m.splits[split] = s
	}
	old := s.of[mark.Competitor]
	m.traits[mark.Competitor] = m.traits[mark.Competitor].With(&mark, old)
	m.put(s, mark)
	return len(s.sorted), m.restate(mark.Competitor, split)
}

func (m *memMarks) put(s *memSplit, mark ranking.Mark) {
	if old := s.of[mark.Competitor]; old != nil {
		i, _ := slices.BinarySearchFunc(s.sorted, old, m.order)
		s.sorted = slices.Delete(s.sorted, i, i+1)
	}
	i, _ := slices.BinarySearchFunc(s.sorted, &mark, m.order)
	s.sorted = slices.Insert(s.sorted, i, &mark)
	s.of[mark.Competitor] = &mark
}

// restate restates the marks of a competitor, and reports whether any has changed but that
// at a split.
func (m *memMarks) restate(competitor, but string) (restated bool) {
	splits := m.contest.Definition.AllSplits()
	marks := make([]*ranking.Mark, len(splits))
	for i, split := range splits {
		if s := m.splits[split]; s != nil && s.of[competitor] != nil {
			mark := *s.of[competitor]
			marks[i] = &mark
		}
	}
	m.contest.Known(m.traits[competitor], competitor, m).Restate(marks)
	for i, mark := range marks {
		if mark != nil && *mark != *m.splits[splits[i]].of[competitor] {
			m.put(m.splits[splits[i]], *mark)
			restated = restated || splits[i] != but
		}
	}
	return restated
}

func (m *memMarks) Restate(competitor string) { m.restate(competitor, "") }

func (m *memMarks) Entrant(code string) (e score.Entrant, entered bool) {
	e, entered = m.entrants[code]
	return e, entered
}

func (m *memMarks) SetEntrant(e score.Entrant) {
	if m.entrants == nil {
		m.entrants = map[string]score.Entrant{}
	}
	m.entrants[e.Code] = e
	m.Restate(e.Code)
}

func (m *memMarks) FirstEntrants(n int) []score.Entrant {
	list := slices.SortedFunc(maps.Values(m.entrants), score.Entrant.Compare)
	return list[:min(n, len(list))]
}

func (m *memMarks) Has(competitor string) bool {
	for _, s := range m.splits {
		if s.of[competitor] != nil {
			return true
		}
	}
	return false
}

func (m *memMarks) Some(n int) []string {
	marked := map[string]bool{}
	for _, s := range m.splits {
		for competitor := range s.of {
			marked[competitor] = true
		}
	}
	list := slices.Sorted(maps.Keys(marked))
	return list[:min(n, len(list))]
}

func (m *memMarks) Clear() {
	clear(m.splits)
	clear(m.traits)
}

func (m *memMarks) First(split string, n int) (first []ranking.Mark, total int) {
	s := m.splits[split]
	if s == nil {
		return nil, 0
	}
	for _, mark := range s.sorted[:min(n, len(s.sorted))] {
		first = append(first, *mark)
	}
	return first, len(s.sorted)
}

func (m *memMarks) all() map[string][]ranking.Mark {
	all := map[string][]ranking.Mark{}
	for split := range m.splits {
		all[split], _ = m.First(split, 1<<30)
	}
	return all
}

// event decodes a valid event.
func event(t testing.TB, text string) *score.Event {
	t.Helper()
	e, p := score.Decode([]byte(text))
	if p != nil {
		t.Fatalf("%s\n%v", text, p)
	}
	return &e
}
