// Package rounds keeps the rounds of a sworn store: what the answers were at each seal of
// the log, in a form of which frontends can certify the head and readers verify each answer.
//
// A key is the path of a GET behind /v1/, and its answer is the body of that GET. A [Log]
// collects the keys whose answers change. A seal makes a round (package witness) of the
// answers as they are then. Rounds are part of the state: they follow from the log alone,
// and are in the database and in snapshots. The newest ones are in memory, as [Sealed],
// for proofs.
package rounds

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/trust/merkle"
	"laurel/witness"
)

// The keys of answers, or what they begin with.
const (
	Scores = "scores/" // and the id of a contest
	Medals = "medals/" // and a competition
	Bards  = "bards/"  // and a source, once it has posted
	Keys   = "keys"    // of bards
	Roster = "roster"
)

const (
	// maxHeads is the number of rounds that are in the database and in snapshots: those of
	// some minutes, in which a frontend that starts finds the ones that it has signed last.
	maxHeads = 1024
	// maxSealed is the number of rounds in memory. Each has a tree of answers.
	maxSealed = 8
)

// Log holds the rounds of a store. The zero value is that of a store without rounds. Change,
// Seal, Publish and Reset are called by one goroutine, which applies the log; all other
// methods by any.
type Log struct {
	changed map[string]bool // the keys of the answers that have changed since the last seal
	answers *witness.Answers
	edge    merkle.Edge // of the tree of rounds
	format  uint64      // of the answers of the newest round; mu guards it as well

	mu        sync.Mutex
	published int       // how many have changed, as of Publish
	made      bool      // a round was made since
	heads     []*head   // the newest, in order of their numbers
	sealed    []*Sealed // as well
	certified uint64    // the number of a round
	wake      chan struct{}
}

// head is a round and the edge of the tree of the rounds before it.
type head struct {
	witness.Round
	before merkle.Edge
	witness.Head
}

// Saved is what the database has of the rounds.
type Saved struct {
	changed map[string]bool
	answers *witness.Answers
	heads   []*head
	format  uint64
}

// FormatKey, in Meta, has the format of the answers of the newest round, as a varint. The
// format is 1 if there is none.
var FormatKey = []byte("answers")

// Load reads the rounds from a database.
func Load(tx *bolt.Tx) (*Saved, error) {
	s := &Saved{changed: map[string]bool{}, answers: new(witness.Answers)}
	answers := map[string]witness.Hash{}
	for name, add := range map[string]func(key, value []byte) error{
		string(database.Changed): func(key, _ []byte) error {
			s.changed[string(key)] = true
			return nil
		},
		string(database.Answers): func(key, value []byte) error {
			if len(value) != len(witness.Hash{}) {
				return database.ErrDamaged
			}
			answers[string(key)] = witness.Hash(value)
			return nil
		},
		string(database.Rounds): s.addHead,
	} {
		c := tx.Bucket([]byte(name)).Cursor()
		for key, sealed := c.First(); key != nil; key, sealed = c.Next() {
			value, err := database.Unseal(key, sealed)
			if err == nil {
				err = add(key, value)
			}
			if err != nil {
				return nil, fmt.Errorf("bucket %s: %w", name, err)
			}
		}
	}
	format, err := database.Get(tx.Bucket(database.Meta), FormatKey)
	if s.format = 1; format != nil {
		s.format, _ = binary.Uvarint(format)
	}
	if err != nil || s.format == 0 {
		return nil, fmt.Errorf("the format of answers: %w", database.ErrDamaged)
	}
	s.answers = s.answers.With(answers)
	if n := len(s.heads); n > 0 && s.heads[n-1].AnswersRoot != s.answers.Root() || n == 0 && len(answers) > 0 {
		return nil, fmt.Errorf("the answers of the last round: %w", database.ErrDamaged)
	}
	return s, nil
}

// addHead adds a record of the bucket Rounds: the nodes of the edge before the round, and the
// text of the round.
func (s *Saved) addHead(key, value []byte) error {
	if len(key) != 8 {
		return database.ErrDamaged
	}
	h := &head{before: merkle.Edge{Size: binary.BigEndian.Uint64(key) - 1}}
	for rest := h.before.Size; rest > 0; rest &= rest - 1 { // for each bit
		if len(value) < len(witness.Hash{}) {
			return database.ErrDamaged
		}
		h.before.Nodes = append(h.before.Nodes, witness.Hash(value))
		value = value[len(witness.Hash{}):]
	}
	var err error
	if h.Round, err = witness.ParseRound(string(value)); err != nil {
		return database.ErrDamaged
	}
	if _, h.Head, _, err = h.AppendTo(h.before); err != nil {
		return database.ErrDamaged
	}
	if n := len(s.heads); n > 0 && s.heads[n-1].Number+1 != h.Number {
		return database.ErrDamaged
	}
	s.heads = append(s.heads, h)
	return nil
}

