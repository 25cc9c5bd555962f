package cluster

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/hashicorp/raft-wal/metadb"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"laurel/fsm"
	"laurel/trust/pki"
)

// identity is who the data of a directory belongs to. The instance is made at random with the directory: under the same id but with
// other data a frontend would be another member, and Raft must know it as another, lest one voter votes twice.
type identity struct {
	ID       string `json:"id"`
	Instance string `json:"instance"`
	// Joined: the member has been in a committed configuration of its group. Whoever is in none after that was removed; before, it is still
	// on its way in, and what it has heard of its place may be undone by a change of the master.
	Joined bool `json:"joined,omitzero"`
	// JoinedAt is the index of the newest committed configuration that is known to have the member in it.
	JoinedAt uint64 `json:"joined_at,omitzero"`
}

// serverID is the member's name in Raft's configuration, from which membership is read; it is stored nowhere else.
func (i identity) serverID() raft.ServerID { return raft.ServerID(i.ID + "@" + i.Instance) }

// memberID is the part of a server's name that people know it by.
func memberID(s raft.ServerID) string {
	id, _, _ := strings.Cut(string(s), "@")
	return id
}

const (
	identityFile = "member.json"
	removedFile  = "removed"
	voteFile     = "raft.db"
	logDir       = "wal"
	snapshotDir  = "snapshots" // hashicorp/raft names it
	keepSnapshot = 2
	termKey      = "CurrentTerm" // hashicorp/raft names it
	voteTermKey  = "LastVoteTerm"
	// voteCandidateKey has whom the last vote was for; it is empty while a vote is being stored.
	voteCandidateKey = "LastVoteCand"
	// logCache is the number of entries kept in memory for followers that are a little behind. With entries of at most maxEntryBytes it
	// bounds the memory.
	logCache = 128
)

// storage is the data directory of a member.
type storage struct {
	identity
	*disk
	dir       string
	serverID  raft.ServerID
	joined    atomic.Bool           // identity.Joined, as it is now
	joinedAt  atomic.Uint64         // identity.JoinedAt, as it is now
	votes     *raftboltdb.BoltStore // Raft's term and vote; its lock is that of the whole directory
	log       *segmentedLog
	history   *history
	stable    raft.StableStore
	snapshots *snapshotStore
	existing  bool // there was a member here before
}

