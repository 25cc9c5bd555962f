package demo

import (
	"fmt"
	"strings"
	"time"

	"laurel/score"
)

// event prints an event. contest is the record after it; nil for an event about a
// competition.
func (p *printer) event(e *score.Event, revision uint64, contest *score.Record) {
	text := p.eventText(e, contest)
	if text == "" {
		return
	}
	sport := ""
	if contest != nil {
		sport = contest.Sport
	}
	p.println("%s  %s %s", p.styled(dim, fmt.Sprintf("%7d", revision)), p.padded(cyan, sport, 13), text)
}

// eventText describes an event in a few words. It returns "" for an event that is not
// worth a line.
func (p *printer) eventText(e *score.Event, r *score.Record) string {
	switch d := e.Data.(type) {
	case *score.CompetitionDefine:
		return p.styled(bold, "The "+d.Name+" are open!")
	case *score.ContestDefine:
		if d.Kind == score.HeadToHead && len(d.Competitors) == 0 {
			return ""
		}
		return p.styled(dim, "to come: "+d.Title+" ("+d.Phase+")")
	case *score.ContestStatus:
		return p.statusText(d, r)
	case *score.ScorePlay:
		return p.matchScore(r) + "  " + joinNonEmpty(d.Period, d.Clock, d.Athlete, d.Comment)
	case *score.ScoreSet:
		return p.matchScore(r) + "  " + p.styled(red, joinNonEmpty("corrected:", d.Reason))
	case *score.ResultSet:
		return p.resultText(d, r)
	case *score.MedalAward:
		if d.Competitor == d.Organisation {
			return p.medalText(d.Medal) + d.Organisation
		}
		return p.medalText(d.Medal) + joinNonEmpty(d.Competitor, d.Organisation)
	case *score.MedalRevoke:
		return p.styled(red, "a medal is revoked: "+d.Reason)
	case *score.EventVoid:
		voided := p.styled(red, "voided: "+d.Reason)
		if r.Kind == score.HeadToHead {
			return p.matchScore(r) + "  " + voided
		}
		return voided
	case *score.Alert:
		return p.styled(dim, d.Text)
	}
	return "" // TestEveryTypeOfEventIsDescribed fails for a type that is missing
}

func joinNonEmpty(parts ...string) string {
	var list []string
	for _, p := range parts {
		if p != "" {
			list = append(list, p)
		}
	}
	return strings.Join(list, "  ")
}

func (p *printer) medalText(medal string) string {
	s := map[string]style{score.Gold: gold, score.Silver: silver, score.Bronze: bronze}[medal]
	return p.padded(s, medal, 8)
}

func (p *printer) statusText(d *score.ContestStatus, r *score.Record) string {
	name := r.Title
	if r.Phase != "" && r.Phase != r.Title && r.Kind == score.HeadToHead {
		name += " (" + r.Phase + ")"
	}
	switch {
	case d.ScheduleStatus == score.Running:
		return name + ": " + joinNonEmpty("under way", d.Period)
	case d.ScheduleStatus == score.Finished && r.Kind == score.HeadToHead:
		return p.matchScore(r) + "  finished, " + r.Winner + " wins"
	case d.ScheduleStatus == score.Finished:
		return name + ": finished, " + r.Winner + " wins"
	case d.ScheduleStatus != "":
		return p.styled(dim, name+": "+strings.ToLower(strings.ReplaceAll(d.ScheduleStatus, "_", " ")))
	case d.ResultStatus == "PROTESTED":
		return p.styled(red, name+": protest!")
	case d.ResultStatus != "":
		return p.styled(dim, name+": "+strings.ToLower(d.ResultStatus))
	}
	return ""
}

// matchScore formats the score of a match, the sides in the order of its title.
func (p *printer) matchScore(r *score.Record) string {
	home, away, ok := strings.Cut(r.Title, " vs ")
	if !ok || len(r.Competitors) != 2 {
		return r.Title
	}
	a, b := r.Competitors[0], r.Competitors[1]
	if a.Code != home {
		a, b = b, a
	}
	text := fmt.Sprintf("%s %s : %s %s", home, a.Result, b.Result, away)
	if a.Tiebreak != 0 || b.Tiebreak != 0 {
		text += fmt.Sprintf(" (%s : %s)", a.Tiebreak, b.Tiebreak)
	}
	return p.styled(bold, text)
}

// resultText formats a mark at a split, with its rank there if it is among the first ten.
func (p *printer) resultText(d *score.ResultSet, r *score.Record) string {
	text := fmt.Sprintf("%-15s %-4s", d.Competitor, d.Organisation)
	if d.Competitor == d.Organisation {
		text = fmt.Sprintf("%-4s", d.Competitor)
	}
	if d.IRM != "" {
		return text + p.styled(red, d.IRM) + "  " + d.Comment
	}
	text += p.styled(bold, fmt.Sprintf("%10s", mark(*d.Mark, r.ResultType, r.Unit)))
	if d.Split != "finish" {
		text += "  " + d.Split
	}
	for _, c := range r.Competitors {
		if c.Code == d.Competitor && r.Split == d.Split && c.Rank > 0 {
			text += fmt.Sprintf("  rank %d", c.Rank)
		}
	}
	return text
}

// mark formats a time as on a clock, points without a unit, and everything else with its
// unit.
func mark(v score.Decimal, resultType, unit string) string {
	switch {
	case resultType == "POINTS":
		return v.String()
	case resultType != "TIME" || unit != "s":
		return strings.TrimSpace(v.String() + " " + unit)
	}
	d := time.Duration(v) * time.Millisecond
	tenths := int64(d/(100*time.Millisecond)) % 10
	if d < time.Hour {
		return fmt.Sprintf("%d:%02d.%d", d/time.Minute, d/time.Second%60, tenths)
	}
	return fmt.Sprintf("%d:%02d:%02d.%d", d/time.Hour, d/time.Minute%60, d/time.Second%60, tenths)
}
