package fsm

import (
	"bytes"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
)

// event is an event whose data is still JSON: a duplicate is answered without reading it, a timeline shown without.
type event struct {
	score.Event
	data []byte
	// voids is the revision of the event that an event.void strikes out. It is found when the void is applied.
	voids uint64
	// checked is what came of looking at its signature; nil while nobody has.
	checked *checked
	// malformed is the field that has a value no writer gives it, though the message can be read; "" if
	// there is none.
	malformed string
}

// form returns what is wrong with the event but for its data: it is asked before anything is looked up
// under the event's names, for keys are made of them.
func (e *event) form() *score.Problem {
	if e.malformed != "" {
		return malformed(e.malformed, "is none that an event can have")
	}
	return formOf(&e.Event)
}

func formOf(e *score.Event) *score.Problem {
	if len(e.Key) > maxVouched || len(e.Token) > maxVouched || len(e.Signature) > score.MaxSignature {
		return malformed("signature", "the key, the token or the signature is too long")
	}
	return e.CheckEnvelope()
}

func malformed(field, format string, args ...any) *score.Problem {
	p := score.Problemf(score.InvalidEvent, format, args...)
	p.Field = field
	return p
}

// read reads the event's data, if that was not done before, and returns why it is invalid. Whether the data
// follows the rules CheckData tells, which is asked last: a stranger hears only that it may not post.
func (e *event) read() *score.Problem {
	if e.Data != nil {
		return nil
	}
	return e.ReadData(e.data)
}

// inspect checks all that can be checked of the event without the state. It uses scratch, and gives it back.
func (e *event) inspect(scratch []byte) ([]byte, error) {
	if p := e.form(); p != nil {
		return scratch, p
	}
	if p := e.read(); p != nil {
		return scratch, p
	}
	if p := e.CheckData(); p != nil {
		return scratch, p
	}
	if p := e.CheckSignature(); p != nil {
		return scratch, p
	}
	scratch, err := score.AppendData(scratch, e.Data)
	if err == nil && !bytes.Equal(scratch, e.data) {
		err = errOtherWords
	}
	return scratch, err
}

// appendEvent appends an event that stands alone.
func appendEvent(b []byte, e *score.Event, data []byte) []byte {
	b, _ = appendSignature(appendUnsigned(b, e, data), nil, e.Signature)
	return b
}

// appendUnsigned appends all of an event but its signature.
func appendUnsigned(b []byte, e *score.Event, data []byte) []byte {
	text := func(n protowire.Number, s string) {
		b = protowire.AppendTag(b, n, protowire.BytesType)
		b = protowire.AppendString(b, s)
	}
	number := func(n protowire.Number, v uint64) {
		if v != 0 {
			b = protowire.AppendTag(b, n, protowire.VarintType)
			b = protowire.AppendVarint(b, v)
		}
	}
	text(1, e.ID)
	text(2, e.Source)
	number(3, e.Seq)
	text(4, string(e.Type))
	_, offset := e.Time.Zone()
	number(5, protowire.EncodeZigZag(e.Time.Unix()))
	number(6, uint64(e.Time.Nanosecond()))
	number(7, protowire.EncodeZigZag(int64(offset)))
	text(8, e.ContestID)
	b = protowire.AppendTag(b, 9, protowire.BytesType)
	b = protowire.AppendBytes(b, data)
	given := uint64(0)
	if e.IDGiven {
		given |= givenID
	}
	if e.TimeGiven {
		given |= givenTime
	}
	number(10, given)
	if e.Key != "" {
		text(13, e.Key)
	}
	if e.Token != "" {
		text(15, e.Token)
	}
	return b
}

// decodeEvent reads an event and does not judge what it says: form and read do. Its data and signature
// share b's memory; further is asked about fields that are not the log's.
func decodeEvent(b []byte, further func(n protowire.Number, number uint64, bytes []byte) bool) (event, error) {
	var e event
	var seconds, offset int64
	var nanos uint64
	err := fields(b, eventNumbers, func(n protowire.Number, number uint64, bytes []byte) bool {
		switch n {
		case 1:
			e.ID = string(bytes)
		case 2:
			e.Source = string(bytes)
		case 3:
			e.Seq = number
		case 4:
			e.Type = score.Type(bytes)
		case 5:
			seconds = protowire.DecodeZigZag(number)
		case 6:
			nanos = number
		case 7:
			offset = protowire.DecodeZigZag(number)
		case 8:
			e.ContestID = string(bytes)
		case 9:
			e.data = bytes
		case 10:
			e.IDGiven, e.TimeGiven = number&givenID != 0, number&givenTime != 0
			return number <= givenID|givenTime
		case 13:
			e.Key = string(bytes)
		case 14:
			e.Signature = bytes
		case 15:
			e.Token = string(bytes)
		default:
			return further != nil && further(n, number, bytes)
		}
		return true
	})
	if err != nil {
		return e, err
	}
	const day = 24 * 60 * 60
	// Beyond these bounds a year has no meaning, or depends on who counts.
	if seconds < -1e12 || seconds > 1e12 || nanos >= 1e9 || offset <= -day || offset >= day {
		e.malformed = "time"
		return e, nil
	}
	e.Time = time.Unix(seconds, int64(nanos)).In(zone(int(offset)))
	return e, nil
}

// zone avoids an allocation for the two offsets that nearly all times have.
func zone(offset int) *time.Location {
	if offset == 0 {
		return time.UTC
	}
	return time.FixedZone("", offset)
}
