package fold

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/quote"
	"laurel/score/ranking"
)

// Contest is the state of one scored unit, folded from its events. What readers see
// besides (order, ranks, winner) is derived by Record. The store keeps a Contest as
// JSON, so the names of its members are part of the snapshot format.
type Contest struct {
	ID             string     `json:"id"`
	Definition     Definition `json:"about"`
	ScheduleStatus string     `json:"schedule,omitzero"`
	ResultStatus   string     `json:"status,omitzero"`
	Period         string     `json:"period,omitzero"`
	Clock          string     `json:"clock,omitzero"`
	// Periods are those that have begun, in order, with the tie-break periods.
	Periods []string `json:"periods,omitzero"`
	// Corrected is the revision of the last definition, or void of one, that has changed
	// what the plays and marks that there were amount to. Those may be from before a reset.
	Corrected uint64 `json:"corrected,omitzero"`
	// Started means that the contest has been RUNNING, and WasOfficial that it has been
	// OFFICIAL and was not reopened since.
	Started     bool `json:"started,omitzero"`
	WasOfficial bool `json:"official,omitzero"`
	// Winner and Decision are of the last contest.decide; "" if the totals decide.
	Winner   string `json:"winner,omitzero"`
	Decision string `json:"decision,omitzero"`
	// ResetRevision is that of the last contest.reset. No earlier event counts, but the
	// definitions and medals. The caller of Fold sets it.
	ResetRevision uint64       `json:"reset,omitzero"`
	Competitors   []Competitor `json:"competitors,omitzero"`
	// Leaders are the first MaxLeaders marks at Split, the furthest split that has a mark
	// (or an IRM, if no split has a mark). Total counts the marks and IRMs there. For
	// ranked contests.
	Leaders []ranking.Mark `json:"leaders,omitzero"`
	Split   string         `json:"split,omitzero"`
	Total   int            `json:"total,omitzero"`
	// Entered counts the competitors that competitor.defines have named in a ranked contest,
	// and Entrants are the first MaxLeaders of them on the start list. In a head_to_head
	// contest, which has them among its Competitors, Entered counts the events.
	Entered  int             `json:"entered,omitzero"`
	Entrants []score.Entrant `json:"entrants,omitzero"`
	// Revision and UpdatedAt are of the last event that changed the contest.
	Revision  uint64    `json:"rev"`
	UpdatedAt time.Time `json:"at,omitzero"`
}

// Competitor is an entrant with its score in a head_to_head contest.
type Competitor struct {
	score.Entrant
	// Amended is what competitor.defines have changed of a listed competitor of a ranked
	// contest.
	Amended score.Entrant `json:"amended,omitzero"`
	Result  mark.Decimal  `json:"result,omitzero"`
	// Points are those in each of the contest's Periods; it may be shorter. Adjustment is
	// the part of Result that is in no period.
	Points     []mark.Decimal `json:"points,omitzero"`
	Adjustment mark.Decimal   `json:"adjustment,omitzero"`
	Tiebreak   mark.Decimal   `json:"tiebreak,omitzero"`
	Stats      score.Totals   `json:"stats,omitzero"`
	// Scored means that the competitor had a play or a set. If lower is better, a
	// competitor that has not scored is not the best with its 0.
	Scored bool `json:"scored,omitzero"`
}

// total returns the score, or the tie-break score.
func (w *Competitor) total(tiebreak bool) *mark.Decimal {
	if tiebreak {
		return &w.Tiebreak
	}
	return &w.Result
}

const (
	// maxPlayed limits the periods of a contest, and the statistics of one competitor.
	maxPlayed = 256
	// maxNumbers limits the points in periods and the statistics of all competitors of a
	// contest together. Every reader and every watcher of the contest gets all of them.
	maxNumbers = 10_000
)

