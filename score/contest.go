package score

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Contest is the state of one scored unit, folded from its events. What readers see
// besides (order, ranks, winner) is derived by Record. The store keeps a Contest as
// JSON, so the names of its members are part of the snapshot format.
type Contest struct {
	ID string `json:"id"`
	// Definition is the last contest.define, without its competitors.
	Definition     ContestDefine `json:"about"`
	ScheduleStatus string        `json:"schedule,omitzero"`
	ResultStatus   string        `json:"status,omitzero"`
	Period         string        `json:"period,omitzero"`
	Clock          string        `json:"clock,omitzero"`
	// Started means that the contest has been RUNNING, and WasOfficial that it has been
	// OFFICIAL. No later status reopens an OFFICIAL contest.
	Started     bool         `json:"started,omitzero"`
	WasOfficial bool         `json:"official,omitzero"`
	Competitors []Competitor `json:"competitors,omitzero"`
	// Leaders are the first maxLeaders marks at Split, the furthest split that has a mark
	// (or an IRM, if no split has a mark). Total counts the marks and IRMs there. For
	// ranked contests.
	Leaders []Mark `json:"leaders,omitzero"`
	Split   string `json:"split,omitzero"`
	Total   int    `json:"total,omitzero"`
	// Revision and UpdatedAt are of the last event that changed the contest.
	Revision  uint64    `json:"rev"`
	UpdatedAt time.Time `json:"at,omitzero"`
}

// Competitor is an entrant with its score in a head_to_head contest.
type Competitor struct {
	Entrant
	Result   Decimal `json:"result,omitzero"`
	Periods  Totals  `json:"periods,omitzero"` // in the order of their first play
	Tiebreak Decimal `json:"tiebreak,omitzero"`
	Stats    Totals  `json:"stats,omitzero"`
	// Scored means that the competitor had a play or a set. If lower is better, a
	// competitor that has not scored is not the best with its 0.
	Scored bool `json:"scored,omitzero"`
}

// total returns the score, or the tie-break score.
func (w *Competitor) total(tiebreak bool) *Decimal {
	if tiebreak {
		return &w.Tiebreak
	}
	return &w.Result
}

const (
	// maxPlayed limits the periods, and the statistics, of one competitor.
	maxPlayed = 256
	// maxNumbers limits the periods and statistics of all competitors of a contest
	// together. Every reader and every watcher of the contest gets all of them.
	maxNumbers = 10_000
)

// NewContest returns a contest without a definition. Its first event must be a
// contest.define.
func NewContest(id string) *Contest {
	return &Contest{ID: id, ScheduleStatus: "SCHEDULED", ResultStatus: "START_LIST"}
}

// Clone returns a copy that shares nothing that Fold changes.
func (c *Contest) Clone() *Contest {
	d := *c
	d.Competitors = slices.Clone(c.Competitors)
	for i := range d.Competitors {
		p := &d.Competitors[i]
		p.Periods, p.Stats = slices.Clone(p.Periods), slices.Clone(p.Stats)
	}
	return &d
}

// LowerIsBetter reports whether the lowest result is the best: by Sort, or else by
// ResultType.
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
	// Replay is for an event that was accepted before another was voided. The totals and
	// statuses that it met then may have changed, so only what it cannot do without is
	// required: the contest and the competitor.
	Replay
)

// Fold changes c by one of its own events. If it returns a problem, it has changed
// nothing. Events that change no contest have no effect. The caller sets the Revision
// afterwards.
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
		return Problemf(InvalidEvent, "this version cannot apply events of the type %q", e.Type).At("type")
	}
	if p == nil {
		c.Revision, c.UpdatedAt = 0, e.Time
	}
	return p
}

