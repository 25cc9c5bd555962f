package fsm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	stored "laurel/fsm/head"
	"laurel/trust/access"
	"laurel/witness"
)

// Snapshot is the state at one moment. It implements raft.FSMSnapshot.
type Snapshot struct {
	Head   stored.Head
	Access *access.State

	tx      *bolt.Tx
	machine *Machine
}

// Snapshot returns a snapshot of the present state, which the caller must release.
// Further entries can be applied in the meantime.
func (m *Machine) Snapshot() (*Snapshot, error) {
	tx, _, err := m.beginRead()
	if err != nil {
		return nil, err
	}
	return m.newSnapshot(tx)
}

// newSnapshot returns the snapshot that tx sees, or ends tx.
func (m *Machine) newSnapshot(tx *bolt.Tx) (*Snapshot, error) {
	h, state, err := stored.Load(tx)
	if err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return &Snapshot{h, state, tx, m}, nil
}

// Release releases the state.
func (s *Snapshot) Release() { s.tx.Rollback() }

// isStale reports whether the machine's state has been replaced by another one since the
// snapshot was taken.
func (s *Snapshot) isStale() bool {
	s.machine.dbMu.RLock()
	defer s.machine.dbMu.RUnlock()
	return s.tx.DB() != s.machine.db
}

// Write writes the snapshot. It reads all records, also those that nobody asks for: one that
// is damaged stops the machine, whose state is made anew at the next start.
func (s *Snapshot) Write(w io.Writer) error {
	err := database.WriteSnapshot(s.tx, w)
	if errors.Is(err, database.ErrDamaged) {
		s.machine.applying.Lock()
		defer s.machine.applying.Unlock()
		if !s.isStale() { // and the state cannot be replaced now
			s.machine.fail(err)
		}
	}
	return err
}

// Version returns the version of the snapshot. In one version equal states have equal
// snapshots.
func (s *Snapshot) Version() (uint64, error) {
	version, err := database.VersionOf(s.tx)
	return uint64(version), err
}

// AtRounds has f called with a snapshot at each seal that makes a round whose number is a
// multiple of every. f must not block, because nothing is applied meanwhile, and it must have
// the snapshot released.
func (m *Machine) AtRounds(every uint64, f func(round witness.Head, s *Snapshot)) {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.every, m.atRound = every, f
}

// isDue reports whether a snapshot is due after an entry. next is the number that the next
// round had before.
func (m *Machine) isDue(next uint64) bool {
	return m.atRound != nil && m.rounds.Next() > next && next%m.every == 0
}

// passOn passes on a snapshot of what was committed, at the seal of a round.
func (m *Machine) passOn(round uint64) error {
	tx, err := m.db.Begin(false)
	if err != nil {
		return m.fail(&database.DiskError{Path: m.path(), Err: fmt.Errorf("begin a transaction: %w", err)})
	}
	s, err := m.newSnapshot(tx)
	if err != nil {
		return m.fail(err)
	}
	_, head, _ := m.rounds.Round(round)
	m.atRound(head, s)
	return nil
}

// Prepared is a complete database that was built from a snapshot beside the machine's
// own. Its owner calls Install or Discard, once.
type Prepared struct {
	path string
	*head
	db atomic.Pointer[bolt.DB]
}

// Access returns the access control of the prepared state.
func (p *Prepared) Access() *access.State { return p.head.access }

var errUsed = errors.New("the prepared state has already been installed or discarded")

// Prepare builds a database from a snapshot. Entries can be applied in the meantime, and
// several calls may run at the same time. An error leaves no file behind.
func (m *Machine) Prepare(snapshot io.Reader) (*Prepared, error) {
	path := database.UnfinishedPath(m.path(), m.prepared.Add(1))
	db, err := database.Restore(path, snapshot)
	if err != nil {
		return nil, err
	}
	h, err := loadHead(db)
	if err != nil { // a database without a valid head must not replace another
		return nil, errors.Join(err, database.Drop(path, db))
	}
	p := &Prepared{path: path, head: h}
	p.db.Store(db)
	return p, nil
}

// Discard closes the database and deletes its file.
func (p *Prepared) Discard() error {
	db := p.db.Swap(nil)
	if db == nil {
		return errUsed
	}
	return database.Drop(p.path, db)
}

// Install replaces the present state by p. It costs a rename. No entries may be applied
// in the meantime. Open views and snapshots keep the state that they began with. p cannot
// be used again, even if Install fails.
func (m *Machine) Install(p *Prepared) error {
	db := p.db.Swap(nil)
	if db == nil {
		return errUsed
	}
	installed := false
	err := m.replace(func() (*bolt.DB, *head, error) {
		err := os.Rename(p.path, m.path()) // neither has a marker
		installed = err == nil
		return db, p.head, err
	})
	if err != nil && !installed {
		err = errors.Join(err, database.Drop(p.path, db))
	}
	return err
}

// Restore is Prepare followed by Install: if the snapshot is damaged, the machine keeps
// its state.
func (m *Machine) Restore(snapshot io.Reader) error {
	p, err := m.Prepare(snapshot)
	if err != nil {
		return err
	}
	return m.Install(p)
}