func openStorage(o Options, log *slog.Logger, m *metrics, fatal func(error)) (s *storage, err error) {
	if err := makeDir(o.Dir); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if mark, err := os.ReadFile(filepath.Join(o.Dir, removedFile)); err == nil {
		return nil, fmt.Errorf("%w (%s); to join anew as another member, start with an empty data directory instead of %s", ErrRemoved, strings.TrimSpace(string(mark)), o.Dir)
	}
	who, err := loadIdentity(o)
	if err != nil {
		return nil, err
	}
	s = &storage{identity: who, dir: o.Dir, serverID: who.serverID()}
	s.joined.Store(who.Joined)
	s.joinedAt.Store(who.JoinedAt)
	if err := s.openLogAndVotes(log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	s.disk = newDisk(apart{s.log, s.votes}, o, m, fatal)
	if o.wrap != nil {
		s.disk.store = o.wrap(s.disk.store)
	}
	s.stable = s.disk
	cached, err := raft.NewLogCache(logCache, s.disk)
	if err != nil {
		return s, err
	}
	s.history = &history{LogStore: cached, contradicted: func(err error) { s.disk.stop(&ContradictionError{o.Dir, err}) }}
	files, err := raft.NewFileSnapshotStoreWithLogger(o.Dir, keepSnapshot, raftLogger(log))
	if err == nil {
		err = removeUnfinished(filepath.Join(o.Dir, snapshotDir))
	}
	if err != nil {
		return s, fmt.Errorf("open the snapshots in %s: %w", o.Dir, err)
	}
	snapshots := filepath.Join(o.Dir, snapshotDir)
	if err := errors.Join(syncDir(o.Dir), syncDir(snapshots)); err != nil { // the store may just have made it
		return s, s.ofTheDisk(err)
	}
	s.snapshots = &snapshotStore{files: syncedSnapshots{files, snapshots}, dir: snapshots, log: s.history}
	if s.existing, err = raft.HasExistingState(s.history, s.stable, s.snapshots); err != nil {
		return s, fmt.Errorf("read the log in %s: %w", o.Dir, err)
	}
	if err := s.checkPlace(); err != nil {
		return s, err
	}
	if s.existing && o.Bootstrap {
		cut, err := s.bootstrapWasCut()
		if err != nil {
			return s, fmt.Errorf("read what %s holds: %w", o.Dir, err)
		}
		s.existing = !cut
	}
	if !s.existing && !o.Bootstrap && len(o.Join) == 0 {
		return s, &EmptyError{o.Dir}
	}
	return s, nil
}

func (s *storage) openLogAndVotes(log *slog.Logger) (err error) {
	if err := makeVoteFile(filepath.Join(s.dir, voteFile)); err != nil {
		return s.ofTheDisk(fmt.Errorf("make %s in %s: %w", voteFile, s.dir, err))
	}
	// New commits a transaction, and with it what a killed process may have left to the kernel.
	damaged := checkVoteFile(filepath.Join(s.dir, voteFile))
	if damaged == nil {
		s.votes, err = raftboltdb.New(raftboltdb.Options{
			Path: filepath.Join(s.dir, voteFile),
			BoltOptions: &bbolt.Options{
				Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
			},
		})
	}
	switch {
	case damaged != nil:
		return contradiction(s.dir, "%s: %w", voteFile, damaged)
	case errors.Is(err, bbolterrors.ErrTimeout):
		return fmt.Errorf("the data directory %s is in use by another frontend", s.dir)
	case err != nil:
		return s.ofTheDisk(fmt.Errorf("open %s in %s: %w", voteFile, s.dir, err))
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := removeNew(s.dir); err != nil {
		return fmt.Errorf("remove what a crash left in %s: %w", s.dir, err)
	}
	old, err := s.votes.LastIndex()
	if err != nil {
		return fmt.Errorf("read %s in %s: %w", voteFile, s.dir, err)
	}
	if old > 0 {
		return contradiction(s.dir, "%s has a log in it, which an older version wrote", voteFile)
	}
	// With half of what it told the others, a voter could let a master be elected that lacks what was acked. Raft stores a term before the
	// first entry, and the log is made before that.
	term, err := stored(s.votes, termKey)
	if err != nil {
		return fmt.Errorf("read the term in %s: %w", s.dir, err)
	}
	dir := filepath.Join(s.dir, logDir)
	if _, err := os.Stat(filepath.Join(dir, metadb.FileName)); err != nil && term > 0 {
		return contradiction(s.dir, "the log that belongs to %s is missing (%w)", voteFile, err)
	}
	if s.log, err = openLog(dir, log); err != nil {
		return s.ofTheDisk(err)
	}
	if last, err := s.log.LastIndex(); err != nil || last > 0 && term == 0 {
		return cmp.Or(err, contradiction(s.dir, "%s, which belongs to the log, is missing", voteFile))
	}
	return syncDir(s.dir)
}

// stored returns a number of Raft's, 0 if it is not stored.
func stored(votes *raftboltdb.BoltStore, key string) (uint64, error) {
	n, err := votes.GetUint64([]byte(key))
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return 0, nil
	}
	return n, err
}

// ofTheDisk makes an error one of the disk if room, or another disk, is all that it takes, and a
// contradiction if what is on the disk cannot be read any more.
func (s *storage) ofTheDisk(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EIO):
		return &StorageError{s.dir, err}
	case errors.Is(err, bbolterrors.ErrInvalid) || errors.Is(err, bbolterrors.ErrChecksum) || errors.Is(err, bbolterrors.ErrVersionMismatch):
		return &ContradictionError{s.dir, err} // the vote is damaged
	}
	return err
}

// EmptyError says that there is no member in the data directory and none was to be made.
type EmptyError struct{ Dir string }

func (e *EmptyError) Error() string {
	return fmt.Sprintf("the data directory %s is empty: bootstrap a new group with --bootstrap, or join one with --join URL", e.Dir)
}

func loadIdentity(o Options) (identity, error) {
	path := filepath.Join(o.Dir, identityFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := checkIdentity(o.Dir); err != nil {
			return identity{}, err
		}
		who := identity{ID: o.ID, Instance: strings.ToLower(rand.Text()[:12])}
		return who, who.write(o.Dir)
	}
	if err != nil {
		return identity{}, err
	}
	var who identity
	if err := json.Unmarshal(b, &who); err != nil || who.Instance == "" {
		return who, contradiction(o.Dir, "%s is damaged", path)
	}
	if who.ID != o.ID {
		return who, fmt.Errorf("the data in %s belongs to the frontend %q, not to %q", o.Dir, who.ID, o.ID)
	}
	return who, nil
}

func (i identity) write(dir string) error {
	b, err := json.Marshal(i)
	if err == nil {
		err = pki.WritePrivateFile(filepath.Join(dir, identityFile), b)
	}
	if err != nil {
		return fmt.Errorf("write the identity of the member: %w", err)
	}
	return nil
}

// markJoined makes it known to all later starts that the member is in the committed configuration
// of the entry at index. It is called by one goroutine at a time.
func (s *storage) markJoined(index uint64) error {
	if s.joined.Load() && index <= s.joinedAt.Load() {
		return nil
	}
	who := s.identity
	who.Joined, who.JoinedAt = true, index
	if err := who.write(s.dir); err != nil {
		return err
	}
	s.joinedAt.Store(index)
	s.joined.Store(true)
	return nil
}

