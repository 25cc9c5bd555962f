package score

import (
	"fmt"
	"strings"
	"time"

	"laurel/score/mark"
	"laurel/score/quote"
)

// Type is the type of an event. It determines the type of its Data.
type Type string

const (
	TypeCompetitionDefine Type = "competition.define"
	TypeContestDefine     Type = "contest.define"
	TypeCompetitorDefine  Type = "competitor.define"
	TypeContestStatus     Type = "contest.status"
	TypeContestDecide     Type = "contest.decide"
	TypeContestReset      Type = "contest.reset"
	TypeScorePlay         Type = "score.play"
	TypeScoreSet          Type = "score.set"
	TypeResultSet         Type = "result.set"
	TypeMedalAward        Type = "medal.award"
	TypeMedalRevoke       Type = "medal.revoke"
	TypeEventVoid         Type = "event.void"
	TypeAlert             Type = "alert"
)

// dataTypes lists the types with the checks that their tags cannot express.
// CONTRIBUTING.md lists what a new type needs besides a line here.
var dataTypes = []*table{
	newTable(TypeCompetitionDefine, checkCompetitionDefine),
	newTable(TypeContestDefine, checkContestDefine),
	newTable(TypeCompetitorDefine, checkCompetitorDefine),
	newTable(TypeContestStatus, checkContestStatus),
	newTable(TypeContestDecide, checkContestDecide),
	newTable[ContestReset](TypeContestReset, nil),
	newTable[ScorePlay](TypeScorePlay, nil),
	newTable(TypeScoreSet, checkScoreSet),
	newTable(TypeResultSet, checkResultSet),
	newTable[MedalAward](TypeMedalAward, nil),
	newTable[MedalRevoke](TypeMedalRevoke, nil),
	newTable(TypeEventVoid, checkEventVoid),
	newTable[Alert](TypeAlert, nil),
}

// Types lists all event types.
var Types = func() (list []Type) {
	for _, t := range dataTypes {
		list = append(list, t.name)
	}
	return list
}()

// dataTypeOf returns the table of t, or nil if t is not an event type.
func dataTypeOf(t Type) *table {
	for _, of := range dataTypes {
		if of.name == t {
			return of
		}
	}
	return nil
}

// Data is the part of an event that depends on its type: one of the structs below. The
// tag is names the limit of a member, or its choices.
type Data interface {
	eventType() Type
}

type (
	Total  = mark.Total
	Totals = mark.Totals // numbers of an event or a record
)

// Limits of the strings and lists in an event. Strings are counted in bytes.
const (
	MaxID        = 128
	MaxContestID = 256
	maxCode      = 128
	maxPeriod    = 32
	maxName      = 512
	maxText      = 4096
	MaxEntrants  = 1000
	maxList      = 256
	maxPlace     = 1_000_000
	// MaxCategories limits the categories of one competitor.
	MaxCategories = 16
	// maxNamed limits the organisations that one competition.define names.
	maxNamed = 1000
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
	Unscheduled = "UNSCHEDULED"
	Scheduled   = "SCHEDULED"
	Running     = "RUNNING"
	Postponed   = "POSTPONED"
	Rescheduled = "RESCHEDULED"
	Cancelled   = "CANCELLED"
	Finished    = "FINISHED"
	StartList   = "START_LIST"
	InProgress  = "LIVE"
	Unofficial  = "UNOFFICIAL"
	Official    = "OFFICIAL"
)

// Medals.
const (
	Gold   = "GOLD"
	Silver = "SILVER"
	Bronze = "BRONZE"
)

// IRMs are the invalid result marks, in the order in which a leaderboard lists those who
// came equally far.
var IRMs = []string{"LAP", "OTL", "NM", "DNF", "RET", "WDR", DidNotStart, Disqualified, DisqualifiedForConduct}

// Invalid result marks that have rules of their own.
const (
	DidNotStart            = "DNS"
	Disqualified           = "DSQ"
	DisqualifiedForConduct = "DQB"
)

var entrantTypes = []string{"A", "T"}

var limits = map[string]int{
	"id":         MaxID,
	"contest_id": MaxContestID,
	"code":       maxCode,
	"period":     maxPeriod,
	"name":       maxName,
	"text":       maxText,
}

var choices = map[string][]string{
	"kind":         {HeadToHead, Ranked},
	"result_type":  {"POINTS", "TIME", "DISTANCE"},
	"sort":         {"asc", "desc"},
	"irm":          IRMs,
	"entrant_type": entrantTypes,
	"medal":        {Gold, Silver, Bronze},
	"decision":     decisions,
	"schedule_status": {
		Unscheduled, Scheduled, "GETTING_READY", Running, "SCHEDULED_BREAK", "DELAYED",
		"INTERRUPTED", Postponed, Rescheduled, Cancelled, Finished,
	},
	"result_status": {
		StartList, InProgress, "INTERMEDIATE", "UNCONFIRMED", Unofficial, Official, "PARTIAL",
		"PROTESTED", "PROVISIONAL",
	},
}

