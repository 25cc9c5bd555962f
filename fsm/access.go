package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// Access control is part of the state. The Access bucket holds
//
//	grant, id      access.Grant
//	join, id       access.JoinToken
//	removed, id    the time at which the member with that server id was removed, as JSON
//	authorities    the certificates as a JSON array, DER in base64
//	guarded        nothing; the key exists in a guarded store

const (
	grantKind   = "grant"
	joinKind    = "join"
	removedKind = "removed"
)

var (
	authoritiesKey = []byte("authorities")
	guardedKey     = []byte("guarded")
)

const maxAudit = 10_000 // lines

func (b *batch) changeAccess(c *access.Change) score.Result {
	next, what, p := b.access.Apply(c)
	if p != nil {
		return score.Result{Problem: p}
	}
	b.putAccess(b.access, next)
	b.access = next
	if what != "" {
		b.audit(access.AuditEntry{At: c.At, By: c.By, What: what})
	}
	return score.Result{Status: score.Applied}
}

func (b *batch) putAccess(before, after *access.State) {
	if after.Guarded && !before.Guarded {
		b.tx.Put(database.Access, guardedKey, nil)
	}
	if !slices.EqualFunc(before.Authorities, after.Authorities, bytes.Equal) {
		b.tx.PutJSON(database.Access, authoritiesKey, after.Authorities)
	}
	putDifferences(b.tx, grantKind, before.Grants, after.Grants)
	putDifferences(b.tx, joinKind, before.JoinTokens, after.JoinTokens)
	putDifferences(b.tx, removedKind, before.Removed, after.Removed)
}

// putDifferences writes the differences between two maps. Each key is written once, so
// the iteration order does not matter.
func putDifferences[V comparable](tx *database.Tx, kind string, before, after map[string]V) {
	for id := range before {
		if _, stays := after[id]; !stays {
			tx.Delete(database.Access, database.Key(kind, id))
		}
	}
	for id, v := range after {
		if old, existed := before[id]; !existed || old != v {
			tx.PutJSON(database.Access, database.Key(kind, id), v)
		}
	}
}

// audit appends a line to the audit trail, which has at most maxAudit.
func (b *batch) audit(line access.AuditEntry) {
	line.Number = 1
	if last, _ := b.tx.Bucket(database.Audit).Cursor().Last(); len(last) == 8 {
		line.Number = binary.BigEndian.Uint64(last) + 1
	}
	if line.Number > maxAudit {
		b.tx.Delete(database.Audit, binary.BigEndian.AppendUint64(nil, line.Number-maxAudit))
	}
	b.tx.PutJSON(database.Audit, binary.BigEndian.AppendUint64(nil, line.Number), &line)
}

func loadAccess(bucket *bolt.Bucket) (*access.State, error) {
	a := access.NewState()
	err := bucket.ForEach(func(k, sealed []byte) error {
		value, err := database.Unseal(k, sealed)
		if err != nil {
			return err
		}
		kind, id, _ := bytes.Cut(k, []byte{0})
		switch string(kind) {
		case string(guardedKey):
			a.Guarded = true
			return nil
		case string(authoritiesKey):
			return json.Unmarshal(value, &a.Authorities)
		case grantKind:
			g := new(access.Grant)
			a.Grants[string(id)] = g
			return json.Unmarshal(value, g)
		case joinKind:
			t := new(access.JoinToken)
			a.JoinTokens[string(id)] = t
			return json.Unmarshal(value, t)
		case removedKind:
			var at time.Time
			err := json.Unmarshal(value, &at)
			a.Removed[string(id)] = at
			return err
		}
		return database.ErrDamaged
	})
	if err != nil {
		return nil, fmt.Errorf("read the access control state: %w", err)
	}
	return a, nil
}

// minParallel is the number of signatures per goroutine below which more goroutines do
// not help.
const minParallel = 16

// checkSignatures verifies the signatures of an entry's events, except those by unknown
// keys. Every state machine verifies every signature, so that a master that forges or
// alters an event finds no frontend that shows it. Since an entry with events does not
// change access control, its signatures are verified before it is applied, on all
// processors.
func (m *Machine) checkSignatures(access *access.State, posts [][]event) {
	type signed struct {
		event  *event
		public []byte
	}
	var list []signed
	for _, events := range posts {
		for i := range events {
			e := &events[i]
			if e.Key == "" {
				continue
			}
			if g := access.Grants[e.Key]; g != nil && len(g.Public) > 0 {
				list = append(list, signed{e, g.Public})
			}
		}
	}
	check := func(list []signed) {
		scratch := make([]byte, 0, 1024)
		for _, s := range list {
			s.event.signatureProblem, scratch = m.checkSignature(s.event, s.public, scratch)
			s.event.checked = true
		}
	}
	workers := min(runtime.GOMAXPROCS(0), len(list)/minParallel)
	if workers < 2 {
		check(list)
		return
	}
	var all sync.WaitGroup
	for i := range workers {
		// Adjacent events are mostly signed in the same tree.
		part := list[i*len(list)/workers : (i+1)*len(list)/workers]
		all.Go(func() { check(part) })
	}
	all.Wait()
}

// checkSignature verifies that an event's signature was made with the key over the form
// that the timeline would show. It uses scratch and returns it for reuse.
func (m *Machine) checkSignature(e *event, public, scratch []byte) (*score.Problem, []byte) {
	if p := e.ParseData(); p != nil {
		return signing.Unsignable(&e.Event.Event, p), scratch
	}
	form, err := e.AppendSignedForm(scratch[:0])
	switch {
	case err != nil:
		return signing.Unsignable(&e.Event.Event, err), scratch
	case !m.verifier.Verify(public, form, e.Signature):
		return signing.WrongSignature(&e.Event.Event, form), form
	}
	return nil, form
}

var errNotVerified = errors.New("the signature was not verified")

// authorize returns the problem if access control does not allow the event now.
func (b *batch) authorize(e *event) *score.Problem {
	if e.Key == "" {
		return b.access.Authorize(&e.Event.Event, nil)
	}
	// The signature identifies the sender. A token that a frontend adds to it cannot be
	// checked.
	e.Token = ""
	return b.access.Authorize(&e.Event.Event, func(*access.Grant) *score.Problem {
		if !e.checked {
			return signing.Unsignable(&e.Event.Event, errNotVerified)
		}
		return e.signatureProblem
	})
}
