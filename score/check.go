package score

import (
	"fmt"
	"strings"
)

// What each type of event asks of its data. Bounds and vocabularies only; the state of the contest is contest.go's.

var (
	kinds            = []string{HeadToHead, Ranked}
	resultTypes      = []string{"POINTS", "TIME", "DISTANCE"}
	sorts            = []string{"asc", "desc"}
	entrantTypes     = []string{"A", "T"}
	irms             = []string{"DNF", "DNS", "DSQ"}
	medals           = []string{Gold, Silver, Bronze}
	scheduleStatuses = []string{"UNSCHEDULED", "SCHEDULED", "GETTING_READY", Running, "SCHEDULED_BREAK", "DELAYED", "INTERRUPTED",
		"POSTPONED", "RESCHEDULED", Cancelled, Finished}
	resultStatuses = []string{"START_LIST", "LIVE", "INTERMEDIATE", "UNCONFIRMED", "UNOFFICIAL", Official, "PARTIAL", "PROTESTED", "PROVISIONAL"}
)

// Statuses with rules of their own.
const (
	Running   = "RUNNING"
	Cancelled = "CANCELLED"
	Finished  = "FINISHED"
	Official  = "OFFICIAL"
)

// Medals.
const (
	Gold   = "GOLD"
	Silver = "SILVER"
	Bronze = "BRONZE"
)

func (d *CompetitionDefine) check(c *Checker) {
	c.Text("data.name", d.Name, maxName, optional)
	c.Names("data.neutral", d.Neutral, maxCode)
	c.Text("data.comment", d.Comment, maxText, optional)
}

func (d *ContestDefine) check(c *Checker) {
	c.OneOf("data.kind", d.Kind, required, kinds)
	c.Text("data.sport", d.Sport, maxName, required)
	for _, t := range [...]struct{ field, value string }{
		{"competition", d.Competition}, {"competition_name", d.CompetitionName}, {"title", d.Title}, {"discipline", d.Discipline},
		{"event", d.Event}, {"phase", d.Phase}, {"group", d.Group}, {"gender", d.Gender}, {"venue", d.Venue}, {"unit", d.Unit},
	} {
		c.Text("data."+t.field, t.value, maxName, optional)
	}
	if !d.StartTime.IsZero() {
		c.Time("data.start_time", d.StartTime)
	}
	if d.MedalEvent < 0 || d.MedalEvent > 9 {
		c.Fail("data.medal_event", "got %d; want 0 to 9", d.MedalEvent)
	}
	c.OneOf("data.result_type", d.ResultType, optional, resultTypes)
	c.OneOf("data.sort", d.Sort, optional, sorts)
	c.Names("data.splits", d.Splits, maxPeriod)
	c.Names("data.tiebreak_periods", d.TiebreakPeriods, maxPeriod)
	if len(d.Splits) > 0 && d.Kind == HeadToHead {
		c.Fail("data.splits", "only a ranked contest has splits")
	}
	if len(d.TiebreakPeriods) > 0 && d.Kind == Ranked {
		c.Fail("data.tiebreak_periods", "only a head_to_head contest has tie-break periods")
	}
	c.entrants(d.Competitors)
	c.Text("data.comment", d.Comment, maxText, optional)
}

func (c *Checker) entrants(list []Entrant) {
	if len(list) > maxEntrants {
		c.Fail("data.competitors", "has %d members; the most is %d (leave the list out where a first mark may make a competitor)", len(list), maxEntrants)
		return
	}
	seen := make(map[string]bool, len(list))
	for i, e := range list {
		field := fmt.Sprintf("data.competitors.%d.", i)
		c.Text(field+"code", e.Code, maxCode, required)
		c.Text(field+"name", e.Name, maxName, optional)
		c.Text(field+"organisation", e.Organisation, maxCode, optional)
		c.OneOf(field+"type", e.Type, optional, entrantTypes)
		if seen[e.Code] {
			c.Fail(field+"code", "%q is there twice", clip(e.Code))
		}
		seen[e.Code] = true
	}
}

