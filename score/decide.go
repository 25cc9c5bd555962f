package score

import (
	"slices"

	"laurel/score/quote"
)

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
		c.Fail("data.winner", "got %q beside %s, which nobody wins; leave the winner out",
			quote.Clip(d.Winner), d.Decision)
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
