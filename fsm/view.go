package fsm

import (
	"bytes"
	"encoding/binary"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/index"
	"laurel/fsm/timeline"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/medal"
	"laurel/trust/access"
)

// View is one consistent state of the store, for reading. It is valid only while the
// function runs that it was passed to.
type View struct {
	tx          *bolt.Tx
	revision    uint64
	incarnation string
}

// View calls f with the present state, also while entries are applied. Views should be
// short, because the database cannot reuse space that a view still sees.
func (m *Machine) View(f func(*View) error) error {
	tx, incarnation, err := m.beginRead()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	v := &View{tx: tx, incarnation: incarnation}
	var h head
	if _, err := database.GetJSON(tx.Bucket(database.Meta), headKey, &h); err != nil {
		return err
	}
	v.revision = h.Revision
	return f(v)
}

// Revision returns the number of events in the view.
func (v *View) Revision() uint64 { return v.revision }

// Incarnation returns the incarnation of the view's revisions, "" if the store has none
// yet.
func (v *View) Incarnation() string { return v.incarnation }

const (
	// maxListBytes bounds a page of a list: it ends with the item that reaches it.
	maxListBytes = 2 << 20
	// eventOverhead is about what an event takes more in JSON than in the timeline.
	eventOverhead = 256
)

// Contest returns the record of a contest. ok is false if it is not defined.
func (v *View) Contest(id string) (rec score.Record, ok bool, err error) {
	rec, size, err := v.contest(id)
	return rec, size > 0, err
}

// contest returns the record of a contest, and how many bytes are stored of it: 0 if it is
// not defined.
func (v *View) contest(id string) (rec score.Record, size int, err error) {
	value, err := database.Get(v.tx.Bucket(database.Contests), []byte(id))
	if value == nil || err != nil {
		return rec, 0, err
	}
	var c fold.Contest
	if err := json.Unmarshal(value, &c); err != nil {
		return rec, 0, err
	}
	return c.Record(), len(value), nil
}

// Contests returns the records of the contests that match f and whose ids are greater
// than after, sorted by id, at most limit (1 or more), and not more once they have
// maxListBytes. next is the value of after for the next page; "" if there is none.
//
// With a section the contests are in the order of the section, and after and next are
// places in it. A filter that searches or has a section may match nothing on a page that
// is not the last: no page reads more than maxScanned contests.
func (v *View) Contests(f score.Filter, after string, limit int) (list []score.Record, next string, err error) {
	if f.Section != "" {
		return v.section(f, after, limit)
	}
	matches := index.Find(v.tx, f)
	search := fold.NewSearcher(f.Find)
	from := matches.Prefix
	if after != "" && after+"\x00" > string(from) {
		from = []byte(after + "\x00")
	}
	for size, scanned := 0, 0; ; scanned++ {
		id, err := matches.Seek(from)
		if id == nil || err != nil {
			return list, "", err
		}
		if n := len(list); n > 0 && (n >= limit || size >= maxListBytes) || scanned >= maxScanned {
			return list, after, nil
		}
		rec, stored, err := v.found(string(id), search)
		if err != nil {
			return nil, "", err
		}
		if size += stored; stored > 0 {
			list = append(list, rec)
		}
		after = string(id)
		from = append(append(from[:0:0], id...), 0)
	}
}

// section is Contests for a filter with a section.
func (v *View) section(f score.Filter, after string, limit int) (list []score.Record, next string, err error) {
	search, size, scanned := fold.NewSearcher(f.Find), 0, 0
	for m, err := range index.Section(v.tx, f.Section, after) {
		if err != nil {
			return nil, "", err
		}
		if n := len(list); n > 0 && (n >= limit || size >= maxListBytes) || scanned >= maxScanned {
			return list, after, nil
		}
		scanned++
		after = m.Place
		if f.Competition != "" && score.CompetitionOf(m.ID) != f.Competition {
			continue
		}
		rec, stored, err := v.found(m.ID, search)
		if err != nil {
			return nil, "", err
		}
		if size += stored; stored > 0 {
			list = append(list, rec)
		}
	}
	return list, "", nil
}

// maxScanned is the number of contests that are read for one page.
const maxScanned = 5000

// found returns a contest that exists, and how many bytes are stored of it: 0 if the
// search does not find it.
func (v *View) found(id string, search *fold.Searcher) (rec score.Record, stored int, err error) {
	value, err := database.Get(v.tx.Bucket(database.Contests), []byte(id))
	switch {
	case err != nil:
		return rec, 0, err
	case value == nil:
		return rec, 0, database.ErrDamaged
	case !search.MayMatch(value):
		return rec, 0, nil
	}
	var c fold.Contest
	if err := json.Unmarshal(value, &c); err != nil {
		return rec, 0, err
	}
	if !search.Matches(&c) {
		return rec, 0, nil
	}
	return c.Record(), len(value), nil
}