// NewContest returns a contest without a definition. Its first event must be a
// contest.define.
func NewContest(id string) *Contest {
	return &Contest{ID: id, ScheduleStatus: score.Scheduled, ResultStatus: score.StartList}
}

// Clone returns a copy that shares nothing that Fold changes.
func (c *Contest) Clone() *Contest {
	d := *c
	d.Periods = slices.Clone(c.Periods)
	d.Competitors = slices.Clone(c.Competitors)
	for i := range d.Competitors {
		p := &d.Competitors[i]
		p.Points, p.Stats = slices.Clone(p.Points), slices.Clone(p.Stats)
	}
	return &d
}

// Mode is the set of rules by which an event is folded.
type Mode uint8

const (
	// Live is for a new event: every rule holds.
	Live Mode = iota
	// Replay is for an event that was accepted before another was voided. The totals and
	// statuses that it met then may have changed, so only what it cannot do without is
	// required: the contest and the competitor.
	Replay
)

// Fold changes c by one of its own events. If it returns a problem, it has changed
// nothing. Events that change no contest have no effect. The caller sets the Revision
// afterwards, and after a contest.reset the ResetRevision.
func (c *Contest) Fold(e *score.Event, marks Marks, mode Mode) *score.Problem {
	var p *score.Problem
	switch d := e.Data.(type) {
	case *score.ContestDefine:
		p = c.define(d, marks, mode)
	case *score.CompetitorDefine:
		p = c.enter(d, marks, mode)
	case *score.ContestStatus:
		p = c.setStatus(d, mode)
	case *score.ContestDecide:
		p = c.decide(d, marks, mode)
	case *score.ContestReset:
		p = c.reset(marks)
	case *score.ScorePlay:
		p = c.play(d, mode)
	case *score.ScoreSet:
		p = c.setTotals(d, mode)
	case *score.ResultSet:
		p = c.setMark(d, marks, mode)
	case *score.CompetitionDefine, *score.MedalAward, *score.MedalRevoke, *score.EventVoid, *score.Alert:
		return nil
	default:
		return score.Problemf(score.InvalidEvent, "this version cannot apply events of the type %q", e.Type).At("type")
	}
	if p == nil {
		c.Revision, c.UpdatedAt = 0, e.Time
	}
	return p
}

func (c *Contest) setStatus(d *score.ContestStatus, mode Mode) *score.Problem {
	if mode == Live {
		if p := c.checkStatus(d); p != nil {
			return p
		}
	}
	result := cmp.Or(d.ResultStatus, c.ResultStatus)
	if c.WasOfficial && reopens(d) {
		c.WasOfficial = false
		switch {
		case result != score.Official:
		case d.ScheduleStatus == score.Running:
			result = cmp.Or(d.ResultStatus, score.InProgress)
		default:
			result = cmp.Or(d.ResultStatus, score.Unofficial)
		}
	}
	period := c.beginsWith(d)
	if p := c.checkPeriod(period, 0, mode); p != nil {
		return p
	}
	c.begin(period)
	c.ScheduleStatus = cmp.Or(d.ScheduleStatus, c.ScheduleStatus)
	c.Started = c.Started || d.ScheduleStatus == score.Running
	c.ResultStatus = result
	c.WasOfficial = c.WasOfficial || d.ResultStatus == score.Official
	c.moveTo(d.Period, d.Clock)
	return nil
}

// playedIn sets the present period and clock by a play or set. What is reported late, in the
// break or for an earlier period, changes the score only.
func (c *Contest) playedIn(period, clock string) {
	if c.ScheduleStatus == score.Running && (period == "" || !c.isEarlier(period)) {
		c.moveTo(period, clock)
	}
}

// moveTo sets the present period and clock, which stay if an event has none. The clock of
// one period is not that of another.
func (c *Contest) moveTo(period, clock string) {
	if c.Period != "" && period != "" && period != c.Period {
		c.Clock = ""
	}
	c.Period, c.Clock = cmp.Or(period, c.Period), cmp.Or(clock, c.Clock)
}

