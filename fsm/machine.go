package fsm

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"laurel/score"
)

// Machine is the state machine with its database. One goroutine applies; any number may read through View at the same time.
type Machine struct {
	dir    string
	log    *slog.Logger
	mu     sync.RWMutex // held for writing while Restore puts another file in the place of db
	db     *bolt.DB
	memory memory // of the goroutine that applies

	applied  atomic.Uint64 // index of the last log entry in the database
	revision atomic.Uint64
}

// memory is what applying keeps of the database, so as not to decode a contest again for each of its events.
type memory struct {
	contests map[string]*score.Contest
	tables   map[string]*score.MedalTable
	sources  map[string]*source
}

// remembered bounds each of the maps of memory; a full one is emptied, which costs a few decodings.
const remembered = 2048

func newMemory() memory {
	return memory{map[string]*score.Contest{}, map[string]*score.MedalTable{}, map[string]*source{}}
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
)

var buckets = [][]byte{awardBucket, boardBucket, contestBucket, markBucket, medalBucket, metaBucket, seqBucket, sourceBucket, splitBucket, timelineBucket}

var (
	appliedKey  = []byte("applied")
	revisionKey = []byte("revision")
)

// Open opens the state machine in dir, which must exist and belong to this process alone. A database that cannot be trusted is thrown
// away, and the log tells why: then Applied is 0 and the caller restores a snapshot or replays the log from its beginning.
func Open(dir string, log *slog.Logger) (*Machine, error) {
	m := &Machine{dir: dir, log: log, memory: newMemory()}
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
		m.applied.Store(applied)
		m.revision.Store(revision)
		return err
	})
}

// Applied is the index of the last log entry whose effect is in the database.
func (m *Machine) Applied() uint64 { return m.applied.Load() }

// Revision is the number of events applied.
func (m *Machine) Revision() uint64 { return m.revision.Load() }

// Close waits for the readers, writes the database to the disk and closes it. The machine cannot be used after.
func (m *Machine) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return closeDatabase(m.path(), m.db)
}

// Discard throws the database away, as if the machine had been opened in an empty directory; because says why.
func (m *Machine) Discard(because string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.db.Close(); err != nil {
		return err
	}
	db, err := replaceDatabase(m.path(), m.log, because)
	if err != nil {
		return err
	}
	m.db, m.memory = db, newMemory()
	return m.loadCounters()
}

// Entry is one command of the log.
type Entry struct {
	Index uint64
	Data  []byte
}

// Apply applies entries in one transaction. They must come in the order of the log. Those that the database has already are skipped, and
// have no outcome; of the others it returns for each the results of its posts, in order. An error says that the entries are not
// applied and never can be here: the disk failed, or an entry is of a version that this one does not know. The frontend must then stop.
func (m *Machine) Apply(entries []Entry, last uint64) (outcome [][][]score.Result, err error) {
	outcome = make([][][]score.Result, len(entries))
	if last <= m.applied.Load() {
		return outcome, nil
	}
	defer func() {
		if err != nil {
			m.memory = newMemory() // it is ahead of the database now
		}
	}()
	tx, err := m.db.Begin(true)
	if err != nil {
		return nil, fmt.Errorf("begin a transaction in %s: %w", m.path(), err)
	}
	defer tx.Rollback()
	b := m.newBatch(tx)
	for i, e := range entries {
		if e.Index <= m.applied.Load() {
			continue
		}
		posts, err := decodeEntry(e.Data)
		if err != nil {
			return nil, fmt.Errorf("log entry %d: %w", e.Index, err)
		}
		for _, p := range posts {
			results, err := b.post(p)
			if err != nil {
				return nil, fmt.Errorf("log entry %d: %w", e.Index, err)
			}
			outcome[i] = append(outcome[i], results)
		}
	}
	if err := b.flush(last); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("write %s: %w", m.path(), err)
	}
	m.revision.Store(b.revision)
	m.applied.Store(last)
	m.memory.trim()
	return outcome, nil
}

func (m *memory) trim() {
	if len(m.contests) > remembered {
		clear(m.contests)
	}
	if len(m.tables) > remembered {
		clear(m.tables)
	}
	if len(m.sources) > remembered {
		clear(m.sources)
	}
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
