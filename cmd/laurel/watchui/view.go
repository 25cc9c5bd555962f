// Package watchui shows a watch to people: as a table on a terminal that is redrawn when
// something changes, as one line of text for each change, or as lines of JSON.
//
// A view holds what the watch has reported so far; [Show] draws it, [Print] and
// [PrintJSON] write changes.
package watchui

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"laurel/client"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/medal"
	"laurel/score/ranking"
)

const (
	// highlightFor is how long a row that has changed is highlighted.
	highlightFor = 1500 * time.Millisecond
	// narrow is the width of a terminal from which there is room for more than the score of
	// a contest.
	narrow = 60
	// maxEvents is the number of timeline events that a view keeps.
	maxEvents = 100
)

// view is what a watch has reported so far. The zero value is a view before the first
// update. It is not safe for concurrent use.
type view struct {
	scores   map[string]*contest
	order    []*contest // of scores, as sorted returns it; nil if it is not known
	medals   map[string]medal.Standings
	windows  map[string]*window
	timeline []score.TimelineEvent // the latest ones
	sections score.Sections        // the numbers of all contests; zero if they are not known

	connection client.Update // the last one about the connection: that it was made or lost
	retryAt    time.Time     // if it was lost
	beat       client.Beat   // the last one of this connection; without a Frontend there was none yet
	revision   uint64
}

type contest struct {
	score.Record
	changed time.Time // zero: not since it was first seen
}

// apply adds an update.
func (v *view) apply(u client.Update, now time.Time) {
	if v.scores == nil || u.NewStore {
		v.scores, v.medals, v.windows = map[string]*contest{}, map[string]medal.Standings{}, map[string]*window{}
		v.timeline, v.sections, v.revision = nil, score.Sections{}, 0
	}
	if u.NewStore || len(u.Removed)+len(u.Dropped)+len(u.Scores) > 0 {
		v.order = nil
	}
	if u.Sections != nil {
		v.sections = *u.Sections
	}
	for _, id := range slices.Concat(u.Removed, u.Dropped) {
		delete(v.scores, id)
	}
	switch u.Kind {
	case client.UpdateConnected, client.UpdateLost:
		v.connection, v.retryAt, v.beat = u, now.Add(u.Wait), client.Beat{}
	case client.UpdateHeartbeat:
		v.beat = u.Beat
		v.revision = max(v.revision, u.Beat.Revision)
	}
	for _, r := range u.Scores {
		c := &contest{Record: r}
		if v.scores[r.ContestID] != nil || u.Kind == client.UpdateScore {
			c.changed = now
		}
		v.scores[r.ContestID] = c
		v.revision = max(v.revision, r.Revision)
	}
	for _, m := range u.Medals {
		v.medals[m.Competition] = m
		v.revision = max(v.revision, m.Revision)
	}
	for _, w := range u.Leaderboards {
		v.windows[w.ContestID] = v.windows[w.ContestID].replaced(w, now)
		v.revision = max(v.revision, w.Revision)
	}
	for _, e := range u.Timeline {
		v.timeline = append(v.timeline, e)
		v.revision = max(v.revision, e.Revision)
	}
	v.timeline = v.timeline[max(0, len(v.timeline)-maxEvents):]
}

// status describes the connection in one line.
func (v *view) status(now time.Time) string {
	switch v.connection.Kind {
	case "":
		return "connecting"
	case client.UpdateLost:
		seconds := math.Ceil(max(v.retryAt.Sub(now).Seconds(), 0))
		return textfmt.OneLine(fmt.Sprintf("reconnecting in %.0f s (%v)", seconds, v.connection.Err))
	}
	s := "live via " + cmp.Or(v.beat.Frontend, strings.TrimPrefix(v.connection.Frontend, "http://"))
	if v.connection.AtHome {
		s += " (home)"
	} else if v.connection.Home != "" {
		s += " (home " + v.connection.Home + ")"
	}
	if v.beat.Mode != "" {
		s += ", " + string(v.beat.Mode)
	}
	s += fmt.Sprintf(", revision %d", v.revision)
	if v.beat.Epoch > 0 {
		s += fmt.Sprintf(", epoch %d", v.beat.Epoch)
	}
	return textfmt.OneLine(s)
}

// lines draws the view: at most height lines of at most width characters. Highlighted
// lines contain escape sequences besides.
func (v *view) lines(width, height int, now time.Time) []string {
	if width <= 0 || height <= 0 {
		return nil
	}
	lines := []string{textfmt.Clip(v.status(now), width)}
	room := height - 1
	events := v.eventLines(width, min(room/4, len(v.timeline)))
	room -= len(events)
	windows := v.windowLines(width, share(room, 2, len(v.scores)+len(v.medals) == 0), now)
	room -= len(windows)
	medals := v.medalLines(width, share(room, 3, len(v.scores) == 0))
	room -= len(medals)
	lines = append(lines, windows...)
	lines = append(lines, v.scoreLines(width, room, now)...)
	lines = append(lines, medals...)
	return append(lines, events...)
}

// share returns the nth part of the room, or all of it for what is shown alone.
func share(room, n int, alone bool) int {
	if alone {
		return room
	}
	return room / n
}

// live is the schedule statuses of the contests that are shown first.
var live = []string{"RUNNING", "INTERRUPTED", "SCHEDULED_BREAK", "GETTING_READY"}