func (h *head) record() []byte {
	var b bytes.Buffer
	for _, node := range h.before.Nodes {
		b.Write(node[:])
	}
	b.WriteString(h.Round.String())
	return b.Bytes()
}

func numberKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// Reset replaces the rounds by those of a database.
func (l *Log) Reset(s *Saved) {
	l.changed, l.answers, l.edge = s.changed, s.answers, merkle.Edge{}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.published, l.heads, l.sealed, l.certified, l.format = len(s.changed), s.heads, nil, 0, s.format
	if n := len(s.heads); n > 0 {
		last := s.heads[n-1]
		l.edge, _, _, _ = last.AppendTo(last.before) // as in addHead
		l.sealed = []*Sealed{newSealed(last, l.answers, nil, nil)}
	}
	l.notify()
}

// Change notes that the answer of a key, of two parts, may have changed. A change that is
// undone is undone here, too.
func (l *Log) Change(tx *database.Tx, kind, name string) {
	if l.changed[kind+name] {
		return
	}
	key := kind + name
	database.Set(tx, l.changed, key, true)
	tx.Put(database.Changed, []byte(key), nil)
}

// At returns an answer of the newest round, in the order of keys from 0, and how many there
// are. changed is set if that answer may have changed since, or if there is none. It is
// called as Change is.
func (l *Log) At(i uint64) (key string, body witness.Hash, size uint64, changed bool) {
	if l.answers != nil {
		size = l.answers.Size()
	}
	if i >= size {
		return "", body, size, true
	}
	key, body = l.answers.At(i)
	return key, body, size, l.changed[key]
}

// Next returns the number of the next round.
func (l *Log) Next() uint64 { return l.edge.Size + 1 }

// Seal makes a round, which has the next number. Its answers are what answer returns for
// the keys that have changed; nil for none. If they have another format than those of the
// round before, all count as changed.
func (l *Log) Seal(tx *database.Tx, round witness.Round, format uint64, answer func(key string) []byte) error {
	if format != l.format {
		l.reformat(tx, format)
	}
	bodies, hashes, size := map[string][]byte{}, make(map[string]witness.Hash, len(l.changed)), 0
	for _, key := range slices.Sorted(maps.Keys(l.changed)) {
		body := answer(key)
		if size += len(key) + len(body); size > maxKeptBytes {
			bodies = nil
		} else {
			bodies[key] = body
		}
		if body == nil {
			hashes[key] = witness.Hash{}
			tx.Delete(database.Answers, []byte(key))
		} else {
			hash := sha256.Sum256(body)
			hashes[key] = hash
			tx.Put(database.Answers, []byte(key), hash[:])
		}
		tx.Delete(database.Changed, []byte(key))
	}
	answers := l.answers.With(hashes)
	round.Answers, round.AnswersRoot = answers.Size(), answers.Root()
	edge, top, _, err := round.AppendTo(l.edge)
	if err != nil {
		return err
	}
	h := &head{round, l.edge, top}
	tx.Put(database.Rounds, numberKey(round.Number), h.record())
	if round.Number > maxHeads {
		tx.Delete(database.Rounds, numberKey(round.Number-maxHeads))
	}
	clear(l.changed)
	l.answers, l.edge = answers, edge
	l.add(h, bodies)
	return nil
}

func (l *Log) reformat(tx *database.Tx, format uint64) {
	tx.Put(database.Meta, FormatKey, binary.AppendUvarint(nil, format))
	for i := range l.answers.Size() {
		key, _ := l.answers.At(i)
		l.changed[key] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.format = format
}

// add keeps a new round in memory, and forgets old ones. bodies is nil if they are too many
// to keep.
func (l *Log) add(h *head, bodies map[string][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.published, l.made = 0, true
	l.heads = append(l.heads, h)
	if len(l.heads) >= 2*maxHeads {
		l.heads = append(l.heads[:0:0], l.heads[len(l.heads)-maxHeads:]...)
	}
	var before *Sealed
	if n := len(l.sealed); n > 0 && bodies != nil {
		before = l.sealed[n-1]
	}
	l.sealed = append(l.sealed, newSealed(h, l.answers, bodies, before))
	l.forget()
}

// forget drops the rounds before the certified one from memory and, of those from it on,
// the oldest behind it that are too many.
func (l *Log) forget() {
	first := 0
	for first < len(l.sealed)-1 && l.sealed[first].Round.Number < l.certified {
		first++
	}
	l.sealed = slices.Delete(l.sealed, 0, first)
	if n := len(l.sealed); n > maxSealed {
		l.sealed = slices.Delete(l.sealed, 1, 1+n-maxSealed)
	}
}
