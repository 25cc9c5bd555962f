package entry

import (
	"bytes"
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
	"laurel/score/eventsig"
	"laurel/score/fastjson"
	"laurel/trust/signing"
)

// The field numbers of an event.
const (
	fieldID        = 1
	fieldSource    = 2
	fieldSeq       = 3
	fieldType      = 4
	fieldSeconds   = 5
	fieldNanos     = 6
	fieldOffset    = 7
	fieldContestID = 8
	fieldData      = 9
	fieldGiven     = 10
	fieldVoidedBy  = 11 // of a stored event
	fieldVoids     = 12 // of a stored event
	fieldKey       = 13
	fieldSignature = 14
	fieldToken     = 15
)

// The bits of fieldGiven.
const (
	givenID   = 1
	givenTime = 2
)

// maxKeyID bounds the ids of keys and tokens in events, in bytes.
const maxKeyID = 64

// Event is a decoded event whose data may still be JSON.
type Event struct {
	score.Event
	// JSON is the event's data. Data is nil until ParseData has been called.
	JSON    []byte
	invalid string // the field with a value that no encoder writes; "" if there is none

	Expected bool   // the post is one whose signatures this process has verified
	Verified bool   // the signature was verified; set by the state machine
	Revision uint64 // of an applied event
	VoidedBy uint64 // the revision of the event that voids this one; 0 if none does
	Voids    uint64 // the revision of the event that this one voids; 0 if it is not a void
}

// CheckEnvelope reports what is wrong with the event apart from its data. It must be
// called before anything is looked up under the event's names, because database keys are
// made of them.
func (e *Event) CheckEnvelope() *score.Problem {
	if e.invalid != "" {
		return score.Problemf(score.InvalidEvent, "is out of range").At(e.invalid)
	}
	return checkForm(&e.Event)
}

func isSenderTooLong(e *score.Event) bool {
	return len(e.Key) > maxKeyID || len(e.Token) > maxKeyID || len(e.Signature) > eventsig.MaxSize
}

func checkForm(e *score.Event) *score.Problem {
	if isSenderTooLong(e) {
		const detail = "the key, the token or the signature is too long"
		return score.Problemf(score.InvalidEvent, detail).At("signature")
	}
	return e.CheckEnvelope()
}

// ParseData parses JSON into Data unless that has been done, and reports why JSON is
// invalid. Whether the data follows the rules is checked by CheckData, after the sender
// has been authorized: an unauthorized sender is told only that it is not authorized.
func (e *Event) ParseData() *score.Problem {
	if e.Data != nil {
		return nil
	}
	return e.ReadData(e.JSON)
}

// check checks what can be checked without the state. It returns scratch for reuse.
func (e *Event) check(scratch []byte) ([]byte, error) {
	for _, check := range [...]func() *score.Problem{
		e.CheckEnvelope, e.ParseData, e.CheckData, e.CheckIdentifiers, e.CheckSignature,
	} {
		if p := check(); p != nil {
			return scratch, p
		}
	}
	return e.appendCanonical(scratch)
}

var errNotCanonical = errors.New("its data is not canonical JSON")

// appendCanonical appends the canonical form of Data and fails if JSON is different.
func (e *Event) appendCanonical(b []byte) ([]byte, error) {
	data, err := score.AppendData(b, e.Data)
	if err == nil && !bytes.Equal(data[len(b):], e.JSON) {
		err = errNotCanonical
	}
	return data, err
}

// AppendSignedForm appends the form that the event's signature must cover. It parses JSON
// into Data unless that has been done. It fails if the data is not canonical JSON: the
// signed form sorts members, so a corrupt master could otherwise reorder them and thereby
// make another event for a bard that repeats it.
func (e *Event) AppendSignedForm(b []byte) ([]byte, error) {
	var m fastjson.Members
	exact, err := e.parseCanonical(&m)
	if err != nil {
		return nil, err
	}
	if exact {
		return signing.AppendFormWith(b, &e.Event, m.Append)
	}
	data, err := e.appendCanonical(b)
	if err != nil {
		return nil, err
	}
	return signing.AppendForm(data[:len(b)], &e.Event)
}

// IsSignable parses the data and reports whether AppendSignedForm would accept them.
func (e *Event) IsSignable() bool {
	var m fastjson.Members
	exact, err := e.parseCanonical(&m)
	if err == nil && !exact {
		_, err = e.appendCanonical(nil)
	}
	return err == nil
}

// parseCanonical parses JSON into Data unless that has been done. exact means that it is
// canonical, as nearly always, and that m has its members: it need not be written again.
func (e *Event) parseCanonical(m *fastjson.Members) (exact bool, err error) {
	if e.Data != nil {
		return false, nil
	}
	if p := e.ReadMembers(e.JSON, m); p != nil {
		return false, p
	}
	return m.Exact(), nil
}

func appendUnsigned(b []byte, e *score.Event, data []byte) []byte {
	_, offset := e.Time.Zone()
	given := uint64(0)
	if e.IDGiven {
		given |= givenID
	}
	if e.TimeGiven {
		given |= givenTime
	}
	b = appendText(b, fieldID, e.ID)
	b = appendText(b, fieldSource, e.Source)
	b = appendNumber(b, fieldSeq, e.Seq)
	b = appendText(b, fieldType, string(e.Type))
	b = appendNumber(b, fieldSeconds, protowire.EncodeZigZag(e.Time.Unix()))
	b = appendNumber(b, fieldNanos, uint64(e.Time.Nanosecond()))
	b = appendNumber(b, fieldOffset, protowire.EncodeZigZag(int64(offset)))
	b = appendText(b, fieldContestID, e.ContestID)
	b = appendText(b, fieldData, data)
	b = appendNumber(b, fieldGiven, given)
	b = appendText(b, fieldKey, e.Key)
	return appendText(b, fieldToken, e.Token)
}