// define applies a contest.define. A new list may leave out competitors only if they have
// no results.
func (c *Contest) define(d *ContestDefine, marks Marks) *Problem {
	if c.Definition.Kind != "" && c.Definition.Kind != d.Kind {
		return conflict("data.kind", "the contest is already %s, which cannot change", c.Definition.Kind)
	}
	if c.Split != "" && !slices.Equal(c.Definition.AllSplits(), d.AllSplits()) {
		return conflict("data.splits",
			"the splits are %s and cannot change, because there are marks",
			strings.Join(c.Definition.AllSplits(), ", "))
	}
	if c.Split != "" && c.Definition.Direction() != d.Direction() {
		return conflict("data.sort", "the direction of the ranking cannot change once there are marks")
	}
	if p := d.checkUnits(); p != nil {
		return p
	}
	var list []Competitor
	find, listed := c.finder(len(d.Competitors)), make(map[string]bool, len(d.Competitors))
	for _, entrant := range d.Competitors {
		var competitor Competitor
		if old := find.competitor(entrant.Code); old != nil {
			competitor = *old
		}
		competitor.Entrant = entrant
		list = append(list, competitor)
		listed[entrant.Code] = true
	}
	allKept := len(c.Competitors) > 0
	for i := range c.Competitors {
		old := &c.Competitors[i]
		if listed[old.Code] {
			continue
		}
		if allKept = false; old.Scored {
			return conflict("data.competitors",
				"%q is missing from the list but has a score; keep it, or void its events first", old.Code)
		}
	}
	next := Contest{Definition: *d, Competitors: list}
	if c.Split != "" && !allKept {
		if code := next.Unlisted(marks); code != "" {
			return conflict("data.competitors",
				"%q is missing from the list but has a mark; put it on the list, or void its marks first", code)
		}
	}
	next.Definition.Competitors = nil
	c.Definition, c.Competitors = next.Definition, next.Competitors
	return nil
}

func (c *Contest) setStatus(d *ContestStatus, mode FoldMode) *Problem {
	if mode == Live && c.Started {
		switch d.ScheduleStatus {
		case "UNSCHEDULED", "SCHEDULED":
			return conflict("data.schedule_status",
				"the contest has been RUNNING and cannot be %s; void the event that started it, or use RESCHEDULED",
				d.ScheduleStatus)
		}
	}
	c.ScheduleStatus = cmp.Or(d.ScheduleStatus, c.ScheduleStatus)
	c.Started = c.Started || d.ScheduleStatus == Running
	c.ResultStatus = cmp.Or(d.ResultStatus, c.ResultStatus)
	c.WasOfficial = c.WasOfficial || d.ResultStatus == Official
	c.Period = cmp.Or(d.Period, c.Period)
	c.Clock = cmp.Or(d.Clock, c.Clock)
	return nil
}

