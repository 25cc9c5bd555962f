package score

import (
	"time"

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

// dataTypes holds what is known of each type, in the order of the API's table. A new type begins here:
// with a constant, a line, and its data in data.go.
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

// Types lists every event type.
var Types = func() (list []Type) {
	for _, t := range dataTypes {
		list = append(list, t.name)
	}
	return list
}()

// dataTypeOf returns what is known of t, or nil if t is not an event type.
func dataTypeOf(t Type) dataType {
	for i := range dataTypes {
		if dataTypes[i].name == t {
			return dataTypes[i].data
		}
	}
	return nil
}

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
