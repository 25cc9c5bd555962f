package score

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Type is the kind of an event; it decides what Data holds.
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

// newData makes the empty data of each type; its keys are all the types there are.
var newData = map[Type]func() Data{
	TypeCompetitionDefine: func() Data { return new(CompetitionDefine) },
	TypeContestDefine:     func() Data { return new(ContestDefine) },
	TypeContestStatus:     func() Data { return new(ContestStatus) },
	TypeScorePlay:         func() Data { return new(ScorePlay) },
	TypeScoreSet:          func() Data { return new(ScoreSet) },
	TypeResultSet:         func() Data { return new(ResultSet) },
	TypeMedalAward:        func() Data { return new(MedalAward) },
	TypeMedalRevoke:       func() Data { return new(MedalRevoke) },
	TypeEventVoid:         func() Data { return new(EventVoid) },
	TypeAlert:             func() Data { return new(Alert) },
}

// Types lists every event type, in the order of the interface's table.
var Types = []Type{TypeCompetitionDefine, TypeContestDefine, TypeContestStatus, TypeScorePlay, TypeScoreSet, TypeResultSet,
	TypeMedalAward, TypeMedalRevoke, TypeEventVoid, TypeAlert}

// Event is one thing that a bard reports. It is immutable once posted, and corrected only by another event.
type Event struct {
	ID        string    `json:"id,omitzero"`
	Source    string    `json:"source,omitzero"`
	Seq       uint64    `json:"seq,omitzero"` // 0: to be given by the store, the next of its source
	Type      Type      `json:"type"`
	Time      time.Time `json:"time,omitzero"`
	ContestID string    `json:"contest_id"`
	Data      Data      `json:"data"`
	// Key and Signature are what the bard vouches with for all of the above: the KeyID of its key, and what Sign made with it. A signed event
	// has nothing in it that the bard did not give.
	Key       string `json:"key,omitzero"`
	Signature []byte `json:"signature,omitzero"`

	// Token is the id of the grant whose token brought an event without a signature. The frontend that took it says so, for the token
	// itself is a secret.
	Token string `json:"-"`
	// TimeGiven tells that the bard gave the time: then it is part of what a retry must repeat.
	// Without it the receiving frontend puts in its own clock.
	TimeGiven bool `json:"-"`
	// IDGiven tells that the bard gave the id. An id made up by a frontend protects that frontend's own retries in the same way,
	// but a seq that comes with it is the identity.
	IDGiven bool `json:"-"`
}

// Competition is the competition that the event's contest belongs to.
func (e *Event) Competition() string { return CompetitionOf(e.ContestID) }

// CompetitionOf is the first segment of a contest's id.
func CompetitionOf(contestID string) string {
	for i := range len(contestID) {
		if contestID[i] == '/' {
			return contestID[:i]
		}
	}
	return contestID
}

// Data is what an event of one type says: one of the structs below.
type Data interface {
	check(c *Checker)
}

// CompetitionDefine names a competition. Neutral organisations stay outside the ranking of the medal table.
type CompetitionDefine struct {
	Name    string   `json:"name,omitzero"`
	Neutral []string `json:"neutral,omitzero"`
	Comment string   `json:"comment,omitzero"`
}

// ContestDefine makes a contest or describes it anew; its results stay.
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

// Kinds of contest.
const (
	HeadToHead = "head_to_head"
	Ranked     = "ranked"
)

// Entrant is one competitor as a contest.define lists it.
type Entrant struct {
	Code         string `json:"code"`
	Name         string `json:"name,omitzero"`
	Organisation string `json:"organisation,omitzero"`
	Type         string `json:"type,omitzero"` // A (athlete) or T (team)
	Order        int    `json:"order,omitzero"`
}

// ContestStatus moves a contest.
type ContestStatus struct {
	ScheduleStatus string `json:"schedule_status,omitzero"`
	ResultStatus   string `json:"result_status,omitzero"`
	Period         string `json:"period,omitzero"`
	Clock          string `json:"clock,omitzero"`
	Comment        string `json:"comment,omitzero"`
}

// ScorePlay adds Delta to a competitor's score, or to its tie-break score in a tie-break period. Result, where given, must be the totals after.
type ScorePlay struct {
	Competitor string   `json:"competitor"`
	Delta      *Decimal `json:"delta"`
	Period     string   `json:"period,omitzero"` // the contest's present period if left out
	Action     string   `json:"action,omitzero"`
	Clock      string   `json:"clock,omitzero"`
	Athlete    string   `json:"athlete,omitzero"`
	Result     Totals   `json:"result,omitzero"`
	StatsDelta Totals   `json:"stats_delta,omitzero"`
	Comment    string   `json:"comment,omitzero"`
}

