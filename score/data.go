package score

import (
	"fmt"
	"strings"
	"time"
)

// Type is the type of an event. It determines the type of its Data.
type Type string

const (
	TypeCompetitionDefine Type = "competition.define"
	TypeContestDefine     Type = "contest.define"
	TypeContestStatus     Type = "contest.status"
	TypeScorePlay         Type = "score.play"
	TypeScoreSet          Type = "score.set"
	TypeResultSet         Type = "result.set"
	TypeMedalAward        Type = "medal.award"
	TypeMedalRevoke       Type = "medal.revoke"
	TypeEventVoid         Type = "event.void"
	TypeAlert             Type = "alert"
)

// dataTypes lists the types with the tables of their data. A new type needs a constant, a
// line here, a struct with its table below, and a case in Contest.Fold. The tests name
// what else was forgotten.
var dataTypes = []struct {
	name Type
	data dataType
}{
	{TypeCompetitionDefine, competitionDefine},
	{TypeContestDefine, contestDefine},
	{TypeContestStatus, contestStatus},
	{TypeScorePlay, scorePlay},
	{TypeScoreSet, scoreSet},
	{TypeResultSet, resultSet},
	{TypeMedalAward, medalAward},
	{TypeMedalRevoke, medalRevoke},
	{TypeEventVoid, eventVoid},
	{TypeAlert, alert},
}

// Types lists all event types.
var Types = func() (list []Type) {
	for _, t := range dataTypes {
		list = append(list, t.name)
	}
	return list
}()

// dataTypeOf returns the table of t, or nil if t is not an event type.
func dataTypeOf(t Type) dataType {
	for i := range dataTypes {
		if dataTypes[i].name == t {
			return dataTypes[i].data
		}
	}
	return nil
}

// Data is the part of an event that depends on its type: one of the structs below. Each
// struct is followed by its table, which lists the members in the order of the struct.
type Data interface {
	kind() dataType
}

// Limits of the strings and lists in an event. Strings are counted in bytes.
const (
	MaxID        = 128
	MaxContestID = 256
	maxCode      = 128
	maxPeriod    = 32
	maxName      = 512
	maxText      = 4096
	maxEntrants  = 1000
	maxList      = 256
)

const (
	required = true
	optional = false
)

// Kinds of contest.
const (
	HeadToHead = "head_to_head"
	Ranked     = "ranked"
)

// Statuses that have rules of their own.
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

var (
	kinds            = []string{HeadToHead, Ranked}
	resultTypes      = []string{"POINTS", "TIME", "DISTANCE"}
	sorts            = []string{"asc", "desc"}
	entrantTypes     = []string{"A", "T"}
	irms             = []string{"DNF", "DNS", "DSQ"}
	medals           = []string{Gold, Silver, Bronze}
	scheduleStatuses = []string{
		"UNSCHEDULED", "SCHEDULED", "GETTING_READY", Running, "SCHEDULED_BREAK", "DELAYED",
		"INTERRUPTED", "POSTPONED", "RESCHEDULED", Cancelled, Finished,
	}
	resultStatuses = []string{
		"START_LIST", "LIVE", "INTERMEDIATE", "UNCONFIRMED", "UNOFFICIAL", Official, "PARTIAL",
		"PROTESTED", "PROVISIONAL",
	}
)

// CompetitionDefine names a competition. Neutral organisations are not ranked in the
// medal table.
type CompetitionDefine struct {
	Name    string   `json:"name,omitzero"`
	Neutral []string `json:"neutral,omitzero"`
	Comment string   `json:"comment,omitzero"`
}

func (*CompetitionDefine) kind() dataType { return competitionDefine }

var competitionDefine = newTable[CompetitionDefine](nil,
	text("name", optional, maxName, func(d *CompetitionDefine) *string { return &d.Name }),
	other("neutral", func(d *CompetitionDefine, c *Checker) { c.Names("data.neutral", d.Neutral, maxCode) }),
	text("comment", optional, maxText, func(d *CompetitionDefine) *string { return &d.Comment }),
)

