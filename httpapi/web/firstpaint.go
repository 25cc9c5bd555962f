package web

import (
	"cmp"
	"fmt"
	"html/template"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/medal"
)

// MaxLines bounds the contests of a section and maxRows the rows of a medal table that
// are rendered. The script shows as many at first.
const (
	MaxLines = 50
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
	Title               string // if it says more than the sides and the kind
	Class               string
	Live                bool
	Ranked              bool
	Sides               []side
	Day, Clock, Zone    string // of the start, before the contest begins
	State, At           string
	Decision            string
	Badge, BadgeClass   string
	Corrected           bool
}

type side struct {
	Place        string
	Name, Result string
	Tiebreak     string
	Winner       bool
}

type table struct {
	Title string
	Rows  []medal.Row
	Names map[string]string // of organisations that have none in their row
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

// sections returns the live contests, the next ones and the latest finished ones, with the
// numbers of all.
func sections(all []score.Record, numbers score.Sections) []section {
	live := section{Title: "Live", Total: numbers.Live}
	next := section{Title: "Next", Total: numbers.Next}
	over := section{Title: "Finished", Total: numbers.Finished}
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
		// The script's times have milliseconds.
		byTime := cmp.Compare(a.StartTime.UnixMilli(), b.StartTime.UnixMilli())
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
		s.Total = max(s.Total, len(s.contests))
		s.contests = s.contests[:min(len(s.contests), MaxLines)]
		for _, r := range s.contests {
			s.Lines = append(s.Lines, lineOf(r))
		}
	}
	return slices.DeleteFunc(list, func(s section) bool { return s.Total == 0 })
}

func isLive(r *score.Record) bool {
	return score.SectionOf(r.ScheduleStatus) == score.SectionLive
}

func isOver(r *score.Record) bool {
	return score.SectionOf(r.ScheduleStatus) == score.SectionFinished
}

func lineOf(r *score.Record) line {
	l := line{
		URL:       fragment("#/contest/", r.ContestID),
		Kind:      kindOf(r),
		Headline:  plain(cmp.Or(r.Title, r.ContestID)),
		Title:     plain(titleBeside(r)),
		Live:      isLive(r),
		Ranked:    r.Kind == score.Ranked,
		Corrected: r.Corrected,
	}
	begun := r.HasBegun()
	sides := r.Sides()
	for i := range sides {
		c := &sides[i]
		if l.Ranked && (c.Rank == 0 && c.IRM == "" || len(l.Sides) == 3) {
			continue
		}
		if len(l.Sides) == score.MaxSides {
			break
		}
		s := side{
			Place:  textfmt.Rank(c.Rank, r.SharesRank(c)),
			Name:   plain(cmp.Or(c.Name, c.Code)),
			Winner: c.Code == r.Winner,
		}
		if begun {
			s.Result = resultOf(r, c)
			s.Tiebreak = r.TiebreakText(c)
		}
		l.Sides = append(l.Sides, s)
	}
	l.Class = classOf(&l)
	if !begun && !r.StartTime.IsZero() {
		l.Day = r.StartTime.Format("2 Jan ") + strconv.Itoa(r.StartTime.Year())
		l.Clock, l.Zone = r.StartTime.Format("15:04"), zoneOf(r.StartTime)
	}
	if begun || r.Decision != "" || r.ScheduleStatus != "SCHEDULED" {
		l.State = cmp.Or(statusWords[r.ScheduleStatus], r.ScheduleStatus)
		l.Decision = decisionWords[r.Decision]
	}
	if l.Live {
		l.At = strings.TrimSpace(isolated(r.Period) + " " + isolated(r.Clock))
	}
	if !slices.Contains([]string{"", "START_LIST", "LIVE"}, r.ResultStatus) {
		l.Badge, l.BadgeClass = strings.ReplaceAll(r.ResultStatus, "_", " "), strings.ToLower(r.ResultStatus)
	}
	return l
}