// CompetitionDefine names a competition and its organisations. Neutral organisations are
// not ranked in the medal table. What is left out stays; Clear has the members that are
// null, which clears them.
type CompetitionDefine struct {
	Name          string         `json:"name,omitzero" is:"name"`
	Neutral       []string       `json:"neutral,omitzero" is:"code"`
	Organisations []Organisation `json:"organisations,omitzero"` // those that are left out keep their names
	Comment       string         `json:"comment,omitzero" is:"text"`
	clearing      `json:"-"`
}

// Organisation is the name of an organisation in a competition, "" if it has none.
type Organisation struct {
	Code string `json:"code" is:"code"`
	Name string `json:"name,omitzero"`
}

func checkCompetitionDefine(d *CompetitionDefine, c *Checker) {
	if n := len(d.Organisations); n > maxNamed {
		c.Fail("data.organisations", "has %d members; the most is %d (post several events)", n, maxNamed)
		return
	}
	named := make(map[string]bool, len(d.Organisations))
	for i, o := range d.Organisations {
		one := Checker{}
		one.Text("code", o.Code, maxCode, required)
		one.Text("name", o.Name, maxName, optional)
		if named[o.Code] {
			one.Fail("code", "%q is named twice", quote.Clip(o.Code))
		}
		named[o.Code] = true
		c.adopt(&one, "data.organisations", i)
	}
}

func (*CompetitionDefine) eventType() Type { return TypeCompetitionDefine }

// ContestDefine creates a contest, which needs its Kind and Sport, or changes its
// definition. What is left out stays; Clear has the members that are null, which clears
// them. The competitors are a whole list; what a member of it leaves out of a competitor
// who was listed before stays too. Once there are plays or marks, what decides their
// meaning changes only for a Reason.
type ContestDefine struct {
	Kind            string    `json:"kind,omitzero" is:"kind"` // HeadToHead or Ranked
	Sport           string    `json:"sport,omitzero" is:"name"`
	Competition     string    `json:"competition,omitzero" is:"name"`
	CompetitionName string    `json:"competition_name,omitzero" is:"name"`
	Title           string    `json:"title,omitzero" is:"name"`
	Discipline      string    `json:"discipline,omitzero" is:"name"`
	Event           string    `json:"event,omitzero" is:"name"`
	Phase           string    `json:"phase,omitzero" is:"name"`
	Group           string    `json:"group,omitzero" is:"name"`
	Gender          string    `json:"gender,omitzero" is:"name"`
	Venue           string    `json:"venue,omitzero" is:"name"`
	StartTime       time.Time `json:"start_time,omitzero"`
	MedalEvent      int       `json:"medal_event,omitzero"`
	ResultType      string    `json:"result_type,omitzero" is:"result_type"` // POINTS, TIME or DISTANCE
	Unit            string    `json:"unit,omitzero" is:"name"`
	Sort            string    `json:"sort,omitzero" is:"sort"`  // asc or desc: which end is best
	Unit2           string    `json:"unit2,omitzero" is:"name"` // s, min or h if mark2 is a time
	Sort2           string    `json:"sort2,omitzero" is:"sort"` // of mark2; asc by default
	Precision       *int      `json:"precision,omitzero"`       // fraction digits that are shown
	Splits          []string  `json:"splits,omitzero" is:"period"`
	TiebreakPeriods []string  `json:"tiebreak_periods,omitzero" is:"period"`
	Competitors     []Entrant `json:"competitors,omitzero"`
	Reason          string    `json:"reason,omitzero" is:"text"`
	Comment         string    `json:"comment,omitzero" is:"text"`
	clearing        `json:"-"`
}

func (*ContestDefine) eventType() Type { return TypeContestDefine }

func checkContestDefine(d *ContestDefine, c *Checker) {
	if !d.StartTime.IsZero() {
		c.Time("data.start_time", d.StartTime)
	}
	if d.MedalEvent < 0 || d.MedalEvent > 9 {
		c.Fail("data.medal_event", "got %d; want 0 to 9", d.MedalEvent)
	}
	if d.Precision != nil && (*d.Precision < 0 || *d.Precision > mark.MaxPrecision) {
		c.Fail("data.precision", "got %d; want 0 to %d fraction digits", *d.Precision, mark.MaxPrecision)
	}
	for _, name := range []string{"kind", "sport"} {
		if d.Clears(name) {
			c.Fail("data."+name, "cannot be cleared; every contest has one")
		}
	}
	checkEntrants(c, d.Competitors)
	checkKind(d, c)
}