// ContestDefine creates a contest or replaces its definition. Results stay.
type ContestDefine struct {
	Kind            string    `json:"kind"` // HeadToHead or Ranked
	Sport           string    `json:"sport"`
	Competition     string    `json:"competition,omitzero"`
	CompetitionName string    `json:"competition_name,omitzero"`
	Title           string    `json:"title,omitzero"`
	Discipline      string    `json:"discipline,omitzero"`
	Event           string    `json:"event,omitzero"`
	Phase           string    `json:"phase,omitzero"`
	Group           string    `json:"group,omitzero"`
	Gender          string    `json:"gender,omitzero"`
	Venue           string    `json:"venue,omitzero"`
	StartTime       time.Time `json:"start_time,omitzero"`
	MedalEvent      int       `json:"medal_event,omitzero"`
	ResultType      string    `json:"result_type,omitzero"` // POINTS, TIME or DISTANCE
	Unit            string    `json:"unit,omitzero"`
	Sort            string    `json:"sort,omitzero"` // asc or desc: which end is best
	Splits          []string  `json:"splits,omitzero"`
	TiebreakPeriods []string  `json:"tiebreak_periods,omitzero"`
	Competitors     []Entrant `json:"competitors,omitzero"`
	Comment         string    `json:"comment,omitzero"`
}

func (*ContestDefine) kind() dataType { return contestDefine }

var contestDefine = newTable[ContestDefine](checkContestDefine,
	choice("kind", required, kinds, func(d *ContestDefine) *string { return &d.Kind }),
	text("sport", required, maxName, func(d *ContestDefine) *string { return &d.Sport }),
	text("competition", optional, maxName, func(d *ContestDefine) *string { return &d.Competition }),
	text("competition_name", optional, maxName, func(d *ContestDefine) *string { return &d.CompetitionName }),
	text("title", optional, maxName, func(d *ContestDefine) *string { return &d.Title }),
	text("discipline", optional, maxName, func(d *ContestDefine) *string { return &d.Discipline }),
	text("event", optional, maxName, func(d *ContestDefine) *string { return &d.Event }),
	text("phase", optional, maxName, func(d *ContestDefine) *string { return &d.Phase }),
	text("group", optional, maxName, func(d *ContestDefine) *string { return &d.Group }),
	text("gender", optional, maxName, func(d *ContestDefine) *string { return &d.Gender }),
	text("venue", optional, maxName, func(d *ContestDefine) *string { return &d.Venue }),
	other("start_time", func(d *ContestDefine, c *Checker) {
		if !d.StartTime.IsZero() {
			c.Time("data.start_time", d.StartTime)
		}
	}),
	other("medal_event", func(d *ContestDefine, c *Checker) {
		if d.MedalEvent < 0 || d.MedalEvent > 9 {
			c.Fail("data.medal_event", "got %d; want 0 to 9", d.MedalEvent)
		}
	}),
	choice("result_type", optional, resultTypes, func(d *ContestDefine) *string { return &d.ResultType }),
	text("unit", optional, maxName, func(d *ContestDefine) *string { return &d.Unit }),
	choice("sort", optional, sorts, func(d *ContestDefine) *string { return &d.Sort }),
	other("splits", func(d *ContestDefine, c *Checker) { c.Names("data.splits", d.Splits, maxPeriod) }),
	other("tiebreak_periods", func(d *ContestDefine, c *Checker) {
		c.Names("data.tiebreak_periods", d.TiebreakPeriods, maxPeriod)
	}),
	other("competitors", func(d *ContestDefine, c *Checker) { checkEntrants(c, d.Competitors) }),
	text("comment", optional, maxText, func(d *ContestDefine) *string { return &d.Comment }),
)

func checkContestDefine(d *ContestDefine, c *Checker) {
	if len(d.Splits) > 0 && d.Kind == HeadToHead {
		c.Fail("data.splits", "only a ranked contest has splits")
	}
	if len(d.TiebreakPeriods) > 0 && d.Kind == Ranked {
		c.Fail("data.tiebreak_periods", "only a head_to_head contest has tie-break periods")
	}
}

// Entrant is one competitor in the list of a contest.define.
type Entrant struct {
	Code         string `json:"code"`
	Name         string `json:"name,omitzero"`
	Organisation string `json:"organisation,omitzero"`
	Type         string `json:"type,omitzero"` // A (athlete) or T (team)
	Order        int    `json:"order,omitzero"`
}

