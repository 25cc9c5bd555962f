package raftlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/raft"

	"laurel/cluster/internal/durable"
	"laurel/trust/pki"
)

// Recovery is the plan by which the member of a data directory becomes the only one of a new
// group, because the majority of its group is lost; see package recovery, which carries it
// out. It is stored before anything else is changed. Until it is deleted, the directory is
// good for nothing but to carry it out.
type Recovery struct {
	// Instance makes the member another one, so that nothing which the lost members send
	// is meant for it.
	Instance    string `json:"instance"`
	Incarnation string `json:"incarnation"` // of the store in the new group
	Peer        string `json:"peer"`        // address of the member
	// Index and Term are of the snapshot with which the new group begins. They are beyond
	// everything that the log has.
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
	// Lost are the server ids of the group that is lost, with this member's former one, and
	// Voters those of the other voters.
	Lost   []string  `json:"lost"`
	Voters []string  `json:"voters,omitzero"`
	Begun  time.Time `json:"begun"`
}

// LoadRecovery returns the plan that was stored in a data directory; nil if there is none.
func LoadRecovery(dir string) (*Recovery, error) {
	path := filepath.Join(dir, recoveryFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r := new(Recovery)
	if err == nil && (json.Unmarshal(b, r) != nil || r.Instance == "" || r.Index == 0) {
		return nil, contradiction(dir, "%s is damaged", path)
	}
	return r, err
}

// PlanRecovery returns the plan for the member of the store at a peer address.
func (s *Store) PlanRecovery(peer, incarnation string, now time.Time) (*Recovery, error) {
	index, term, err := s.Last()
	if err != nil {
		return nil, err
	}
	voted, err := storedNumber(s.backend, termKey)
	if err != nil {
		return nil, fmt.Errorf("read the term in %s: %w", s.dir, err)
	}
	c, err := s.Configuration()
	if err != nil {
		return nil, err
	}
	r := &Recovery{
		Instance: newInstance(), Incarnation: incarnation, Peer: peer, Index: index + 1, Term: max(term,
			voted) + 1, Begun: now,
	}
	for _, server := range c.Servers {
		r.Lost = append(r.Lost, string(server.ID))
		if server.Suffrage == raft.Voter && server.ID != s.ServerID() {
			r.Voters = append(r.Voters, string(server.ID))
		}
	}
	return r, nil
}

// Write stores the plan in a data directory.
func (r *Recovery) Write(dir string) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = pki.WritePrivateFile(filepath.Join(dir, recoveryFile), b)
	}
	if err != nil {
		return fmt.Errorf("store the plan of the recovery: %w", err)
	}
	return nil
}

// ServerID returns the name of the member in the new group.
func (r *Recovery) ServerID(id string) raft.ServerID {
	return identity{ID: id, Instance: r.Instance}.serverID()
}

// checkRecovery returns an error if the recovery of a data directory has been begun.
func checkRecovery(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, recoveryFile)); err != nil {
		return nil
	}
	return fmt.Errorf("%w: %s is there; run the recovery again to finish it", ErrRecovering, filepath.Join(dir,
		recoveryFile))
}

// Last returns the index and the term of the last entry of the log, or of the newest snapshot.
func (s *Store) Last() (index, term uint64, err error) {
	newest, err := s.newestSnapshot()
	if err != nil {
		return 0, 0, err
	}
	index, err = s.backend.LastIndex()
	if err != nil || index <= newest.Index {
		return newest.Index, newest.Term, err
	}
	var e raft.Log
	err = s.backend.GetLog(index, &e)
	return index, e.Term, err
}

// Configuration returns the latest configuration that log and snapshots have. Like Raft's own
// it may not be committed.
func (s *Store) Configuration() (c raft.Configuration, err error) {
	newest, err := s.newestSnapshot()
	if err != nil {
		return c, err
	}
	c = newest.Configuration
	first, last, err := bounds(s.backend)
	if err != nil || last == 0 {
		return c, err
	}
	for i := max(first, newest.Index+1); i <= last; i++ {
		var e raft.Log
		if err := s.backend.GetLog(i, &e); err != nil {
			return c, fmt.Errorf("read entry %d of the log: %w", i, err)
		}
		if e.Type != raft.LogConfiguration {
			continue
		}
		if c, err = decodeConfiguration(e.Data); err != nil {
			return c, contradiction(s.dir, "entry %d of the log: %w", i, err)
		}
	}
	return c, nil
}

// decodeConfiguration is raft.DecodeConfiguration, which panics for what cannot be decoded.
func decodeConfiguration(data []byte) (c raft.Configuration, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it has no configuration that can be read")
		}
	}()
	return raft.DecodeConfiguration(data), nil
}

// Become gives the member its name in the new group.
func (s *Store) Become(r *Recovery) error {
	who := identity{ID: s.identity.ID, Instance: r.Instance, JoinedAt: r.Index}
	if err := who.write(s.dir); err != nil {
		return err
	}
	s.identity = who
	s.joinedAt.Store(who.JoinedAt)
	return nil
}

// EndRecovery deletes the plan, which has been carried out.
func EndRecovery(dir string) error {
	if err := os.Remove(filepath.Join(dir, recoveryFile)); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}
