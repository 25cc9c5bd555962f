package score

import "slices"

// Section is the part of a list of contests that a contest is in: what happens now, what
// is next and what is over.
type Section string

// The sections.
const (
	SectionLive     Section = "live"
	SectionNext     Section = "next"
	SectionFinished Section = "finished"
)

// AllSections are all sections, in the order in which they are shown.
var AllSections = []Section{SectionLive, SectionNext, SectionFinished}

// SectionOf returns the section of a contest with a schedule status.
func SectionOf(scheduleStatus string) Section {
	switch scheduleStatus {
	case Running, "SCHEDULED_BREAK", "INTERRUPTED":
		return SectionLive
	case Finished, Cancelled:
		return SectionFinished
	}
	return SectionNext
}

// Sections are the numbers of the contests in each section.
type Sections struct {
	Live     int `json:"live"`
	Next     int `json:"next"`
	Finished int `json:"finished"`
}

// Of returns the number of a section, which the caller may change.
func (s *Sections) Of(section Section) *int {
	switch section {
	case SectionLive:
		return &s.Live
	case SectionFinished:
		return &s.Finished
	}
	return &s.Next
}

// Add adds the numbers of t.
func (s *Sections) Add(t Sections) {
	s.Live, s.Next, s.Finished = s.Live+t.Live, s.Next+t.Next, s.Finished+t.Finished
}

// Overview is what a page shows of all contests before anybody has asked for more.
type Overview struct {
	Sections Sections
	Medals   []string // the competitions whose medal tables changed last and have medals
}

// IsStatus reports whether s is a schedule status or a result status.
func IsStatus(s string) bool {
	return slices.Contains(choices["schedule_status"], s) || slices.Contains(choices["result_status"], s)
}