// checkKind checks that a definition has no members of another kind of contest.
func checkKind(d *ContestDefine, c *Checker) {
	if (d.Unit2 != "" || d.Sort2 != "") && d.Kind == HeadToHead {
		c.Fail("data.sort2", "only a ranked contest has a second mark")
	}
	if len(d.Splits) > 0 && d.Kind == HeadToHead {
		c.Fail("data.splits", "only a ranked contest has splits")
	}
	if len(d.TiebreakPeriods) > 0 && d.Kind == Ranked {
		c.Fail("data.tiebreak_periods", "only a head_to_head contest has tie-break periods")
	}
}

// CheckWhole returns what is wrong with a definition together with those before it, or nil.
func (d *ContestDefine) CheckWhole() *Problem {
	c := Checker{}
	const both = "missing; the first contest.define of a contest needs its kind and its sport"
	if d.Kind == "" {
		c.Fail("data.kind", both)
	}
	if d.Sport == "" {
		c.Fail("data.sport", both)
	}
	checkKind(d, &c)
	return c.Problem
}

// ContestStatus changes the status, the period or the clock of a contest. A status that
// reopens an OFFICIAL contest needs a reason.
type ContestStatus struct {
	ScheduleStatus string `json:"schedule_status,omitzero" is:"schedule_status"`
	ResultStatus   string `json:"result_status,omitzero" is:"result_status"`
	Period         string `json:"period,omitzero" is:"period"`
	Clock          string `json:"clock,omitzero" is:"period"`
	Reason         string `json:"reason,omitzero" is:"text"`
	Comment        string `json:"comment,omitzero" is:"text"`
}

func (*ContestStatus) eventType() Type { return TypeContestStatus }

func checkContestStatus(d *ContestStatus, c *Checker) {
	if d.ScheduleStatus == "" && d.ResultStatus == "" && d.Period == "" && d.Clock == "" {
		c.Fail("data", "changes nothing; want at least one of schedule_status, result_status, period, clock")
	}
}

// ScorePlay adds Delta to a competitor's score, or to its tie-break score in a tie-break
// period. If Result is given, it must be equal to the totals afterwards.
type ScorePlay struct {
	Competitor string        `json:"competitor" is:"code"`
	Delta      *mark.Decimal `json:"delta"`
	Period     string        `json:"period,omitzero" is:"period"` // by default the contest's current one
	Action     string        `json:"action,omitzero" is:"code"`
	Clock      string        `json:"clock,omitzero" is:"period"`
	Athlete    string        `json:"athlete,omitzero" is:"name"`
	Result     Totals        `json:"result,omitzero" is:"code"`
	StatsDelta Totals        `json:"stats_delta,omitzero" is:"period"`
	Comment    string        `json:"comment,omitzero" is:"text"`
}

func (*ScorePlay) eventType() Type { return TypeScorePlay }

// ScoreSet sets totals. The difference goes to Period. Without one the totals must be those
// of the periods, unless Adjustment is given.
type ScoreSet struct {
	Result     Totals `json:"result" is:"code"`
	Period     string `json:"period,omitzero" is:"period"`
	Adjustment bool   `json:"adjustment,omitzero"`       // the difference is in no period
	Reason     string `json:"reason,omitzero" is:"text"` // if given, the event is accepted at any time
	Comment    string `json:"comment,omitzero" is:"text"`
}

func (*ScoreSet) eventType() Type { return TypeScoreSet }

func checkScoreSet(d *ScoreSet, c *Checker) {
	if d.Adjustment && d.Period != "" {
		c.Fail("data.adjustment", "got true beside the period %q; want one of the two", quote.Clip(d.Period))
	}
}

// ResultSet records a mark at a split of a ranked contest, or an invalid result mark
// (IRM: DNF, DNS, DSQ ...) if there is no mark. Mark2 orders equal marks, and Place orders
// those that are equal in both, as a photo finish does. The category is added to those of
// the competitor.
type ResultSet struct {
	Competitor   string        `json:"competitor" is:"code"`
	Split        string        `json:"split" is:"period"`
	Mark         *mark.Measure `json:"mark,omitzero"`
	Mark2        *mark.Measure `json:"mark2,omitzero"`
	Place        *mark.Decimal `json:"place,omitzero"` // 1, 2, 3 ...
	IRM          string        `json:"irm,omitzero" is:"irm"`
	Category     string        `json:"category,omitzero" is:"code"`
	Organisation string        `json:"organisation,omitzero" is:"code"`
	Reason       string        `json:"reason,omitzero" is:"text"` // if given, the event is accepted at any time
	Comment      string        `json:"comment,omitzero" is:"text"`
}

