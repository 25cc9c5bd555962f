// Package identity recognizes events that were applied before.
//
// Every event is applied exactly once. Each event of a source has a seq, its own or the
// next one. The state keeps the revision and a digest of the event for every seq: a
// repetition is answered with the first revision, and another event under the same seq is
// refused. An event without a seq is recognized by its id among the last window events of
// its source.
package identity

import (
	"bytes"
	"encoding/binary"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/score"
)

// window is the number of ids of each source by which repetitions are recognized.
const window = 1024

// Source is what the store knows of the events of a source.
type Source struct {
	score.Bard
	// ids maps the last window ids to their seqs. It is built when the source first posts
	// an event without a seq.
	ids map[string]uint64
	// block holds the records of the events in the same block as the last one.
	block []byte
}

// Cache holds decoded sources, by name.
type Cache map[string]*Source

const maxCached = 256 // each may hold a window of ids

// Trim clears a cache that is too large. No transaction may have changed its sources.
func (c Cache) Trim() {
	if len(c) > maxCached {
		clear(c)
	}
}

// Writer reads and writes sources within a transaction. Sources that change stay decoded in
// the cache until Flush.
type Writer struct {
	tx      *database.Tx
	cache   Cache
	changed map[string]bool // the names of changed sources
}

// NewWriter returns a Writer for a transaction.
func NewWriter(tx *database.Tx, cache Cache) *Writer {
	return &Writer{tx: tx, cache: cache, changed: map[string]bool{}}
}

// Source returns a source, which is new if it has not posted anything.
func (w *Writer) Source(name string) *Source {
	if s, ok := w.cache[name]; ok {
		return s
	}
	s := &Source{Bard: score.Bard{Source: name}}
	if w.tx.GetJSON(database.Sources, []byte(name), &s.Bard) {
		if s.Source != name {
			w.tx.Fail(database.ErrDamaged)
			s.Source = name
		}
		s.block = bytes.Clone(w.tx.Get(database.Seqs, blockKey(name, s.LastSeq)))
	}
	w.cache[name] = s
	return s
}

// Flush writes the sources that have changed.
func (w *Writer) Flush() {
	for name := range w.changed {
		s := w.cache[name]
		w.tx.PutJSON(database.Sources, []byte(name), s.Bard)
		w.tx.Put(database.Seqs, blockKey(name, s.LastSeq), s.block)
	}
}

// blockSeqs is the number of seqs of a source whose records are stored together, because a
// write to the database is a large part of what an event costs. The blocks do not depend on
// the transactions in which they were written, so equal logs give equal snapshots.
const blockSeqs = 32

func blockOf(seq uint64) uint64 { return (seq - 1) / blockSeqs }

func blockKey(source string, seq uint64) []byte { return database.NumberedKey(blockOf(seq), source) }

// record is the record of an event under its source and seq.
type record struct {
	revision uint64
	digest   score.Digest
	id       []byte
}

func (r record) append(b []byte) []byte {
	b = binary.AppendUvarint(b, r.revision)
	b = append(b, r.digest[:]...)
	return protowire.AppendBytes(b, r.id)
}

// consumeRecord decodes the first record of a block and returns the rest. ok is false if
// there is none.
func consumeRecord(b []byte) (r record, rest []byte, ok bool) {
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
	return record{revision, score.Digest(digest), id}, b[n:], true
}

// record returns the record of an event, which must exist. Its id is valid until the
// source has another event.
func (w *Writer) record(s *Source, seq uint64) (r record) {
	block := s.block
	if blockOf(seq) != blockOf(s.LastSeq) {
		block = w.tx.Get(database.Seqs, blockKey(s.Source, seq))
	}
	for range (seq-1)%blockSeqs + 1 {
		var ok bool
		if r, block, ok = consumeRecord(block); !ok {
			w.tx.Fail(database.ErrDamaged)
			break
		}
	}
	return r
}