// syncFile syncs a file before its content is trusted. A killed process can leave in it what only
// the kernel has. A member that acts on that lets others rely on it, so it must not be lost with the
// machine's power.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync a file before it is read: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes a directory that a power loss does not take away. The directory may be there
// already and not be on the disk yet, so its parent is synced always, where that may be read.
func makeDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	parents := []string{filepath.Dir(dir)}
	for parent := parents[0]; parent != filepath.Dir(parent); {
		if _, err := os.Stat(parent); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		parent = filepath.Dir(parent)
		parents = append(parents, parent)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// openMachine opens the state machine and brings it at least to the newest snapshot, from where the log goes on.
func (s *storage) openMachine(log *slog.Logger) (*fsm.Machine, error) {
	m, err := fsm.Open(s.dir, log)
	if err != nil {
		return nil, s.ofTheState(err)
	}
	if err := s.catchUp(m, log); err != nil {
		m.Close()
		return nil, err
	}
	s.history.progress = m.Applied
	return m, nil
}

func (s *storage) catchUp(m *fsm.Machine, log *slog.Logger) error {
	list, err := s.snapshots.List()
	if err != nil {
		return fmt.Errorf("list the snapshots in %s: %w", s.dir, err)
	}
	newest := uint64(0)
	if len(list) > 0 {
		newest = list[0].Index
	}
	if err := s.checkLog(newest); err != nil {
		return err
	}
	last, err := s.store.LastIndex()
	if err != nil {
		return err
	}
	if m.Applied() > max(newest, last) {
		if s.existing {
			return contradiction(s.dir, "the log ends at entry %d, but entry %d was applied: its end is damaged", last, m.Applied())
		}
		if err := m.Discard("it is ahead of the log"); err != nil {
			return err
		}
	}
	if m.Applied() < newest {
		if err := s.restoreNewest(m, list, newest, log); err != nil {
			return err
		}
	}
	drop, err := s.superseded(list)
	if err == nil && drop {
		err = clearLog(s.store)
	}
	if err != nil {
		return err
	}
	return s.goOnBehind()
}

// goOnBehind lets the log go on behind the newest snapshot that can be used.
func (s *storage) goOnBehind() error {
	list, err := s.snapshots.List()
	if err != nil {
		return fmt.Errorf("list the snapshots in %s: %w", s.dir, err)
	}
	if len(list) > 0 {
		s.history.stored(list[0].Index, list[0].Term)
		s.history.goOn(list[0].Index, list[0].Term)
	}
	return nil
}

func (s *storage) restoreNewest(m *fsm.Machine, list []*raft.SnapshotMeta, newest uint64, log *slog.Logger) error {
	var damaged []string
	for _, meta := range list {
		err := s.restore(m, meta)
		if err == nil {
			log.Info("restored the state from a snapshot", "snapshot", meta.ID, "index", meta.Index, "revision", m.Revision())
			return s.goOn(meta.Index, newest, damaged)
		}
		if full := (*StorageError)(nil); errors.As(s.ofTheState(err), &full) {
			return full // no fault of the snapshot
		}
		log.Error("a snapshot cannot be used", "snapshot", meta.ID, "error", err)
		damaged = append(damaged, meta.ID)
	}
	return s.goOn(0, newest, damaged)
}

func (s *storage) restore(m *fsm.Machine, meta *raft.SnapshotMeta) error {
	_, r, err := s.snapshots.Open(meta.ID)
	if err != nil {
		return err
	}
	defer r.Close()
	return m.Restore(r)
}

// goOn hides damaged snapshots from Raft, which takes the newest it finds for the state that there is. The log must have all that lies
// between: a voter that forgets what it has told others to have could let a master be elected that never had it.
func (s *storage) goOn(from, newest uint64, damaged []string) error {
	for i := from + 1; i <= newest; i++ {
		if err := s.store.GetLog(i, new(raft.Log)); err != nil {
			return contradiction(s.dir, "the snapshots %s are damaged, and the log lacks entry %d to do without",
				strings.Join(damaged, ", "), i)
		}
	}
	for _, id := range damaged {
		path := filepath.Join(s.dir, snapshotDir, id)
		// Raft ignores names that end so.
		if err := os.Rename(path, path+setAside); err != nil {
			return fmt.Errorf("set a damaged snapshot aside: %w", err)
		}
	}
	return nil
}

// markRemoved makes a later start tell what happened, and by which entries of the log that is known.
func (s *storage) markRemoved(by string) error {
	text := fmt.Sprintf("removed %s, by %s\n", time.Now().UTC().Format(time.RFC3339), by)
	return pki.WritePrivateFile(filepath.Join(s.dir, removedFile), []byte(text))
}

func (s *storage) Close() error {
	var err error
	if s.log != nil {
		err = s.log.Close()
	}
	return errors.Join(err, s.votes.Close()) // the lock last
}
