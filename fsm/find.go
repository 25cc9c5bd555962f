package fsm

import (
	"bytes"

	bolt "go.etcd.io/bbolt"

	"laurel/score"
)

// ids are the ids of some contests, in order.
type ids interface {
	// from is the first id that is not before id; nil if there is none. It is asked for ever later ids.
	from(id []byte) ([]byte, error)
}

// walk are the ids that stand in a bucket behind the same beginning of their keys.
type walk struct {
	c      *bolt.Cursor
	before []byte
	at     []byte // the id where the cursor stands; nil: it has not begun
	end    bool
}

func (w *walk) from(id []byte) ([]byte, error) {
	if w.end || w.at != nil && bytes.Compare(w.at, id) >= 0 {
		return w.at, nil
	}
	var k, sealed []byte
	if w.at != nil {
		// Nearly always the one asked for is the next.
		k, sealed = w.c.Next()
	}
	if w.at == nil || w.has(k) && bytes.Compare(k[len(w.before):], id) < 0 {
		k, sealed = w.c.Seek(append(w.before[:len(w.before):len(w.before)], id...))
	}
	if !w.has(k) {
		w.at, w.end = nil, true
		return nil, nil
	}
	w.at = k[len(w.before):]
	_, err := unseal(k, sealed)
	return w.at, err
}

func (w *walk) has(k []byte) bool { return k != nil && bytes.HasPrefix(k, w.before) }

// either are the contests of the one or the other.
type either [2]ids

func (e either) from(id []byte) ([]byte, error) {
	a, err := e[0].from(id)
	if err != nil {
		return nil, err
	}
	b, err := e[1].from(id)
	if a == nil || b != nil && bytes.Compare(b, a) < 0 {
		a = b
	}
	return a, err
}

// joint are the contests that all of them have, of those within a prefix. Each leaps to the furthest id that another has come to, so finding the
// next takes no more steps than the one that has fewest.
type joint struct {
	of     []ids
	within []byte
}

func (j joint) from(id []byte) ([]byte, error) {
	for agree, i := 0, 0; agree < len(j.of); i = (i + 1) % len(j.of) {
		at, err := j.of[i].from(id)
		if at == nil || !bytes.HasPrefix(at, j.within) || err != nil {
			return nil, err
		}
		if agree++; !bytes.Equal(at, id) {
			id, agree = at, 1
		}
	}
	return id, nil
}

// find is what a filter chooses.
func (v *View) find(f score.Filter) joint {
	posted := func(kind byte, value string) ids {
		return &walk{c: v.tx.Bucket(indexBucket).Cursor(), before: term{kind, value}.before()}
	}
	j := joint{}
	if f.Competition != "" {
		j.within = []byte(f.Competition + "/")
	}
	if f.Sport != "" {
		j.of = append(j.of, posted(bySport, f.Sport))
	}
	if f.Status != "" {
		j.of = append(j.of, posted(byStatus, f.Status))
	}
	if f.Competitor != "" {
		j.of = append(j.of, either{posted(byName, f.Competitor), posted(byMark, f.Competitor)})
	}
	if len(j.of) == 0 {
		j.of = append(j.of, &walk{c: v.tx.Bucket(contestBucket).Cursor()})
	}
	return j
}
