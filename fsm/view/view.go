// Package view reads the records of one consistent state of the store.
package view

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/identity"
	"laurel/fsm/index"
	"laurel/fsm/ranked"
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

// New returns a view of the state in a transaction, which must stay open. revision is the
// number of its events, and incarnation that of its revisions.
func New(tx *bolt.Tx, revision uint64, incarnation string) *View {
	return &View{tx: tx, revision: revision, incarnation: incarnation}
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
	s := scan{v: v, search: fold.NewSearcher(f.Find), limit: limit}
	from := matches.Prefix
	if after != "" && after+"\x00" > string(from) {
		from = []byte(after + "\x00")
	}
	for {
		id, err := matches.Seek(from)
		switch {
		case id == nil || err != nil:
			return s.list, "", err
		case s.isFull():
			return s.list, after, nil
		}
		if err := s.add(string(id)); err != nil {
			return nil, "", err
		}
		after = string(id)
		from = append(append(from[:0:0], id...), 0)
	}
}

// section is Contests for a filter with a section.
func (v *View) section(f score.Filter, after string, limit int) (list []score.Record, next string, err error) {
	s := scan{v: v, search: fold.NewSearcher(f.Find), limit: limit}
	within := ""
	if f.Competition != "" {
		within = f.Competition + "/"
	}
	for m, err := range index.Section(v.tx, f.Section, after) {
		if err != nil {
			return nil, "", err
		}
		if s.isFull() {
			return s.list, after, nil
		}
		after = m.Place
		if !strings.HasPrefix(m.ID, within) {
			s.scanned++
		} else if err := s.add(m.ID); err != nil {
			return nil, "", err
		}
	}
	return s.list, "", nil
}

const (
	// maxScanned is the number of contests that are read for one page.
	maxScanned = 5000
	// maxScannedBytes bounds the bytes of contests in which one page searches: it ends
	// behind the contest that reaches it.
	maxScannedBytes = 8 << 20
)

// scan reads the contests of a page.
type scan struct {
	v      *View
	search *fold.Searcher
	limit  int

	list           []score.Record
	size           int // bytes that are stored of list
	scanned, bytes int // contests, and their bytes
}

func (s *scan) isFull() bool {
	n := len(s.list)
	return n > 0 && (n >= s.limit || s.size >= maxListBytes) || s.scanned >= maxScanned || s.bytes >= maxScannedBytes
}

// add adds a contest, which exists, unless the search does not find it.
func (s *scan) add(id string) error {
	value, err := database.Get(s.v.tx.Bucket(database.Contests), []byte(id))
	if value == nil && err == nil {
		err = database.ErrDamaged
	}
	s.scanned, s.bytes = s.scanned+1, s.bytes+len(value)
	if err != nil || !s.search.MayMatch(value) {
		return err
	}
	var c fold.Contest
	if err := json.Unmarshal(value, &c); err != nil {
		return err
	}
	if s.search.Matches(&c) {
		s.list, s.size = append(s.list, c.Record()), s.size+len(value)
	}
	return nil
}

// Overview returns the numbers of contests, and the latest medal tables, at most tables.
func (v *View) Overview(tables int) (o score.Overview, err error) {
	if o.Sections, err = index.Sections(v.tx); err != nil {
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
func (v *View) Posted(source string, after uint64, limit int) (score.Posted, error) {
	return identity.Posted(v.tx, source, after, limit)
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

// StartList returns the competitors of a contest in the order of its start list, those
// behind one or, for nil, all: at most limit (1 or more), and not more once they have
// maxListBytes. ok is false if the contest is not defined.
func (v *View) StartList(
	contestID string, after *score.Entrant, limit int,
) (p score.StartListPage, ok bool, err error) {
	var c fold.Contest
	ok, err = database.GetJSON(v.tx.Bucket(database.Contests), []byte(contestID), &c)
	if !ok || err != nil {
		return p, ok, err
	}
	p.ContestID, p.Competitors = contestID, []score.Entrant{}
	isListed := map[string]bool{}
	var listed []score.Entrant
	listed, p.Total = c.Listed()
	for _, e := range listed {
		isListed[e.Code] = true
	}
	listed = slices.DeleteFunc(listed, func(e score.Entrant) bool { return after != nil && e.Compare(*after) <= 0 })
	size := 0
	add := func(e score.Entrant) (more bool) {
		if n := len(p.Competitors); n > 0 && (n >= limit || size >= maxListBytes) {
			p.Next = p.Competitors[n-1].Place()
			return false
		}
		p.Competitors = append(p.Competitors, e)
		size += len(e.Code) + len(e.Name) + len(e.Organisation) + len(strings.Join(e.Categories, "")) + eventOverhead
		return true
	}
	for e, err := range ranked.Entrants(v.tx, contestID, after) {
		if err != nil {
			return p, true, err
		}
		for len(listed) > 0 && listed[0].Compare(e) < 0 {
			if !add(listed[0]) {
				return p, true, nil
			}
			listed = listed[1:]
		}
		if !isListed[e.Code] && !add(e) {
			return p, true, nil
		}
	}
	for _, e := range listed {
		if !add(e) {
			break
		}
	}
	return p, true, nil
}

// Keys returns the ids of the contests of a competition, and the competition if it has a
// medal table; for "", of all competitions. Both lists are sorted.
func (v *View) Keys(competition string) (contests, tables []string, err error) {
	ids := func(bucket, prefix []byte, add func(id string)) error {
		c := v.tx.Bucket(bucket).Cursor()
		for k, sealed := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, sealed = c.Next() {
			if _, err := database.Unseal(k, sealed); err != nil {
				return err
			}
			add(string(k))
		}
		return nil
	}
	within := []byte(nil)
	if competition != "" {
		within = []byte(competition + "/")
	}
	if err := ids(database.Contests, within, func(id string) { contests = append(contests, id) }); err != nil {
		return nil, nil, err
	}
	if competition == "" {
		err = ids(database.Medals, nil, func(id string) { tables = append(tables, id) })
	} else if v.tx.Bucket(database.Medals).Get([]byte(competition)) != nil {
		tables = []string{competition}
	}
	return contests, tables, err
}
