package watchui

import (
	"fmt"
	"strings"

	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/score/medal"
)

// maxPlaces is the number of competitors of a ranked contest that result names.
const maxPlaces = 3

// result summarizes the results of a contest, such as "GAU 2, ROM 0".
func result(r *score.Record) string {
	var parts []string
	for i, p := range r.Competitors {
		if r.Kind == score.Ranked && (i == maxPlaces || p.Result == nil && p.IRM == "") {
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

// mark formats a result; a time as on a clock.
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

// scoreLine formats a contest as one line.
func scoreLine(r *score.Record) string {
	line := fmt.Sprintf("%d  %s  %s  %s", r.Revision, r.ContestID, result(r), status(r))
	for _, s := range []string{r.Period, r.Clock} {
		if s != "" {
			line += "  " + s
		}
	}
	return textfmt.OneLine(line)
}

// medalsLine formats a medal table as one line.
func medalsLine(m medal.Standings) string {
	var rows []string
	for _, r := range m.Rows {
		rows = append(rows, fmt.Sprintf("%s %d/%d/%d", r.Organisation, r.Gold, r.Silver, r.Bronze))
	}
	return textfmt.OneLine(fmt.Sprintf("%d  %s  medals  %s", m.Revision, m.Competition, strings.Join(rows, ", ")))
}

// eventLine formats an event of a timeline as one line.
func eventLine(e *score.TimelineEvent) string {
	s := fmt.Sprintf("%d  %s  %s  %s  %s", e.Revision, e.Time.Format("15:04:05"), e.ContestID, e.Type, e.Data)
	if e.VoidedBy != "" {
		s += "  voided by " + e.VoidedBy
	}
	return textfmt.OneLine(s)
}