// classOf returns the classes of a line: live, and those of scores that leave little room
// for names on a phone. widthOf in app/scores.tsx does the same.
func classOf(l *line) string {
	var classes []string
	if l.Live {
		classes = append(classes, "live")
	}
	longest := 0
	for _, s := range l.Sides {
		longest = max(longest, utf8.RuneCountInString(s.Result+s.Tiebreak))
	}
	if longest > 6 {
		classes = append(classes, "wide")
	}
	if longest > 15 {
		classes = append(classes, "long")
	}
	return strings.Join(classes, " ")
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

// organisations returns the names of organisations by competition, from the teams with
// their codes.
func organisations(all []score.Record) map[string]map[string]string {
	names := make(map[string]map[string]string)
	for i := range all {
		for _, c := range all[i].Competitors {
			if c.Name != "" && c.Name != c.Code && c.Code == c.Organisation {
				if names[all[i].Competition] == nil {
					names[all[i].Competition] = make(map[string]string)
				}
				names[all[i].Competition][c.Code] = c.Name
			}
		}
	}
	return names
}

func tables(all []medal.Standings, names map[string]map[string]string) []table {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b medal.Standings) int { return cmp.Compare(b.Revision, a.Revision) })
	var list []table
	for _, m := range all {
		t := table{Title: plain(cmp.Or(m.Name, m.Competition)), Rows: m.Rows[:min(len(m.Rows), maxRows)]}
		t.Names = names[m.Competition]
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

func partsOfKind(r *score.Record) (parts []string) {
	for _, s := range []string{words(r.Sport), capital(r.Phase), r.Event, r.Group} {
		if s != "" && !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return parts
}

func kindOf(r *score.Record) string {
	parts := partsOfKind(r)
	for i := range parts {
		parts[i] = isolated(parts[i])
	}
	return strings.Join(parts, " \u00b7 ")
}

// versus is what stands between two sides in a title.
var versus = regexp.MustCompile(`^(?i: *(vs?\.?|[-–—@/]|at) *)$`)

// titleBeside returns the title if it says more than the sides and the kind beside it.
func titleBeside(r *score.Record) string {
	same := func(part string) bool { return strings.EqualFold(part, r.Title) }
	if namesSides(r) || slices.ContainsFunc(partsOfKind(r), same) {
		return ""
	}
	return r.Title
}

// namesSides reports whether a title only names the two sides, by names or codes.
func namesSides(r *score.Record) bool {
	if len(r.Competitors) != 2 || r.Kind == score.Ranked {
		return false
	}
	are := func(first, last *score.Standing) bool {
		for _, s := range []string{first.Code, first.Name} {
			rest, begins := strings.CutPrefix(r.Title, s)
			for _, t := range []string{last.Code, last.Name} {
				between, ends := strings.CutSuffix(rest, t)
				if s != "" && t != "" && begins && ends && versus.MatchString(between) {
					return true
				}
			}
		}
		return false
	}
	return are(&r.Competitors[0], &r.Competitors[1]) || are(&r.Competitors[1], &r.Competitors[0])
}

// zoneOf formats the zone of a time, such as UTC+9.
func zoneOf(t time.Time) string {
	_, offset := t.Zone()
	sign := "+"
	if offset < 0 {
		sign, offset = "\u2212", -offset
	}
	hours, minutes := offset/3600, offset/60%60
	switch {
	case offset == 0:
		return "UTC"
	case minutes == 0:
		return fmt.Sprintf("UTC%s%d", sign, hours)
	}
	return fmt.Sprintf("UTC%s%d:%02d", sign, hours, minutes)
}

// plain removes from a text what would change how the text beside it is shown, and isolated
// besides marks what is written from right to left. app/text.ts does the same.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u206f' || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, s)
}

func isolated(s string) string {
	if s = plain(s); rightToLeft.MatchString(s) {
		return "\u2068" + s + "\u2069"
	}
	return s
}

var rightToLeft = regexp.MustCompile(
	`[\x{590}-\x{8ff}\x{fb1d}-\x{fdff}\x{fe70}-\x{fefc}\x{10800}-\x{10fff}\x{1e800}-\x{1efff}]`)

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
	text := cmp.Or(r.ResultOf(c), "\u2013")
	return strings.ReplaceAll(text, "-", "\u2212")
}
