package watch

import (
	"slices"
	"strings"

	"laurel/cache"
)

// Subjects is what a stream watches.
type Subjects struct {
	Contests     []string
	Competitions []string // all their contests and their medal tables
	Medals       []string // competitions
	Timelines    []string // contests
	Windows      []Window
	Everything   bool // all contests and medal tables
}

// topics returns the names of the records and timelines that are watched one by one.
func (s *Subjects) topics() []string {
	var names []string
	for _, id := range s.Contests {
		names = append(names, cache.ScoreKey(id))
	}
	for _, competition := range s.Medals {
		names = append(names, cache.MedalsKey(competition))
	}
	for _, id := range s.Timelines {
		names = append(names, cache.TimelineTag(id))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// groups returns the competitions all of whose records are watched; "" stands for all.
func (s *Subjects) groups() []string {
	if s.Everything {
		return []string{""}
	}
	return s.Competitions
}

// snapshotKey returns a string that is equal for subjects whose open snapshots are equal.
func (s *Subjects) snapshotKey() string {
	return strings.Join(s.topics(), "\n") + "\n\n" + strings.Join(s.groups(), "\n")
}

// hasRecord reports whether topics has the record with the given key. Such a record must
// not be delivered again because its competition is watched, too.
func (s *Subjects) hasRecord(key string) bool {
	id, isScore := strings.CutPrefix(key, "scores/")
	if isScore {
		return slices.Contains(s.Contests, id)
	}
	competition, isMedals := strings.CutPrefix(key, "medals/")
	return isMedals && slices.Contains(s.Medals, competition)
}
