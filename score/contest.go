package score

import (
	"slices"
	"strings"
	"time"
)

// Contest is the state of one scored unit: what is folded from its events. Everything a reader sees that can be derived (order,
// ranks, winner) is derived in record.go.
//
// It is stored as the JSON of this struct; the names of the members are part of the snapshot's format.
type Contest struct {
	ID string `json:"id"`
	// About is the last contest.define, without its competitors.
	Definition     ContestDefine `json:"about"`
	ScheduleStatus string        `json:"schedule,omitzero"`
	ResultStatus   string        `json:"status,omitzero"`
	Period         string        `json:"period,omitzero"`
	Clock          string        `json:"clock,omitzero"`
	// Started: RUNNING has been seen. WasOfficial: OFFICIAL has been seen; later statuses do not open the scores again.
	Started     bool         `json:"started,omitzero"`
	WasOfficial bool         `json:"official,omitzero"`
	Competitors []Competitor `json:"competitors,omitzero"`
	// Leaders are the first ten of the furthest split that has a mark (an IRM alone counts where there is no mark at all), and Split names
	// it; Total counts its marks and IRMs. Ranked contests only.
	Leaders []Mark `json:"leaders,omitzero"`
	Split   string `json:"split,omitzero"`
	Total   int    `json:"total,omitzero"`
	// Revision and UpdatedAt are those of the last event that changed the contest.
	Revision  uint64    `json:"rev"`
	UpdatedAt time.Time `json:"at,omitzero"`
}

// Competitor is an entrant with its score in a head_to_head contest.
type Competitor struct {
	Entrant
	Result   Decimal `json:"result,omitzero"`
	Periods  Totals  `json:"periods,omitzero"` // in the order in which they were first played
	Tiebreak Decimal `json:"tiebreak,omitzero"`
	Stats    Totals  `json:"stats,omitzero"`
	// Scored: there was a play or a set. Where the least is best, 0 without a score is not the best.
	Scored bool `json:"scored,omitzero"`
}

// maxPlayed bounds the periods, and the statistics, of one competitor.
const maxPlayed = 256

// NewContest is a contest of which nothing is known yet; a contest.define must be its first event.
func NewContest(id string) *Contest {
	return &Contest{ID: id, ScheduleStatus: "SCHEDULED", ResultStatus: "START_LIST"}
}

// Clone is a copy that shares nothing that Fold changes.
func (c *Contest) Clone() *Contest {
	d := *c
	d.Competitors = slices.Clone(c.Competitors)
	for i := range d.Competitors {
		p := &d.Competitors[i]
		p.Periods, p.Stats = slices.Clone(p.Periods), slices.Clone(p.Stats)
	}
	return &d
}

// LowerIsBetter tells in which direction the contest ranks: by its sort, else by whether it is about time.
func (d *ContestDefine) LowerIsBetter() bool {
	if d.Sort != "" {
		return d.Sort == "asc"
	}
	return d.ResultType == "TIME"
}

// FoldMode is the set of rules by which an event is folded.
type FoldMode uint8

const (
	// Live is for a new event: every rule holds.
	Live FoldMode = iota
	// Replay is for an event that was accepted before another was voided. The totals and statuses that
	// it met then may have changed, so only what it cannot do without is required: the contest and the
	// competitor.
	Replay
)

// Fold changes c by one of its own events. If it returns a problem, it has changed nothing. Events that
// change no contest have no effect. The caller sets the Revision afterwards.
func (c *Contest) Fold(e *Event, marks Marks, mode FoldMode) *Problem {
	var p *Problem
	switch d := e.Data.(type) {
	case *ContestDefine:
		p = c.define(d, marks)
	case *ContestStatus:
		p = c.setStatus(d, mode)
	case *ScorePlay:
		p = c.play(d, mode)
	case *ScoreSet:
		p = c.setTotals(d, mode)
	case *ResultSet:
		p = c.setMark(d, marks, mode)
	case *CompetitionDefine, *MedalAward, *MedalRevoke, *EventVoid, *Alert:
		return nil
	default:
		return Problemf(InvalidEvent, "no rule says what an event of type %s does to a contest", e.Type)
	}
	if p == nil {
		c.Revision, c.UpdatedAt = 0, e.Time
	}
	return p
}