func checkEntrants(c *Checker, list []Entrant) {
	if len(list) > maxEntrants {
		c.Fail("data.competitors",
			"has %d members; the most is %d (leave the list out, and a competitor's first mark adds it)",
			len(list), maxEntrants)
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
			c.Fail(field+"code", "%q is listed twice", clip(e.Code))
		}
		seen[e.Code] = true
	}
}

// ContestStatus changes the status, the period or the clock of a contest.
type ContestStatus struct {
	ScheduleStatus string `json:"schedule_status,omitzero"`
	ResultStatus   string `json:"result_status,omitzero"`
	Period         string `json:"period,omitzero"`
	Clock          string `json:"clock,omitzero"`
	Comment        string `json:"comment,omitzero"`
}

func (*ContestStatus) kind() dataType { return contestStatus }

var contestStatus = newTable(checkContestStatus,
	choice("schedule_status", optional, scheduleStatuses, func(d *ContestStatus) *string { return &d.ScheduleStatus }),
	choice("result_status", optional, resultStatuses, func(d *ContestStatus) *string { return &d.ResultStatus }),
	text("period", optional, maxPeriod, func(d *ContestStatus) *string { return &d.Period }),
	text("clock", optional, maxPeriod, func(d *ContestStatus) *string { return &d.Clock }),
	text("comment", optional, maxText, func(d *ContestStatus) *string { return &d.Comment }),
)

func checkContestStatus(d *ContestStatus, c *Checker) {
	if d.ScheduleStatus == "" && d.ResultStatus == "" && d.Period == "" && d.Clock == "" {
		c.Fail("data", "changes nothing; want at least one of schedule_status, result_status, period, clock")
	}
}

// ScorePlay adds Delta to a competitor's score, or to its tie-break score in a tie-break
// period. If Result is given, it must be equal to the totals afterwards.
type ScorePlay struct {
	Competitor string   `json:"competitor"`
	Delta      *Decimal `json:"delta"`
	Period     string   `json:"period,omitzero"` // by default the contest's current period
	Action     string   `json:"action,omitzero"`
	Clock      string   `json:"clock,omitzero"`
	Athlete    string   `json:"athlete,omitzero"`
	Result     Totals   `json:"result,omitzero"`
	StatsDelta Totals   `json:"stats_delta,omitzero"`
	Comment    string   `json:"comment,omitzero"`
}

func (*ScorePlay) kind() dataType { return scorePlay }

var scorePlay = newTable[ScorePlay](nil,
	text("competitor", required, maxCode, func(d *ScorePlay) *string { return &d.Competitor }),
	number("delta", required, func(d *ScorePlay) **Decimal { return &d.Delta }),
	text("period", optional, maxPeriod, func(d *ScorePlay) *string { return &d.Period }),
	text("action", optional, maxCode, func(d *ScorePlay) *string { return &d.Action }),
	text("clock", optional, maxPeriod, func(d *ScorePlay) *string { return &d.Clock }),
	text("athlete", optional, maxName, func(d *ScorePlay) *string { return &d.Athlete }),
	totals("result", optional, maxCode, func(d *ScorePlay) *Totals { return &d.Result }),
	totals("stats_delta", optional, maxPeriod, func(d *ScorePlay) *Totals { return &d.StatsDelta }),
	text("comment", optional, maxText, func(d *ScorePlay) *string { return &d.Comment }),
)

// ScoreSet sets totals.
type ScoreSet struct {
	Result  Totals `json:"result"`
	Period  string `json:"period,omitzero"`
	Reason  string `json:"reason,omitzero"` // if given, the event is accepted at any time
	Comment string `json:"comment,omitzero"`
}

func (*ScoreSet) kind() dataType { return scoreSet }

var scoreSet = newTable[ScoreSet](nil,
	totals("result", required, maxCode, func(d *ScoreSet) *Totals { return &d.Result }),
	text("period", optional, maxPeriod, func(d *ScoreSet) *string { return &d.Period }),
	text("reason", optional, maxText, func(d *ScoreSet) *string { return &d.Reason }),
	text("comment", optional, maxText, func(d *ScoreSet) *string { return &d.Comment }),
)

// ResultSet records a mark at a split of a ranked contest, or an invalid result mark
// (IRM: DNF, DNS or DSQ) if there is no mark.
type ResultSet struct {
	Competitor   string   `json:"competitor"`
	Split        string   `json:"split"`
	Mark         *Decimal `json:"mark,omitzero"`
	IRM          string   `json:"irm,omitzero"`
	Category     string   `json:"category,omitzero"`
	Organisation string   `json:"organisation,omitzero"`
	Reason       string   `json:"reason,omitzero"` // if given, the event is accepted at any time
	Comment      string   `json:"comment,omitzero"`
}

