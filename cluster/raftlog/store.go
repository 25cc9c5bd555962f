package raftlog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/hashicorp/raft-wal/metadb"

	"laurel/cluster/disk"
	"laurel/cluster/internal/durable"
	"laurel/cluster/internal/hclogger"
	"laurel/cluster/snapshots"
)

// Options are the options of Open.
type Options struct {
	Dir string // the data directory, made if it is missing
	ID  string // of the member
	// Bootstrap allows a directory without a member, for Store.Bootstrap, and Join for
	// joining a group.
	Bootstrap, Join bool
	Unfinished      bool          // opens also a directory whose recovery, or a restore into it, was begun
	StallTimeout    time.Duration // 0 means DefaultStallTimeout
	Bounds          Bounds        // the zero value means DefaultBounds
	Logger          *slog.Logger
	// Fatal is called with every error of the disk, and every contradiction, that ends
	// the member. The call of the store that met it does not return before Release.
	Fatal func(error)
	// Rewritten returns the error with which the member ends, instead of a contradiction,
	// because Raft is to remove entries that were applied; it may return nil, and be nil.
	Rewritten func(error) error
	// Cosigned returns the index of the seal of the last round that this member of a sworn group
	// has cosigned; 0 if there is none, or if it is not known. It may be nil. The log is kept
	// from there, as far as its bound permits.
	Cosigned     func() uint64
	ObserveWrite func(time.Duration) // called with the duration of each write; may be nil
	// Wrap, if not nil, puts a test's store between the watchdog and the disk.
	Wrap func(Backend) Backend
}

// Backend is what hashicorp/raft stores its log, its term and its vote in.
type Backend interface {
	logStore
	raft.StableStore
}

// splitStore keeps the log in one place and the term and vote in another.
type splitStore struct {
	*walLog
	raft.StableStore
}

// Store is the opened data directory of a member.
//
// Raft reaches the log through a chain of wrappers, each with one task. From Raft down to
// the disk:
//
//	Log            continues after snapshots; refuses to remove applied entries; bounds it
//	recentLog      keeps the newest entries in memory
//	watchdogStore  ends the member at the first error, or when a write stalls
//	Options.Wrap   a test's faults; absent in production
//	splitStore     joins the log and the store of term and vote
//	walLog         guards raft-wal against misuse
//	raft-wal       writes segments through the types in segment.go, which add checksums
//
// The stable store is voteStore and then watchdogStore, and below splitStore it is raft-boltdb.
type Store struct {
	Log       *Log
	Stable    raft.StableStore // Raft's term and vote
	Snapshots *snapshots.Store
	Existing  bool // whether the directory had a member before it was opened

	dir       string
	logger    *slog.Logger
	reserve   *disk.Reserve
	scarce    chan struct{} // see Scarce
	identity  identity
	joinedAt  atomic.Uint64 // identity.JoinedAt, now
	returned  atomic.Pointer[Return]
	cosigned  func() uint64 // see Options
	returning sync.Mutex    // guards changes of returned while the member runs
	votes     *raftboltdb.BoltStore
	wal       *walLog
	backend   Backend // below the watchdog: recovery gets its errors back
	watchdog  *watchdogStore
	voted     *voteStore
}

// Open opens a data directory. It locks the directory until Close.
func Open(o Options) (s *Store, err error) {
	o.StallTimeout = cmp.Or(o.StallTimeout, DefaultStallTimeout)
	o.Bounds = cmp.Or(o.Bounds, DefaultBounds)
	if o.ObserveWrite == nil {
		o.ObserveWrite = func(time.Duration) {}
	}
	if o.Cosigned == nil {
		o.Cosigned = func() uint64 { return 0 }
	}
	if err := durable.MakeDir(o.Dir); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if err := CheckEnded(o.Dir); err != nil {
		unfinished := errors.Is(err, ErrRecovering) || errors.Is(err, ErrRestoring)
		if !unfinished || !o.Unfinished {
			return nil, err
		}
	}
	who, err := loadIdentity(o.Dir, o.ID)
	if err != nil {
		return nil, err
	}
	s = &Store{
		identity: who, dir: o.Dir, logger: o.Logger, cosigned: o.Cosigned,
		reserve: disk.NewReserve(o.Dir), scarce: make(chan struct{}, 1),
	}
	s.joinedAt.Store(who.JoinedAt)
	s.protect()
	if err := s.openVotes(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
			s = nil
		}
	}()
	if err := s.openWAL(o.Bounds.Segment); err != nil {
		return s, err
	}
	s.wrap(o)
	if err := s.openSnapshots(); err != nil {
		return s, err
	}
	if err := s.goBack(); err != nil {
		return s, err
	}
	if s.voted, err = newVoteStore(s.watchdog); err != nil {
		return s, openFailure(s.dir, err)
	}
	s.Stable = s.voted
	if _, err := protect(s.dir); err != nil { // what the libraries have just made
		o.Logger.Debug("the modes of new files could not be changed", "dir", s.dir, "err", err)
	}
	return s, s.check(o)
}

