package fsm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	stored "laurel/fsm/head"
	"laurel/fsm/identity"
	"laurel/fsm/index"
	"laurel/fsm/leaderboard"
	"laurel/fsm/past"
	"laurel/fsm/rounds"
	"laurel/fsm/timeline"
	"laurel/fsm/view"
	"laurel/score"
	"laurel/score/fold"
	"laurel/score/medal"
	"laurel/trust/access"
	"laurel/trust/signing"
	"laurel/witness"
)

// Machine is the state machine with its database. One goroutine applies entries. Any
// number of goroutines may read through View at the same time.
//
// Applied entries are collected in one open transaction. It is committed when a reader
// needs the state, when it is large, or after commitDelay.
type Machine struct {
	dir string
	log *slog.Logger

	dbMu     sync.RWMutex // held for writing while db is replaced
	db       *bolt.DB
	replaced sync.WaitGroup // the databases that were replaced and are still read

	asking sync.Mutex // held by Answer while it waits for applying

	applying    sync.Mutex // guards the following fields
	cache       recordCache
	open        *batch // the open transaction; nil if there is none
	commitTimer *time.Timer
	changes     changes
	recent      recent
	past        past.Changes // has a lock of its own
	failed      error
	onFail      func(error)
	room        room
	every       uint64 // rounds; see AtRounds
	atRound     func(round witness.Head, s *Snapshot)

	head     atomic.Pointer[head]
	verifier *signing.Verifier
	expected *entry.Expected
	progress progress
	boards   *leaderboard.Boards
	rounds   rounds.Log
	prepared atomic.Uint64 // counts the calls of Prepare
}

// head is the part of the state that is always in memory. It is immutable.
type head struct {
	stored.Head                    // its Hash is in the database only
	hash        *entry.RunningHash // of all applied events; it changes, and m.applying guards it
	digest      [sha256.Size]byte  // of hash
	access      *access.State
	rounds      *rounds.Saved // until restart
}

