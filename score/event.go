package score

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Event is something that a bard reports. It is immutable once posted; only another event
// corrects it.
type Event struct {
	ID        string    `json:"id,omitzero"`
	Source    string    `json:"source,omitzero"`
	Seq       uint64    `json:"seq,omitzero"` // if 0, the store assigns the next one of the source
	Type      Type      `json:"type"`
	Time      time.Time `json:"time,omitzero"`
	ContestID string    `json:"contest_id"`
	Data      Data      `json:"data"`
	// Key is the KeyID of the key that signed the members above, and Signature its
	// signature. The bard gave all members of a signed event.
	Key       string `json:"key,omitzero"`
	Signature []byte `json:"signature,omitzero"`

	// Token is the id of the grant whose token came with an unsigned event. The frontend
	// that accepted the event sets it, because the token itself is secret.
	Token string `json:"-"`
	// TimeGiven reports that the bard gave the time, which a repeated post must then
	// repeat. Otherwise the frontend that accepts the event sets the time.
	TimeGiven bool `json:"-"`
	// IDGiven reports that the bard gave the id. Otherwise the frontend makes an id,
	// which identifies the frontend's own retries; if the event has a seq, the seq is its
	// identity.
	IDGiven bool `json:"-"`
}

// Competition returns the competition of the event's contest.
func (e *Event) Competition() string { return CompetitionOf(e.ContestID) }

// CompetitionOf returns the first segment of a contest's id.
func CompetitionOf(contestID string) string {
	for i := range len(contestID) {
		if contestID[i] == '/' {
			return contestID[:i]
		}
	}
	return contestID
}

// UnknownTypeError is the error for an event of a type that this version does not know.
type UnknownTypeError struct{ Type Type }

func (e *UnknownTypeError) Error() string { return "unknown event type " + string(e.Type) }

// PostMode determines what happens to the events of a Post if one of them is refused.
type PostMode uint8

const (
	// AllOrNone applies either all events of the post or none.
	AllOrNone PostMode = iota
	// UntilRefused applies the events in order and stops at the first that is refused.
	UntilRefused
)

// Post is the events of one request. They are applied in order, with no events of another
// post between them.
type Post struct {
	Events []Event
	Mode   PostMode
}

// Values of Result.Status.
const (
	Applied   = "applied"
	Duplicate = "duplicate"
)

// Result is the outcome of posting one event. A refused event has a Problem and no
// revision.
type Result struct {
	ID       string   `json:"id"`
	Seq      uint64   `json:"seq,omitzero"`
	Revision uint64   `json:"revision,omitzero"`
	Status   string   `json:"status,omitzero"`
	Problem  *Problem `json:"problem,omitzero"`
}

// Bard is what the store knows about a source.
type Bard struct {
	Source  string `json:"source"`
	LastSeq uint64 `json:"last_seq"`
	LastID  string `json:"last_id"`
}

// TimelineEvent is an event in a timeline, which lists a contest's events by revision.
// Voided events stay in it.
type TimelineEvent struct {
	ID        string         `json:"id"`
	Source    string         `json:"source"`
	Seq       uint64         `json:"seq"`
	Type      Type           `json:"type"`
	Time      time.Time      `json:"time"`
	ContestID string         `json:"contest_id"`
	Data      jsontext.Value `json:"data"`
	Revision  uint64         `json:"revision"`
	VoidedBy  string         `json:"voided_by,omitzero"` // id of the event that voided this one
	Key       string         `json:"key,omitzero"`
	Signature []byte         `json:"signature,omitzero"`
	// Token is the id of the grant of an unsigned event. Unlike a signature it proves
	// nothing: it is the word of the frontend that accepted the event.
	Token string `json:"token,omitzero"`
}
