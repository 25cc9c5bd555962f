package score_test

import (
	"cmp"
	"slices"
	"testing"

	"laurel/score"
	"laurel/score/medal"
)

// memStore is the simplest store: it folds events in memory, one after the other.
type memStore struct {
	contests map[string]*score.Contest
	marks    map[string]*memMarks
	medals   map[string]*medal.Table
	awards   map[string]score.MedalAward
	revision uint64
}

func newMemStore() *memStore {
	return &memStore{
		contests: map[string]*score.Contest{},
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
		t := s.table(e.Competition())
		t.Name, t.Neutral = d.Name, d.Neutral
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
			c = score.NewContest(e.ContestID)
			s.marks[e.ContestID] = &memMarks{contest: c}
		}
		if p := c.Fold(e, s.marks[e.ContestID], score.Live); p != nil {
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
	contest *score.Contest
	splits  map[string]*memSplit
	traits  map[string]score.Traits
}

type memSplit struct {
	of     map[string]*score.Mark
	sorted []*score.Mark
}

func (m *memMarks) order(a, b *score.Mark) int {
	by := m.contest.Definition.Direction()
	return cmp.Or(by.Order(a).Compare(by.Order(b)), cmp.Compare(a.Competitor, b.Competitor))
}

func (m *memMarks) Traits(competitor string) score.Traits { return m.traits[competitor] }

func (m *memMarks) Set(split string, mark score.Mark) (total int, restated bool) {
	if m.splits == nil {
		m.splits, m.traits = map[string]*memSplit{}, map[string]score.Traits{}
	}
	if m.splits[split] == nil {
		m.splits[split] = &memSplit{of: map[string]*score.Mark{}}
	}
	traits := m.traits[mark.Competitor].With(&mark, m.splits[split].of[mark.Competitor])
	m.traits[mark.Competitor] = traits
	m.put(split, mark)
	var before []score.Mark
	var marks []*score.Mark
	splits := m.contest.Definition.AllSplits()
	for _, name := range splits {
		var one score.Mark
		marks = append(marks, nil)
		if s := m.splits[name]; s != nil && s.of[mark.Competitor] != nil {
			one = *s.of[mark.Competitor]
			marks[len(marks)-1] = new(one)
		}
		before = append(before, one)
	}
	traits.Restate(marks)
	for i, name := range splits {
		if marks[i] != nil && *marks[i] != before[i] {
			m.put(name, *marks[i])
			restated = true
		}
	}
	return len(m.splits[split].sorted), restated
}

func (m *memMarks) put(split string, mark score.Mark) {
	s := m.splits[split]
	if old := s.of[mark.Competitor]; old != nil {
		i, _ := slices.BinarySearchFunc(s.sorted, old, m.order)
		s.sorted = slices.Delete(s.sorted, i, i+1)
	}
	i, _ := slices.BinarySearchFunc(s.sorted, &mark, m.order)
	s.sorted = slices.Insert(s.sorted, i, &mark)
	s.of[mark.Competitor] = &mark
}

func (m *memMarks) Clear() {
	clear(m.splits)
	clear(m.traits)
}

func (m *memMarks) First(split string, n int) (first []score.Mark, total int) {
	s := m.splits[split]
	if s == nil {
		return nil, 0
	}
	for _, mark := range s.sorted[:min(n, len(s.sorted))] {
		first = append(first, *mark)
	}
	return first, len(s.sorted)
}

func (m *memMarks) all() map[string][]score.Mark {
	all := map[string][]score.Mark{}
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