// ScoreSet sets totals.
type ScoreSet struct {
	Result  Totals `json:"result"`
	Period  string `json:"period,omitzero"`
	Reason  string `json:"reason,omitzero"`
	Comment string `json:"comment,omitzero"`
}

// ResultSet records a mark, or why there is none (IRM: DNF, DNS, DSQ), at a split of a ranked contest.
type ResultSet struct {
	Competitor   string   `json:"competitor"`
	Split        string   `json:"split"`
	Mark         *Decimal `json:"mark,omitzero"`
	IRM          string   `json:"irm,omitzero"`
	Category     string   `json:"category,omitzero"`
	Organisation string   `json:"organisation,omitzero"`
	Reason       string   `json:"reason,omitzero"` // with one it is taken at any time
	Comment      string   `json:"comment,omitzero"`
}

// MedalAward awards a medal; the award's id is unique in its competition.
type MedalAward struct {
	AwardID      string `json:"award_id"`
	Medal        string `json:"medal"` // GOLD, SILVER or BRONZE
	Organisation string `json:"organisation"`
	Competitor   string `json:"competitor,omitzero"`
	Sport        string `json:"sport,omitzero"`
	Event        string `json:"event,omitzero"`
	Comment      string `json:"comment,omitzero"`
}

// MedalRevoke takes an award back.
type MedalRevoke struct {
	AwardID string `json:"award_id"`
	Reason  string `json:"reason"`
	Comment string `json:"comment,omitzero"`
}

// EventVoid makes the event whose id is Voids as if it had never been.
type EventVoid struct {
	Voids   string `json:"voids"`
	Reason  string `json:"reason"`
	Comment string `json:"comment,omitzero"`
}

// Alert is a line in the timeline.
type Alert struct {
	Text    string `json:"text"`
	Comment string `json:"comment,omitzero"`
}

// MarshalData is the canonical JSON of d: members in the order of the struct, no white space. Two events say the same if and only
// if their types and their canonical data are equal.
func MarshalData(d Data) ([]byte, error) {
	b, err := AppendData(make([]byte, 0, 256), d)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// UnmarshalData reads canonical data back. It checks the JSON, not the rules of Decode.
func UnmarshalData(t Type, b []byte) (Data, error) {
	if d := quickData(t, b); d != nil {
		return d, nil
	}
	return unmarshalData(t, b)
}

func unmarshalData(t Type, b []byte) (Data, error) {
	mk, ok := newData[t]
	if !ok {
		return nil, &UnknownTypeError{t}
	}
	d := mk()
	if err := json.Unmarshal(b, d, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	return d, nil
}

// UnknownTypeError says that an event is of a type that this version does not know.
type UnknownTypeError struct{ Type Type }

func (e *UnknownTypeError) Error() string { return "unknown event type " + string(e.Type) }

// PostMode says what becomes of a Post of several events when one of them is refused.
type PostMode uint8

const (
	// AllOrNone applies either all events of the post or none.
	AllOrNone PostMode = iota
	// UntilRefused applies the events in order and stops at the first that is refused.
	UntilRefused
)

// Post is what one call brings: events that are applied in order, with nothing of another post in between.
type Post struct {
	Events []Event
	Mode   PostMode
}

// Status values of a Result.
const (
	Applied   = "applied"
	Duplicate = "duplicate"
)

// Result says what became of one event. A refused one has a Problem and no revision.
type Result struct {
	ID       string   `json:"id"`
	Seq      uint64   `json:"seq,omitzero"`
	Revision uint64   `json:"revision,omitzero"`
	Status   string   `json:"status,omitzero"`
	Problem  *Problem `json:"problem,omitzero"`
}

// Bard is what the store knows of a source.
type Bard struct {
	Source  string `json:"source"`
	LastSeq uint64 `json:"last_seq"`
	LastID  string `json:"last_id"`
}

// TimelineEvent is an event as the timeline shows it: in the store's order, and struck out where another has voided it.
type TimelineEvent struct {
	ID        string         `json:"id"`
	Source    string         `json:"source"`
	Seq       uint64         `json:"seq"`
	Type      Type           `json:"type"`
	Time      time.Time      `json:"time"`
	ContestID string         `json:"contest_id"`
	Data      jsontext.Value `json:"data"`
	Revision  uint64         `json:"revision"`
	VoidedBy  string         `json:"voided_by,omitzero"` // the id of the event that voids this one
	Key       string         `json:"key,omitzero"`       // whose Signature vouches for the event
	Signature []byte         `json:"signature,omitzero"`
	Token     string         `json:"token,omitzero"` // the id of the grant with which it came, unsigned: a frontend's word for it is all there is
}
