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

// window is a part of a leaderboard, with when each of its rows changed: its mark or its rank.
type window struct {
	client.Window
	changed map[string]time.Time
}

// next is the window as it is told now.
func (w *window) next(now client.Window, at time.Time) *window {
	n := &window{Window: now, changed: map[string]time.Time{}}
	if w == nil {
		return n
	}
	before := map[string]score.LeaderboardRow{}
	for _, r := range w.Rows {
		before[r.Competitor] = r
	}
	for _, r := range now.Rows {
		b, there := before[r.Competitor]
		if there && b.Rank == r.Rank && decimal(b.Mark) == decimal(r.Mark) && b.IRM == r.IRM {
			n.changed[r.Competitor] = w.changed[r.Competitor]
		} else {
			n.changed[r.Competitor] = at
		}
	}
	return n
}

func decimal(d *score.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}

// place is a row's rank, as 12 or =12; "" if it has none.
func place(r *score.LeaderboardRow) string {
	switch {
	case r.Rank == 0:
		return ""
	case r.RankEqual:
		return fmt.Sprintf("=%d", r.Rank)
	}
	return fmt.Sprint(r.Rank)
}

// placed is a window in one line.
func placed(w *client.Window) string {
	var rows []string
	for i := range w.Rows {
		r := &w.Rows[i]
		rows = append(rows, strings.TrimSpace(fmt.Sprintf("%s %s %s", place(r), r.Competitor, cmp.Or(r.IRM, decimal(r.Mark)))))
	}
	rows = append(rows, fmt.Sprintf("of %d", w.Total))
	return fmt.Sprintf("%d  %s  leaderboard  %s", w.Revision, w.ContestID, strings.Join(rows, ", "))
}

// title says which part of which leaderboard it is.
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
	return plain(fmt.Sprintf("%s, of %d", s, w.Total))
}

func (b *Board) windowLines(width, room int, now time.Time) (lines []string) {
	for _, id := range slices.Sorted(maps.Keys(b.windows)) {
		w := b.windows[id]
		if room-len(lines) < 3 {
			break
		}
		lines = append(lines, "", cut(w.title(), width))
		rows := w.Rows[:min(len(w.Rows), max(room-len(lines)-1, 0))] // and the headings
		if len(rows) == 0 {
			continue
		}
		t := table{{"RANK"}, {"COMPETITOR"}, {"NAME"}, {"ORG"}, {"MARK"}, {"DIFF"}}
		for _, r := range rows {
			t.add(place(&r), r.Competitor, r.Name, r.Organisation, cmp.Or(r.IRM, b.mark(id, r.Mark)), b.mark(id, r.Diff))
		}
		for i, line := range t.lines(width) {
			if i > 0 && now.Sub(w.changed[rows[i-1].Competitor]) < lit {
				line = "\x1b[7m" + line + "\x1b[0m"
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// mark writes a mark as its contest does, if that is watched, too.
func (b *Board) mark(contestID string, d *score.Decimal) string {
	switch e := b.scores[contestID]; {
	case d == nil:
		return ""
	case e != nil:
		return mark(&e.Record, *d)
	}
	return d.String()
}
