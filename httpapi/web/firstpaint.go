package web

import (
	"cmp"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"laurel/score"
	"laurel/score/medal"
)

// maxLines bounds the contests of a section and maxRows the rows of a medal table that
// are rendered. The script shows as many at first.
const (
	maxLines = 50
	maxRows  = 10
)

// pageData is the data of the template page.html.
type pageData struct {
	*Data
	Served   template.JS
	Sections []section
	Tables   []table
}

type section struct {
	Title    string
	Total    int
	Lines    []line
	contests []*score.Record
}

// line is a contest in the list. app/scores.tsx renders it alike.
type line struct {
	URL, Kind, Headline string
	Live                bool
	Ranked              bool
	Sides               []side
	Day, Clock          string // of the start, before the contest begins
	State, At           string
	Decision            string
	Badge, BadgeClass   string
}

type side struct {
	Place        int
	Name, Result string
	Tiebreak     string
	Winner       bool
}

type table struct {
	Title string
	Rows  []medal.Row
	Names map[string]string // of organisations
	More  string            // URL of the whole table, or "" if this is the whole table
}

// Asset returns the URL of a file in dist, relative to that of the page, before which a
// proxy may put a prefix; "" if there is none. The template calls it.
func (*pageData) Asset(name string) string {
	if a := assets()[name]; a != nil {
		return strings.TrimPrefix(a.path, "/")
	}
	return ""
}

// sections returns the live contests, the next ones and the latest finished ones.
func sections(all []score.Record) []section {
	live, next, over := section{Title: "Live"}, section{Title: "Next"}, section{Title: "Finished"}
	for i := range all {
		s := &next
		switch r := &all[i]; {
		case isLive(r):
			s = &live
		case isOver(r):
			s = &over
		}
		s.contests = append(s.contests, &all[i])
	}
	byStart := func(a, b *score.Record) int {
		byTime := a.StartTime.Compare(b.StartTime)
		if a.StartTime.IsZero() != b.StartTime.IsZero() {
			byTime = -byTime // those without a time come last
		}
		return cmp.Or(byTime, cmp.Compare(a.ContestID, b.ContestID))
	}
	slices.SortFunc(live.contests, byStart)
	slices.SortFunc(next.contests, byStart)
	slices.SortFunc(over.contests, func(a, b *score.Record) int { return cmp.Compare(b.Revision, a.Revision) })
	list := []section{live, next, over}
	for i := range list {
		s := &list[i]
		s.Total = len(s.contests)
		s.contests = s.contests[:min(s.Total, maxLines)]
		for _, r := range s.contests {
			s.Lines = append(s.Lines, lineOf(r))
		}
	}
	return slices.DeleteFunc(list, func(s section) bool { return s.Total == 0 })
}

func isLive(r *score.Record) bool {
	return slices.Contains([]string{"RUNNING", "SCHEDULED_BREAK", "INTERRUPTED"}, r.ScheduleStatus)
}

func isOver(r *score.Record) bool {
	return r.ScheduleStatus == score.Finished || r.ScheduleStatus == "CANCELLED"
}

func lineOf(r *score.Record) line {
	l := line{
		URL:      fragment("#/contest/", r.ContestID),
		Kind:     kindOf(r),
		Headline: cmp.Or(r.Title, r.ContestID),
		Live:     isLive(r),
		Ranked:   r.Kind == score.Ranked,
	}
	begun := r.Started || isLive(r) || isOver(r)
	sides := r.Sides()
	for i := range sides {
		c := &sides[i]
		if l.Ranked && (c.Rank == 0 || i == 3) || i == 4 {
			break
		}
		s := side{Place: c.Rank, Name: cmp.Or(c.Name, c.Code), Winner: c.Code == r.Winner}
		if begun {
			s.Result = resultOf(r, c)
			s.Tiebreak = r.TiebreakText(c)
		}
		l.Sides = append(l.Sides, s)
	}
	if !begun && !r.StartTime.IsZero() {
		l.Day = r.StartTime.Format("2 Jan ") + strconv.Itoa(r.StartTime.Year())
		l.Clock = r.StartTime.Format("15:04")
	}
	if begun || r.Decision != "" || r.ScheduleStatus != "SCHEDULED" {
		l.State = cmp.Or(statusWords[r.ScheduleStatus], r.ScheduleStatus)
		l.Decision = decisionWords[r.Decision]
	}
	if l.Live {
		l.At = strings.TrimSpace(r.Period + " " + r.Clock)
	}
	if !slices.Contains([]string{"", "START_LIST", "LIVE"}, r.ResultStatus) {
		l.Badge, l.BadgeClass = strings.ReplaceAll(r.ResultStatus, "_", " "), strings.ToLower(r.ResultStatus)
	}
	return l
}

