package fsm

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/fsm/identity"
	"laurel/fsm/rounds"
	"laurel/score"
	"laurel/trust/access"
)

// Entry is one command of the Raft log.
type Entry struct {
	Index uint64
	Data  []byte // as package entry encodes it
}

// EntryError reports a log entry that this version of Laurel cannot apply.
type EntryError struct {
	Index uint64
	Err   error
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("cannot apply log entry %d: %v; run the version of laurel that the other frontends run",
		e.Index, e.Err)
}

// Unwrap returns the cause.
func (e *EntryError) Unwrap() error { return e.Err }

// entryError returns the error for an entry that cannot be parsed.
func entryError(e Entry) error {
	if format := entry.FormatOf(e.Data); format > access.NewestFormat {
		return &access.FormatError{What: fmt.Sprintf("log entry %d", e.Index), Format: format}
	}
	return &EntryError{e.Index, entry.ErrFormat}
}

// Apply applies entries. They must be passed in the order of the log, up to the index
// last, with nothing left out but entries that are not commands. Entries that were
// applied before are skipped and have a nil outcome. For each of the others Apply returns
// the results of its posts, in order. A change has one result.
//
// An error means that the entries can never be applied here: the database failed, or this
// version cannot decode an entry (*EntryError, *access.FormatError). The frontend must
// then stop. The content of an entry never causes an error; an event that breaks a rule
// is refused.
func (m *Machine) Apply(entries []Entry, last uint64) (outcome [][][]score.Result, err error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	outcome = make([][][]score.Result, len(entries))
	if last <= m.Applied() || m.failed != nil {
		return outcome, m.failed
	}
	b, err := m.openBatch()
	if err != nil {
		return nil, m.fail(err)
	}
	for i, e := range entries {
		if e.Index <= m.Applied() {
			continue
		}
		next := m.rounds.Next()
		if outcome[i], err = b.applyEntry(e); errors.Is(err, entry.ErrFormat) {
			return nil, m.fail(entryError(e))
		} else if err != nil {
			return nil, m.fail(fmt.Errorf("log entry %d: %w", e.Index, err))
		}
		b.digest, b.events = b.hash.Add(b.events), b.events[:0]
		m.recent.add(point{e.Index, b.Revision, b.digest})
		// After a start Raft passes on the whole log at once. In one transaction every
		// event would cost more than the one before it.
		if due := m.isDue(next); due || b.isFull() && i < len(entries)-1 {
			m.publish(b, e.Index)
			if err := m.commit(); err != nil {
				return nil, err
			}
			if due {
				if err := m.passOn(next); err != nil {
					return nil, err
				}
			}
			if b, err = m.openBatch(); err != nil {
				return nil, m.fail(err)
			}
		}
	}
	m.publish(b, last)
	if b.isFull() {
		return outcome, m.commit()
	}
	return outcome, nil
}

// publish makes the effects of everything up to a log entry visible to readers.
// m.applying must be held.
func (m *Machine) publish(b *batch, index uint64) {
	m.updateBoards(b)
	m.past.Add(b.Revision, b.touched)
	b.touched = b.touched[:0]
	h := b.head
	h.Applied = index
	m.head.Store(&h)
	m.rounds.Publish()
	m.progress.notify()
	m.changes.notify()
}

// openBatch returns the open transaction and begins one if there is none. m.applying must
// be held.
func (m *Machine) openBatch() (*batch, error) {
	if m.open != nil {
		return m.open, nil
	}
	tx, err := m.db.Begin(true)
	if err != nil {
		return nil, &database.DiskError{Path: m.path(), Err: fmt.Errorf("begin a transaction: %w", err)}
	}
	m.room.keep(m.path(), tx.Size())
	m.open = m.newBatch(tx)
	m.commitTimer = time.AfterFunc(commitDelay, func() { m.Commit() })
	return m.open, nil
}

// Commit commits the open transaction. Views do it by themselves.
func (m *Machine) Commit() error {
	m.applying.Lock()
	defer m.applying.Unlock()
	return m.commit()
}

// commit is Commit with m.applying held.
func (m *Machine) commit() error {
	if m.open == nil || m.failed != nil {
		return m.failed
	}
	m.commitTimer.Stop()
	if err := m.open.flush(); err != nil {
		return m.fail(err)
	}
	if err := m.open.tx.Commit(); err != nil {
		return m.fail(&database.DiskError{Path: m.path(), Err: err})
	}
	m.open = nil
	m.cache.trim()
	return nil
}

// beginRead begins a read transaction that sees everything applied. It returns the
// incarnation of what it sees.
func (m *Machine) beginRead() (tx *bolt.Tx, incarnation string, err error) {
	if err := m.Commit(); err != nil {
		return nil, "", err
	}
	m.dbMu.RLock()
	defer m.dbMu.RUnlock()
	tx, err = m.db.Begin(false)
	return tx, m.Incarnation(), err
}

