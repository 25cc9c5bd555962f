package fsm

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/score"
)

// The index finds contests by what a list can be asked for. It has a posting, a key and nothing else, for each contest and each thing that
// the contest can be found by:
//
//	kind, value, contest_id
//
// so that the contests of a value stand in the order of their ids. It is derived from contests and marks, and no part of the state: it is not
// in snapshots, and is built anew where it is missing or has been left behind by a version that did not know of it.

// term is one thing that a contest can be found by.
type term struct {
	kind  byte
	value string
}

// The kinds of terms, which are part of the keys. A contest and its marks each keep up their own: what one takes away the other may still have.
const (
	bySport  = 's'
	byStatus = 't' // either of the two
	byName   = 'n' // the code or organisation of one who is listed, or the organisation of a leader
	byMark   = 'm' // the code of one who has a mark
)

// termsOf appends what a contest is found by, but for its marks.
func termsOf(list []term, c *score.Contest) []term {
	list = append(list, term{bySport, c.Definition.Sport}, term{byStatus, c.ScheduleStatus}, term{byStatus, c.ResultStatus})
	for i := range c.Competitors {
		list = append(list, term{byName, c.Competitors[i].Code}, term{byName, c.Competitors[i].Organisation})
	}
	for i := range c.Leaders {
		list = append(list, term{byName, c.Leaders[i].Organisation})
	}
	return list
}

func (t term) compare(u term) int {
	return cmp.Or(cmp.Compare(t.kind, u.kind), cmp.Compare(t.value, u.value))
}

// distinct sorts a copy of list, each term once.
func distinct(list []term) []term {
	list = slices.Clone(list)
	slices.SortFunc(list, term.compare)
	return slices.Compact(list)
}

// before is how the keys of all contests of the term begin.
func (t term) before() []byte {
	k := make([]byte, 0, len(t.value)+2+usualID)
	return append(append(append(k, t.kind), t.value...), 0)
}

// usualID is room for most contests' ids.
const usualID = 46

func (t term) posting(contestID string) []byte { return append(t.before(), contestID...) }

// indexedKey has the index of the last log entry up to which the postings have been kept up. No term's kind is a zero byte.
var indexedKey = []byte("\x00applied")

// reindex brings the postings of a contest that may have changed from what they were to what they must be; a nil contest is none.
func (b *batch) reindex(id string, c *score.Contest) error {
	now := b.terms[:0]
	if c != nil {
		now = termsOf(now, c)
	}
	b.terms = now
	was := b.m.memory.indexed[id]
	if slices.Equal(now, was) {
		return nil
	}
	if c == nil {
		delete(b.m.memory.indexed, id)
	} else {
		b.m.memory.indexed[id] = slices.Clone(now)
	}
	before, after := distinct(was), distinct(now)
	for _, t := range before {
		if _, stays := slices.BinarySearchFunc(after, t, term.compare); !stays {
			if err := b.delete(indexBucket, t.posting(id)); err != nil {
				return err
			}
		}
	}
	for _, t := range after {
		if _, is := slices.BinarySearchFunc(before, t, term.compare); !is {
			if err := b.put(indexBucket, t.posting(id), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// post lets the contest be found by a competitor who has a mark in it.
func (s *marks) post(competitor string) error {
	b := s.b
	if b.posted == nil {
		b.posted = b.bucket(indexBucket).Cursor()
	}
	k := term{byMark, competitor}.posting(s.contest.ID)
	if found, _ := b.posted.Seek(k); bytes.Equal(found, k) { // from another split
		return nil
	}
	return b.put(indexBucket, k, nil)
}

// unpost takes that back when the competitor's last mark is gone.
func (s *marks) unpost(competitor string) error {
	if hasMark(s.b.tx, s.contest, competitor) {
		return nil
	}
	return s.b.delete(indexBucket, term{byMark, competitor}.posting(s.contest.ID))
}

// buildIndex writes the index of a database that has none, or one that has been left behind.
func buildIndex(db *bolt.DB) error {
	err := db.Update(func(tx *bolt.Tx) error {
		if tx.Bucket(indexBucket) != nil {
			if err := tx.DeleteBucket(indexBucket); err != nil {
				return err
			}
		}
		_, err := tx.CreateBucket(indexBucket)
		return err
	})
	if err != nil {
		return err
	}
	if err := postEach(db, contestBucket, postContest); err != nil {
		return err
	}
	if err := postEach(db, markBucket, postMark); err != nil {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		applied, err := counter(tx, appliedKey)
		if err != nil {
			return err
		}
		return tx.Bucket(indexBucket).Put(indexedKey, seal(indexedKey, binary.BigEndian.AppendUint64(nil, applied)))
	})
}

// postEach gives the records of a bucket to a function that writes their postings and tells what that took of memory, in transactions of a
// bounded size.
func postEach(db *bolt.DB, bucket []byte, write func(index *bolt.Bucket, k, v []byte) (size int, err error)) error {
	for next := []byte{0}; next != nil; {
		err := db.Update(func(tx *bolt.Tx) error {
			index, c := tx.Bucket(indexBucket), tx.Bucket(bucket).Cursor()
			k, sealed := c.Seek(next)
			for size := 0; k != nil && size < restoreStep; k, sealed = c.Next() {
				v, err := unseal(k, sealed)
				if err != nil {
					return err
				}
				n, err := write(index, k, v)
				if err != nil {
					return err
				}
				size += n
			}
			next = bytes.Clone(k)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func postContest(index *bolt.Bucket, k, v []byte) (size int, err error) {
	c := new(score.Contest)
	if err := json.Unmarshal(v, c); err != nil {
		return 0, err
	}
	for _, t := range distinct(termsOf(nil, c)) {
		p := t.posting(string(k))
		size += recordOverhead + len(p)
		if err := index.Put(p, seal(p, nil)); err != nil {
			return 0, err
		}
	}
	return size, nil
}

func postMark(index *bolt.Bucket, k, _ []byte) (size int, err error) {
	id, rest, _ := bytes.Cut(k, []byte{0})
	_, competitor, ok := bytes.Cut(rest, []byte{0})
	if !ok {
		return 0, errSeal
	}
	p := term{byMark, string(competitor)}.posting(string(id))
	if index.Get(p) != nil { // from another split
		return 0, nil
	}
	return recordOverhead + len(p), index.Put(p, seal(p, nil))
}

// indexIsCurrent tells whether the index has been kept up to what the database has.
func indexIsCurrent(tx *bolt.Tx) (bool, error) {
	applied, err := counter(tx, appliedKey)
	if err != nil {
		return false, err
	}
	index := tx.Bucket(indexBucket)
	if index == nil {
		return false, nil
	}
	v, err := get(index, indexedKey)
	if err != nil {
		return false, err
	}
	if v == nil {
		return applied == 0, nil
	}
	return len(v) == 8 && binary.BigEndian.Uint64(v) == applied, nil
}