func (*ResultSet) eventType() Type { return TypeResultSet }

func checkResultSet(d *ResultSet, c *Checker) {
	switch {
	case d.Mark == nil && d.IRM == "":
		c.Fail("data.mark", "missing; want a mark, or an irm (%s)", strings.Join(IRMs, ", "))
	case d.Mark != nil && d.IRM != "":
		c.Fail("data.irm", "got %s beside a mark; want one of the two", d.IRM)
	case d.Mark == nil && d.Mark2 != nil:
		c.Fail("data.mark2", "got %s without a mark; mark2 orders equal marks", d.Mark2)
	case d.Mark == nil && d.Place != nil:
		c.Fail("data.place", "got %s without a mark; place orders equal marks", d.Place)
	case d.Place != nil &&
		(*d.Place < mark.Points(1) || *d.Place > mark.Points(maxPlace) || *d.Place%mark.Points(1) != 0):
		c.Fail("data.place", "got %s; want a whole number, 1 to %d", d.Place, maxPlace)
	}
}

// MedalAward awards a medal. The award's id is unique in its competition.
type MedalAward struct {
	AwardID      string `json:"award_id" is:"contest_id"`
	Medal        string `json:"medal" is:"medal"` // GOLD, SILVER or BRONZE
	Organisation string `json:"organisation" is:"code"`
	Competitor   string `json:"competitor,omitzero" is:"text"`
	Sport        string `json:"sport,omitzero" is:"name"`
	Event        string `json:"event,omitzero" is:"name"`
	Comment      string `json:"comment,omitzero" is:"text"`
}

func (*MedalAward) eventType() Type { return TypeMedalAward }

// MedalRevoke revokes an award.
type MedalRevoke struct {
	AwardID string `json:"award_id" is:"contest_id"`
	Reason  string `json:"reason" is:"text"`
	Comment string `json:"comment,omitzero" is:"text"`
}

func (*MedalRevoke) eventType() Type { return TypeMedalRevoke }

// EventVoid undoes one event of the contest: the one that has every identity that is
// given. A revision is unique, and so are a source and a seq together. Anybody who may
// post can reuse an id.
type EventVoid struct {
	Voids         string `json:"voids,omitzero" is:"id"` // the event's id
	VoidsRevision uint64 `json:"voids_revision,omitzero"`
	VoidsSource   string `json:"voids_source,omitzero" is:"id"`
	VoidsSeq      uint64 `json:"voids_seq,omitzero"`
	Reason        string `json:"reason" is:"text"`
	Comment       string `json:"comment,omitzero" is:"text"`
}

func (*EventVoid) eventType() Type { return TypeEventVoid }

// Target returns how the void names its event, for problems: `the id "g1"`.
func (d *EventVoid) Target() string {
	var list []string
	if d.Voids != "" {
		list = append(list, fmt.Sprintf("the id %q", d.Voids))
	}
	if d.VoidsRevision != 0 {
		list = append(list, fmt.Sprintf("the revision %d", d.VoidsRevision))
	}
	if d.VoidsSeq != 0 {
		list = append(list, fmt.Sprintf("the seq %d", d.VoidsSeq))
	}
	if d.VoidsSource != "" {
		list = append(list, "the source "+d.VoidsSource)
	}
	return strings.Join(list, " and ")
}

// TargetField returns the member of the data that names the event most exactly.
func (d *EventVoid) TargetField() string {
	switch {
	case d.VoidsRevision != 0:
		return "voids_revision"
	case d.VoidsSeq != 0:
		return "voids_seq"
	}
	return "voids"
}

func checkEventVoid(d *EventVoid, c *Checker) {
	if d.Voids == "" && d.VoidsRevision == 0 && d.VoidsSeq == 0 {
		c.Fail("data.voids", "missing; want the id of the event to void, or its voids_revision, "+
			"or its voids_source and voids_seq")
	}
	if d.VoidsSource != "" {
		c.Path("data.voids_source", d.VoidsSource, MaxID)
	} else if d.VoidsSeq != 0 {
		c.Fail("data.voids_source", "missing beside voids_seq; every source has its own seqs")
	}
	if d.VoidsRevision > maxSeq {
		c.Fail("data.voids_revision", "got %d; the most is %d", d.VoidsRevision, uint64(maxSeq))
	}
	if d.VoidsSeq > maxSeq {
		c.Fail("data.voids_seq", "got %d; the most is %d", d.VoidsSeq, uint64(maxSeq))
	}
}

// Alert adds a line of text to the timeline.
type Alert struct {
	Text    string `json:"text" is:"text"`
	Comment string `json:"comment,omitzero" is:"text"`
}

func (*Alert) eventType() Type { return TypeAlert }
