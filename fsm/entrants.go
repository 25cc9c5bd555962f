package fsm

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"
	"strings"

	"laurel/fsm/database"
	"laurel/fsm/index"
	"laurel/fsm/timeline"
	"laurel/score"
	"laurel/score/fold"
)

// The start list of a ranked contest has a record for each competitor that a
// competitor.define has named. The Entrants bucket has it by its code, and a key without a
// value for its place in the list.

const (
	entrantByCode  = "c"
	entrantByOrder = "o"
)

func entrantKey(contestID, code string) []byte { return database.Key(contestID, entrantByCode, code) }

// orderKey returns the key for the place of an entrant.
func orderKey(contestID string, e score.Entrant) []byte {
	order := uint64(e.Order) ^ 1<<63 // makes signed numbers sort as unsigned ones
	k := binary.BigEndian.AppendUint64(database.Prefix(contestID, entrantByOrder), order)
	return append(k, e.Code...)
}

// Entrant implements fold.Marks.
func (s *contestMarks) Entrant(code string) (e score.Entrant, entered bool) {
	if s.contest.Entered == 0 {
		return e, false
	}
	return s.storedEntrant(code)
}

func (s *contestMarks) storedEntrant(code string) (e score.Entrant, entered bool) {
	entered = s.b.tx.GetJSON(database.Entrants, entrantKey(s.contest.ID, code), &e)
	return e, entered
}

// SetEntrant implements fold.Marks.
func (s *contestMarks) SetEntrant(e score.Entrant) {
	s.putEntrant(e)
	s.Restate(e.Code)
}

// putEntrant writes an entrant, without its marks.
func (s *contestMarks) putEntrant(e score.Entrant) {
	b, id := s.b, s.contest.ID
	if old, entered := s.storedEntrant(e.Code); !entered {
		b.tx.Put(database.Index, index.EntryTerm(e.Code).Posting(id), nil)
	} else if old.Order != e.Order {
		b.tx.Delete(database.Entrants, orderKey(id, old))
	}
	b.tx.PutJSON(database.Entrants, entrantKey(id, e.Code), &e)
	b.tx.Put(database.Entrants, orderKey(id, e), nil)
}

func (s *contestMarks) removeEntrant(code string) {
	b, id := s.b, s.contest.ID
	if old, entered := s.storedEntrant(code); entered {
		b.tx.Delete(database.Index, index.EntryTerm(code).Posting(id))
		b.tx.Delete(database.Entrants, orderKey(id, old))
		b.tx.Delete(database.Entrants, entrantKey(id, code))
	}
}

// FirstEntrants implements fold.Marks.
func (s *contestMarks) FirstEntrants(n int) (first []score.Entrant) {
	p := database.Prefix(s.contest.ID, entrantByOrder)
	c := s.b.tx.Bucket(database.Entrants).Cursor()
	for k, _ := c.Seek(p); bytes.HasPrefix(k, p) && len(first) < n; k, _ = c.Next() {
		e, _ := s.storedEntrant(string(k[len(p)+8:]))
		first = append(first, e)
	}
	return first
}

// entrantChange is what a void makes of an entrant of a ranked contest.
type entrantChange struct {
	code         string
	after        score.Entrant
	entered, was bool
}

// changedEntrant returns what a void makes of the entrant that it affects, nil if it
// affects none: its competitor.defines that are not voided, one after the other.
func (b *batch) changedEntrant(h *history, before *fold.Contest) *entrantChange {
	if h.entrant == "" {
		return nil
	}
	change := &entrantChange{code: h.entrant}
	if before != nil {
		_, change.was = (&contestMarks{b, before}).Entrant(h.entrant)
	}
	prefix, err := score.MarshalData(&score.CompetitorDefine{Competitor: h.entrant})
	if err != nil {
		b.tx.Fail(err)
		return change
	}
	prefix = prefix[:len(prefix)-1] // other members may follow
	for r, err := range timeline.Contest(b.tx.Bucket(database.Timeline), h.contestID, 0) {
		b.tx.Fail(err)
		b.countRow()
		if h.voidedBy[r.Revision] != 0 || !r.Is(score.TypeCompetitorDefine) || !bytes.HasPrefix(r.JSON(), prefix) {
			continue
		}
		if d, ok := b.dataOf(b.decode(r)).(*score.CompetitorDefine); ok && d.Competitor == h.entrant {
			change.after, change.entered = change.after.Changed(d), true
		}
	}
	return change
}

// added returns the number of entrants that are added.
func (c *entrantChange) added() int {
	switch {
	case c == nil || c.entered == c.was:
		return 0
	case c.entered:
		return 1
	}
	return -1
}

// StartList returns the competitors of a contest in the order of its start list, after a
// place, at most limit (1 or more), and not more once they have maxListBytes. ok is false if the contest is not defined.
func (v *View) StartList(
	contestID string, after score.Place, limit int,
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
	listed = slices.DeleteFunc(listed, func(e score.Entrant) bool { return !after.Before(e) })
	size := 0
	add := func(e score.Entrant) (more bool) {
		if n := len(p.Competitors); n > 0 && (n >= limit || size >= maxListBytes) {
			p.Next = score.PlaceOf(p.Competitors[n-1]).String()
			return false
		}
		p.Competitors = append(p.Competitors, e)
		size += len(e.Code) + len(e.Name) + len(e.Organisation) + len(strings.Join(e.Categories, "")) + eventOverhead
		return true
	}
	for e, err := range v.entrants(contestID, after) {
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

// entrants returns the entrants after a place, in order. An error ends the sequence.
func (v *View) entrants(contestID string, after score.Place) iter.Seq2[score.Entrant, error] {
	return func(yield func(score.Entrant, error) bool) {
		bucket, prefix := v.tx.Bucket(database.Entrants), database.Prefix(contestID, entrantByOrder)
		from := prefix
		if e, given := after.Entrant(); given {
			from = append(orderKey(contestID, e), 0)
		}
		c := bucket.Cursor()
		for k, sealed := c.Seek(from); bytes.HasPrefix(k, prefix); k, sealed = c.Next() {
			var e score.Entrant
			_, err := database.Unseal(k, sealed)
			if err == nil {
				var found bool
				found, err = database.GetJSON(bucket, entrantKey(contestID, string(k[len(prefix)+8:])), &e)
				if err == nil && !found {
					err = database.ErrDamaged
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
