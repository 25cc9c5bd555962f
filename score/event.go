package score

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"laurel/score/eventsig"
	"laurel/score/fastjson"
	"laurel/score/quote"
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
	// Key is the KeyID of the key that signed the members above, Lineage the store for
	// which it signed them, and Signature its signature. The bard gave all members of a
	// signed event.
	Key       string `json:"key,omitzero"`
	Lineage   string `json:"lineage,omitzero"`
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
	// VerifiedBy is the public key with which this process has verified the signature for the
	// store Lineage; nil if it has not.
	VerifiedBy ed25519.PublicKey `json:"-"`
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
	// Secret is that of the token that the events name. It proves to the master that the
	// token was sent with them, and is not stored.
	Secret Secret
}

// Secret is the secret of a token. What prints, logs or encodes it does not show it.
type Secret string

// Format writes "(secret)" for every verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "(secret)") }

// MarshalText returns "(secret)".
func (s Secret) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

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
	// Folded is how many events were folded again for this one, of which a frontend keeps
	// account. Clients are not told.
	Folded int `json:"-"`
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
	Voids     uint64         `json:"voids,omitzero"`     // revision of the event that this one voids
	VoidedBy  uint64         `json:"voided_by,omitzero"` // revision of the event that voids this one
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
	c.Time("time", e.Time)
	c.Path("contest_id", e.ContestID, MaxContestID)
	return c.Problem
}

// ReadData reads stored data into e.Data. It returns nil, or why the data is invalid.
// CheckData checks the rules of the type.
func (e *Event) ReadData(data []byte) *Problem { return e.ReadMembers(data, nil) }

// ReadMembers is ReadData. If m is exact afterwards, then data is what AppendData would append,
// and m.Append appends what AppendCanonical would.
func (e *Event) ReadMembers(data []byte, m *fastjson.Members) *Problem {
	if len(data) > MaxEventBytes {
		return fieldProblem("data", "has %d bytes; the most is %d", len(data), MaxEventBytes)
	}
	if len(data) == 0 || data[0] != '{' {
		return fieldProblem("data", "is not a JSON object")
	}
	var p *Problem
	e.Data, p = readData(e.Type, data, m)
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
	c := Checker{}
	e.checkSignature(&c)
	return c.Problem
}

// checkSignature checks what can be checked without the key: the form of the signature,
// and that the bard gave every member that is signed.
func (e *Event) checkSignature(c *Checker) {
	const all = "a signed event needs an id, a source, a seq and a time of the bard's own, because they are signed"
	switch {
	case e.Key == "":
		c.Fail("key", "missing beside the signature; want the id of the key, %d hexadecimal digits", keyDigits)
	case !isKeyID(e.Key):
		c.Fail("key", "got %q; want the id of a key, %d hexadecimal digits in lower case", quote.Clip(e.Key), keyDigits)
	case len(e.Signature) == 0:
		c.Fail("signature", "missing beside the key; want it in base64, or neither of the two")
	case !e.IDGiven:
		c.Fail("id", "missing; %s", all)
	case e.Source == "":
		c.Fail("source", "missing; %s", all)
	case e.Seq == 0:
		c.Fail("seq", "missing; %s", all)
	case !e.TimeGiven:
		c.Fail("time", "missing; %s", all)
	}
	if c.Problem == nil {
		if _, err := eventsig.Parse(e.Signature); err != nil {
			c.Fail("signature", "%s", err)
		}
	}
}

// ValidLineage reports whether s can be the lineage of a store, which its events are
// signed for: small letters and digits.
func ValidLineage(s string) bool {
	return s != "" && len(s) <= maxLineage && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9')
	})
}

const keyDigits = 16 // of a KeyID

// KeyID returns the id of a public key: the first 8 bytes of its SHA-256, in hexadecimal.
func KeyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:keyDigits/2])
}

func isKeyID(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == keyDigits
}
