package fsm

import (
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"laurel/score"
)

// Entry is one command of the log.
type Entry struct {
	Index uint64
	Data  []byte
}

// Apply applies entries. They must come in the order of the log, up to the index last, with nothing missing but entries that are not
// commands. Those applied before are skipped, and have no outcome; of the others it returns for each the results of its posts, in order. A
// change of access has one result, as a post of one event would: applied, or the problem that refused it.
// Views see all of it when Apply returns. An error says that the entries are not applied and never can be here: the database failed, or
// this version cannot read an entry, which is an *EntryError. The frontend must then stop. What an entry
// says is never an error: what breaks a rule is refused (entry.go).
func (m *Machine) Apply(entries []Entry, last uint64) (outcome [][][]score.Result, err error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	outcome = make([][][]score.Result, len(entries))
	if last <= m.applied.Load() || m.failed != nil {
		return outcome, m.failed
	}
	b, err := m.begin()
	if err != nil {
		return nil, m.fail(err)
	}
	for i, e := range entries {
		if e.Index <= m.applied.Load() {
			continue
		}
		if outcome[i], err = b.entry(e); err != nil {
			return nil, m.fail(notApplied(e.Index, err))
		}
		// After a start Raft brings all of the log at once. In one transaction each event would cost
		// the more the more there are before it: bbolt moves what it has of a page to put in a key.
		if b.large() && i < len(entries)-1 {
			m.reach(b, e.Index)
			if err := m.commit(); err != nil {
				return nil, err
			}
			if b, err = m.begin(); err != nil {
				return nil, m.fail(err)
			}
		}
	}
	m.reach(b, last)
	if b.large() {
		return outcome, m.commit()
	}
	return outcome, nil
}

// large reports whether the transaction has as many events as one should have.
func (b *batch) large() bool { return b.revision-b.began >= commitEvents }

// reach makes known that everything up to a log entry has been applied. m.applying must be held.
func (m *Machine) reach(b *batch, index uint64) {
	m.moveBoards(b)
	m.access.Store(b.access)
	m.revision.Store(b.revision)
	m.applied.Store(index)
	m.more.tell()
	m.changes.tell()
}

// notApplied says of an error which entry it kept from being applied, and whether that is the entry's fault.
func notApplied(index uint64, err error) error {
	if errors.Is(err, errEntry) {
		return &EntryError{index, err}
	}
	return fmt.Errorf("log entry %d: %w", index, err)
}

// begin is the open transaction, begun if there is none. m.applying must be held.
func (m *Machine) begin() (*batch, error) {
	if m.open != nil {
		return m.open, nil
	}
	tx, err := m.db.Begin(true)
	if err != nil {
		return nil, &DiskError{m.path(), fmt.Errorf("begin a transaction: %w", err)}
	}
	m.open = m.newBatch(tx)
	m.later = time.AfterFunc(commitDelay, func() { m.Commit() })
	return m.open, nil
}

// Commit makes everything applied visible in the database. Views do it by themselves.
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
	m.later.Stop()
	if err := m.open.flush(m.applied.Load()); err != nil {
		return m.fail(err)
	}
	if err := m.open.tx.Commit(); err != nil {
		return m.fail(&DiskError{m.path(), err})
	}
	m.open = nil
	m.memory.trim()
	return nil
}

// read begins a transaction that sees everything applied.
func (m *Machine) read() (*bolt.Tx, error) {
	if err := m.Commit(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.db.Begin(false)
}

func (m *memory) trim() {
	if len(m.contests) > remembered {
		clear(m.contests)
		clear(m.indexed)
	}
	if len(m.tables) > remembered {
		clear(m.tables)
	}
	if len(m.sources) > rememberedSources {
		clear(m.sources)
	}
}

// entry applies what one log entry says.
func (b *batch) entry(e Entry) ([][]score.Result, error) {
	command, err := decodeEntry(e.Data)
	if err != nil {
		return nil, err
	}
	if command.mode != "" {
		if err := b.setMode(command.mode); err != nil {
			return nil, err
		}
	}
	if command.store != "" {
		if err := b.setStore(command.store); err != nil {
			return nil, err
		}
	}
	if command.refused != nil {
		return [][]score.Result{{{Problem: command.refused}}}, nil
	}
	if command.access != nil {
		result, err := b.changeAccess(command.access)
		return [][]score.Result{{result}}, err
	}
	b.m.checkSignatures(b.access, command.posts)
	outcome := make([][]score.Result, len(command.posts))
	for i, p := range command.posts {
		b.run.kept = len(p.events) > 1
		if outcome[i], err = b.post(p); err != nil {
			return nil, err
		}
		if err := b.endRun(); err != nil {
			return nil, err
		}
	}
	return outcome, nil
}

// post applies the events of one post. Refusals are results; an error is the machine's own.
func (b *batch) post(p post) ([]score.Result, error) {
	results := make([]score.Result, 0, len(p.events))
	atomic := p.mode == score.AllOrNone && len(p.events) > 1
	if atomic {
		b.beginUndo()
		defer b.endUndo()
	}
	for i := range p.events {
		r, err := b.event(&p.events[i])
		if err != nil {
			return nil, err
		}
		if r.Problem == nil {
			results = append(results, r)
			continue
		}
		if atomic {
			if err := b.rollback(); err != nil {
				return nil, err
			}
			r.Problem.Index, r.Problem.ID = &i, r.ID
			return []score.Result{r}, nil
		}
		return append(results, r), nil
	}
	return results, nil
}
