package fsm

import (
	"bytes"
	"encoding/binary"
	"math"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
)

// stored is an event in the timeline. voidedBy is the id of the event that voids it, target the revision that this one voids, place that of its
// signature in a run (runs.go), 0 if it is not in one. They are fields 11, 12 and 17 of the event's message.
type stored struct {
	event
	voidedBy string
	target   uint64
	place    uint64
	revision uint64
}

func (b *batch) putTimeline(revision uint64, s *stored) error {
	wire := appendUnsigned(b.scratch[:0], &s.Event, s.data)
	if s.place == 0 {
		wire, _ = appendSignature(wire, nil, s.Signature)
	}
	if s.voidedBy != "" {
		wire = protowire.AppendTag(wire, 11, protowire.BytesType)
		wire = protowire.AppendString(wire, s.voidedBy)
	}
	if s.target != 0 {
		wire = protowire.AppendTag(wire, 12, protowire.VarintType)
		wire = protowire.AppendVarint(wire, s.target)
	}
	if s.place != 0 {
		wire = protowire.AppendTag(wire, 17, protowire.VarintType)
		wire = protowire.AppendVarint(wire, s.place)
	}
	b.scratch = wire
	return b.put(timelineBucket, numbered(revision, s.ContestID), wire)
}

// line is an event in the timeline that need not be read: whoever looks for one among many skips the others by a field.
type line struct {
	revision uint64
	wire     []byte // belongs to the transaction
}

// field is the content of a field that holds bytes; nil if the event has none.
func (l line) field(want protowire.Number) []byte {
	for b := l.wire; len(b) > 0; {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil
		}
		b = b[size:]
		if n == want {
			content, _ := protowire.ConsumeBytes(b)
			return content
		}
		if size = protowire.ConsumeFieldValue(n, t, b); size < 0 {
			return nil
		}
		b = b[size:]
	}
	return nil
}

func (l line) is(t score.Type) bool { return string(l.field(4)) == string(t) }

// read reads the event, but for a signature that is in a run; the copy outlives the transaction.
func (l line) read() (stored, error) {
	s := stored{revision: l.revision}
	var err error
	s.event, err = decodeEvent(bytes.Clone(l.wire), func(n protowire.Number, number uint64, b []byte) bool {
		switch n {
		case 11:
			s.voidedBy = string(b)
		case 12:
			s.target = number
		case 17:
			s.place = number
			return number > 0 && number <= l.revision
		default:
			return false
		}
		return true
	})
	if err != nil || s.malformed != "" || checkForm(&s.Event) != nil {
		return s, errSeal
	}
	return s, nil
}

// eachStored calls f for the events of a contest's timeline behind after, in order, until f answers false.
func eachStored(timeline *bolt.Bucket, contestID string, after uint64, f func(l line) (bool, error)) error {
	return eachWithin(timeline, prefix(contestID), numbered(after, contestID), func(l line) (bool, error) {
		if l.revision <= after {
			return true, nil
		}
		return f(l)
	})
}

// latestStored calls f for the events of a contest's timeline, the latest first, until f answers false.
func latestStored(timeline *bolt.Bucket, contestID string, f func(l line) (bool, error)) error {
	c := timeline.Cursor()
	k, _ := c.Seek(numbered(math.MaxUint64, contestID))
	var v []byte
	if k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	for p := prefix(contestID); k != nil && bytes.HasPrefix(k, p); k, v = c.Prev() {
		l, err := lineOf(k, v)
		if err != nil {
			return err
		}
		if more, err := f(l); !more || err != nil {
			return err
		}
	}
	return nil
}

// eachStanding calls f for the events of a competition that are not voided, contest by contest, until f answers false.
func eachStanding(timeline *bolt.Bucket, competition string, f func(l line) (bool, error)) error {
	more := true
	for _, p := range [][]byte{prefix(competition), []byte(competition + "/")} {
		err := eachWithin(timeline, p, p, func(l line) (_ bool, err error) {
			if len(l.field(11)) == 0 {
				more, err = f(l)
			}
			return more, err
		})
		if !more || err != nil {
			return err
		}
	}
	return nil
}

// eachWithin calls f for the events whose keys have the prefix p, beginning with the key from, until f answers false.
func eachWithin(timeline *bolt.Bucket, p, from []byte, f func(l line) (bool, error)) error {
	c := timeline.Cursor()
	for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, p); k, v = c.Next() {
		l, err := lineOf(k, v)
		if err != nil {
			return err
		}
		if more, err := f(l); !more || err != nil {
			return err
		}
	}
	return nil
}

func lineOf(k, sealed []byte) (line, error) {
	wire, err := unseal(k, sealed)
	if err == nil && len(k) < 8 {
		err = errSeal
	}
	if err != nil {
		return line{}, err
	}
	return line{binary.BigEndian.Uint64(k[len(k)-8:]), wire}, nil
}
