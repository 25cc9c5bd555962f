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

// anyContest is every contest.
type anyContest struct{ c *bolt.Cursor }

func (e anyContest) from(id []byte) ([]byte, error) {
	k, _ := e.c.Seek(id)
	return k, nil
}

// posted are the contests of one term.
type posted struct {
	c      *bolt.Cursor
	before []byte
	at     []byte // the id where the cursor stands; nil: at none yet
	end    bool
}

func newPosted(index *bolt.Bucket, t term) *posted {
	return &posted{c: index.Cursor(), before: t.before()}
}

func (p *posted) from(id []byte) ([]byte, error) {
	if p.end || p.at != nil && bytes.Compare(p.at, id) >= 0 {
		return p.at, nil
	}
	k, sealed := p.c.Seek(append(p.before[:len(p.before):len(p.before)], id...))
	if p.end = !bytes.HasPrefix(k, p.before); p.end {
		p.at = nil
		return nil, nil
	}
	p.at = k[len(p.before):]
	_, err := unseal(k, sealed)
	return p.at, err
}

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

func (a joint) from(id []byte) ([]byte, error) {
	for agree, i := 0, 0; agree < len(a.of); i = (i + 1) % len(a.of) {
		at, err := a.of[i].from(id)
		if !bytes.HasPrefix(at, a.within) || at == nil || err != nil {
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
	index := v.tx.Bucket(indexBucket)
	a := joint{}
	if f.Competition != "" {
		a.within = []byte(f.Competition + "/")
	}
	if f.Sport != "" {
		a.of = append(a.of, newPosted(index, term{bySport, f.Sport}))
	}
	if f.Status != "" {
		a.of = append(a.of, newPosted(index, term{byStatus, f.Status}))
	}
	if f.Competitor != "" {
		a.of = append(a.of, either{newPosted(index, term{byName, f.Competitor}), newPosted(index, term{byMark, f.Competitor})})
	}
	if len(a.of) == 0 {
		a.of = append(a.of, anyContest{v.tx.Bucket(contestBucket).Cursor()})
	}
	return a
}
