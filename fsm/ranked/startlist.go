package ranked

import (
	"bytes"
	"encoding/binary"
	"iter"

	"laurel/fsm/database"
	"laurel/fsm/index"
	"laurel/score"
)

const (
	entrantByCode  = "c"
	entrantByOrder = "o"
)

func entrantKey(contestID, code string) []byte { return database.Key(contestID, entrantByCode, code) }

// orderKey returns the key for the place of an entrant.
func orderKey(contestID string, e score.Entrant) []byte {
	k := database.Prefix(contestID, entrantByOrder)
	return append(binary.BigEndian.AppendUint64(k, uint64(e.Order)^1<<63), e.Code...) // keys sort by the order
}

// Entrant implements fold.Marks.
func (s *Contest) Entrant(code string) (e score.Entrant, entered bool) {
	if s.contest.Entered == 0 {
		return e, false
	}
	return s.entrant(code)
}

func (s *Contest) entrant(code string) (e score.Entrant, entered bool) {
	entered = s.w.tx.GetJSON(database.Entrants, entrantKey(s.contest.ID, code), &e)
	return e, entered
}

// SetEntrant implements fold.Marks.
func (s *Contest) SetEntrant(e score.Entrant) {
	s.PutEntrant(e)
	s.Restate(e.Code)
}

// PutEntrant writes an entrant of the start list, without its marks.
func (s *Contest) PutEntrant(e score.Entrant) {
	w, id := s.w, s.contest.ID
	if old, entered := s.entrant(e.Code); !entered {
		w.tx.Put(database.Index, index.EntryTerm(e.Code).Posting(id), nil)
	} else if old.Order != e.Order {
		w.tx.Delete(database.Entrants, orderKey(id, old))
	}
	w.tx.PutJSON(database.Entrants, entrantKey(id, e.Code), &e)
	w.tx.Put(database.Entrants, orderKey(id, e), nil)
}

// RemoveEntrant removes an entrant from the start list, without its marks.
func (s *Contest) RemoveEntrant(code string) {
	w, id := s.w, s.contest.ID
	if old, entered := s.entrant(code); entered {
		w.tx.Delete(database.Index, index.EntryTerm(code).Posting(id))
		w.tx.Delete(database.Entrants, orderKey(id, old))
		w.tx.Delete(database.Entrants, entrantKey(id, code))
	}
}

// FirstEntrants implements fold.Marks.
func (s *Contest) FirstEntrants(n int) (first []score.Entrant) {
	for e, err := range Entrants(s.w.tx, s.contest.ID, nil) {
		if s.w.tx.Fail(err); err != nil || len(first) == n {
			break
		}
		first = append(first, e)
	}
	return first
}

// Entrants returns the entrants behind one, or all for nil, in order. An error ends the
// sequence.
func Entrants(tx database.Reader, contestID string, after *score.Entrant) iter.Seq2[score.Entrant, error] {
	return func(yield func(score.Entrant, error) bool) {
		bucket, prefix := tx.Bucket(database.Entrants), database.Prefix(contestID, entrantByOrder)
		from := prefix
		if after != nil {
			from = append(orderKey(contestID, *after), 0)
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
