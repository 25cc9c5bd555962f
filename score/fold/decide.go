package fold

import (
	"slices"

	"laurel/score"
)

// decide applies a contest.decide.
func (c *Contest) decide(d *score.ContestDecide, marks Marks, mode Mode) *score.Problem {
	if c.Definition.Kind == "" {
		return Undefined(c.ID)
	}
	if mode == Live {
		if p := c.checkDecidable(d); p != nil {
			return p
		}
	}
	if d.Winner != "" && !c.competes(d.Winner, marks) {
		return c.unknownCompetitor("data.winner", d.Winner)
	}
	c.Winner, c.Decision = d.Winner, d.Decision
	return nil
}

// checkDecidable returns why the contest accepts no such decision now, or nil.
func (c *Contest) checkDecidable(d *score.ContestDecide) *score.Problem {
	early := d.Decision == score.Walkover || d.Decision == score.Awarded
	switch {
	case c.WasOfficial && d.Reason == "":
		return conflict("data.reason", "missing; the contest is OFFICIAL, and changes only for a reason")
	case d.Decision == "" && c.Decision == "":
		return conflict("data.decision", "missing, which takes a decision back, and there is none")
	case d.Decision == "" || c.Started || early && c.ScheduleStatus != score.Unscheduled:
		return nil
	case early:
		return conflict("",
			"the contest is UNSCHEDULED; post a contest.status with SCHEDULED first")
	}
	return conflict("",
		"the contest has not started (schedule_status is %s), and before that only WALKOVER and AWARDED are accepted; "+
			"post a contest.status with RUNNING first", c.ScheduleStatus)
}

// reset applies a contest.reset.
func (c *Contest) reset(marks Marks) *score.Problem {
	if c.Definition.Kind == "" {
		return Undefined(c.ID)
	}
	next := NewContest(c.ID)
	next.Definition, next.Entered, next.Entrants = c.Definition, c.Entered, c.Entrants
	next.Corrected = c.Corrected
	for i := range c.Competitors {
		w := &c.Competitors[i]
		next.Competitors = append(next.Competitors, Competitor{Entrant: w.Entrant, Amended: w.Amended})
	}
	*c = *next
	marks.Clear()
	return nil
}

// Undefined returns the problem of an event for a contest that is not defined.
func Undefined(contestID string) *score.Problem {
	return score.Problemf(score.NotFound, "the contest %q is not defined; post a contest.define first", contestID).
		At("contest_id")
}

// decided returns the winner and the decision as readers see them: what was decided, or
// else what the totals give once the contest is FINISHED. standings are those of the
// record.
func (c *Contest) decided(standings []score.Standing) (winner, decision string) {
	if c.Decision != "" {
		return c.Winner, c.Decision
	}
	if c.ScheduleStatus != score.Finished || !c.wasPlayed() || len(standings) == 0 || standings[0].Rank != 1 {
		return "", ""
	}
	first := &standings[0]
	if len(standings) == 1 {
		return first.Code, ""
	}
	second := &standings[1]
	switch {
	case second.Rank == 1:
		return "", ""
	case first.Tiebreak != second.Tiebreak && *first.Result == *second.Result:
		return first.Code, score.ByShootOut
	}
	return first.Code, ""
}

// wasPlayed reports whether totals can give a winner: one of two sides or more has
// scored, or a mark at the final split stands.
func (c *Contest) wasPlayed() bool {
	if c.Definition.Kind == score.Ranked {
		return c.Split == c.Definition.FinalSplit() && hasMark(c.Leaders)
	}
	scored := func(w Competitor) bool { return w.Scored }
	return len(c.Competitors) > 1 && slices.ContainsFunc(c.Competitors, scored)
}