// HasData reports whether a data directory has a member that was in a group, or is
// founding one. A directory of a member that only waits to be added has no data yet.
func HasData(dir string) (bool, error) {
	path := filepath.Join(dir, voteFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	s := &Store{dir: dir}
	if err := s.openVotes(); err != nil {
		return false, err
	}
	term, err := storedNumber(s.votes, termKey)
	return term > 0, errors.Join(err, s.votes.Close())
}

// openWAL opens the log, which must match the term and vote: with only one of the two a
// voter could let a master be elected that lacks acked events. Raft stores a term before
// the first entry, and the log is made before that.
func (s *Store) openWAL(segmentSize int) error {
	if err := durable.RemoveLeft(s.dir, ".new-*"); err != nil {
		return fmt.Errorf("remove what a crash left in %s: %w", s.dir, err)
	}
	term, err := storedNumber(s.votes, termKey)
	if err != nil {
		return fmt.Errorf("read the term in %s: %w", s.dir, err)
	}
	dir := filepath.Join(s.dir, logDir)
	if _, err := os.Stat(filepath.Join(dir, metadb.FileName)); err != nil && term > 0 {
		return contradiction(s.dir, "the log that belongs to %s is missing (%w)", voteFile, err)
	}
	if s.wal, err = openWAL(dir, segmentSize, s.reserve, s.logger); err != nil {
		return openFailure(s.dir, err)
	}
	if last, err := s.wal.LastIndex(); err != nil || last > 0 && term == 0 {
		return cmp.Or(err, contradiction(s.dir, "%s, which belongs to the log, is missing", voteFile))
	}
	return durable.SyncDir(s.dir)
}

// wrap puts the wrappers around the log and the votes; see Store.
func (s *Store) wrap(o Options) {
	s.backend = splitStore{s.wal, s.votes}
	if o.Wrap != nil {
		s.backend = o.Wrap(s.backend)
	}
	s.watchdog = newWatchdogStore(s.backend, o)
	s.Log = &Log{
		recentLog:    &recentLog{logStore: s.watchdog, maxBytes: o.Bounds.Recent},
		contradicted: func(err error) { s.watchdog.fail(s.rewritten(o, err)) },
		bounds:       o.Bounds,
		sizes:        &s.wal.segments.sizes,
		keeps:        s.keeps,
		logger:       s.logger,
	}
}

// rewritten returns the error with which the member ends rather than remove entries.
func (s *Store) rewritten(o Options, err error) error {
	if o.Rewritten != nil {
		if other := o.Rewritten(err); other != nil {
			return other
		}
	}
	return &ContradictionError{Dir: s.dir, Err: err}
}

func (s *Store) openSnapshots() (err error) {
	s.Snapshots, err = snapshots.Open(s.dir, s.Log, hclogger.New(s.logger, nil))
	if err != nil {
		return fmt.Errorf("open the snapshots in %s: %w", s.dir, err)
	}
	s.Snapshots.Needed = s.cosigned
	if err := errors.Join(durable.SyncDir(s.dir), durable.SyncDir(filepath.Join(s.dir, snapshots.Dir))); err != nil {
		return openFailure(s.dir, err) // Open may just have made the directory
	}
	return nil
}

// check compares the parts of the directory with each other and with the options.
//
// The parts are synced in an order in which no crash and no loss of power leaves one of
// them without the parts that it depends on. So a part that is missing was taken away. A
// voter that went on without it could vote for a master that lacks what this voter had
// acknowledged.
func (s *Store) check(o Options) error {
	last, err := s.backend.LastIndex()
	newest, err2 := s.newestSnapshot()
	term, err3 := storedNumber(s.backend, termKey)
	vote, err4 := storedNumber(s.backend, voteTermKey)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return fmt.Errorf("read what %s holds: %w", s.dir, err)
	}
	last = max(last, newest.Index)
	joined := s.JoinedAt()
	switch {
	case last < joined:
		return contradiction(s.dir, "log and snapshots end at entry %d, and this frontend had entry %d", last, joined)
	case joined > 0 && term == 0:
		return contradiction(s.dir, "%s has no term", voteFile)
	case o.Bootstrap && last == 0 && term <= 1 && vote == 0:
		// An interrupted bootstrap left the directory like this. A member that was in a
		// group has voted or has an entry.
	case last > 0 || term > 0:
		s.Existing = true
	case !o.Bootstrap && !o.Join:
		return &EmptyError{s.dir}
	}
	return nil
}

// Bootstrap makes the member the only one of a new group: it stores term 1 and the first
// entry, as raft.BootstrapCluster does. Unlike that function, it can be repeated after a
// crash between the two.
func (s *Store) Bootstrap(first raft.Configuration) error {
	if err := s.watchdog.SetUint64([]byte(termKey), 1); err != nil {
		return fmt.Errorf("store the first term: %w", err)
	}
	entry := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(first)}
	if err := s.Log.StoreLog(entry); err != nil {
		return fmt.Errorf("store the first entry: %w", err)
	}
	return nil
}

// Dir returns the data directory.
func (s *Store) Dir() string { return s.dir }

// Reserve returns what is kept aside for a full disk.
func (s *Store) Reserve() *disk.Reserve { return s.reserve }

// Release ends the goroutines whose call of the store has failed.
func (s *Store) Release() { s.watchdog.stop() }

// Close closes the log and unlocks the directory.
func (s *Store) Close() error {
	var err error
	if s.wal != nil {
		err = s.wal.Close()
	}
	return errors.Join(err, s.votes.Close()) // the lock last
}