func (*ResultSet) kind() dataType { return resultSet }

var resultSet = newTable(checkResultSet,
	text("competitor", required, maxCode, func(d *ResultSet) *string { return &d.Competitor }),
	text("split", required, maxPeriod, func(d *ResultSet) *string { return &d.Split }),
	number("mark", optional, func(d *ResultSet) **Decimal { return &d.Mark }),
	choice("irm", optional, irms, func(d *ResultSet) *string { return &d.IRM }),
	text("category", optional, maxCode, func(d *ResultSet) *string { return &d.Category }),
	text("organisation", optional, maxCode, func(d *ResultSet) *string { return &d.Organisation }),
	text("reason", optional, maxText, func(d *ResultSet) *string { return &d.Reason }),
	text("comment", optional, maxText, func(d *ResultSet) *string { return &d.Comment }),
)

func checkResultSet(d *ResultSet, c *Checker) {
	switch {
	case d.Mark == nil && d.IRM == "":
		c.Fail("data.mark", "missing; want a mark, or an irm (%s)", strings.Join(irms, ", "))
	case d.Mark != nil && d.IRM != "":
		c.Fail("data.irm", "got %s beside a mark; want one of the two", d.IRM)
	}
}

// MedalAward awards a medal. The award's id is unique in its competition.
type MedalAward struct {
	AwardID      string `json:"award_id"`
	Medal        string `json:"medal"` // GOLD, SILVER or BRONZE
	Organisation string `json:"organisation"`
	Competitor   string `json:"competitor,omitzero"`
	Sport        string `json:"sport,omitzero"`
	Event        string `json:"event,omitzero"`
	Comment      string `json:"comment,omitzero"`
}

func (*MedalAward) kind() dataType { return medalAward }

var medalAward = newTable[MedalAward](nil,
	text("award_id", required, MaxContestID, func(d *MedalAward) *string { return &d.AwardID }),
	choice("medal", required, medals, func(d *MedalAward) *string { return &d.Medal }),
	text("organisation", required, maxCode, func(d *MedalAward) *string { return &d.Organisation }),
	text("competitor", optional, maxText, func(d *MedalAward) *string { return &d.Competitor }),
	text("sport", optional, maxName, func(d *MedalAward) *string { return &d.Sport }),
	text("event", optional, maxName, func(d *MedalAward) *string { return &d.Event }),
	text("comment", optional, maxText, func(d *MedalAward) *string { return &d.Comment }),
)

// MedalRevoke revokes an award.
type MedalRevoke struct {
	AwardID string `json:"award_id"`
	Reason  string `json:"reason"`
	Comment string `json:"comment,omitzero"`
}

func (*MedalRevoke) kind() dataType { return medalRevoke }

var medalRevoke = newTable[MedalRevoke](nil,
	text("award_id", required, MaxContestID, func(d *MedalRevoke) *string { return &d.AwardID }),
	text("reason", required, maxText, func(d *MedalRevoke) *string { return &d.Reason }),
	text("comment", optional, maxText, func(d *MedalRevoke) *string { return &d.Comment }),
)

// EventVoid undoes the event whose id is Voids.
type EventVoid struct {
	Voids   string `json:"voids"`
	Reason  string `json:"reason"`
	Comment string `json:"comment,omitzero"`
}

func (*EventVoid) kind() dataType { return eventVoid }

var eventVoid = newTable[EventVoid](nil,
	text("voids", required, MaxID, func(d *EventVoid) *string { return &d.Voids }),
	text("reason", required, maxText, func(d *EventVoid) *string { return &d.Reason }),
	text("comment", optional, maxText, func(d *EventVoid) *string { return &d.Comment }),
)

// Alert adds a line of text to the timeline.
type Alert struct {
	Text    string `json:"text"`
	Comment string `json:"comment,omitzero"`
}

func (*Alert) kind() dataType { return alert }

var alert = newTable[Alert](nil,
	text("text", required, maxText, func(d *Alert) *string { return &d.Text }),
	text("comment", optional, maxText, func(d *Alert) *string { return &d.Comment }),
)
