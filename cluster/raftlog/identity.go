package raftlog

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/trust/pki"
)

// The files and directories of a data directory, besides the snapshots and the state
// machine.
const (
	identityFile = "member.json"
	removedFile  = "removed"
	divergedFile = "diverged"
	recoveryFile = "recovery.json"
	voteFile     = "raft.db"
	logDir       = "wal"
)

// identity names the member that a data directory belongs to. The instance is made at
// random with the directory: a frontend with the same id but other data is another
// member. Raft must know it as another, or one voter could vote twice.
type identity struct {
	ID       string `json:"id"`
	Instance string `json:"instance"`
	// JoinedAt is the index of the newest committed configuration known to contain the
	// member; 0 before the first. If the member is in no later one, it was removed.
	// Before the first it is still joining, and what it has heard of its place may be
	// undone when the master changes.
	JoinedAt uint64 `json:"joined_at,omitzero"`
}

// serverID returns the name under which a member is in Raft's configuration: id@instance.
// Membership is read from there and stored nowhere else.
func (i identity) serverID() raft.ServerID { return raft.ServerID(i.ID + "@" + i.Instance) }

// LoadServerID returns the server id of the member with the data directory dir, which
// must exist. It makes and stores an identity if there is none.
func LoadServerID(dir, id string) (raft.ServerID, error) {
	who, err := loadIdentity(dir, id)
	return who.serverID(), err
}

func loadIdentity(dir, id string) (identity, error) {
	if _, err := os.Stat(filepath.Join(dir, identityFile)); errors.Is(err, fs.ErrNotExist) {
		if err := checkNoData(dir); err != nil {
			return identity{}, err
		}
		who := identity{ID: id, Instance: newInstance()}
		return who, who.write(dir)
	}
	who, err := readIdentity(dir)
	if err == nil && who.ID != id {
		return who, fmt.Errorf("the data in %s belongs to the frontend %q, not to %q", dir, who.ID, id)
	}
	return who, err
}

func newInstance() string { return strings.ToLower(rand.Text()[:12]) }

func readIdentity(dir string) (who identity, err error) {
	path := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return who, err
	}
	if err := json.Unmarshal(b, &who); err != nil || who.Instance == "" {
		return who, contradiction(dir, "%s is damaged", path)
	}
	return who, nil
}

// checkNoData returns a contradiction if the directory has a log or a vote. The identity
// is written before both, and a new one would make another member with the old one's
// promises.
func checkNoData(dir string) error {
	for _, name := range []string{voteFile, logDir} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			return contradiction(dir, "%s exists, and %s is missing", name, identityFile)
		}
	}
	return nil
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

// MemberID returns the id of the member of a data directory; "" if it has none.
func MemberID(dir string) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, identityFile)); errors.Is(err, fs.ErrNotExist) {
		return "", checkNoData(dir)
	}
	who, err := readIdentity(dir)
	return who.ID, err
}

// ServerID returns the member's name in Raft's configuration.
func (s *Store) ServerID() raft.ServerID { return s.identity.serverID() }

// Instance returns the random part of the member's server id.
func (s *Store) Instance() string { return s.identity.Instance }

// Joined reports whether the member has been in a committed configuration of its group.
func (s *Store) Joined() bool { return s.JoinedAt() > 0 }

// JoinedAt returns the index of the newest committed configuration known to contain the
// member; 0 if there was none.
func (s *Store) JoinedAt() uint64 { return s.joinedAt.Load() }

// MarkJoined stores that the member is in the committed configuration of the entry at
// index. It is called by one goroutine at a time.
func (s *Store) MarkJoined(index uint64) error {
	if index <= s.JoinedAt() {
		return nil
	}
	who := s.identity
	who.JoinedAt = index
	if err := who.write(s.dir); err != nil {
		return err
	}
	s.joinedAt.Store(index)
	return nil
}

// MarkRemoved stores that the member was removed, and which entries of the log prove it.
// Every later Open returns ErrRemoved with that text.
func (s *Store) MarkRemoved(by string) error {
	text := fmt.Sprintf("removed %s, by %s\n", time.Now().UTC().Format(time.RFC3339), by)
	return pki.WritePrivateFile(filepath.Join(s.dir, removedFile), []byte(text))
}

// MarkDiverged stores that the state of the member contradicts the group, and why. Every
// later Open returns that error, and so does MarkDiverged.
func (s *Store) MarkDiverged(reason string) error {
	text := fmt.Sprintf("%s, since %s\n", reason, time.Now().UTC().Format(time.RFC3339))
	if err := pki.WritePrivateFile(filepath.Join(s.dir, divergedFile), []byte(text)); err != nil {
		s.logger.Warn("could not record the contradiction in the data directory", "err", err)
	}
	return contradiction(s.dir, "%s", reason)
}

// CheckEnded returns why the member of a data directory does not start again as it is, nil if
// it does.
func CheckEnded(dir string) error {
	return cmp.Or(checkRemoved(dir), checkDiverged(dir), checkRecovery(dir), checkRestore(dir))
}

// checkDiverged returns a *ContradictionError if the state of the member of the directory
// contradicted the group.
func checkDiverged(dir string) error {
	mark, err := os.ReadFile(filepath.Join(dir, divergedFile))
	if err != nil {
		return nil
	}
	return contradiction(dir, "%s", strings.TrimSpace(string(mark)))
}

// checkRemoved returns ErrRemoved if the member of the directory was removed.
func checkRemoved(dir string) error {
	mark, err := os.ReadFile(filepath.Join(dir, removedFile))
	if err != nil {
		return nil
	}
	return fmt.Errorf("%w (%s); to join again as another member, start with an empty data directory instead of %s",
		ErrRemoved, strings.TrimSpace(string(mark)), dir)
}