// beginsWith returns the period of a head_to_head contest that begins with a status, if
// it has not begun before; "" if none does. A period that was named before the start
// begins with it.
func (c *Contest) beginsWith(d *score.ContestStatus) string {
	switch {
	case c.Definition.Kind != score.HeadToHead || cmp.Or(d.ScheduleStatus, c.ScheduleStatus) != score.Running:
		return ""
	case c.Started:
		return d.Period
	}
	return cmp.Or(d.Period, c.Period)
}

// reopens reports whether a status shows that a contest is not over.
func reopens(d *score.ContestStatus) bool {
	switch d.ResultStatus {
	case score.StartList, score.InProgress, "INTERMEDIATE", "PARTIAL":
		return true
	}
	return d.ScheduleStatus != "" && d.ScheduleStatus != score.Finished
}

// checkStatus returns why the contest accepts no such status now, or nil.
func (c *Contest) checkStatus(d *score.ContestStatus) *score.Problem {
	if c.Started && (d.ScheduleStatus == score.Unscheduled || d.ScheduleStatus == score.Scheduled) {
		return conflict("data.schedule_status",
			"the contest has been RUNNING and cannot be %s; void the event that started it, post a contest.reset, "+
				"or use RESCHEDULED", d.ScheduleStatus)
	}
	if c.WasOfficial && reopens(d) && d.Reason == "" {
		return conflict("data.reason", "missing; the contest is OFFICIAL, and %s opens it again only for a reason",
			cmp.Or(d.ScheduleStatus, d.ResultStatus))
	}
	return nil
}

