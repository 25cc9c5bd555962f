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

func (d *CompetitionDefine) check(c *check) {
	c.text("data.name", d.Name, maxName, optional)
	c.names("data.neutral", d.Neutral, maxCode)
	c.text("data.comment", d.Comment, maxText, optional)
}

func (d *ContestDefine) check(c *check) {
	c.oneOf("data.kind", d.Kind, required, kinds)
	c.text("data.sport", d.Sport, maxName, required)
	for _, t := range [...]struct{ field, value string }{
		{"competition", d.Competition}, {"competition_name", d.CompetitionName}, {"title", d.Title}, {"discipline", d.Discipline},
		{"event", d.Event}, {"phase", d.Phase}, {"group", d.Group}, {"gender", d.Gender}, {"venue", d.Venue}, {"unit", d.Unit},
	} {
		c.text("data."+t.field, t.value, maxName, optional)
	}
	if !d.StartTime.IsZero() {
		c.time("data.start_time", d.StartTime)
	}
	if d.MedalEvent < 0 || d.MedalEvent > 9 {
		c.fail("data.medal_event", "got %d; want 0 to 9", d.MedalEvent)
	}
	c.oneOf("data.result_type", d.ResultType, optional, resultTypes)
	c.oneOf("data.sort", d.Sort, optional, sorts)
	c.names("data.splits", d.Splits, maxPeriod)
	c.names("data.tiebreak_periods", d.TiebreakPeriods, maxPeriod)
	if len(d.Splits) > 0 && d.Kind == HeadToHead {
		c.fail("data.splits", "only a ranked contest has splits")
	}
	if len(d.TiebreakPeriods) > 0 && d.Kind == Ranked {
		c.fail("data.tiebreak_periods", "only a head_to_head contest has tie-break periods")
	}
	c.entrants(d.Competitors)
	c.text("data.comment", d.Comment, maxText, optional)
}

func (c *check) entrants(list []Entrant) {
	if len(list) > maxEntrants {
		c.fail("data.competitors", "has %d members; the most is %d (leave the list out where a first mark may make a competitor)", len(list), maxEntrants)
		return
	}
	seen := make(map[string]bool, len(list))
	for i, e := range list {
		field := fmt.Sprintf("data.competitors.%d.", i)
		c.text(field+"code", e.Code, maxCode, required)
		c.text(field+"name", e.Name, maxName, optional)
		c.text(field+"organisation", e.Organisation, maxCode, optional)
		c.oneOf(field+"type", e.Type, optional, entrantTypes)
		if seen[e.Code] {
			c.fail(field+"code", "%q is there twice", clip(e.Code))
		}
		seen[e.Code] = true
	}
}

func (d *ContestStatus) check(c *check) {
	if d.ScheduleStatus == "" && d.ResultStatus == "" && d.Period == "" && d.Clock == "" {
		c.fail("data", "moves nothing; want at least one of schedule_status, result_status, period, clock")
	}
	c.oneOf("data.schedule_status", d.ScheduleStatus, optional, scheduleStatuses)
	c.oneOf("data.result_status", d.ResultStatus, optional, resultStatuses)
	c.text("data.period", d.Period, maxPeriod, optional)
	c.text("data.clock", d.Clock, maxPeriod, optional)
	c.text("data.comment", d.Comment, maxText, optional)
}

func (d *ScorePlay) check(c *check) {
	c.text("data.competitor", d.Competitor, maxCode, required)
	if d.Delta == nil {
		c.fail("data.delta", "missing; want the number to add, 0 included")
	}
	c.text("data.period", d.Period, maxPeriod, optional)
	c.text("data.action", d.Action, maxCode, optional)
	c.text("data.clock", d.Clock, maxPeriod, optional)
	c.text("data.athlete", d.Athlete, maxName, optional)
	c.totals("data.result", d.Result, maxCode)
	c.totals("data.stats_delta", d.StatsDelta, maxPeriod)
	c.text("data.comment", d.Comment, maxText, optional)
	d.Result, d.StatsDelta = d.Result.sorted(), d.StatsDelta.sorted()
}

func (d *ScoreSet) check(c *check) {
	if len(d.Result) == 0 {
		c.fail("data.result", "missing; want the total of at least one competitor, such as {\"GAU\":2}")
	}
	c.totals("data.result", d.Result, maxCode)
	c.text("data.period", d.Period, maxPeriod, optional)
	c.text("data.reason", d.Reason, maxText, optional)
	c.text("data.comment", d.Comment, maxText, optional)
	d.Result = d.Result.sorted()
}

func (d *ResultSet) check(c *check) {
	c.text("data.competitor", d.Competitor, maxCode, required)
	c.text("data.split", d.Split, maxPeriod, required)
	c.oneOf("data.irm", d.IRM, optional, irms)
	switch {
	case d.Mark == nil && d.IRM == "":
		c.fail("data.mark", "missing; want a mark, or an irm (%s)", strings.Join(irms, ", "))
	case d.Mark != nil && d.IRM != "":
		c.fail("data.irm", "got %s beside a mark; want one of the two", d.IRM)
	}
	c.text("data.category", d.Category, maxCode, optional)
	c.text("data.organisation", d.Organisation, maxCode, optional)
	c.text("data.reason", d.Reason, maxText, optional)
	c.text("data.comment", d.Comment, maxText, optional)
}

func (d *MedalAward) check(c *check) {
	c.text("data.award_id", d.AwardID, maxContestID, required)
	c.oneOf("data.medal", d.Medal, required, medals)
	c.text("data.organisation", d.Organisation, maxCode, required)
	c.text("data.competitor", d.Competitor, maxText, optional)
	c.text("data.sport", d.Sport, maxName, optional)
	c.text("data.event", d.Event, maxName, optional)
	c.text("data.comment", d.Comment, maxText, optional)
}

func (d *MedalRevoke) check(c *check) {
	c.text("data.award_id", d.AwardID, maxContestID, required)
	c.text("data.reason", d.Reason, maxText, required)
	c.text("data.comment", d.Comment, maxText, optional)
}

func (d *EventVoid) check(c *check) {
	c.text("data.voids", d.Voids, maxID, required)
	c.text("data.reason", d.Reason, maxText, required)
	c.text("data.comment", d.Comment, maxText, optional)
}

func (d *Alert) check(c *check) {
	c.text("data.text", d.Text, maxText, required)
	c.text("data.comment", d.Comment, maxText, optional)
}
