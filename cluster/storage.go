package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"laurel/fsm"
)

// identity is who the data of a directory belongs to. The instance is made at random with the directory: under the same id but with
// other data a frontend would be another member, and Raft must know it as another, lest one voter votes twice.
type identity struct {
	ID       string `json:"id"`
	Instance string `json:"instance"`
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
	logFile      = "raft.db"
	keepSnapshot = 2
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
	bolt      *raftboltdb.BoltStore
	cachedLog raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	existing  bool // there was a member here before
}

func openStorage(o Options, log *slog.Logger, m *metrics, fatal func(error)) (s *storage, err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, removedFile)); err == nil {
		return nil, fmt.Errorf("%w; to join anew as another member, start with an empty data directory instead of %s", ErrRemoved, o.Dir)
	}
	who, err := loadIdentity(o)
	if err != nil {
		return nil, err
	}
	s = &storage{identity: who, dir: o.Dir, serverID: who.serverID()}
	s.bolt, err = raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(o.Dir, logFile),
		BoltOptions: &bbolt.Options{
			Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
		},
	})
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, fmt.Errorf("the data directory %s is in use by another frontend", o.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open the log in %s: %w", o.Dir, err)
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	s.disk = newDisk(s.bolt, o, m, fatal)
	s.stable = s.disk
	if s.cachedLog, err = raft.NewLogCache(logCache, s.disk); err != nil {
		return s, err
	}
	if s.snapshots, err = raft.NewFileSnapshotStoreWithLogger(o.Dir, keepSnapshot, raftLogger(log)); err != nil {
		return s, fmt.Errorf("open the snapshots in %s: %w", o.Dir, err)
	}
	if s.existing, err = raft.HasExistingState(s.cachedLog, s.stable, s.snapshots); err != nil {
		return s, fmt.Errorf("read the log in %s: %w", o.Dir, err)
	}
	if !s.existing && !o.Bootstrap && len(o.Join) == 0 {
		return s, &EmptyError{o.Dir}
	}
	return s, nil
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
		who := identity{o.ID, strings.ToLower(rand.Text()[:12])}
		b, err := json.Marshal(who)
		if err != nil {
			return who, err
		}
		if err := writeDurably(path, b); err != nil {
			return who, fmt.Errorf("write the identity of the member: %w", err)
		}
		return who, nil
	}
	if err != nil {
		return identity{}, err
	}
	var who identity
	if err := json.Unmarshal(b, &who); err != nil || who.Instance == "" {
		return who, fmt.Errorf("%s is damaged; leave the group, empty the directory and join anew", path)
	}
	if who.ID != o.ID {
		return who, fmt.Errorf("the data in %s belongs to the frontend %q, not to %q", o.Dir, who.ID, o.ID)
	}
	return who, nil
}

// writeDurably writes a file that is either whole or not there after a crash.
func writeDurably(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// openMachine opens the state machine and brings it at least to the newest snapshot, from where the log goes on.
func (s *storage) openMachine(log *slog.Logger) (*fsm.Machine, error) {
	m, err := fsm.Open(s.dir, log)
	if err != nil {
		return nil, err
	}
	if err := s.catchUp(m, log); err != nil {
		m.Close()
		return nil, err
	}
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
	last, err := s.bolt.LastIndex()
	if err != nil {
		return err
	}
	if m.Applied() > max(newest, last) {
		if err := m.Discard("it is ahead of the log"); err != nil {
			return err
		}
	}
	if m.Applied() >= newest {
		return nil
	}
	for _, meta := range list {
		_, r, err := s.snapshots.Open(meta.ID)
		if err == nil {
			err = m.Restore(r)
			r.Close()
		}
		if err == nil {
			log.Info("restored the state from a snapshot", "snapshot", meta.ID, "index", meta.Index, "revision", m.Revision())
			return nil
		}
		log.Error("a snapshot cannot be used", "snapshot", meta.ID, "error", err)
	}
	return fmt.Errorf("no snapshot in %s can be read; leave the group, empty the directory and join anew", s.dir)
}

// markRemoved makes a later start tell what happened.
func (s *storage) markRemoved() error {
	return writeDurably(filepath.Join(s.dir, removedFile), []byte("removed "+time.Now().UTC().Format(time.RFC3339)+"\n"))
}

func (s *storage) Close() error {
	if s.disk != nil {
		s.disk.release()
	}
	return s.bolt.Close()
}
