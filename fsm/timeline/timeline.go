// Package timeline stores the events of each contest in the state machine's database, in
// the order of their revisions.
//
// A Writer writes events within a transaction. Contest and its variants read them as
// Rows, of which single fields can be read without decoding the event. The signatures are
// stored apart.
package timeline

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/database"
	"laurel/fsm/entry"
)

// Row is an event that has not been decoded, so that a search can skip it by reading
// single fields.
type Row struct {
	Revision uint64
	entry.Wire
}

// Decode decodes the event, without its signature. The result does not alias the
// transaction's memory.
func (r Row) Decode() (entry.Event, error) {
	e, err := entry.DecodeStored(bytes.Clone(r.Wire))
	if err != nil {
		return e, fmt.Errorf("event %d of the timeline: %w", r.Revision, database.ErrDamaged)
	}
	e.Revision = r.Revision
	return e, nil
}

// blockSize is the number of bytes from which a block is full. Two blocks of common events
// fit into a page of the database. Blocks do not depend on the transactions in which they
// were written, so equal logs give equal snapshots.
const blockSize = 1700

// block is consecutive events of one contest, which are stored together, because a write
// to the database is a large part of what an event costs. Each is the difference of its
// revision to that of the first, and the event with its length.
type block struct {
	first uint64 // the revision of the first event, which is in the key
	data  []byte
}

func (b block) isFull() bool { return len(b.data) >= blockSize }

// append appends an event.
func (b block) append(revision uint64, event []byte) block {
	b.data = binary.AppendUvarint(b.data, revision-b.first)
	b.data = protowire.AppendBytes(b.data, event)
	return b
}

// next removes the first row. ok is false if the block is damaged.
func (b *block) next() (r Row, ok bool) {
	after, n := binary.Uvarint(b.data)
	if n <= 0 {
		return r, false
	}
	event, size := protowire.ConsumeBytes(b.data[n:])
	if size < 0 {
		return r, false
	}
	b.data = b.data[n+size:]
	return Row{b.first + after, event}, true
}

// rows returns the rows of a block in order. An error ends the sequence.
func (b block) rows() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for len(b.data) > 0 {
			r, ok := b.next()
			if !ok {
				yield(r, database.ErrDamaged)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// rowsBackward returns the rows of a block, the last one first.
func (b block) rowsBackward() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		var rows []Row
		for r, err := range b.rows() {
			if err != nil {
				yield(r, err)
				return
			}
			rows = append(rows, r)
		}
		for _, r := range slices.Backward(rows) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func newBlock(key, sealed []byte) (block, error) {
	data, err := database.Unseal(key, sealed)
	if err == nil && (len(key) < 8 || len(data) == 0) {
		err = database.ErrDamaged
	}
	if err != nil {
		return block{}, err
	}
	return block{binary.BigEndian.Uint64(key[len(key)-8:]), data}, nil
}

// Count returns the number of events in the value of a record of the bucket Timeline, without
// its checksum.
func Count(value []byte) (n int, err error) {
	if len(value) == 0 {
		return 0, database.ErrDamaged
	}
	for b := (block{data: value}); len(b.data) > 0; n++ {
		if _, ok := b.next(); !ok {
			return 0, database.ErrDamaged
		}
	}
	return n, nil
}

// seekBack returns the record with the last key up to a key.
func seekBack(c *bolt.Cursor, key []byte) (k, v []byte) {
	switch k, v = c.Seek(key); {
	case k == nil:
		return c.Last()
	case !bytes.Equal(k, key):
		return c.Prev()
	}
	return k, v
}

// seekBlock returns the block of a contest that begins at a revision or before; false if
// there is none.
func seekBlock(c *bolt.Cursor, contestID string, revision uint64) (b block, ok bool, err error) {
	k, sealed := seekBack(c, database.NumberedKey(revision, contestID))
	if !bytes.HasPrefix(k, database.Prefix(contestID)) {
		return b, false, nil
	}
	b, err = newBlock(k, sealed)
	return b, err == nil, err
}

// Load returns the event of a contest at a revision. There must be one.
func Load(timeline *bolt.Bucket, contestID string, revision uint64) (entry.Event, error) {
	b, _, err := seekBlock(timeline.Cursor(), contestID, revision)
	if err != nil {
		return entry.Event{}, err
	}
	for r, err := range b.rows() {
		if err != nil {
			return entry.Event{}, err
		}
		if r.Revision == revision {
			return r.Decode()
		}
	}
	return entry.Event{}, database.ErrDamaged
}

// Contest returns the events of a contest with revisions greater than after, in order. An
// error ends the sequence.
func Contest(timeline *bolt.Bucket, contestID string, after uint64) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		c, prefix := timeline.Cursor(), database.Prefix(contestID)
		k, v := seekBack(c, database.NumberedKey(after, contestID))
		if !bytes.HasPrefix(k, prefix) {
			k, v = c.Seek(prefix)
		}
		scan(k, v, c.Next, prefix, block.rows, func(r Row, err error) bool {
			return err == nil && r.Revision <= after || yield(r, err)
		})
	}
}

// ContestBackward returns the events of a contest, the latest first.
func ContestBackward(timeline *bolt.Bucket, contestID string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		c := timeline.Cursor()
		k, v := seekBack(c, database.NumberedKey(math.MaxUint64, contestID))
		scan(k, v, c.Prev, database.Prefix(contestID), block.rowsBackward, yield)
	}
}

// Competition returns the events of a competition that are not voided, contest by
// contest.
func Competition(timeline *bolt.Bucket, competition string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		counting := func(r Row, err error) bool { return err == nil && r.IsVoided() || yield(r, err) }
		c := timeline.Cursor()
		for _, p := range [][]byte{database.Prefix(competition), []byte(competition + "/")} {
			k, v := c.Seek(p)
			if !scan(k, v, c.Next, p, block.rows, counting) {
				return
			}
		}
	}
}

// scan yields the rows of the blocks whose keys have a prefix, beginning with k. It reports
// whether it came to the end of them.
func scan(
	k, v []byte, next func() (k, v []byte), prefix []byte,
	rows func(block) iter.Seq2[Row, error], yield func(Row, error) bool,
) bool {
	for ; bytes.HasPrefix(k, prefix); k, v = next() {
		b, err := newBlock(k, v)
		if err != nil {
			yield(Row{}, err)
			return false
		}
		for r, err := range rows(b) {
			if !yield(r, err) || err != nil {
				return false
			}
		}
	}
	return true
}
