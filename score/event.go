package score

import (
	"strings"
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
	competition, _, _ := strings.Cut(contestID, "/")
	return competition
}

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

// Events in a log were decoded by another process, which may be corrupt. The checks below
// are those of Decode for a complete event. They depend on the event alone, so they have
// the same result on every machine, and readers of stored events can rely on the limits
// of all strings and lists.

// CheckEnvelope returns what is wrong with the id, source, seq, time or contest_id of e,
// or nil.
func (e *Event) CheckEnvelope() *Problem {
	c := Checker{}
	c.Text("id", e.ID, MaxID, required)
	c.Path("source", e.Source, MaxID)
	if e.Seq > maxSeq {
		c.Fail("seq", "got %d; the most is %d", e.Seq, uint64(maxSeq))
	}
	if !writable(e.Time) {
		c.Fail("time", "cannot be written in RFC 3339; want a time in the years 1 to 9999 in UTC")
	}
	c.Path("contest_id", e.ContestID, MaxContestID)
	return c.Problem
}

// writable reports whether JSON can hold t as it is: the year is within 1 to 9999 in UTC
// and within 0 to 9999 in t's own zone, whose offset is a whole number of minutes.
func writable(t time.Time) bool {
	_, offset := t.Zone()
	utc, local := t.UTC().Year(), t.Year()
	return utc >= 1 && utc <= 9999 && local >= 0 && local <= 9999 && offset%60 == 0 && !t.IsZero()
}

// ReadData reads stored data into e.Data. It returns nil, or why the data is invalid.
// CheckData checks the rules of the type.
func (e *Event) ReadData(data []byte) *Problem {
	if len(data) > MaxEventBytes {
		return fieldProblem("data", "has %d bytes; the most is %d", len(data), MaxEventBytes)
	}
	if len(data) == 0 || data[0] != '{' {
		return fieldProblem("data", "is not a JSON object")
	}
	var p *Problem
	e.Data, p = readData(e.Type, data)
	return p
}

// CheckData returns what Decode would find wrong with e.Data, or nil. Decode sorts
// totals, so totals in another order are wrong too.
func (e *Event) CheckData() *Problem {
	if p := dataTypeOf(e.Data.eventType()).check(e.Data, true); p != nil {
		return p
	}
	c := Checker{}
	e.checkContestID(&c)
	return c.Problem
}

// CheckSignature checks what can be checked of the key and signature of e without the
// key. It returns nil if e has neither.
func (e *Event) CheckSignature() *Problem {
	if e.Key == "" && len(e.Signature) == 0 {
		return nil
	}
	c, w := Checker{}, envelope{Source: e.Source, Key: e.Key, Signature: e.Signature}
	if e.IDGiven {
		w.ID = e.ID
	}
	if e.Seq > 0 {
		w.Seq = &e.Seq
	}
	if e.TimeGiven {
		w.Time = &e.Time
	}
	w.checkSignature(&c)
	return c.Problem
}