func loadHead(db *bolt.DB) (*head, error) {
	h := new(head)
	err := db.View(func(tx *bolt.Tx) (err error) {
		database.DropPages(tx)
		if h.Head, h.access, err = stored.Load(tx); err != nil {
			return err
		}
		var ok bool
		if h.hash, ok = entry.NewRunningHash(h.Hash); !ok {
			return database.ErrDamaged
		}
		h.digest, h.Hash = h.hash.Add(nil), nil
		h.rounds, err = rounds.Load(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the head of the state in %s: %w", db.Path(), err)
	}
	return h, nil
}

const (
	// commitEvents and commitBytes are the numbers of events, and of their bytes, after
	// which a transaction is committed. They bound its memory and the duration of the
	// commit.
	commitEvents = 8192
	commitBytes  = 4 << 20
	// commitDelay is the time after which a transaction is committed if nobody reads.
	commitDelay = 200 * time.Millisecond
)

// recordCache holds decoded records, so that a contest is not decoded again for each of
// its events.
type recordCache struct {
	contests  map[string]*fold.Contest // nil for one that is not defined
	tables    map[string]*medal.Table
	sources   identity.Cache
	timelines *timeline.Cache
	terms     map[string][]index.Term // as in the database, of each contest in contests
	// tableTerms are those of each table in tables.
	tableTerms map[string][]index.Term
}

// maxCached limits the maps of recordCache. A map over its limit is cleared at a commit, and a
// transaction with a map twice as large is committed.
const maxCached = 2048

func newRecordCache() recordCache {
	return recordCache{
		contests:  map[string]*fold.Contest{},
		tables:    map[string]*medal.Table{},
		sources:   identity.Cache{},
		timelines: timeline.NewCache(),
		terms:     map[string][]index.Term{},

		tableTerms: map[string][]index.Term{},
	}
}

func (c *recordCache) isFull() bool {
	return max(len(c.contests), len(c.tables), len(c.sources)) >= 2*maxCached
}

func (c *recordCache) trim() {
	if len(c.contests) > maxCached {
		clear(c.contests)
		clear(c.terms)
	}
	if len(c.tables) > maxCached {
		clear(c.tables)
		clear(c.tableTerms)
	}
	c.sources.Trim()
	c.timelines.Trim()
}

// Open opens the state machine in dir, which must exist and must not be used by another
// process. A database that cannot be trusted is deleted, and the reason is logged.
// Applied then returns 0, and the caller must restore a snapshot or replay the log from
// its beginning.
func Open(dir string, log *slog.Logger) (*Machine, error) {
	m := &Machine{dir: dir, log: log, cache: newRecordCache(), verifier: new(signing.Verifier),
		expected: entry.NewExpected()}
	m.boards = leaderboard.New(m.readMarks)
	db, err := database.Open(m.path(), log)
	if err != nil {
		return nil, err
	}
	s, err := loadHead(db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	m.db = db
	m.restart(s)
	return m, nil
}

// File is the name of the database in the data directory.
const File = "state.db"

func (m *Machine) path() string { return filepath.Join(m.dir, File) }

// Applied returns the index of the last log entry applied.
func (m *Machine) Applied() uint64 { return m.head.Load().Applied }

// Revision returns the revision of the last event applied.
func (m *Machine) Revision() uint64 { return m.head.Load().Revision }

// Lineage returns the lineage of the store, which signatures name; "" if it does not have
// one yet.
func (m *Machine) Lineage() string { return m.Access().Settings.Lineage }

// Incarnation returns the incarnation of the store, which the ids of watchers name; "" if
// it does not have one yet.
func (m *Machine) Incarnation() string { return m.Access().Settings.Incarnation }

// Access returns the access control and the settings that result from everything applied.
// They are immutable.
func (m *Machine) Access() *access.State { return m.head.Load().access }

// Verifier returns the machine's signature verifier. Code that checks events before they
// enter the log should use it, because it remembers the trees that it has verified.
func (m *Machine) Verifier() *signing.Verifier { return m.verifier }

// CacheMode returns the cache mode of the group.
func (m *Machine) CacheMode() score.CacheMode { return m.Access().Settings.CacheMode }

// Close syncs the database and closes it, for which it waits for the readers. After a
// *database.DiskError, or if a snapshot has met a damaged record, the next Open does not
// trust the database.
func (m *Machine) Close() error {
	// Nothing is applied afterwards, and nothing replaces m.db. So no lock is held while Close
	// waits: a snapshot may need applying and dbMu before its owner releases it.
	if err := m.end(); err != nil {
		return errors.Join(err, m.db.Close())
	}
	m.replaced.Wait()
	return database.Close(m.path(), m.db, func() error {
		m.applying.Lock()
		defer m.applying.Unlock()
		if m.failed != errClosed {
			return m.failed
		}
		return nil
	})
}

// end commits what was applied, and has all later calls fail.
func (m *Machine) end() error {
	m.applying.Lock()
	defer m.applying.Unlock()
	if err := m.commit(); err != nil {
		return err
	}
	m.failed = errClosed
	m.boards.Close(errClosed)
	return nil
}

var errClosed = errors.New("the state machine is closed")

var errReplacing error = score.Problemf(score.NotReady, "this frontend is replacing its state; retry")

// Discard replaces the database by an empty one and logs the reason.
func (m *Machine) Discard(reason string) error {
	return m.replace(func() (*bolt.DB, *head, error) {
		db, err := database.Replace(m.path(), m.log, reason)
		if err != nil {
			return nil, nil, err
		}
		s, err := loadHead(db)
		return db, s, err
	})
}

// replace replaces the database by the one that open returns. The old one is closed when
// its views and snapshots are. replace does not wait for that, because Raft holds a
// snapshot while it waits for its main goroutine, which may be waiting for Restore
// (hashicorp/raft v1.8.0, takeSnapshot and installSnapshot).
func (m *Machine) replace(open func() (*bolt.DB, *head, error)) error {
	m.applying.Lock()
	defer m.applying.Unlock()
	if m.failed != nil {
		return m.failed
	}
	m.boards.Close(errReplacing)
	m.rollback()
	m.dbMu.Lock()
	defer m.dbMu.Unlock()
	db, s, err := open()
	if err != nil {
		return m.fail(err)
	}
	old := m.db
	m.replaced.Go(func() {
		if err := old.Close(); err != nil {
			m.log.Warn("cannot close the replaced database", "err", err)
		}
	})
	m.db, m.cache, m.room.kept = db, newRecordCache(), 0
	m.restart(s)
	m.boards.Open()
	m.progress.notify()
	return nil
}

func (m *Machine) rollback() {
	if m.open != nil {
		m.commitTimer.Stop()
		m.open.tx.Rollback()
		m.open = nil
	}
}

// fail stops the machine: nothing can be applied afterwards. The first error is passed to
// onFail and returned by all later calls. m.applying must be held.
func (m *Machine) fail(err error) error {
	m.rollback()
	switch m.failed {
	case nil:
		m.failed = err
		m.boards.Close(err)
		if m.onFail != nil {
			m.onFail(err)
		}
	case errClosed: // Close, which waits for the reader that met err, returns it
		m.failed = err
	}
	return m.failed
}

// View calls f with the present state, also while entries are applied. Views should be
// short, because the database cannot reuse space that a view still sees.
func (m *Machine) View(f func(*view.View) error) error {
	tx, incarnation, err := m.beginRead()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var h stored.Head
	if _, err := database.GetJSON(tx.Bucket(database.Meta), stored.Key, &h); err != nil {
		return err
	}
	return f(view.New(tx, h.Revision, incarnation))
}
