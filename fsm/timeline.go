package fsm

import (
	"bytes"
	"encoding/binary"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"
)

// stored is an event in the timeline. voidedBy is the id of the event that voids it, target the revision that this one voids.
// They are fields 11 and 12 of the event's message.
type stored struct {
	event
	voidedBy string
	target   uint64
	revision uint64
}

func (b *batch) putTimeline(revision uint64, s *stored) error {
	wire := appendEvent(make([]byte, 0, 160+len(s.data)), &s.Event, s.data)
	if s.voidedBy != "" {
		wire = protowire.AppendTag(wire, 11, protowire.BytesType)
		wire = protowire.AppendString(wire, s.voidedBy)
	}
	if s.target != 0 {
		wire = protowire.AppendTag(wire, 12, protowire.VarintType)
		wire = protowire.AppendVarint(wire, s.target)
	}
	return b.put(timelineBucket, numbered(revision, s.ContestID), wire)
}

func decodeStored(revision uint64, wire []byte) (stored, error) {
	s := stored{revision: revision}
	var err error
	// The copy outlives the transaction that wire belongs to.
	s.event, err = decodeEvent(bytes.Clone(wire), func(n protowire.Number, number uint64, b []byte) bool {
		switch n {
		case 11:
			s.voidedBy = string(b)
		case 12:
			s.target = number
		default:
			return false
		}
		return true
	})
	return s, err
}

// eachStored calls f for the events of a contest's timeline behind after, in order, until f answers false.
func eachStored(timeline *bolt.Bucket, contestID string, after uint64, f func(s stored) (bool, error)) error {
	return eachWithin(timeline, prefix(contestID), numbered(after, contestID), func(s stored) (bool, error) {
		if s.revision <= after {
			return true, nil
		}
		return f(s)
	})
}

// eachStanding calls f for the events of a competition that are not voided, contest by contest, until f answers false.
func eachStanding(timeline *bolt.Bucket, competition string, f func(s stored) (bool, error)) error {
	more := true
	for _, p := range [][]byte{prefix(competition), []byte(competition + "/")} {
		err := eachWithin(timeline, p, p, func(s stored) (_ bool, err error) {
			if s.voidedBy == "" {
				more, err = f(s)
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
func eachWithin(timeline *bolt.Bucket, p, from []byte, f func(s stored) (bool, error)) error {
	c := timeline.Cursor()
	for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, p); k, v = c.Next() {
		wire, err := unseal(k, v)
		if err != nil {
			return err
		}
		if len(k) < 8 {
			return errSeal
		}
		s, err := decodeStored(binary.BigEndian.Uint64(k[len(k)-8:]), wire)
		if err != nil {
			return err
		}
		if more, err := f(s); !more || err != nil {
			return err
		}
	}
	return nil
}
