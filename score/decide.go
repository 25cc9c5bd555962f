package score

import "slices"

// Decisions: how a contest was won, or why nobody has won it.
const (
	ByShootOut = "SHOOT_OUT"
	Walkover   = "WALKOVER"
	Awarded    = "AWARDED"
	Drawn      = "DRAWN"
	Abandoned  = "ABANDONED"
)

var (
	decisions = []string{
		"REGULAR", "EXTRA_TIME", ByShootOut, "RETIRED", Walkover, "DISQUALIFIED", Awarded, Drawn, Abandoned, "RULE",
	}
	// wonDecisions need a winner. drawnDecisions have none. The others may have one: both
	// sides can be disqualified.
	wonDecisions   = []string{"REGULAR", "EXTRA_TIME", ByShootOut}
	drawnDecisions = []string{Drawn, Abandoned}
)

// ContestDecide decides who has won a contest, or that nobody has, and why. It changes
// neither the status nor the score. Without a Decision it takes back the one that stands.
type ContestDecide struct {
	Winner   string `json:"winner,omitzero" is:"code"`
	Decision string `json:"decision,omitzero" is:"decision"`
	Reason   string `json:"reason,omitzero" is:"text"` // required once the contest is OFFICIAL
	Comment  string `json:"comment,omitzero" is:"text"`
}

func (*ContestDecide) eventType() Type { return TypeContestDecide }

func checkContestDecide(d *ContestDecide, c *Checker) {
	switch {
	case d.Winner != "" && d.Decision == "":
		c.Fail("data.decision", "missing beside a winner; want how it has won, such as REGULAR or RETIRED")
	case d.Winner != "" && slices.Contains(drawnDecisions, d.Decision):
		c.Fail("data.winner", "got %q beside %s, which nobody wins; leave the winner out", clip(d.Winner), d.Decision)
	case d.Winner == "" && slices.Contains(wonDecisions, d.Decision):
		c.Fail("data.winner", "missing; %s has a winner (if nobody has won, use DRAWN)", d.Decision)
	}
}

// ContestReset begins a contest anew: it is as if it had only been defined. Its
// definition and its medals stay.
type ContestReset struct {
	Reason  string `json:"reason" is:"text"`
	Comment string `json:"comment,omitzero" is:"text"`
}

func (*ContestReset) eventType() Type { return TypeContestReset }

// EndedByReset reports whether earlier events of the type have no effect after a
// contest.reset.
func EndedByReset(t Type) bool {
	switch t {
	case TypeContestStatus, TypeContestDecide, TypeScorePlay, TypeScoreSet, TypeResultSet:
		return true
	}
	return false
}

// decide applies a contest.decide.
func (c *Contest) decide(d *ContestDecide, marks Marks, mode FoldMode) *Problem {
	if c.Definition.Kind == "" {
		return c.undefined()
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
func (c *Contest) checkDecidable(d *ContestDecide) *Problem {
	early := d.Decision == Walkover || d.Decision == Awarded
	switch {
	case c.WasOfficial && d.Reason == "":
		return conflict("data.reason", "missing; the contest is OFFICIAL, and changes only for a reason")
	case d.Decision == "" && c.Decision == "":
		return conflict("data.decision", "missing, which takes a decision back, and there is none")
	case d.Decision == "" || c.Started || early && c.ScheduleStatus != Unscheduled:
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
func (c *Contest) reset(marks Marks) *Problem {
	if c.Definition.Kind == "" {
		return c.undefined()
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

func (c *Contest) undefined() *Problem {
	return conflict("contest_id", "the contest %q is not defined; post a contest.define first", c.ID)
}

// decided returns the winner and the decision as readers see them: what was decided, or
// else what the totals give once the contest is FINISHED. standings are those of the
// record.
func (c *Contest) decided(standings []Standing) (winner, decision string) {
	if c.Decision != "" {
		return c.Winner, c.Decision
	}
	if c.ScheduleStatus != Finished || !c.wasPlayed() || len(standings) == 0 || standings[0].Rank != 1 {
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
		return first.Code, ByShootOut
	}
	return first.Code, ""
}

// wasPlayed reports whether totals can give a winner: one of two sides or more has
// scored, or a mark at the final split stands.
func (c *Contest) wasPlayed() bool {
	if c.Definition.Kind == Ranked {
		return c.Split == c.Definition.FinalSplit() && hasMark(c.Leaders)
	}
	scored := func(w Competitor) bool { return w.Scored }
	return len(c.Competitors) > 1 && slices.ContainsFunc(c.Competitors, scored)
}