// First is the first event that has an identity.
type First struct {
	Revision uint64
	Seq      uint64
	ID       string
}

// Identify returns the first event of a source with the identity of e, whose digest is
// given; nil if e is the next event. It is a problem if the first one is another event than
// e, or if the events before e are missing.
func (w *Writer) Identify(s *Source, e *entry.Event, digest score.Digest) (*First, *score.Problem) {
	seq, p := w.find(s, e)
	if seq == 0 || p != nil {
		return nil, p
	}
	r := w.record(s, seq)
	if r.digest != digest {
		return nil, s.conflict(e, r)
	}
	return &First{r.revision, seq, string(r.id)}, nil
}

// find returns the seq of the event of the source that has the identity of e; 0 if there
// is none.
func (w *Writer) find(s *Source, e *entry.Event) (seq uint64, p *score.Problem) {
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
		for seq := max(1, s.LastSeq-min(s.LastSeq, window-1)); seq <= s.LastSeq; seq++ {
			s.ids[string(w.record(s, seq).id)] = seq
		}
	}
	return s.ids[e.ID], nil
}

// Record records the identity of an event that has just been applied.
func (w *Writer) Record(s *Source, e *entry.Event, digest score.Digest) {
	if w.tx.Recording() {
		// After an undo the window of ids is read again from the database.
		before := Source{Bard: s.Bard, block: s.block}
		w.tx.OnUndo(func() { *s = before })
	}
	if !w.changed[s.Source] {
		database.Set(w.tx, w.changed, s.Source, true)
	}
	if s.ids != nil {
		if e.Seq > window {
			old := w.record(s, e.Seq-window)
			if s.ids[string(old.id)] == e.Seq-window {
				delete(s.ids, string(old.id))
			}
		}
		s.ids[e.ID] = e.Seq
	}
	s.LastSeq, s.LastID = e.Seq, e.ID
	if e.Seq > 1 && blockOf(e.Seq) != blockOf(e.Seq-1) {
		w.tx.Put(database.Seqs, blockKey(s.Source, e.Seq-1), s.block)
		s.block = nil // an undo may need the array
	}
	s.block = record{e.Revision, digest, []byte(e.ID)}.append(s.block)
}

// conflict returns the problem of an event that has the identity of first but is another
// event. It names what the bard gave: the seq, or else the id.
func (s *Source) conflict(e *entry.Event, first record) *score.Problem {
	if e.Seq == 0 {
		return score.Problemf(score.IDConflict,
			"the id %q of %s is that of another event already (revision %d); choose another id",
			e.ID, s.Source, first.revision).At("id")
	}
	return score.Problemf(score.IDConflict,
		"seq %d of %s is already another event (id %q, revision %d); "+
			"post a correction as a new event with the next seq (%d)",
		e.Seq, s.Source, first.id, first.revision, s.LastSeq+1).At("seq")
}

// Posted returns the events of a source with seqs greater than after, in order, at most
// limit.
func Posted(tx *bolt.Tx, source string, after uint64, limit int) (p score.Posted, err error) {
	p.Source = source
	if _, err := database.GetJSON(tx.Bucket(database.Sources), []byte(source), &p.Bard); err != nil {
		return p, err
	}
	records := tx.Bucket(database.Seqs)
	for after < p.LastSeq && len(p.Events) < limit {
		first := blockOf(after+1)*blockSeqs + 1
		block, err := database.Get(records, blockKey(source, first))
		if err != nil {
			return p, err
		}
		for seq := first; seq < first+blockSeqs && seq <= p.LastSeq && len(p.Events) < limit; seq++ {
			r, rest, ok := consumeRecord(block)
			if !ok {
				return p, database.ErrDamaged
			}
			if block = rest; seq > after {
				e := score.PostedEvent{Seq: seq, ID: string(r.id), Revision: r.revision, Digest: r.digest}
				p.Events = append(p.Events, e)
				after = seq
			}
		}
	}
	return p, nil
}