// checkOpen returns why a contest of the kind does not accept plays and marks now, or
// nil. instead is the type of event for contests of the other kind. An event that was
// accepted before, or has a reason, is accepted at any time: a walk-over is never
// RUNNING, and a jury may correct an OFFICIAL contest.
func (c *Contest) checkOpen(kind string, instead Type, mode FoldMode, reason string) *Problem {
	switch {
	case c.Definition.Kind == "":
		return conflict("contest_id", "the contest %q is not defined; post a contest.define first", c.ID)
	case c.Definition.Kind != kind:
		return conflict("type", "the contest is %s; use %s", c.Definition.Kind, instead)
	case mode != Live || reason != "":
		return nil
	case c.WasOfficial && kind == Ranked:
		return conflict("",
			"the contest is OFFICIAL: marks change only by a result.set with a reason or by an event.void")
	case c.WasOfficial:
		return conflict("",
			"the contest is OFFICIAL: scores change only by a score.set with a reason or by an event.void")
	case c.ScheduleStatus == Cancelled:
		return conflict("", "the contest is CANCELLED")
	case !c.Started:
		return conflict("",
			"the contest has not started (schedule_status is %s); post a contest.status with RUNNING first",
			c.ScheduleStatus)
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

// finder finds competitors by their codes.
type finder struct {
	contest *Contest
	places  map[string]int // nil if a search costs less
}

// finder returns a finder for so many competitors. The work for a long list of codes and
// a long list of competitors is the sum of their lengths, not the product.
func (c *Contest) finder(codes int) finder {
	const few = 8
	f := finder{contest: c}
	if codes > few {
		f.places = make(map[string]int, len(c.Competitors))
		for i := range c.Competitors {
			f.places[c.Competitors[i].Code] = i
		}
	}
	return f
}

func (f finder) competitor(code string) *Competitor {
	if f.places == nil {
		return f.contest.competitor(code)
	}
	if i, ok := f.places[code]; ok {
		return &f.contest.Competitors[i]
	}
	return nil
}

// checkNumbers refuses a live event that would add more periods and statistics than the
// contest may have. A replay can add some: an event without a period counts in another
// one if a status before it was voided.
func (c *Contest) checkNumbers(field string, added int, mode FoldMode) *Problem {
	if added <= 0 || mode != Live {
		return nil
	}
	for i := range c.Competitors {
		added += len(c.Competitors[i].Periods) + len(c.Competitors[i].Stats)
	}
	if added > maxNumbers {
		return Problemf(TooLarge, "the periods and statistics of all competitors would be %d numbers; "+
			"the most of one contest is %d", added, maxNumbers).At(field)
	}
	return nil
}

func (c *Contest) unknownCompetitor(field, code string) *Problem {
	var codes []string
	for i := range min(len(c.Competitors), 20) {
		codes = append(codes, c.Competitors[i].Code)
	}
	if len(codes) == 0 {
		return fieldProblem(field,
			"%q does not compete here: the contest has no competitors yet; define it with them", clip(code))
	}
	return fieldProblem(field,
		"%q does not compete here; want one of %s", clip(code), strings.Join(codes, ", "))
}

func (c *Contest) play(d *ScorePlay, mode FoldMode) *Problem {
	if p := c.checkOpen(HeadToHead, TypeResultSet, mode, ""); p != nil {
		return p
	}
	player := c.competitor(d.Competitor)
	if player == nil {
		return c.unknownCompetitor("data.competitor", d.Competitor)
	}
	period := cmp.Or(d.Period, c.Period)
	tiebreak := slices.Contains(c.Definition.TiebreakPeriods, period)
	total := player.total(tiebreak)
	sum, ok := total.Add(*d.Delta)
	if !ok {
		return fieldProblem("data.delta",
			"%s and %s are more than a score can hold (%s)", *total, *d.Delta, MaxDecimal)
	}
	if mode == Live {
		if p := c.checkTotals(d.Result, d.Competitor, sum, tiebreak); p != nil {
			return p
		}
	}
	periods, p := player.Periods.plus("data.period", Totals{{period, *d.Delta}})
	if p != nil {
		return p
	}
	if period == "" {
		periods = player.Periods
	}
	stats, p := player.Stats.plus("data.stats_delta", d.StatsDelta)
	if p != nil {
		return p
	}
	added := len(periods) - len(player.Periods) + len(stats) - len(player.Stats)
	if p := c.checkNumbers("data", added, mode); p != nil {
		return p
	}
	*total = sum
	player.Periods, player.Stats = periods, stats
	player.Scored = true
	// A goal that is reported late, in the break, changes the score but not the clock.
	if c.ScheduleStatus == Running {
		c.Period = cmp.Or(d.Period, c.Period)
		c.Clock = cmp.Or(d.Clock, c.Clock)
	}
	return nil
}

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
			return nil, fieldProblem(field,
				"%q is one too many: a competitor has at most %d of them", clip(n.Code), maxPlayed)
		}
	}
	return sum, nil
}

// checkTotals compares the totals that a bard gave with those after its play: sum for
// the competitor that played, and the current ones for the others.
func (c *Contest) checkTotals(given Totals, played string, sum Decimal, tiebreak bool) *Problem {
	find := c.finder(len(given))
	for _, n := range given {
		competitor := find.competitor(n.Code)
		if competitor == nil {
			return c.unknownCompetitor("data.result", n.Code)
		}
		have := *competitor.total(tiebreak)
		if n.Code == played {
			have = sum
		}
		if have != n.Value {
			return Problemf(TotalMismatch,
				"the event gives %s for %q, but the store has %s after this play; "+
					"an event is missing, or one is too many",
				n.Value, n.Code, have).At("data.result." + n.Code)
		}
	}
	return nil
}

func (c *Contest) setTotals(d *ScoreSet, mode FoldMode) *Problem {
	if p := c.checkOpen(HeadToHead, TypeResultSet, mode, d.Reason); p != nil {
		return p
	}
	tiebreak := slices.Contains(c.Definition.TiebreakPeriods, d.Period)
	next := Contest{Competitors: slices.Clone(c.Competitors)}
	find, added := next.finder(len(d.Result)), 0
	for _, n := range d.Result {
		competitor := find.competitor(n.Code)
		if competitor == nil {
			return c.unknownCompetitor("data.result", n.Code)
		}
		total := competitor.total(tiebreak)
		if d.Period != "" {
			difference := Totals{{d.Period, n.Value - *total}}
			periods, p := competitor.Periods.plus("data.period", difference)
			if p != nil {
				return p
			}
			added += len(periods) - len(competitor.Periods)
			competitor.Periods = periods
		}
		*total = n.Value
		competitor.Scored = true
	}
	if p := c.checkNumbers("data.result", added, mode); p != nil {
		return p
	}
	c.Competitors = next.Competitors
	return nil
}

func conflict(field, format string, args ...any) *Problem {
	return Problemf(StatusConflict, format, args...).At(field)
}
