package fsm

import (
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
}

// read reads the event's data. An error means that this version cannot apply it.
func (e *event) read() (err error) {
	if len(e.data) == 0 || e.data[0] != '{' {
		return errEntry
	}
	if e.Data, err = score.UnmarshalData(e.Type, e.data); err != nil {
		return err
	}
	if play, ok := e.Data.(*score.ScorePlay); ok && play.Delta == nil {
		return errEntry
	}
	return nil
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

// decodeEvent reads an event, whose data and signature share b's memory; further is asked about fields that are not the log's.
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
	const day = 24 * 60 * 60
	if err != nil || nanos >= 1e9 || offset <= -day || offset >= day {
		return e, errEntry
	}
	e.Time = time.Unix(seconds, int64(nanos)).In(zone(int(offset)))
	if checkForm(&e.Event) != nil {
		return e, errEntry
	}
	return e, nil
}

// zone avoids an allocation for the two offsets that nearly all times have.
func zone(offset int) *time.Location {
	if offset == 0 {
		return time.UTC
	}
	return time.FixedZone("", offset)
}