// decode decodes an event, into a zero one, without judging its content, which
// CheckEnvelope and ParseData do. The event shares the texts that are those of the previous
// one, and its signature, in the room, may be a delta. JSON and Signature may alias b.
func (e *Event) decode(b []byte, previous *Event, room *signatureRoom) error {
	var seconds, offset int64
	var nanos uint64
	r := fieldReader{message: b}
	for r.next(eventNumbers) {
		switch r.field {
		case fieldID:
			e.ID = string(r.bytes())
		case fieldSource:
			e.Source = shared(r.bytes(), previous.Source)
		case fieldSeq:
			e.Seq = r.number
		case fieldType:
			e.Type = shared(r.bytes(), previous.Type)
		case fieldSeconds:
			seconds = protowire.DecodeZigZag(r.number)
		case fieldNanos:
			nanos = r.number
		case fieldOffset:
			offset = protowire.DecodeZigZag(r.number)
		case fieldContestID:
			e.ContestID = shared(r.bytes(), previous.ContestID)
		case fieldData:
			e.JSON = r.bytes()
		case fieldGiven:
			if r.number > givenID|givenTime {
				return ErrFormat
			}
			e.IDGiven, e.TimeGiven = r.number&givenID != 0, r.number&givenTime != 0
		case fieldKey:
			e.Key = shared(r.bytes(), previous.Key)
		case fieldSignature:
			var ok bool
			if e.Signature, ok = readDelta(room, previous.Signature, r.bytes()); !ok {
				e.invalid = "signature"
			}
		case fieldToken:
			e.Token = shared(r.bytes(), previous.Token)
		case fieldVoidedBy:
			e.VoidedBy = r.number
		case fieldVoids:
			e.Voids = r.number
		default:
			return ErrFormat
		}
	}
	if err := r.err(); err != nil {
		return err
	}
	e.setTime(seconds, nanos, offset, previous)
	return nil
}

// shared returns b as a text: the previous one if it is the same.
func shared[T ~string](b []byte, previous T) T {
	if string(b) == string(previous) {
		return previous
	}
	return T(b)
}

func (e *Event) setTime(seconds int64, nanos uint64, offset int64, previous *Event) {
	const day = 24 * 60 * 60
	// Outside these bounds time.Time has no meaningful year.
	if seconds < -1e12 || seconds > 1e12 || nanos >= 1e9 || offset <= -day || offset >= day {
		e.invalid = "time"
		return
	}
	e.Time = time.Unix(seconds, int64(nanos)).UTC()
	if offset == 0 {
		return
	}
	if _, same := previous.Time.Zone(); int64(same) == offset {
		e.Time = e.Time.In(previous.Time.Location())
	} else {
		e.Time = e.Time.In(time.FixedZone("", int(offset)))
	}
}

// AppendStored appends an event as the timeline stores it: without its signature, and
// without its revision, which is in the key.
func AppendStored(b []byte, e *Event) []byte {
	b = appendUnsigned(b, &e.Event, e.JSON)
	b = appendNumber(b, fieldVoidedBy, e.VoidedBy)
	return appendNumber(b, fieldVoids, e.Voids)
}

var errStored = errors.New("the stored event is invalid")

// DecodeStored decodes an event that AppendStored encoded. JSON aliases b.
func DecodeStored(b []byte) (Event, error) {
	var e Event
	if err := e.decode(b, new(Event), new(signatureRoom)); err != nil {
		return e, err
	}
	year := e.Time.Year()
	if e.invalid != "" || e.ID == "" || !score.ValidPath(e.Source) || !score.ValidPath(e.ContestID) ||
		year < 0 || year > 9999 || isSenderTooLong(&e.Event) {
		return e, errStored
	}
	return e, nil
}

// Wire is an encoded stored event. Its methods read single fields.
type Wire []byte

// Matches reports whether the event has the id, the source and the seq. An empty one is
// not compared.
func (w Wire) Matches(id, source string, seq uint64) bool {
	return (id == "" || string(w.field(fieldID)) == id) &&
		(source == "" || string(w.field(fieldSource)) == source) &&
		(seq == 0 || w.number(fieldSeq) == seq)
}

// Is reports whether the event is of the type.
func (w Wire) Is(t score.Type) bool { return string(w.field(fieldType)) == string(t) }

// JSON returns the event's data.
func (w Wire) JSON() []byte { return w.field(fieldData) }

// IsVoided reports whether another event voids the event.
func (w Wire) IsVoided() bool { return w.number(fieldVoidedBy) > 0 }

func (w Wire) field(want protowire.Number) []byte {
	content, _ := protowire.ConsumeBytes(w.from(want))
	return content
}

func (w Wire) number(want protowire.Number) uint64 {
	n, _ := protowire.ConsumeVarint(w.from(want))
	return n
}

// from returns the rest of the event from the value of a field on; nil if there is none.
func (w Wire) from(want protowire.Number) []byte {
	for b := []byte(w); len(b) > 0; {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil
		}
		b = b[size:]
		if n == want {
			return b
		}
		if size = protowire.ConsumeFieldValue(n, t, b); size < 0 {
			return nil
		}
		b = b[size:]
	}
	return nil
}
