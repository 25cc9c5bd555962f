package fsm

import (
	"errors"
	"io"
	"sync"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/index"
)

// Snapshot is the state at one moment. It can be written while further entries are
// applied.
type Snapshot struct {
	tx      *bolt.Tx
	machine *Machine
}

// Snapshot returns a snapshot of the present state. It costs a read transaction. The
// caller must close it.
func (m *Machine) Snapshot() (*Snapshot, error) {
	tx, err := m.beginRead()
	if err != nil {
		return nil, err
	}
	return &Snapshot{tx, m}, nil
}

// Close releases the state.
func (s *Snapshot) Close() error { return s.tx.Rollback() }

// Stale reports whether the machine's state has been replaced by another one since the
// snapshot was taken.
func (s *Snapshot) Stale() bool {
	s.machine.dbMu.RLock()
	defer s.machine.dbMu.RUnlock()
	return s.tx.DB() != s.machine.db
}

// WriteTo writes the snapshot. It fails if a record is damaged.
func (s *Snapshot) WriteTo(w io.Writer) (int64, error) { return database.WriteSnapshot(s.tx, w) }

// Prepared is a complete database that was built from a snapshot beside the machine's
// own. Its owner calls Install or Discard, once.
type Prepared struct {
	path              string
	Applied, Revision uint64 // of the state

	mu sync.Mutex
	db *bolt.DB // nil after Install or Discard
}

// errUsed reports that a Prepared is used a second time.
var errUsed = errors.New("the prepared state has already been installed or discarded")

// Prepare builds a database from a snapshot. It does not hold the machine's locks, so
// entries are applied in the meantime, and several calls may run at the same time. An
// error leaves no file behind.
func (m *Machine) Prepare(snapshot io.Reader) (*Prepared, error) {
	path := database.UnfinishedPath(m.path(), m.prepared.Add(1))
	db, err := database.Restore(path, snapshot)
	if err != nil {
		return nil, err
	}
	loaded := &Machine{db: db}
	// The index is built here because readers would have to wait if Install built it. The
	// settings are loaded to find out whether they can be, before the database replaces
	// another one.
	err = index.Build(db)
	if err == nil {
		err = loaded.loadSettings()
	}
	if err != nil {
		return nil, errors.Join(err, database.Drop(path, db))
	}
	return &Prepared{path: path, db: db, Applied: loaded.Applied(), Revision: loaded.Revision()}, nil
}

// take returns the database and passes its ownership to the caller.
func (p *Prepared) take() (*bolt.DB, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	db := p.db
	p.db = nil
	if db == nil {
		return nil, errUsed
	}
	return db, nil
}

// Discard closes the database and deletes its file.
func (p *Prepared) Discard() error {
	db, err := p.take()
	if err != nil {
		return err
	}
	return database.Drop(p.path, db)
}

// Install replaces the present state by p. It costs a rename, because the database is
// already open. No entries may be applied in the meantime. Open views and snapshots keep
// the state that they began with. p cannot be used again, even if Install fails.
func (m *Machine) Install(p *Prepared) error {
	db, err := p.take()
	if err != nil {
		return err
	}
	installed := false
	err = m.replace(func() (*bolt.DB, error) {
		if err := database.Install(p.path, m.path()); err != nil {
			return nil, err
		}
		installed = true
		database.DropPages(db)
		return db, nil
	})
	if err != nil && !installed {
		err = errors.Join(err, database.Drop(p.path, db))
	}
	return err
}

// Restore replaces the present state by that of a snapshot. It is Prepare followed by
// Install: if the snapshot is damaged, the machine keeps its state.
func (m *Machine) Restore(snapshot io.Reader) error {
	p, err := m.Prepare(snapshot)
	if err != nil {
		return err
	}
	return m.Install(p)
}
