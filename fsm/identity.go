package fsm

import (
	"bytes"
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/score"
)

// Every event is applied exactly once. Each event of a source has a seq, its own or the
// next one. The state keeps the revision and a digest of the event for every seq: a
// repetition is answered with the first revision, and another event under the same seq is
// refused. An event without a seq is recognized by its id among the last idWindow events
// of its source.
//
// Repeating a stored event changes nothing and is always allowed. Of any other event, an
// unauthorized sender learns only that it is not authorized.

// idWindow is the number of ids of each source by which repetitions are recognized.
const idWindow = 1024

type sourceState struct {
	score.Bard
	// ids maps the last idWindow ids to their seqs. It is built when the source first
	// posts an event without a seq.
	ids map[string]uint64
	// block holds the records of the events in the same block as the last one.
	block []byte
}

func (b *batch) source(name string) *sourceState {
	if s, ok := b.m.cache.sources[name]; ok {
		return s
	}
	s := &sourceState{Bard: score.Bard{Source: name}}
	if b.tx.GetJSON(database.Sources, []byte(name), &s.Bard) {
		s.block = bytes.Clone(b.tx.Get(database.Seqs, blockKey(name, s.LastSeq)))
	}
	b.m.cache.sources[name] = s
	return s
}

// blockSeqs is the number of seqs of a source whose records are stored together, because a
// write to the database is a large part of what an event costs. The blocks do not depend on
// the transactions in which they were written, so equal logs give equal snapshots.
const blockSeqs = 32

func blockOf(seq uint64) uint64 { return (seq - 1) / blockSeqs }

func blockKey(source string, seq uint64) []byte { return database.NumberedKey(blockOf(seq), source) }

// seqRecord is the record of an event under its source and seq.
type seqRecord struct {
	revision uint64
	digest   score.Digest
	id       []byte
}

func (r seqRecord) append(b []byte) []byte {
	b = binary.AppendUvarint(b, r.revision)
	b = append(b, r.digest[:]...)
	return protowire.AppendBytes(b, r.id)
}

// consumeRecord decodes the first record of a block and returns the rest. ok is false if
// there is none.
func consumeRecord(b []byte) (r seqRecord, rest []byte, ok bool) {
	revision, n := binary.Uvarint(b)
	const size = len(r.digest)
	if n <= 0 || len(b) < n+size {
		return r, nil, false
	}
	digest, b := b[n:], b[n+size:]
	id, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return r, nil, false
	}
	return seqRecord{revision, score.Digest(digest), id}, b[n:], true
}

// seqRecord returns the record of an event, which must exist. Its id is valid until the
// source has another event.
func (b *batch) seqRecord(s *sourceState, seq uint64) (r seqRecord) {
	block := s.block
	if blockOf(seq) != blockOf(s.LastSeq) {
		block = b.tx.Get(database.Seqs, blockKey(s.Source, seq))
	}
	for range (seq-1)%blockSeqs + 1 {
		var ok bool
		if r, block, ok = consumeRecord(block); !ok {
			b.tx.Fail(database.ErrDamaged)
			break
		}
	}
	return r
}

// identify returns the seq of the event of the source that has the identity of e; 0 if
// there is none.
func (b *batch) identify(s *sourceState, e *entry.Event) (repeated uint64, p *score.Problem) {
	switch {
	case e.Seq > s.LastSeq+1:
		p := score.Problemf(score.SeqGap,
			"the last seq of %s is %d, so the next is %d, not %d; post the events between first",
			s.Source, s.LastSeq, s.LastSeq+1, e.Seq)
		p.ExpectedSeq, p.Field = s.LastSeq+1, "seq"
		return 0, p
	case e.Seq == s.LastSeq+1:
		return 0, nil
	case e.Seq > 0:
		return e.Seq, nil
	}
	if s.ids == nil {
		s.ids = make(map[string]uint64, 16)
		for seq := max(1, s.LastSeq-min(s.LastSeq, idWindow-1)); seq <= s.LastSeq; seq++ {
			s.ids[string(b.seqRecord(s, seq).id)] = seq
		}
	}
	return s.ids[e.ID], nil
}

// recordEvent records the identity of the event just applied and appends the event to the
// timeline.
func (b *batch) recordEvent(s *sourceState, e *entry.Event, digest score.Digest) {
	if b.tx.Recording() {
		// After an undo the window of ids is read again from the database.
		before := sourceState{Bard: s.Bard, block: s.block}
		b.tx.OnUndo(func() { *s = before })
	}
	b.markChanged(b.sources, s.Source)
	if s.ids != nil {
		if e.Seq > idWindow {
			old := b.seqRecord(s, e.Seq-idWindow)
			if s.ids[string(old.id)] == e.Seq-idWindow {
				delete(s.ids, string(old.id))
			}
		}
		s.ids[e.ID] = e.Seq
	}
	s.LastSeq, s.LastID = e.Seq, e.ID
	if e.Seq > 1 && blockOf(e.Seq) != blockOf(e.Seq-1) {
		b.tx.Put(database.Seqs, blockKey(s.Source, e.Seq-1), s.block)
		s.block = nil // an undo may need the array
	}
	s.block = seqRecord{b.Revision, digest, []byte(e.ID)}.append(s.block)
	stored := b.timeline.Append(e)
	b.events = append(binary.AppendUvarint(b.events, uint64(len(stored))), stored...)
}
