package fsm

import (
	"cmp"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// Machine is the state machine with its database. One goroutine applies; any number may read through View at the same time.
//
// Applied entries gather in one open transaction, which is committed when somebody wants to see the state, when it has grown large, or a
// moment later. A contest that changes a hundred times in between is written once.
type Machine struct {
	dir string
	log *slog.Logger
	mu  sync.RWMutex // held for writing while another file takes the place of db
	db  *bolt.DB
	// replaced are the databases that db took the place of, and that somebody still reads.
	replaced sync.WaitGroup

	applying sync.Mutex // guards what follows
	memory   memory
	open     *batch // the transaction that is not committed yet; nil if there is none
	later    *time.Timer
	changes  *changes // nil while nobody tracks them
	failed   error
	onFail   func(error)

	applied  atomic.Uint64 // index of the last log entry applied
	revision atomic.Uint64
	mode     atomic.Pointer[score.CacheMode]
	store    atomic.Pointer[string]
	access   atomic.Pointer[access.State]
	verifier *signing.Verifier
	more     reached
	boards   *boards
	prepared atomic.Uint64 // counts the files that Prepare makes
}

const (
	// commitEvents is how many events a transaction takes at the most, which bounds its memory and the time that committing it takes.
	commitEvents = 2048
	// commitDelay is how long a transaction stays open while nobody looks. A crash of the process costs what is in it, and the log has that.
	commitDelay = 200 * time.Millisecond
)

// memory is what applying keeps of the database, so as not to decode a contest again for each of its events.
type memory struct {
	contests map[string]*score.Contest
	tables   map[string]*score.MedalTable
	sources  map[string]*source
	// indexed is what the index has of each contest in contests.
	indexed map[string][]term
}

// The bounds of the maps of memory; a full one is emptied, which costs a few decodings. A source may have a window of ids with it.
const (
	remembered        = 2048
	rememberedSources = 256
)

func newMemory() memory {
	return memory{map[string]*score.Contest{}, map[string]*score.MedalTable{}, map[string]*source{}, map[string][]term{}}
}

// The buckets of the database. Keys that have parts join them with a zero byte, which no part can hold; numbers in keys are 8 bytes,
// most significant first, so that their order is that of the keys. Every value ends with a checksum (seal).
var (
	metaBucket     = []byte("meta")     // applied, revision
	contestBucket  = []byte("contests") // contest_id -> score.Contest
	timelineBucket = []byte("timeline") // contest_id, revision -> event
	sourceBucket   = []byte("sources")  // source -> last seq and id
	seqBucket      = []byte("seqs")     // source, seq -> revision, digest, id
	medalBucket    = []byte("medals")   // competition -> score.MedalTable
	awardBucket    = []byte("awards")   // competition, award_id -> award
	markBucket     = []byte("marks")    // contest_id, split, competitor -> score.Mark
	boardBucket    = []byte("boards")   // contest_id, split, place in the order -> nothing
	splitBucket    = []byte("splits")   // contest_id, split -> number of marks
	accessBucket   = []byte("access")   // kind, id -> who may do what: access.go
	auditBucket    = []byte("audit")    // number -> access.AuditEntry

	signatureBucket = []byte("signatures") // revision of the first event -> signatures: runs.go
)

// buckets are those of the state, which is what snapshots have, in the order of their names.
var buckets = [][]byte{accessBucket, auditBucket, awardBucket, boardBucket, contestBucket, markBucket, medalBucket, metaBucket, seqBucket, signatureBucket, sourceBucket, splitBucket, timelineBucket}

// indexBucket is derived from the state: index.go.
var indexBucket = []byte("index")

var (
	appliedKey  = []byte("applied")
	revisionKey = []byte("revision")
	storeKey    = []byte("store")
	modeKey     = []byte("mode") // the cache mode; push if there is none
)

// Open opens the state machine in dir, which must exist and belong to this process alone. A database that cannot be trusted is thrown
// away, and the log tells why: then Applied is 0 and the caller restores a snapshot or replays the log from its beginning.
func Open(dir string, log *slog.Logger) (*Machine, error) {
	m := &Machine{dir: dir, log: log, memory: newMemory(), verifier: new(signing.Verifier), boards: newBoards()}
	if err := removeLeftovers(m.path()); err != nil {
		return nil, err
	}
	db, err := openDatabase(m.path(), log)
	if err != nil {
		return nil, err
	}
	m.db = db
	if err := m.loadCounters(); err != nil {
		db.Close()
		return nil, err
	}
	return m, nil
}

func (m *Machine) path() string { return filepath.Join(m.dir, "state.db") }

func (m *Machine) loadCounters() error {
	return m.db.View(func(tx *bolt.Tx) error {
		applied, err := counter(tx, appliedKey)
		if err != nil {
			return err
		}
		revision, err := counter(tx, revisionKey)
		if err != nil {
			return err
		}
		mode, err := get(tx.Bucket(metaBucket), modeKey)
		if err != nil {
			return err
		}
		access, err := loadAccess(tx.Bucket(accessBucket))
		if err != nil {
			return err
		}
		m.access.Store(access)
		store, err := get(tx.Bucket(metaBucket), storeKey)
		m.applied.Store(applied)
		m.revision.Store(revision)
		m.keepMode(score.CacheMode(mode))
		name := string(store)
		m.store.Store(&name)
		return err
	})
}

// Applied is the index of the last log entry applied.
func (m *Machine) Applied() uint64 { return m.applied.Load() }

// Revision is the number of events applied.
func (m *Machine) Revision() uint64 { return m.revision.Load() }

// Store is the name of the store; "" until it has one.
func (m *Machine) Store() string { return *m.store.Load() }

// Access is who may do what, as of everything applied: when Apply returns what came of a change, it has the change. It does not change.
func (m *Machine) Access() *access.State { return m.access.Load() }

// Verifier is what checks signatures here. Whoever checks events on their way to the log does it with this one, which then need not check anew
// what was signed, but only that each event is part of it.
func (m *Machine) Verifier() *signing.Verifier { return m.verifier }

// CacheMode is the mode that the group is set to.
func (m *Machine) CacheMode() score.CacheMode { return *m.mode.Load() }

func (m *Machine) keepMode(mode score.CacheMode) {
	mode = cmp.Or(mode, score.Push)
	m.mode.Store(&mode)
}

// Close waits for the readers, brings the database to the disk and closes it. The machine cannot be used
// after. A *DiskError says that the disk failed: then the next Open does not trust the database.
func (m *Machine) Close() error {
	m.applying.Lock()
	defer m.applying.Unlock()
	if err := m.commit(); err != nil {
		return errors.Join(err, m.db.Close())
	}
	m.failed = errClosed
	m.boards.close(errClosed)
	m.replaced.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return closeDatabase(m.path(), m.db)
}

var errClosed = errors.New("the state machine is closed")

var errReplacing error = score.Problemf(score.NotReady, "this frontend is putting another state in the place of its own; ask again")

// Discard throws the database away, as if the machine had been opened in an empty directory; because says why.
func (m *Machine) Discard(because string) error {
	return m.replace(func() (*bolt.DB, error) { return replaceDatabase(m.path(), m.log, because) })
}

// replace opens another database in the place of the present one, which is closed when the views and snapshots of it are: Raft holds a snapshot while it
// waits for its main goroutine, and that waits for Restore (hashicorp/raft v1.8.0, takeSnapshot and installSnapshot).
func (m *Machine) replace(open func() (*bolt.DB, error)) error {
	m.applying.Lock()
	defer m.applying.Unlock()
	if m.failed != nil {
		return m.failed
	}
	m.boards.close(errReplacing)
	m.rollback()
	m.mu.Lock()
	defer m.mu.Unlock()
	db, err := open()
	if err != nil {
		return m.fail(err)
	}
	old := m.db
	m.replaced.Go(func() {
		if err := old.Close(); err != nil {
			m.log.Warn("the database that another took the place of was not closed", "error", err)
		}
	})
	m.db, m.memory = db, newMemory()
	if err := m.loadCounters(); err != nil {
		return m.fail(err)
	}
	m.boards.open()
	m.more.tell()
	return nil
}

// rollback drops the open transaction. What it had is in the log.
func (m *Machine) rollback() {
	if m.open != nil {
		m.later.Stop()
		m.open.tx.Rollback()
		m.open = nil
	}
}

// fail notes that nothing can be applied any more; the first failure is told to onFail. m.applying must be held.
func (m *Machine) fail(err error) error {
	m.rollback()
	if m.failed == nil {
		m.failed = err
		m.boards.close(err)
		if m.onFail != nil {
			m.onFail(err)
		}
	}
	return m.failed
}
