package fsm

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/score"
)

// Exactly once. Each event of a source has a seq, its own or the next one. The state keeps for every seq the revision and a digest of
// what was said: a repeat is answered with the first revision, another event under the same seq is refused. An event without a seq is
// known again by its id, among the last idWindow events of its source. Who may say it is asked in between: to say again what the store has
// changes nothing, whoever says it; of anything else a stranger hears only that he may not.

// idWindow is the number of ids of each source that protect against doubles: api.md.
const idWindow = 1024

type source struct {
	name   string
	last   uint64
	lastID string
	// ids finds the seq of an id among the last idWindow. It is built when the source first posts without a seq; feeds that count never need it.
	ids map[string]uint64
}

func (s *source) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, s.last), s.lastID...)
}

func decodeSource(name string, v []byte) (*source, error) {
	if len(v) < 8 {
		return nil, errSeal
	}
	return &source{name: name, last: binary.BigEndian.Uint64(v), lastID: string(v[8:])}, nil
}

func (b *batch) source(name string) (*source, error) {
	if s, ok := b.m.memory.sources[name]; ok {
		return s, nil
	}
	s := &source{name: name}
	v, err := get(b.bucket(sourceBucket), []byte(name))
	if err != nil {
		return nil, err
	}
	if v != nil {
		if s, err = decodeSource(name, v); err != nil {
			return nil, err
		}
	}
	b.m.memory.sources[name] = s
	return s, nil
}

const digestSize = 16

// digest covers what the bard said and must repeat: what a frontend filled in is left out. So is who vouches for it. A signature is another
// one in each batch, and the key may be too: a bard whose key was revoked signs what it has not heard of yet with its new one, or signs what
// it had posted with a token. It says the same, and must not be told of a conflict that it can do nothing about.
func (e *event) digest() [digestSize]byte {
	b := append(make([]byte, 0, 512), e.Type...)
	b = append(b, 0)
	b = append(b, e.ContestID...)
	b = append(b, 0)
	if e.IDGiven {
		b = append(b, e.ID...)
	}
	b = append(b, 0)
	if e.TimeGiven {
		b = binary.BigEndian.AppendUint64(b, uint64(e.Time.Unix()))
		b = binary.BigEndian.AppendUint32(b, uint32(e.Time.Nanosecond()))
	}
	b = append(b, 0)
	sum := sha256.Sum256(append(b, e.data...))
	return [digestSize]byte(sum[:])
}

// said is what the state keeps of an event under its source and seq.
type said struct {
	revision uint64
	digest   [digestSize]byte
	id       string
}

func (s said) append(b []byte) []byte {
	b = protowire.AppendVarint(b, s.revision)
	return append(append(b, s.digest[:]...), s.id...)
}

func decodeSaid(v []byte) (said, error) {
	var s said
	revision, n := protowire.ConsumeVarint(v)
	if n < 0 || len(v) < n+digestSize {
		return s, errSeal
	}
	s.revision = revision
	copy(s.digest[:], v[n:])
	s.id = string(v[n+digestSize:])
	return s, nil
}

func (b *batch) said(source string, seq uint64) (said, error) {
	v, err := get(b.bucket(seqBucket), numbered(seq, source))
	if err != nil {
		return said{}, err
	}
	return decodeSaid(v)
}

// event applies one event, unless it was applied before or its identity or the present state refuses it.
func (b *batch) event(e *event) (score.Result, error) {
	if p := e.form(); p != nil {
		return refusal(e, p), nil
	}
	s, err := b.source(e.Source)
	if err != nil {
		return score.Result{}, err
	}
	digest := e.digest()
	repeat, p, err := b.identify(s, e)
	if err != nil {
		return score.Result{}, err
	}
	var first said
	if repeat != 0 {
		if first, err = b.said(s.name, repeat); err != nil {
			return score.Result{}, err
		}
		if first.digest == digest {
			return score.Result{ID: first.id, Seq: repeat, Revision: first.revision, Status: score.Duplicate}, nil
		}
		p = score.Problemf(score.IDConflict, "seq %d of %s is another event already (id %q, revision %d); a correction is a new event with the next seq (%d)",
			repeat, s.name, first.id, first.revision, s.last+1)
	}
	if p = cmp.Or(b.authorize(e), p); p != nil {
		return refusal(e, p), nil
	}
	if p := e.read(); p != nil { // signed data was read when its signature was looked at
		return refusal(e, p), nil
	}
	if p := e.CheckData(); p != nil {
		return refusal(e, p), nil
	}
	e.Seq = s.last + 1
	if p, err := b.effect(e, b.revision+1); p != nil || err != nil {
		return score.Result{ID: e.ID, Seq: e.Seq, Problem: p}, err
	}
	b.revision++
	b.m.changes.contest(e.ContestID)
	b.moves.touch(e)
	if err := b.say(s, e, digest); err != nil {
		return score.Result{}, err
	}
	return score.Result{ID: e.ID, Seq: e.Seq, Revision: b.revision, Status: score.Applied}, nil
}

// refusal is the result of an event that is not applied.
func refusal(e *event, p *score.Problem) score.Result {
	r := score.Result{ID: e.ID, Seq: e.Seq, Problem: p}
	if p.Field == "id" {
		r.ID = "" // what is no id may not even be text
	}
	return r
}

// identify tells the seq under which the source has said something with this identity before; 0 if it has not.
func (b *batch) identify(s *source, e *event) (repeat uint64, p *score.Problem, err error) {
	switch {
	case e.Seq > s.last+1:
		p := score.Problemf(score.SeqGap, "the last seq of %s is %d, so the next is %d, not %d; post the events between first", s.name, s.last, s.last+1, e.Seq)
		p.ExpectedSeq, p.Field = s.last+1, "seq"
		return 0, p, nil
	case e.Seq == s.last+1:
		return 0, nil, nil
	case e.Seq > 0:
		return e.Seq, nil, nil
	}
	if s.ids == nil {
		if err := b.loadIDs(s); err != nil {
			return 0, nil, err
		}
	}
	return s.ids[e.ID], nil, nil
}

func (b *batch) loadIDs(s *source) error {
	s.ids = make(map[string]uint64, 16)
	for seq := max(1, s.last-min(s.last, idWindow-1)); seq <= s.last; seq++ {
		was, err := b.said(s.name, seq)
		if err != nil {
			return err
		}
		s.ids[was.id] = seq
	}
	return nil
}

// say keeps the identity of the event just applied, and puts it into the timeline.
func (b *batch) say(s *source, e *event, digest [digestSize]byte) error {
	if b.recording {
		// The window of ids is rebuilt from the database if it is needed after a rollback.
		before := source{name: s.name, last: s.last, lastID: s.lastID}
		b.undo = append(b.undo, func() error { *s = before; return nil })
	}
	b.mark(b.sources, s.name)
	if s.ids != nil {
		if e.Seq > idWindow {
			old, err := b.said(s.name, e.Seq-idWindow)
			if err != nil {
				return err
			}
			if s.ids[old.id] == e.Seq-idWindow {
				delete(s.ids, old.id)
			}
		}
		s.ids[e.ID] = e.Seq
	}
	s.last, s.lastID = e.Seq, e.ID
	b.scratch = said{b.revision, digest, e.ID}.append(b.scratch[:0])
	if err := b.put(seqBucket, numbered(e.Seq, s.name), b.scratch); err != nil {
		return err
	}
	place, err := b.place(e)
	if err != nil {
		return err
	}
	return b.putTimeline(b.revision, &stored{event: *e, target: e.voids, place: place})
}
