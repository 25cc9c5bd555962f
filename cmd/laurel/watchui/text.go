package watchui

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"laurel/score"
)

// shownPlaces is how many of a ranked contest are shown.
const shownPlaces = 3

// Result is the state of a contest in short: GAU 2, ROM 0.
func Result(r *score.Record) string {
	var parts []string
	for i, p := range r.Competitors {
		if r.Kind == score.Ranked && (i == shownPlaces || p.Result == nil && p.IRM == "") {
			break
		}
		s := p.Code
		switch {
		case p.IRM != "":
			s += " " + p.IRM
		case p.Result != nil:
			s += " " + mark(r, *p.Result)
		}
		if p.Tiebreak != 0 {
			s += " (" + p.Tiebreak.String() + ")"
		}
		parts = append(parts, s)
	}
	if r.Kind == score.Ranked && r.Total != nil && *r.Total > len(parts) && len(parts) > 0 {
		parts = append(parts, fmt.Sprintf("of %d", *r.Total))
	}
	return strings.Join(parts, ", ")
}

// mark writes a result: a time as a clock shows it.
func mark(r *score.Record, d score.Decimal) string {
	if r.ResultType != "TIME" || d < 0 {
		return d.String()
	}
	ms := int64(d)
	s := fmt.Sprintf("%02d:%02d", ms/60_000%60, ms/1000%60)
	if h := ms / 3_600_000; h > 0 {
		s = fmt.Sprintf("%d:%s", h, s)
	}
	if ms%1000 != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%03d", ms%1000), "0")
	}
	return s
}

func status(r *score.Record) string {
	s := strings.TrimSpace(r.ScheduleStatus + " " + r.ResultStatus)
	if r.Winner != "" {
		s += ", " + r.Winner + " won"
	}
	return s
}

func event(e *score.TimelineEvent) string {
	s := fmt.Sprintf("%d  %s  %s  %s  %s", e.Revision, e.Time.Format("15:04:05"), e.ContestID, e.Type, e.Data)
	if e.VoidedBy != "" {
		s += "  voided by " + e.VoidedBy
	}
	return plain(s)
}

// plain takes out what would do something to a terminal: names come from anybody.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

// cut brings a text to at most width columns.
func cut(s string, width int) string {
	s = plain(s)
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	runes := []rune(s)
	if width <= 1 {
		return string(runes[:max(width, 0)])
	}
	return string(runes[:width-1]) + "…"
}

// table is columns, each with its heading first.
type table [][]string

func (t table) add(cells ...string) {
	for i, c := range cells {
		t[i] = append(t[i], plain(c))
	}
}

const gap = 2 // columns between two cells

// lines lines the cells up. What is too wide is cut, the widest column first.
func (t table) lines(width int) []string {
	widths := make([]int, len(t))
	total := -gap
	for i, column := range t {
		for _, c := range column {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
		total += widths[i] + gap
	}
	for ; total > width; total-- {
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= 4 {
			break
		}
		widths[widest]--
	}
	lines := make([]string, len(t[0]))
	for row := range lines {
		var b strings.Builder
		for i, column := range t {
			cell := cut(column[row], widths[i])
			b.WriteString(cell)
			if i < len(t)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap))
			}
		}
		lines[row] = cut(strings.TrimRight(b.String(), " "), width)
	}
	return lines
}