func (d *ContestStatus) check(c *Checker) {
	if d.ScheduleStatus == "" && d.ResultStatus == "" && d.Period == "" && d.Clock == "" {
		c.Fail("data", "moves nothing; want at least one of schedule_status, result_status, period, clock")
	}
	c.OneOf("data.schedule_status", d.ScheduleStatus, optional, scheduleStatuses)
	c.OneOf("data.result_status", d.ResultStatus, optional, resultStatuses)
	c.Text("data.period", d.Period, maxPeriod, optional)
	c.Text("data.clock", d.Clock, maxPeriod, optional)
	c.Text("data.comment", d.Comment, maxText, optional)
}

func (d *ScorePlay) check(c *Checker) {
	c.Text("data.competitor", d.Competitor, maxCode, required)
	if d.Delta == nil {
		c.Fail("data.delta", "missing; want the number to add, 0 included")
	}
	c.Text("data.period", d.Period, maxPeriod, optional)
	c.Text("data.action", d.Action, maxCode, optional)
	c.Text("data.clock", d.Clock, maxPeriod, optional)
	c.Text("data.athlete", d.Athlete, maxName, optional)
	c.totals("data.result", d.Result, maxCode)
	c.totals("data.stats_delta", d.StatsDelta, maxPeriod)
	c.Text("data.comment", d.Comment, maxText, optional)
	d.Result, d.StatsDelta = d.Result.sorted(), d.StatsDelta.sorted()
}

func (d *ScoreSet) check(c *Checker) {
	if len(d.Result) == 0 {
		c.Fail("data.result", "missing; want the total of at least one competitor, such as {\"GAU\":2}")
	}
	c.totals("data.result", d.Result, maxCode)
	c.Text("data.period", d.Period, maxPeriod, optional)
	c.Text("data.reason", d.Reason, maxText, optional)
	c.Text("data.comment", d.Comment, maxText, optional)
	d.Result = d.Result.sorted()
}

func (d *ResultSet) check(c *Checker) {
	c.Text("data.competitor", d.Competitor, maxCode, required)
	c.Text("data.split", d.Split, maxPeriod, required)
	c.OneOf("data.irm", d.IRM, optional, irms)
	switch {
	case d.Mark == nil && d.IRM == "":
		c.Fail("data.mark", "missing; want a mark, or an irm (%s)", strings.Join(irms, ", "))
	case d.Mark != nil && d.IRM != "":
		c.Fail("data.irm", "got %s beside a mark; want one of the two", d.IRM)
	}
	c.Text("data.category", d.Category, maxCode, optional)
	c.Text("data.organisation", d.Organisation, maxCode, optional)
	c.Text("data.reason", d.Reason, maxText, optional)
	c.Text("data.comment", d.Comment, maxText, optional)
}

func (d *MedalAward) check(c *Checker) {
	c.Text("data.award_id", d.AwardID, MaxContestID, required)
	c.OneOf("data.medal", d.Medal, required, medals)
	c.Text("data.organisation", d.Organisation, maxCode, required)
	c.Text("data.competitor", d.Competitor, maxText, optional)
	c.Text("data.sport", d.Sport, maxName, optional)
	c.Text("data.event", d.Event, maxName, optional)
	c.Text("data.comment", d.Comment, maxText, optional)
}

func (d *MedalRevoke) check(c *Checker) {
	c.Text("data.award_id", d.AwardID, MaxContestID, required)
	c.Text("data.reason", d.Reason, maxText, required)
	c.Text("data.comment", d.Comment, maxText, optional)
}

func (d *EventVoid) check(c *Checker) {
	c.Text("data.voids", d.Voids, MaxID, required)
	c.Text("data.reason", d.Reason, maxText, required)
	c.Text("data.comment", d.Comment, maxText, optional)
}

func (d *Alert) check(c *Checker) {
	c.Text("data.text", d.Text, maxText, required)
	c.Text("data.comment", d.Comment, maxText, optional)
}
