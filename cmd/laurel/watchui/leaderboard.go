package watchui

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"laurel/client"
	"laurel/internal/textfmt"
	"laurel/score"
)

// window is a window of a leaderboard with the time at which the mark or the rank of each
// row changed.
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
	before := map[string]score.LeaderboardRow{}
	for _, r := range w.Rows {
		before[r.Competitor] = r
	}
	for _, r := range update.Rows {
		b, known := before[r.Competitor]
		if known && b.Rank == r.Rank && decimalText(b.Mark) == decimalText(r.Mark) && b.IRM == r.IRM {
			n.changed[r.Competitor] = w.changed[r.Competitor]
		} else {
			n.changed[r.Competitor] = now
		}
	}
	return n
}

func decimalText(d *score.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}

// rankText formats a row's rank as 12, or =12 if it is shared, or "" if there is none.
func rankText(r *score.LeaderboardRow) string {
	switch {
	case r.Rank == 0:
		return ""
	case r.RankEqual:
		return fmt.Sprintf("=%d", r.Rank)
	}
	return fmt.Sprint(r.Rank)
}

// windowLine formats a window as one line.
func windowLine(w *client.Window) string {
	var rows []string
	for i := range w.Rows {
		r := &w.Rows[i]
		row := fmt.Sprintf("%s %s %s", rankText(r), r.Competitor, cmp.Or(r.IRM, decimalText(r.Mark)))
		rows = append(rows, strings.TrimSpace(row))
	}
	rows = append(rows, fmt.Sprintf("of %d", w.Total))
	return textfmt.OneLine(fmt.Sprintf("%d  %s  leaderboard  %s", w.Revision, w.ContestID, strings.Join(rows, ", ")))
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
			t.Row(rankText(&r), r.Competitor, r.Name, r.Organisation,
				cmp.Or(r.IRM, v.markText(id, r.Mark)), v.markText(id, r.Diff))
		}
		for i, line := range t.Lines(width) {
			if i > 0 {
				line = highlight(line, w.changed[rows[i-1].Competitor], now)
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// markText formats a mark as its contest does, if the contest is watched, too.
func (v *view) markText(contestID string, d *score.Decimal) string {
	switch c := v.scores[contestID]; {
	case d == nil:
		return ""
	case c != nil:
		return mark(&c.Record, *d)
	}
	return d.String()
}