// Overview returns the numbers of contests, and the latest medal tables, at most tables.
func (v *View) Overview(tables int) (o score.Overview, err error) {
	if _, err := database.GetJSON(v.tx.Bucket(database.Meta), sectionsKey, &o.Sections); err != nil {
		return o, err
	}
	for competition, err := range index.Tables(v.tx) {
		if err != nil || len(o.Medals) == tables {
			return o, err
		}
		o.Medals = append(o.Medals, competition)
	}
	return o, nil
}

// Timeline returns the events of a contest with revisions greater than after, in order,
// at most limit (1 or more), and not more once they have maxListBytes. An event that does
// not count since a contest.reset is voided by that. next is the value of after for the
// next page; 0 if there is none.
func (v *View) Timeline(
	contestID string, after uint64, limit int,
) (list []score.TimelineEvent, next uint64, err error) {
	reset, err := v.resetRevision(contestID)
	if err != nil {
		return nil, 0, err
	}
	signatures := timeline.NewSignatureReader(v.tx.Bucket(database.Signatures))
	size := 0
	for r, err := range timeline.Contest(v.tx.Bucket(database.Timeline), contestID, after) {
		if err != nil {
			return list, 0, err
		}
		if n := len(list); n > 0 && (n >= limit || size >= maxListBytes) {
			return list, list[n-1].Revision, nil
		}
		s, err := r.Decode()
		if err != nil {
			return list, 0, err
		}
		signature, err := signatures.Signature(&s)
		if err != nil {
			return list, 0, err
		}
		if s.VoidedBy == 0 && s.Revision < reset && score.EndedByReset(s.Type) {
			s.VoidedBy = reset
		}
		size += len(r.Wire) + len(signature) + eventOverhead
		list = append(list, score.TimelineEvent{
			ID:        s.ID,
			Source:    s.Source,
			Seq:       s.Seq,
			Type:      s.Type,
			Time:      s.Time,
			ContestID: s.ContestID,
			Data:      jsontext.Value(s.JSON),
			Revision:  s.Revision,
			Voids:     s.Voids,
			VoidedBy:  s.VoidedBy,
			Key:       s.Key,
			Signature: bytes.Clone(signature),
			Token:     s.Token,
		})
	}
	return list, 0, nil
}

// resetRevision returns the revision of the contest.reset that counts; 0 if there is none.
func (v *View) resetRevision(contestID string) (uint64, error) {
	var c struct {
		ResetRevision uint64 `json:"reset"`
	}
	_, err := database.GetJSON(v.tx.Bucket(database.Contests), []byte(contestID), &c)
	return c.ResetRevision, err
}

// Medals returns the medal table of a competition. ok is false if there is none.
func (v *View) Medals(competition string) (t *medal.Table, ok bool, err error) {
	t = new(medal.Table)
	ok, err = database.GetJSON(v.tx.Bucket(database.Medals), []byte(competition), t)
	return t, ok, err
}

// Bard returns what the store knows of a source. ok is false if the source has not posted
// anything.
func (v *View) Bard(name string) (b score.Bard, ok bool, err error) {
	ok, err = database.GetJSON(v.tx.Bucket(database.Sources), []byte(name), &b)
	return b, ok, err
}

// Posted returns the events of a source with seqs greater than after, in order, at most
// limit.
func (v *View) Posted(source string, after uint64, limit int) (p score.Posted, err error) {
	p.Source = source
	if _, err := database.GetJSON(v.tx.Bucket(database.Sources), []byte(source), &p.Bard); err != nil {
		return p, err
	}
	records := v.tx.Bucket(database.Seqs)
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

// Audit returns the lines of the audit trail with numbers greater than after, at most
// limit (1 or more). next is the value of after for the next page; 0 if there is none.
func (v *View) Audit(after uint64, limit int) (list []access.AuditEntry, next uint64, err error) {
	c := v.tx.Bucket(database.Audit).Cursor()
	for k, sealed := c.Seek(binary.BigEndian.AppendUint64(nil, after)); k != nil; k, sealed = c.Next() {
		value, err := database.Unseal(k, sealed)
		if err != nil {
			return nil, 0, err
		}
		var line access.AuditEntry
		if err := json.Unmarshal(value, &line); err != nil {
			return nil, 0, err
		}
		if line.Number <= after {
			continue
		}
		if n := len(list); n > 0 && n >= limit {
			return list, list[n-1].Number, nil
		}
		list = append(list, line)
	}
	return list, 0, nil
}