// checkOpen returns why a contest of the kind does not accept plays and marks now, or
// nil. instead is the type of event for contests of the other kind. An event that was
// accepted before, or has a reason, is accepted at any time: a walk-over is never
// RUNNING, and a jury may correct an OFFICIAL contest.
func (c *Contest) checkOpen(kind string, instead score.Type, mode Mode, reason string) *score.Problem {
	switch {
	case c.Definition.Kind == "":
		return Undefined(c.ID)
	case c.Definition.Kind != kind:
		return conflict("type", "the contest is %s; use %s", c.Definition.Kind, instead)
	case mode != Live || reason != "":
		return nil
	case c.WasOfficial && kind == score.Ranked:
		return conflict("",
			"the contest is OFFICIAL: marks change only by a result.set with a reason or by an event.void")
	case c.WasOfficial:
		return conflict("",
			"the contest is OFFICIAL: scores change only by a score.set with a reason or by an event.void")
	case c.ScheduleStatus == score.Postponed, c.ScheduleStatus == score.Rescheduled,
		c.ScheduleStatus == score.Cancelled:
		return conflict("",
			"the contest is %s and takes no plays and marks; post a contest.status with RUNNING first",
			c.ScheduleStatus)
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

// checkNumbers refuses a live event that would add more points in periods and statistics
// than the contest may have. A replay can add some: an event without a period counts in
// another one if a status before it was voided.
func (c *Contest) checkNumbers(added int, mode Mode) *score.Problem {
	if added <= 0 || mode != Live {
		return nil
	}
	for i := range c.Competitors {
		added += len(c.Periods) + len(c.Competitors[i].Stats)
	}
	if added > maxNumbers {
		return score.Problemf(score.TooLarge, "the periods and statistics of all competitors would be %d numbers; "+
			"the most of one contest is %d", added, maxNumbers).At("data")
	}
	return nil
}

func (c *Contest) unknownCompetitor(field, code string) *score.Problem {
	const most = 20
	var codes []string
	for i := range min(len(c.Competitors), most) {
		codes = append(codes, c.Competitors[i].Code)
	}
	more := ""
	if n := c.startListLen() - len(codes); n > 0 {
		more = fmt.Sprintf(" or of %d more; competitor.define adds a competitor", n)
	}
	if len(codes) == 0 {
		return invalid(field,
			"%q does not compete here: the contest has no competitors yet; define it with them", quote.Clip(code))
	}
	shown := strconv.Quote(quote.Clip(code))
	if exact := strconv.QuoteToASCII(quote.Clip(code)); exact != shown { // it may look like one of the list
		shown += " (" + exact + ")"
	}
	return invalid(field, "%s does not compete here; want one of %s%s", shown, strings.Join(codes, ", "), more)
}

func (c *Contest) play(d *score.ScorePlay, mode Mode) *score.Problem {
	if p := c.checkOpen(score.HeadToHead, score.TypeResultSet, mode, ""); p != nil {
		return p
	}
	player := c.competitor(d.Competitor)
	if player == nil {
		return c.unknownCompetitor("data.competitor", d.Competitor)
	}
	period := cmp.Or(d.Period, c.currentPeriod())
	tiebreak := c.isTiebreak(period)
	total := player.total(tiebreak)
	sum, ok := total.Add(*d.Delta)
	if !ok {
		return invalid("data.delta",
			"%s and %s are more than a score can hold (%s)", *total, *d.Delta, mark.MaxDecimal)
	}
	if mode == Live {
		if p := c.checkTotals(d.Result, d.Competitor, sum, tiebreak); p != nil {
			return p
		}
	}
	points, p := c.addPoints(player, period, *d.Delta)
	if p != nil {
		return p
	}
	stats, p := plus(player.Stats, "data.stats_delta", d.StatsDelta)
	if p != nil {
		return p
	}
	if p := c.checkPeriod(period, len(stats)-len(player.Stats), mode); p != nil {
		return p
	}
	c.playedIn(d.Period, d.Clock)
	*total, player.Stats = sum, stats
	player.setPoints(c.begin(period), points)
	player.Scored = true
	return nil
}

// checkTotals compares the totals that a bard gave with those after its play: sum for
// the competitor that played, and the current ones for the others.
func (c *Contest) checkTotals(given score.Totals, played string, sum mark.Decimal, tiebreak bool) *score.Problem {
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
			return score.Problemf(score.TotalMismatch,
				"the event gives %s for %q, but the store has %s after this play; "+
					"an event is missing, or one is too many",
				n.Value, n.Code, have).At("data.result." + n.Code)
		}
	}
	return nil
}

func (c *Contest) setTotals(d *score.ScoreSet, mode Mode) *score.Problem {
	if p := c.checkOpen(score.HeadToHead, score.TypeResultSet, mode, d.Reason); p != nil {
		return p
	}
	tiebreak := c.isTiebreak(d.Period)
	find := c.finder(len(d.Result))
	points := make([]mark.Decimal, len(d.Result))
	for i, n := range d.Result {
		competitor := find.competitor(n.Code)
		if competitor == nil {
			return c.unknownCompetitor("data.result", n.Code)
		}
		var p *score.Problem
		if points[i], p = c.addPoints(competitor, d.Period, n.Value-*competitor.total(tiebreak)); p != nil {
			return p
		}
		if d.Period != "" || d.Adjustment || mode != Live {
			continue
		}
		if p := c.checkSum(competitor, n.Value, points[i]); p != nil {
			return p
		}
	}
	if p := c.checkPeriod(d.Period, 0, mode); p != nil {
		return p
	}
	c.playedIn(d.Period, "")
	at := c.begin(d.Period)
	for i, n := range d.Result {
		competitor := find.competitor(n.Code)
		*competitor.total(tiebreak) = n.Value
		competitor.setPoints(at, points[i])
		competitor.Scored = true
	}
	return nil
}

func invalid(field, format string, args ...any) *score.Problem {
	return score.Problemf(score.InvalidEvent, format, args...).At(field)
}

func conflict(field, format string, args ...any) *score.Problem {
	return score.Problemf(score.StatusConflict, format, args...).At(field)
}
