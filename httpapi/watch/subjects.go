package watch

import (
	"slices"
	"strings"

	"laurel/cache"
)

// Subjects are what a watcher watches. Everything is all contests and medal tables.
type Subjects struct {
	Contests     []string
	Competitions []string // all their contests and their medal tables
	Medals       []string // competitions
	Timelines    []string // contests
	Boards       []Window
	Everything   bool
}

// topics are the names of records and timelines that are watched by their names.
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

func (s *Subjects) groups() []string {
	if s.Everything {
		return []string{""}
	}
	return s.Competitions
}

// key is the same for those who watch the same.
func (s *Subjects) key() string {
	return strings.Join(s.topics(), "\n") + "\n\n" + strings.Join(s.groups(), "\n")
}

// names tells whether a record is watched by its name; a group that it is in must not count twice.
func (s *Subjects) names(key string) bool {
	id, isScore := strings.CutPrefix(key, "scores/")
	if isScore {
		return slices.Contains(s.Contests, id)
	}
	competition, isMedals := strings.CutPrefix(key, "medals/")
	return isMedals && slices.Contains(s.Medals, competition)
}