func (b *batch) applyEntry(e Entry) ([][]score.Result, error) {
	command, err := entry.Decode(e.Data)
	if err != nil {
		return nil, err
	}
	if p := b.refuses(&command); p != nil {
		outcome := [][]score.Result{{{Problem: p}}}
		for len(outcome) < len(command.Posts) {
			outcome = append(outcome, outcome[0])
		}
		return outcome, b.tx.Err()
	}
	if command.Change != nil {
		return [][]score.Result{{b.change(command.Change, command.Format)}}, b.tx.Err()
	}
	if command.Signed != nil {
		return [][]score.Result{{b.signedChange(command.Signed, command.Format)}}, b.tx.Err()
	}
	if command.Seal > 0 {
		return [][]score.Result{{b.seal(&command, e.Index)}}, b.tx.Err()
	}
	b.m.verifySignatures(b.access, command.Posts)
	outcome := make([][]score.Result, len(command.Posts))
	for i, p := range command.Posts {
		outcome[i] = b.applyPost(p)
		p.Own.Note(outcome[i])
	}
	return outcome, b.tx.Err()
}

// refuses returns the problem of an entry that is refused as a whole.
func (b *batch) refuses(c *entry.Command) *score.Problem {
	change := c.Change
	if c.Signed != nil {
		change = &c.Signed.Change
	}
	return cmp.Or(c.Refused, b.access.CheckFormat(c.Format, change))
}

func (b *batch) applyPost(p entry.Post) []score.Result {
	results := make([]score.Result, 0, len(p.Events))
	atomic := p.Mode == score.AllOrNone && len(p.Events) > 1
	if atomic {
		b.beginUndo()
		defer b.tx.EndUndo()
	}
	b.work = work{}
	for i := range p.Events {
		b.before = b.folded
		r := b.applyEvent(&p.Events[i])
		r.Folded = b.folded - b.before
		if r.Problem == nil {
			results = append(results, r)
			continue
		}
		if atomic {
			b.tx.Undo()
			r.Problem.Index, r.Problem.ID, r.Folded = &i, r.ID, b.folded
			return []score.Result{r}
		}
		return append(results, r)
	}
	return results
}

// applyEvent applies one event. The event is a duplicate if it was applied before. It is
// refused if it is invalid, or if its identity, access control or the present state does
// not allow it.
func (b *batch) applyEvent(e *entry.Event) score.Result {
	if p := e.CheckEnvelope(); p != nil {
		return refusal(e, p)
	}
	s := b.identities.Source(e.Source)
	digest := entry.DigestOf(&e.Event, e.JSON)
	first, p := b.identities.Identify(s, e, digest)
	if first != nil {
		// Repeating a stored event changes nothing and is always allowed. Of any other
		// event, an unauthorized sender learns only that it is not authorized.
		return score.Result{ID: first.ID, Seq: first.Seq, Revision: first.Revision, Status: score.Duplicate}
	}
	if p = cmp.Or(b.authorize(e), p); p != nil {
		return refusal(e, p)
	}
	if p := e.ParseData(); p != nil { // already parsed if the event is signed
		return refusal(e, p)
	}
	if p := e.CheckData(); p != nil {
		return refusal(e, p)
	}
	e.Seq, e.Revision = s.LastSeq+1, b.Revision+1
	if p := b.applyEffect(e); p != nil {
		return score.Result{ID: e.ID, Seq: e.Seq, Problem: p}
	}
	b.Revision = e.Revision
	b.m.changes.timelines.add(e.ContestID)
	redefines := false
	switch e.Data.(type) {
	case *score.ContestDefine, *score.CompetitorDefine, *score.EventVoid:
		redefines = true
	}
	b.boardUpdates.Touch(e.ContestID, redefines)
	b.recordEvent(s, e, digest)
	return score.Result{ID: e.ID, Seq: e.Seq, Revision: b.Revision, Status: score.Applied}
}

// refusal returns the result of an event that is not applied.
func refusal(e *entry.Event, p *score.Problem) score.Result {
	r := score.Result{ID: e.ID, Seq: e.Seq, Problem: p}
	if p.Field == "id" && p.Code == score.InvalidEvent {
		r.ID = "" // it may not even be text
	}
	return r
}

// recordEvent records the identity of the event just applied and appends the event to the
// timeline.
func (b *batch) recordEvent(s *identity.Source, e *entry.Event, digest score.Digest) {
	b.identities.Record(s, e, digest)
	b.answerChanged(rounds.Bards, e.Source)
	stored := b.timeline.Append(e)
	b.bytes += len(stored)
	b.events = append(binary.AppendUvarint(b.events, uint64(len(stored))), stored...)
}
