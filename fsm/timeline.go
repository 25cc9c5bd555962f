package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
)

// storedEvent is an event of the timeline.
type storedEvent struct {
	entry.Stored
	revision uint64
}

func (b *batch) putTimeline(revision uint64, s *entry.Stored) error {
	b.scratch = entry.AppendStored(b.scratch[:0], s)
	return b.put(database.Timeline, database.NumberedKey(revision, s.ContestID), b.scratch)
}

// timelineRow is an event of the timeline that has not been decoded, so that a search can skip it by
// reading single fields.
type timelineRow struct {
	revision uint64
	entry.Wire
}

// decode decodes the event, without a signature that is in a run. The result does not alias the
// transaction's memory.
func (r timelineRow) decode() (storedEvent, error) {
	stored, err := entry.DecodeStored(bytes.Clone(r.Wire))
	if err != nil || stored.SignaturePlace > r.revision {
		return storedEvent{}, fmt.Errorf("event %d of the timeline: %w", r.revision, database.ErrDamaged)
	}
	return storedEvent{stored, r.revision}, nil
}

func newTimelineRow(key, sealed []byte) (timelineRow, error) {
	wire, err := database.Unseal(key, sealed)
	if err == nil && len(key) < 8 {
		err = database.ErrDamaged
	}
	if err != nil {
		return timelineRow{}, err
	}
	return timelineRow{binary.BigEndian.Uint64(key[len(key)-8:]), wire}, nil
}

func (b *batch) loadStored(contestID string, revision uint64) (storedEvent, error) {
	wire, err := database.Get(b.bucket(database.Timeline), database.NumberedKey(revision, contestID))
	if err != nil {
		return storedEvent{}, err
	}
	return timelineRow{revision, wire}.decode()
}

// A rowFunc handles a row of the timeline and reports whether the scan should continue.
type rowFunc func(r timelineRow) (more bool, err error)

// scanContest calls f for the events of a contest with revisions greater than after, in order.
func scanContest(timeline *bolt.Bucket, contestID string, after uint64, f rowFunc) error {
	from := database.NumberedKey(after, contestID)
	return scanPrefix(timeline, database.Prefix(contestID), from, func(r timelineRow) (bool, error) {
		if r.revision <= after {
			return true, nil
		}
		return f(r)
	})
}

// scanContestBackward calls f for the events of a contest, the latest first.
func scanContestBackward(timeline *bolt.Bucket, contestID string, f rowFunc) error {
	c := timeline.Cursor()
	k, _ := c.Seek(database.NumberedKey(math.MaxUint64, contestID))
	var v []byte
	if k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	for p := database.Prefix(contestID); k != nil && bytes.HasPrefix(k, p); k, v = c.Prev() {
		r, err := newTimelineRow(k, v)
		if err != nil {
			return err
		}
		if more, err := f(r); !more || err != nil {
			return err
		}
	}
	return nil
}

// scanCompetition calls f for the events of a competition that are not voided, contest by contest.
func scanCompetition(timeline *bolt.Bucket, competition string, f rowFunc) error {
	more := true
	for _, p := range [][]byte{database.Prefix(competition), []byte(competition + "/")} {
		err := scanPrefix(timeline, p, p, func(r timelineRow) (_ bool, err error) {
			if !r.IsVoided() {
				more, err = f(r)
			}
			return more, err
		})
		if !more || err != nil {
			return err
		}
	}
	return nil
}

// scanPrefix calls f for the events whose keys have a prefix, beginning with the key from.
func scanPrefix(timeline *bolt.Bucket, prefix, from []byte, f rowFunc) error {
	c := timeline.Cursor()
	for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		r, err := newTimelineRow(k, v)
		if err != nil {
			return err
		}
		if more, err := f(r); !more || err != nil {
			return err
		}
	}
	return nil
}
