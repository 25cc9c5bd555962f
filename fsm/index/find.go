package index

import (
	"bytes"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/score"
)

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

// union is the list of the ids that are in one list or the other.
type union [2]idList

// Seek implements idList.
func (u union) Seek(id []byte) ([]byte, error) {
	a, err := u[0].Seek(id)
	if err != nil {
		return nil, err
	}
	b, err := u[1].Seek(id)
	if a == nil || b != nil && bytes.Compare(b, a) < 0 {
		a = b
	}
	return a, err
}

// Matches is the sorted list of the ids of the contests that match a filter. It is the
// intersection of several lists: each list seeks the largest id that another one has
// reached, so finding the next id takes no more steps than the shortest list has entries.
type Matches struct {
	lists  []idList
	prefix []byte
}

// Find returns the ids of the contests in the database that match a filter.
func Find(tx *bolt.Tx, f score.Filter) Matches {
	posted := func(kind byte, value string) idList {
		return &postings{cursor: tx.Bucket(database.Index).Cursor(), prefix: Term{kind, value}.prefix()}
	}
	m := Matches{}
	if f.Competition != "" {
		m.prefix = []byte(f.Competition + "/")
	}
	if f.Sport != "" {
		m.lists = append(m.lists, posted(kindSport, f.Sport))
	}
	if f.Status != "" {
		m.lists = append(m.lists, posted(kindStatus, f.Status))
	}
	if f.Competitor != "" {
		m.lists = append(m.lists, union{posted(kindName, f.Competitor), posted(kindMark, f.Competitor)})
	}
	if len(m.lists) == 0 {
		m.lists = append(m.lists, &postings{cursor: tx.Bucket(database.Contests).Cursor()})
	}
	return m
}

// Prefix returns the common prefix of the ids.
func (m Matches) Prefix() []byte { return m.prefix }

// Seek returns the first matching id that is not less than id; nil if there is none.
// Successive calls must pass ascending ids. The result is valid until the next call.
func (m Matches) Seek(id []byte) ([]byte, error) {
	for agree, i := 0, 0; agree < len(m.lists); i = (i + 1) % len(m.lists) {
		at, err := m.lists[i].Seek(id)
		if at == nil || !bytes.HasPrefix(at, m.prefix) || err != nil {
			return nil, err
		}
		if agree++; !bytes.Equal(at, id) {
			id, agree = at, 1
		}
	}
	return id, nil
}