// sorted returns the contests in the order in which they are shown: live ones by status
// and id, then the others, the latest change first.
func (v *view) sorted() []*contest {
	if v.order != nil {
		return v.order
	}
	list := slices.Collect(maps.Values(v.scores))
	order := func(c *contest) int {
		if i := slices.Index(live, c.ScheduleStatus); i >= 0 {
			return i
		}
		return len(live)
	}
	slices.SortFunc(list, func(x, y *contest) int {
		latest := 0
		if order(x) == len(live) {
			latest = cmp.Compare(y.Revision, x.Revision)
		}
		return cmp.Or(cmp.Compare(order(x), order(y)), latest, cmp.Compare(x.ContestID, y.ContestID))
	})
	v.order = list
	return list
}

func (v *view) scoreLines(width, room int, now time.Time) []string {
	list := v.sorted()
	if len(list) == 0 || room < 3 {
		return nil
	}
	shown := len(list)
	total := max(shown, v.sections.Live+v.sections.Next+v.sections.Finished)
	if total > shown || shown > room-2 { // without a blank line and the headings
		shown = min(shown, room-3) // nor the number of those that are left out
	}
	t := textfmt.NewTable("CONTEST", "TITLE", "SCORE", "PERIOD", "CLOCK", "STATUS")
	for _, c := range list[:shown] {
		t.Row(c.ContestID, c.Title, c.Record.Summary(), c.Period, c.Clock, status(&c.Record))
	}
	if width < narrow {
		t.Drop("TITLE", "PERIOD", "CLOCK")
	}
	lines := append([]string{""}, t.Lines(width, "TITLE")...)
	for i, c := range list[:shown] {
		lines[i+2] = highlight(lines[i+2], c.changed, now)
	}
	if more := total - shown; more > 0 {
		lines = append(lines, textfmt.Clip(fmt.Sprintf("and %d more", more), width))
	}
	return lines
}

// highlight inverts a line whose content has just changed.
func highlight(line string, changed, now time.Time) string {
	if now.Sub(changed) >= highlightFor {
		return line
	}
	return "\x1b[7m" + line + "\x1b[0m"
}

func (v *view) medalLines(width, room int) (lines []string) {
	for _, competition := range slices.Sorted(maps.Keys(v.medals)) {
		m := v.medals[competition]
		rows := slices.Concat(m.Rows, m.Outside)
		if len(rows) == 0 || room-len(lines) < 3 {
			continue
		}
		t := textfmt.NewTable(cmp.Or(m.Name, competition), "GOLD", "SILVER", "BRONZE", "TOTAL")
		for _, r := range rows[:min(len(rows), room-len(lines)-2)] {
			t.Row(textfmt.Join(" ", textfmt.Rank(r.Rank, r.RankEqual), r.Organisation),
				fmt.Sprint(r.Gold), fmt.Sprint(r.Silver), fmt.Sprint(r.Bronze), fmt.Sprint(r.Total))
		}
		lines = append(append(lines, ""), t.Lines(width)...)
	}
	return lines
}

func (v *view) eventLines(width, n int) (lines []string) {
	if n == 0 {
		return nil
	}
	lines = append(lines, "")
	for _, e := range v.timeline[len(v.timeline)-n:] {
		lines = append(lines, textfmt.Clip(eventLine(&e), width))
	}
	return lines
}

// window is a window of a leaderboard with the time at which each row changed.
type window struct {
	client.Window
	changed map[string]time.Time // by competitor
}

// replaced returns the window after an update. w may be nil.
func (w *window) replaced(update client.Window, now time.Time) *window {
	n := &window{Window: update, changed: map[string]time.Time{}}
	if w == nil {
		return n
	}
	before := map[string]ranking.Row{}
	for _, r := range w.Rows {
		before[r.Competitor] = r
	}
	for _, r := range update.Rows {
		b, known := before[r.Competitor]
		if known && b.Equal(r) {
			n.changed[r.Competitor] = w.changed[r.Competitor]
		} else {
			n.changed[r.Competitor] = now
		}
	}
	return n
}

// title names the contest and the part of its leaderboard.
func (w *window) title() string {
	s := w.ContestID
	if w.Split != "" {
		s += " at " + w.Split
	}
	if w.Category != "" {
		s += ", " + w.Category
	}
	if w.Around != "" {
		s += ", around " + w.Around
	}
	return fmt.Sprintf("%s, of %d", s, w.Total)
}

func (v *view) windowLines(width, room int, now time.Time) (lines []string) {
	for _, id := range slices.Sorted(maps.Keys(v.windows)) {
		w := v.windows[id]
		if room-len(lines) < 3 {
			break
		}
		lines = append(lines, "", textfmt.Clip(w.title(), width))
		rows := w.Rows[:min(len(w.Rows), max(room-len(lines)-1, 0))] // one line is for the headings
		if len(rows) == 0 {
			continue
		}
		t := textfmt.NewTable("RANK", "COMPETITOR", "NAME", "ORG", "MARK", "DIFF")
		for _, r := range rows {
			mark, gap := r.Text(&w.Format)
			t.Row(textfmt.Rank(r.Rank, r.RankEqual), r.Competitor, r.Name, r.Organisation, mark, gap)
		}
		for i, line := range t.Lines(width, "NAME", "ORG", "COMPETITOR") {
			if i > 0 {
				line = highlight(line, w.changed[rows[i-1].Competitor], now)
			}
			lines = append(lines, line)
		}
	}
	return lines
}
