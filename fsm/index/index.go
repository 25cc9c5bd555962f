// Package index finds contests by sport, status and competitor, and lists them by section
// and the medal tables by their last change.
//
// It keeps an inverted index in a bucket of the state machine's database: for each term
// (Terms) a posting for each contest that has it. The transaction that changes a contest
// updates its postings. Find intersects the postings of the terms of a filter.
package index

import (
	"bytes"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/score"
	"laurel/score/fold"
)

// A posting is a key without a value, for one contest and one term that the contest can
// be found by:
//
//	kind, value, contest_id

// Term is one property that contests can be found by.
type Term struct {
	kind  byte
	value string
}

// The kinds of terms, which are part of the keys. The terms of a contest and those of its
// marks have different kinds, because removing one must not remove the other.
const (
	kindSport  = 's'
	kindStatus = 't' // the schedule status or the result status
	kindName   = 'n' // the code or organisation of a listed competitor, or the organisation of a leader
	kindMark   = 'm' // the code of a competitor who has a mark
	kindEntry  = 'e' // the code of a competitor of the start list
	// The values of the following kinds sort their postings.
	kindSection = 'o' // the section, and the place of the contest there
	kindTable   = 'c' // the last change of a medal table, the latest first; the id is a competition
)

// Terms appends the terms of a contest, without those of its marks.
func Terms(list []Term, c *fold.Contest) []Term {
	list = append(list,
		Term{kindSport, c.Definition.Sport},
		Term{kindStatus, c.ScheduleStatus},
		Term{kindStatus, c.ResultStatus},
		sectionTerm(c),
	)
	for i := range c.Competitors {
		e := c.Competitors[i].Known()
		list = append(list, Term{kindName, e.Code}, Term{kindName, e.Organisation})
	}
	for i := range c.Entrants {
		list = append(list, Term{kindName, c.Entrants[i].Organisation})
	}
	for i := range c.Leaders {
		list = append(list, Term{kindName, c.Leaders[i].Organisation})
	}
	return list
}

// MarkTerm returns the term of a competitor who has a mark.
func MarkTerm(competitor string) Term { return Term{kindMark, competitor} }

// prefix returns the beginning of the keys of the term's postings.
func (t Term) prefix() []byte {
	const usualID = 46 // has room for the id of most contests
	k := make([]byte, 0, len(t.value)+2+usualID)
	return append(append(append(k, t.kind), t.value...), 0)
}

// Posting returns the key of the term's posting for a contest.
func (t Term) Posting(contestID string) []byte { return append(t.prefix(), contestID...) }

// Update changes the postings of a contest from its terms before to those after.
func Update(tx *database.Tx, contestID string, before, after []Term) {
	old, current := setOf(before), setOf(after)
	for t := range old {
		if !current[t] {
			tx.Delete(database.Index, t.Posting(contestID))
		}
	}
	for t := range current {
		if !old[t] {
			tx.Put(database.Index, t.Posting(contestID), nil)
		}
	}
}

func setOf(list []Term) map[Term]bool {
	set := make(map[Term]bool, len(list))
	for _, t := range list {
		set[t] = true
	}
	return set
}

// EntryTerm returns the term of a competitor of the start list.
func EntryTerm(competitor string) Term { return Term{kindEntry, competitor} }

// AddMark makes a contest findable by a competitor who has its first mark in it.
func AddMark(tx *database.Tx, contestID, competitor string) {
	tx.Put(database.Index, MarkTerm(competitor).Posting(contestID), nil)
}

// RemoveMark reverts AddMark, when the competitor has no mark any more.
func RemoveMark(tx *database.Tx, contestID, competitor string) {
	tx.Delete(database.Index, MarkTerm(competitor).Posting(contestID))
}

// idList is a sorted list of contest ids.
type idList interface {
	// Seek returns the first id that is not less than id; nil if there is none.
	// Successive calls must pass ascending ids.
	Seek(id []byte) ([]byte, error)
}

// postings is the list of the ids behind a common key prefix in a bucket.
type postings struct {
	cursor  *bolt.Cursor
	prefix  []byte
	current []byte // the id at the cursor; nil before the first Seek
	end     bool
}

// Seek implements idList.
func (p *postings) Seek(id []byte) ([]byte, error) {
	if p.end || p.current != nil && bytes.Compare(p.current, id) >= 0 {
		return p.current, nil
	}
	var k, sealed []byte
	if p.current != nil {
		// The id is nearly always the next one.
		k, sealed = p.cursor.Next()
	}
	if p.current == nil || p.has(k) && bytes.Compare(k[len(p.prefix):], id) < 0 {
		k, sealed = p.cursor.Seek(append(p.prefix[:len(p.prefix):len(p.prefix)], id...))
	}
	if !p.has(k) {
		p.current, p.end = nil, true
		return nil, nil
	}
	p.current = k[len(p.prefix):]
	_, err := database.Unseal(k, sealed)
	return p.current, err
}

func (p *postings) has(k []byte) bool { return k != nil && bytes.HasPrefix(k, p.prefix) }

// union is the list of the ids that are in one of several lists.
type union []idList

// Seek implements idList.
func (u union) Seek(id []byte) (first []byte, err error) {
	for _, list := range u {
		at, err := list.Seek(id)
		if err != nil {
			return nil, err
		}
		if first == nil || at != nil && bytes.Compare(at, first) < 0 {
			first = at
		}
	}
	return first, nil
}

// Matches is the sorted list of the ids of the contests that match a filter. It is the
// intersection of several lists: each list seeks the largest id that another one has
// reached, so finding the next id takes no more steps than the shortest list has entries.
type Matches struct {
	Prefix []byte // the common prefix of the ids
	lists  []idList
}

// Find returns the ids of the contests in the database that match a filter.
func Find(tx *bolt.Tx, f score.Filter) Matches {
	posted := func(kind byte, value string) idList {
		return &postings{cursor: tx.Bucket(database.Index).Cursor(), prefix: Term{kind, value}.prefix()}
	}
	m := Matches{}
	if f.Competition != "" {
		m.Prefix = []byte(f.Competition + "/")
	}
	if f.Sport != "" {
		m.lists = append(m.lists, posted(kindSport, f.Sport))
	}
	if f.Status != "" {
		m.lists = append(m.lists, posted(kindStatus, f.Status))
	}
	if f.Competitor != "" {
		m.lists = append(m.lists, union{
			posted(kindName, f.Competitor), posted(kindMark, f.Competitor), posted(kindEntry, f.Competitor),
		})
	}
	if len(m.lists) == 0 {
		m.lists = append(m.lists, &postings{cursor: tx.Bucket(database.Contests).Cursor()})
	}
	return m
}

// Seek returns the first matching id that is not less than id; nil if there is none.
// Successive calls must pass ascending ids. The result is valid until the next call.
func (m Matches) Seek(id []byte) ([]byte, error) {
	for agree, i := 0, 0; agree < len(m.lists); i = (i + 1) % len(m.lists) {
		at, err := m.lists[i].Seek(id)
		if at == nil || !bytes.HasPrefix(at, m.Prefix) || err != nil {
			return nil, err
		}
		if agree++; !bytes.Equal(at, id) {
			id, agree = at, 1
		}
	}
	return id, nil
}