func (c *Contest) define(d *ContestDefine, marks Marks) *Problem {
	if c.Definition.Kind != "" && c.Definition.Kind != d.Kind {
		return conflict("data.kind", "the contest is %s already, and that cannot change", c.Definition.Kind)
	}
	if c.Split != "" && !slices.Equal(c.Definition.AllSplits(), d.AllSplits()) {
		return conflict("data.splits", "the splits are %s already, and there are marks; they cannot change", strings.Join(c.Definition.AllSplits(), ", "))
	}
	if c.Split != "" && c.Definition.LowerIsBetter() != d.LowerIsBetter() {
		return conflict("data.sort", "the direction of the ranking cannot change once there are marks")
	}
	var list []Competitor
	for _, entrant := range d.Competitors {
		n := Competitor{Entrant: entrant}
		if old := c.competitor(entrant.Code); old != nil {
			n = *old
			n.Entrant = entrant
		}
		list = append(list, n)
	}
	keeps := len(c.Competitors) > 0
	for i := range c.Competitors {
		old := &c.Competitors[i]
		if slices.ContainsFunc(d.Competitors, func(e Entrant) bool { return e.Code == old.Code }) {
			continue
		}
		if keeps = false; old.Scored {
			return conflict("data.competitors", "%q is missing from the list but has a score; keep it, or void its events first", old.Code)
		}
	}
	next := Contest{Definition: *d, Competitors: list}
	if c.Split != "" && !keeps {
		if code := next.Unlisted(marks); code != "" {
			return conflict("data.competitors", "%q is missing from the list but has a mark; put it on the list, or void its marks first", code)
		}
	}
	next.Definition.Competitors = nil
	c.Definition, c.Competitors = next.Definition, next.Competitors
	return nil
}

func (c *Contest) setStatus(d *ContestStatus, f FoldMode) *Problem {
	if f == Live && c.Started {
		switch d.ScheduleStatus {
		case "UNSCHEDULED", "SCHEDULED":
			return conflict("data.schedule_status", "the contest has been RUNNING and cannot be %s again; void the event that started it, or use RESCHEDULED", d.ScheduleStatus)
		}
	}
	if d.ScheduleStatus != "" {
		c.ScheduleStatus = d.ScheduleStatus
		c.Started = c.Started || d.ScheduleStatus == Running
	}
	if d.ResultStatus != "" {
		c.ResultStatus = d.ResultStatus
		c.WasOfficial = c.WasOfficial || d.ResultStatus == Official
	}
	if d.Period != "" {
		c.Period = d.Period
	}
	if d.Clock != "" {
		c.Clock = d.Clock
	}
	return nil
}

// open tells whether plays and marks are taken now, and if not, why.
func (c *Contest) open() *Problem {
	switch {
	case c.WasOfficial && c.Definition.Kind == Ranked:
		return conflict("", "the contest is OFFICIAL: marks change only by a result.set with a reason or by an event.void")
	case c.WasOfficial:
		return conflict("", "the contest is OFFICIAL: scores change only by a score.set with a reason or by an event.void")
	case c.ScheduleStatus == Cancelled:
		return conflict("", "the contest is CANCELLED")
	case !c.Started:
		return conflict("", "the contest has not started (schedule_status is %s); post a contest.status with RUNNING first", c.ScheduleStatus)
	}
	return nil
}

func (c *Contest) kind(want, instead string) *Problem {
	if c.Definition.Kind == "" {
		return conflict("contest_id", "the contest %q is not defined; post a contest.define first", c.ID)
	}
	if c.Definition.Kind != want {
		return conflict("type", "the contest is %s; use %s", c.Definition.Kind, instead)
	}
	return nil
}

func (c *Contest) competitor(code string) *Competitor {
	for i := range c.Competitors {
		if c.Competitors[i].Code == code {
			return &c.Competitors[i]
		}
	}
	return nil
}

func (c *Contest) stranger(field, code string) *Problem {
	var codes []string
	for i := range min(len(c.Competitors), 20) {
		codes = append(codes, c.Competitors[i].Code)
	}
	if len(codes) == 0 {
		return fieldProblem(field, "%q does not compete here: the contest has no competitors yet; define it with them", clip(code))
	}
	return fieldProblem(field, "%q does not compete here; want one of %s", clip(code), strings.Join(codes, ", "))
}