// decisionWords are the words beside a status. They read well with a winner and without.
var decisionWords = map[string]string{
	"REGULAR":        "in regular time",
	"EXTRA_TIME":     "after extra time",
	score.ByShootOut: "by shoot-out",
	"RETIRED":        "by retirement",
	score.Walkover:   "by walkover",
	"DISQUALIFIED":   "by disqualification",
	score.Awarded:    "by award",
	score.Drawn:      "drawn",
	score.Abandoned:  "abandoned",
	"RULE":           "by rule",
}

// organisations returns the names of organisations, from the teams with their codes.
func organisations(all []score.Record) map[string]string {
	names := make(map[string]string)
	for i := range all {
		for _, c := range all[i].Competitors {
			if c.Name != "" && c.Name != c.Code && c.Code == c.Organisation {
				names[c.Code] = c.Name
			}
		}
	}
	return names
}

func tables(all []medal.Standings, names map[string]string) []table {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b medal.Standings) int { return cmp.Compare(b.Revision, a.Revision) })
	var list []table
	for _, m := range all {
		t := table{Title: cmp.Or(m.Name, m.Competition), Rows: m.Rows[:min(len(m.Rows), maxRows)], Names: names}
		if len(m.Rows) > maxRows || len(m.Outside) > 0 {
			t.More = fragment("#/medals/", m.Competition)
		}
		list = append(list, t)
	}
	return list
}

// fragment returns a URL within the page. Each segment is escaped as in app/route.ts.
func fragment(view, id string) string {
	segments := strings.Split(id, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return view + strings.Join(segments, "/")
}

// statusWords and the functions below format like app/format.ts. A browser test compares
// the page before and after the script has run.
var statusWords = map[string]string{
	"UNSCHEDULED":     "Not scheduled",
	"SCHEDULED":       "Scheduled",
	"GETTING_READY":   "Getting ready",
	"RUNNING":         "Live",
	"SCHEDULED_BREAK": "Break",
	"DELAYED":         "Delayed",
	"INTERRUPTED":     "Interrupted",
	"POSTPONED":       "Postponed",
	"RESCHEDULED":     "Rescheduled",
	"CANCELLED":       "Cancelled",
	"FINISHED":        "Finished",
}

func kindOf(r *score.Record) string {
	var parts []string
	for _, s := range []string{words(r.Sport), capital(r.Phase), r.Event, r.Group} {
		if s != "" && !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " \u00b7 ")
}

// words formats an identifier such as stone-curling as Stone curling.
func words(s string) string {
	return capital(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '_' }), " "))
}

func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

func resultOf(r *score.Record, c *score.Standing) string {
	switch {
	case c.IRM != "":
		return c.IRM
	case c.Result == nil:
		return "\u2013"
	case r.ResultType == "TIME" && *c.Result >= 0 && r.Unit == "s":
		return duration(int64(*c.Result))
	case r.ResultType == "TIME" && *c.Result >= 0 && r.Unit == "min":
		return duration(60 * int64(*c.Result))
	}
	return strings.Replace(c.Result.String(), "-", "\u2212", 1)
}

// duration formats thousandths of a second as h:mm:ss.
func duration(thousandths int64) string {
	h, m, s := thousandths/3_600_000, thousandths/60_000%60, thousandths/1000%60
	fraction := ""
	if rest := thousandths % 1000; rest != 0 {
		fraction = "." + strings.TrimRight(fmt.Sprintf("%03d", rest), "0")
	}
	switch {
	case h > 0:
		return fmt.Sprintf("%d:%02d:%02d%s", h, m, s, fraction)
	case m > 0:
		return fmt.Sprintf("%d:%02d%s", m, s, fraction)
	}
	return fmt.Sprintf("%d%s", s, fraction)
}
