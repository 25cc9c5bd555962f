package fsm

import (
	"bytes"
	"encoding/binary"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	bolt "go.etcd.io/bbolt"

	"laurel/score"
	"laurel/trust/access"
)

// View is one consistent state of the store, for reading. It is valid while the function runs that it was given to.
type View struct {
	tx       *bolt.Tx
	revision uint64
}

// View calls f with the state as it is now. Many views may be open at a time, also while entries are applied; they should be short, because
// the database cannot use space again that a view still sees.
func (m *Machine) View(f func(*View) error) error {
	tx, err := m.read()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	v := &View{tx: tx}
	if v.revision, err = counter(tx, revisionKey); err != nil {
		return err
	}
	return f(v)
}

// Revision is the number of events in the view.
func (v *View) Revision() uint64 { return v.revision }

// read decodes the JSON record under a key; ok is false if there is none.
func read(tx *bolt.Tx, bucket, k []byte, into any) (ok bool, err error) {
	value, err := get(tx.Bucket(bucket), k)
	if value == nil || err != nil {
		return false, err
	}
	return true, json.Unmarshal(value, into)
}

// Contest is one contest as readers see it.
func (v *View) Contest(id string) (rec score.Record, ok bool, err error) {
	var c score.Contest
	if ok, err = read(v.tx, contestBucket, []byte(id), &c); !ok || err != nil {
		return rec, false, err
	}
	return c.Record(), true, nil
}

// Contests are the contests that f chooses, by id, from the first id behind after: at most limit (1 or more), and the id to go on behind
// ("" at the end). What changes meanwhile moves no other contest from one page to another.
func (v *View) Contests(f score.Filter, after string, limit int) (list []score.Record, next string, err error) {
	found := v.find(f)
	from := found.within
	if after != "" && after+"\x00" > string(from) {
		from = []byte(after + "\x00")
	}
	for {
		id, err := found.from(from)
		if id == nil || err != nil {
			return list, "", err
		}
		if n := len(list); n > 0 && n >= limit {
			return list, list[n-1].ContestID, nil
		}
		rec, ok, err := v.Contest(string(id))
		if err == nil && !ok {
			err = errSeal
		}
		if err != nil {
			return nil, "", err
		}
		list = append(list, rec)
		from = append(append(from[:0:0], id...), 0)
	}
}

// Timeline are the events of a contest behind the revision after, at most limit (1 or more), and the revision to go on behind (0 at
// the end).
func (v *View) Timeline(contestID string, after uint64, limit int) (list []score.TimelineEvent, next uint64, err error) {
	runs := runReader{bucket: v.tx.Bucket(signatureBucket)}
	err = eachStored(v.tx.Bucket(timelineBucket), contestID, after, func(l line) (bool, error) {
		if n := len(list); n > 0 && n >= limit {
			next = list[n-1].Revision
			return false, nil
		}
		s, err := l.read()
		if err == nil && s.place > 0 {
			s.Signature, err = runs.signature(s.revision+1-s.place, s.place)
			s.Signature = bytes.Clone(s.Signature)
		}
		if err != nil {
			return false, err
		}
		list = append(list, score.TimelineEvent{ID: s.ID, Source: s.Source, Seq: s.Seq, Type: s.Type, Time: s.Time, ContestID: s.ContestID,
			Data: jsontext.Value(s.data), Revision: s.revision, VoidedBy: s.voidedBy, Key: s.Key, Signature: s.Signature, Token: s.Token})
		return true, nil
	})
	return list, next, err
}

// Medals is the medal table of a competition; ok is false if nothing is known of it.
func (v *View) Medals(competition string) (t *score.MedalTable, ok bool, err error) {
	t = new(score.MedalTable)
	ok, err = read(v.tx, medalBucket, []byte(competition), t)
	return t, ok, err
}

// Bard is what the store knows of a source; ok is false if it has posted nothing.
func (v *View) Bard(name string) (b score.Bard, ok bool, err error) {
	value, err := get(v.tx.Bucket(sourceBucket), []byte(name))
	if value == nil || err != nil {
		return b, false, err
	}
	s, err := decodeSource(name, value)
	if err != nil {
		return b, false, err
	}
	return score.Bard{Source: name, LastSeq: s.last, LastID: s.lastID}, true, nil
}

// Audit is the trail of who changed what, behind the line number after, at most limit (1 or more) lines, and the number to go on behind (0
// at the end). The store keeps the last 10,000.
func (v *View) Audit(after uint64, limit int) (list []access.AuditEntry, next uint64, err error) {
	c := v.tx.Bucket(auditBucket).Cursor()
	for k, sealed := c.Seek(binary.BigEndian.AppendUint64(nil, after)); k != nil; k, sealed = c.Next() {
		value, err := unseal(k, sealed)
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