func (c *Contest) play(d *ScorePlay, f FoldMode) *Problem {
	if p := c.kind(HeadToHead, string(TypeResultSet)); p != nil {
		return p
	}
	if f == Live {
		if p := c.open(); p != nil {
			return p
		}
	}
	who := c.competitor(d.Competitor)
	if who == nil {
		return c.stranger("data.competitor", d.Competitor)
	}
	period := d.Period
	if period == "" {
		period = c.Period
	}
	tiebreak := slices.Contains(c.Definition.TiebreakPeriods, period)
	was := who.Result
	if tiebreak {
		was = who.Tiebreak
	}
	total, ok := was.Add(*d.Delta)
	if !ok {
		return fieldProblem("data.delta", "%s and %s are more than a score can hold (%s)", was, *d.Delta, MaxDecimal)
	}
	if f == Live {
		if p := c.checkTotals(d.Result, d.Competitor, total, tiebreak); p != nil {
			return p
		}
	}
	periods, p := who.Periods.plus("data.period", Totals{{period, *d.Delta}})
	if p != nil {
		return p
	}
	stats, p := who.Stats.plus("data.stats_delta", d.StatsDelta)
	if p != nil {
		return p
	}
	if tiebreak {
		who.Tiebreak = total
	} else {
		who.Result = total
	}
	if period != "" {
		who.Periods = periods
	}
	who.Stats = stats
	who.Scored = true
	// A late goal that arrives in the break moves the score, not the clock.
	if c.ScheduleStatus == Running {
		if d.Period != "" {
			c.Period = d.Period
		}
		if d.Clock != "" {
			c.Clock = d.Clock
		}
	}
	return nil
}

// plus is a copy of t with every number of delta added.
func (t Totals) plus(field string, delta Totals) (Totals, *Problem) {
	if len(delta) == 0 {
		return t, nil
	}
	sum := slices.Clone(t)
	for _, n := range delta {
		old, _ := sum.Get(n.Code)
		total, ok := old.Add(n.Value)
		if !ok {
			return nil, fieldProblem(field, "%q would be more than a number can hold (%s)", clip(n.Code), MaxDecimal)
		}
		if sum = sum.set(n.Code, total); len(sum) > maxPlayed {
			return nil, fieldProblem(field, "%q is one too many: a competitor has at most %d of them", clip(n.Code), maxPlayed)
		}
	}
	return sum, nil
}

// checkTotals compares the totals a bard gave with those after its play: total for the competitor who played, the present ones for the others.
func (c *Contest) checkTotals(given Totals, played string, total Decimal, tiebreak bool) *Problem {
	for _, n := range given {
		who := c.competitor(n.Code)
		if who == nil {
			return c.stranger("data.result", n.Code)
		}
		have := who.Result
		if tiebreak {
			have = who.Tiebreak
		}
		if n.Code == played {
			have = total
		}
		if have != n.Value {
			p := Problemf(TotalMismatch, "the event says %s for %q, but with this play the store has %s; an event is missing, or one is too many", n.Value, n.Code, have)
			p.Field = "data.result." + n.Code
			return p
		}
	}
	return nil
}

func (c *Contest) setTotals(d *ScoreSet, f FoldMode) *Problem {
	if p := c.kind(HeadToHead, string(TypeResultSet)); p != nil {
		return p
	}
	// With a reason totals may be set at any time: a walk-over has no RUNNING, and a jury may correct what is OFFICIAL.
	if f == Live && d.Reason == "" {
		if p := c.open(); p != nil {
			return p
		}
	}
	tiebreak := slices.Contains(c.Definition.TiebreakPeriods, d.Period)
	competitors := slices.Clone(c.Competitors)
	for _, n := range d.Result {
		i := slices.IndexFunc(competitors, func(w Competitor) bool { return w.Code == n.Code })
		if i < 0 {
			return c.stranger("data.result", n.Code)
		}
		who := &competitors[i]
		total := &who.Result
		if tiebreak {
			total = &who.Tiebreak
		}
		if d.Period != "" {
			var p *Problem
			if who.Periods, p = who.Periods.plus("data.period", Totals{{d.Period, n.Value - *total}}); p != nil {
				return p
			}
		}
		*total = n.Value
		who.Scored = true
	}
	c.Competitors = competitors
	return nil
}

func conflict(field, format string, args ...any) *Problem {
	p := Problemf(StatusConflict, format, args...)
	p.Field = field
	return p
}
