package fsm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// restoreSuffix and a number end the name of a file that Prepare builds.
const restoreSuffix = ".restore-"

// Prepared is a complete database, built from a snapshot beside the one that a machine uses.
// Its owner calls Install or Discard, once.
type Prepared struct {
	path              string
	Applied, Revision uint64 // of the state

	mu sync.Mutex
	db *bolt.DB // nil once it is installed or discarded
}

// errSpent is returned where a Prepared is used a second time.
var errSpent = errors.New("the prepared state was installed or discarded before")

// Prepare builds a database from the snapshot that r reads. The machine goes on meanwhile: Prepare
// holds none of its locks, and several calls may run at the same time, each with a file of its own.
// An error leaves no file behind.
func (m *Machine) Prepare(r io.Reader) (*Prepared, error) {
	path := fmt.Sprint(m.path(), restoreSuffix, m.prepared.Add(1))
	db, err := buildDatabase(path, r)
	if err != nil {
		return nil, err
	}
	// What is read when it is opened must be readable before it takes the old one's place.
	read := &Machine{db: db}
	if err := read.loadCounters(); err != nil {
		return nil, errors.Join(err, dropDatabase(db, path))
	}
	return &Prepared{path: path, db: db, Applied: read.Applied(), Revision: read.Revision()}, nil
}

// take returns the database, which is the caller's from then on.
func (p *Prepared) take() (*bolt.DB, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	db := p.db
	p.db = nil
	if db == nil {
		return nil, errSpent
	}
	return db, nil
}

// Discard closes the database and removes its file.
func (p *Prepared) Discard() error {
	db, err := p.take()
	if err != nil {
		return err
	}
	return dropDatabase(db, p.path)
}

// Install puts p in the place of the present state. It costs a rename: the database is open
// already, so nothing is read. Nothing may be applied meanwhile; views and snapshots that are open
// go on with the state that they began with. p is spent, also when Install fails.
func (m *Machine) Install(p *Prepared) error {
	db, err := p.take()
	if err != nil {
		return err
	}
	placed := false
	err = m.replace(func() (*bolt.DB, error) {
		if err := placeDatabase(p.path, m.path()); err != nil {
			return nil, err
		}
		placed = true
		unload(db)
		return db, nil
	})
	if err != nil && !placed {
		err = errors.Join(err, dropDatabase(db, p.path))
	}
	return err
}

// Restore puts the state of a snapshot in the place of the present one. It is Prepare and Install:
// an error of the snapshot leaves the machine as it was.
func (m *Machine) Restore(r io.Reader) error {
	p, err := m.Prepare(r)
	if err != nil {
		return err
	}
	return m.Install(p)
}

func dropDatabase(db *bolt.DB, path string) error {
	return errors.Join(db.Close(), os.Remove(path))
}

// removeLeftovers removes the files that an earlier process was building beside the database at path.
func removeLeftovers(path string) error {
	dir := filepath.Dir(path)
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range list {
		if !strings.HasPrefix(entry.Name(), filepath.Base(path)+restoreSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("remove an unfinished database: %w", err)
		}
	}
	return nil
}
