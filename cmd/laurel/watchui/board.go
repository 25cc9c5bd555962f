// Package watchui shows a watch to people: as a table that changes on a terminal, or as lines.
package watchui

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"laurel/client"
	"laurel/score"
)

const (
	// lit is how long a contest that has changed stands out.
	lit = 1500 * time.Millisecond
	// keptEvents is how many events of timelines a board keeps.
	keptEvents = 100
)

// Board is what a watch has told so far. The zero value is a board before the first word. It is not safe for concurrent use.
type Board struct {
	scores   map[string]*entry
	medals   map[string]score.Medals
	windows  map[string]*window
	timeline []score.TimelineEvent // the last ones

	connected bool
	at        string // URL
	home      string // id
	atHome    bool
	beat      client.Beat // of the frontend at hand; no Frontend: it has not beaten yet
	revision  uint64
	lost      error
	again     time.Time
}

type entry struct {
	score.Record
	changed time.Time // zero: not since it was first seen
}

// Take takes an update in.
func (b *Board) Take(u client.Update, now time.Time) {
	if b.scores == nil || u.Anew {
		b.scores, b.medals, b.windows, b.timeline, b.revision = map[string]*entry{}, map[string]score.Medals{}, map[string]*window{}, nil, 0
	}
	switch u.Kind {
	case client.UpdateConnected:
		b.connected, b.at, b.home, b.atHome, b.beat, b.lost = true, u.Frontend, u.Home, u.AtHome, client.Beat{}, nil
	case client.UpdateLost:
		b.connected, b.lost, b.again, b.at = false, u.Err, now.Add(u.Wait), u.Frontend
	case client.UpdateHeartbeat:
		b.beat = u.Beat
		b.revision = max(b.revision, u.Beat.Revision)
	}
	for _, r := range u.Scores {
		e := &entry{Record: r}
		if b.scores[r.ContestID] != nil || u.Kind == client.UpdateScore {
			e.changed = now
		}
		b.scores[r.ContestID] = e
		b.revision = max(b.revision, r.Revision)
	}
	for _, m := range u.Medals {
		b.medals[m.Competition] = m
		b.revision = max(b.revision, m.Revision)
	}
	for _, w := range u.Leaderboards {
		b.windows[w.ContestID] = b.windows[w.ContestID].next(w, now)
		b.revision = max(b.revision, w.Revision)
	}
	for _, e := range u.Timeline {
		b.timeline = append(b.timeline, e)
		b.revision = max(b.revision, e.Revision)
	}
	b.timeline = b.timeline[max(0, len(b.timeline)-keptEvents):]
}

// Status says in one line where the watch is.
func (b *Board) Status(now time.Time) string {
	if !b.connected {
		if b.lost == nil {
			return "connecting"
		}
		wait := max(b.again.Sub(now), 0)
		return fmt.Sprintf("reconnecting in %d s (%v)", int((wait+time.Second-1)/time.Second), b.lost)
	}
	at := cmp.Or(b.beat.Frontend, strings.TrimPrefix(b.at, "http://"))
	s := "live via " + at
	if b.home != "" {
		if b.atHome {
			s += " (home)"
		} else {
			s += " (home " + b.home + ")"
		}
	}
	if b.beat.Mode != "" {
		s += ", " + string(b.beat.Mode)
	}
	s += fmt.Sprintf(", revision %d", b.revision)
	if b.beat.Epoch > 0 {
		s += fmt.Sprintf(", epoch %d", b.beat.Epoch)
	}
	return plain(s)
}

// Lines draws the board: at most height lines of at most width columns. Those that stand out carry the codes for it.
func (b *Board) Lines(width, height int, now time.Time) []string {
	if width <= 0 || height <= 0 {
		return nil
	}
	lines := []string{cut(b.Status(now), width)}
	room := height - 1
	events := b.eventLines(width, min(room/4, len(b.timeline)))
	room -= len(events)
	windows := b.windowLines(width, part(room, 2, len(b.scores)+len(b.medals) == 0), now)
	room -= len(windows)
	medals := b.medalLines(width, part(room, 3, len(b.scores) == 0))
	room -= len(medals)
	lines = append(lines, windows...)
	lines = append(lines, b.scoreLines(width, room, now)...)
	lines = append(lines, medals...)
	return append(lines, events...)
}

// part is the nth part of the room, or all of it for what is alone.
func part(room, n int, alone bool) int {
	if alone {
		return room
	}
	return room / n
}

// live are the statuses of contests that come first.
var live = []string{"RUNNING", "INTERRUPTED", "SCHEDULED_BREAK", "GETTING_READY"}

// ordered are the contests as they are shown: what goes on first, by id; then the others, the last that has changed first.
func (b *Board) ordered() []*entry {
	list := slices.Collect(maps.Values(b.scores))
	order := func(e *entry) int {
		if i := slices.Index(live, e.ScheduleStatus); i >= 0 {
			return i
		}
		return len(live)
	}
	slices.SortFunc(list, func(x, y *entry) int {
		if c := cmp.Compare(order(x), order(y)); c != 0 {
			return c
		}
		if order(x) == len(live) {
			if c := cmp.Compare(y.Revision, x.Revision); c != 0 {
				return c
			}
		}
		return cmp.Compare(x.ContestID, y.ContestID)
	})
	return list
}

func (b *Board) scoreLines(width, room int, now time.Time) []string {
	list := b.ordered()
	if len(list) == 0 || room < 3 {
		return nil
	}
	more := len(list) - (room - 2) // a blank line, the headings
	if more > 0 {
		more++ // the line that says so
		list = list[:len(list)-more]
	} else {
		more = 0
	}
	t := table{{"CONTEST"}, {"TITLE"}, {"SCORE"}, {"PERIOD"}, {"CLOCK"}, {"STATUS"}}
	for _, e := range list {
		t.add(e.ContestID, e.Title, Result(&e.Record), e.Period, e.Clock, status(&e.Record))
	}
	lines := append([]string{""}, t.lines(width)...)
	for i, e := range list {
		if now.Sub(e.changed) < lit {
			lines[i+2] = "\x1b[7m" + lines[i+2] + "\x1b[0m"
		}
	}
	if more > 0 {
		lines = append(lines, cut(fmt.Sprintf("and %d more", more), width))
	}
	return lines
}

func (b *Board) medalLines(width, room int) (lines []string) {
	for _, competition := range slices.Sorted(maps.Keys(b.medals)) {
		m := b.medals[competition]
		if len(m.Rows) == 0 || room-len(lines) < 3 {
			continue
		}
		t := table{{cmp.Or(m.Name, competition)}, {"GOLD"}, {"SILVER"}, {"BRONZE"}, {"TOTAL"}}
		for _, r := range m.Rows[:min(len(m.Rows), room-len(lines)-2)] {
			t.add(fmt.Sprintf("%d %s", r.Rank, r.Organisation), fmt.Sprint(r.Gold), fmt.Sprint(r.Silver), fmt.Sprint(r.Bronze), fmt.Sprint(r.Total))
		}
		lines = append(append(lines, ""), t.lines(width)...)
	}
	return lines
}

func (b *Board) eventLines(width, n int) (lines []string) {
	if n == 0 {
		return nil
	}
	lines = append(lines, "")
	for _, e := range b.timeline[len(b.timeline)-n:] {
		lines = append(lines, cut(event(&e), width))
	}
	return lines
}
